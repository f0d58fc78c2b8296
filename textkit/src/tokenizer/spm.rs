//! SentencePiece's byte-pair encoding: neighbours whose joined text is a token are merged, the best score first.

use rustc_hash::FxHashSet;

use super::bpe::SPACE_MARK;
use super::merge::{merge, Merged, Symbol};
use super::repeats::Repeats;
use super::vocabulary::{byte_tokens, Kind, TokenId, Vocabulary};

pub struct Spm {
    bytes: [Option<TokenId>; 256],
    unknown: Option<TokenId>,
    /// Last bytes of characters after which some token holds a space mark. Elsewhere a space mark starts a word
    /// that no merge can reach across, so that words are encoded alone.
    joins_space: FxHashSet<u8>,
}

const UNKNOWN: u32 = u32::MAX;

/// Turns a score into a rank: the higher the score, the lower the rank.
fn rank(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    let rising = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    (!rising).min(u32::MAX - 1)
}

impl Spm {
    pub fn new(vocabulary: &Vocabulary, unknown: Option<TokenId>) -> Spm {
        let mark = SPACE_MARK.as_bytes();
        let mut joins_space = FxHashSet::default();
        for id in vocabulary.ids().filter(|&id| vocabulary.kind(id) != Kind::Control) {
            let bytes = vocabulary.bytes(id);
            let inside =
                memchr::memmem::find_iter(bytes, mark).filter(|&at| at > 0 && !bytes[..at].ends_with(mark));
            joins_space.extend(inside.map(|at| bytes[at - 1]));
        }
        Spm { bytes: byte_tokens(vocabulary), unknown, joins_space }
    }

    /// Whether each byte of a text is in some token. Else bytes that are no tokens are dropped.
    pub fn keeps_all(&self) -> bool {
        self.unknown.is_some() || self.bytes.iter().all(Option::is_some)
    }

    /// Encodes text whose spaces are still spaces; stops behind the word with which there are more than `ids_max` ids.
    pub fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        space_before: bool,
        ids_max: usize,
        repeats: &mut Repeats,
        out: &mut Vec<TokenId>,
    ) {
        let mut marked = String::with_capacity(text.len() + text.len() / 2);
        if space_before {
            marked.push_str(SPACE_MARK);
        }
        for piece in text.split_inclusive(' ') {
            match piece.strip_suffix(' ') {
                Some(word) => marked.extend([word, SPACE_MARK]),
                None => marked.push_str(piece),
            }
        }
        let mut word = |word, out: &mut _| {
            repeats.encode(word, out, |symbols, out| self.encode_word(vocabulary, word, symbols, out));
        };
        let mut start = 0;
        for (at, _) in marked.match_indices(SPACE_MARK) {
            let before = &marked.as_bytes()[start..at];
            let may_join = before.ends_with(SPACE_MARK.as_bytes())
                || before.last().is_some_and(|last| self.joins_space.contains(last));
            if !before.is_empty() && !may_join {
                word(&marked[start..at], out);
                start = at;
                if out.len() > ids_max {
                    return;
                }
            }
        }
        word(&marked[start..], out);
    }

    fn encode_word(
        &self,
        vocabulary: &Vocabulary,
        word: &str,
        symbols: &mut Vec<Symbol>,
        out: &mut Vec<TokenId>,
    ) {
        let bytes = word.as_bytes();
        symbols.extend(word.char_indices().map(|(at, c)| {
            let len = c.len_utf8();
            let id = vocabulary.find_text(&bytes[at..at + len]).unwrap_or(UNKNOWN);
            Symbol { id, start: at as u32, len: len as u32 }
        }));
        merge(symbols, |left, right| {
            let joined = &bytes[left.start as usize..(right.start + right.len) as usize];
            if joined.len() > vocabulary.longest() {
                return None;
            }
            vocabulary.find_text(joined).map(|id| Merged { rank: rank(vocabulary.score(id)), id })
        });
        for symbol in symbols.iter() {
            if symbol.id != UNKNOWN {
                out.push(symbol.id);
                continue;
            }
            for &byte in &bytes[symbol.start as usize..][..symbol.len as usize] {
                out.extend(self.bytes[byte as usize].or(self.unknown));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_fall_as_scores_rise() {
        let scores = [f32::INFINITY, 3.5, 0.5, 0.0, -0.5, -3.5, -1e9, f32::NEG_INFINITY];
        for pair in scores.windows(2) {
            assert!(rank(pair[0]) < rank(pair[1]), "{pair:?}");
        }
        assert_eq!(rank(0.0), rank(-0.0));
    }
}
