//! SentencePiece's unigram model: of all ways to cut the text into tokens, the one with the highest sum of scores.

use rustc_hash::FxHashMap;

use super::bpe::SPACE_MARK;
use super::charsmap::Charsmap;
use super::vocabulary::{Kind, TokenId, Vocabulary};
use crate::error::{Error, Result};

/// How much worse an unknown character is than the worst token.
const UNKNOWN_PENALTY: f32 = 10.0;
const ROOT: u32 = 0;

pub struct Unigram {
    /// Edges of the trie of all tokens, from (node, byte).
    edges: FxHashMap<(u32, u8), u32>,
    /// The token that ends at a node.
    ends: Vec<Option<TokenId>>,
    charsmap: Option<Charsmap>,
    unknown: TokenId,
    unknown_score: f64,
    add_space_prefix: bool,
    remove_extra_spaces: bool,
}

/// The best way to reach a place of the text.
#[derive(Clone, Copy)]
struct Best {
    token: TokenId,
    start: usize,
    score: f64,
}

impl Unigram {
    pub fn new(
        vocabulary: &Vocabulary,
        charsmap: &[u8],
        unknown: Option<TokenId>,
        add_space_prefix: bool,
        remove_extra_spaces: bool,
    ) -> Result<Unigram> {
        let unknown = unknown
            .ok_or_else(|| Error::invalid("tokenizer.ggml.unknown_token_id: a unigram model needs it"))?;
        let worst = vocabulary
            .ids()
            .filter(|&id| vocabulary.kind(id) == Kind::Normal)
            .map(|id| vocabulary.score(id))
            .fold(f32::MAX, f32::min);
        let mut unigram = Unigram {
            edges: FxHashMap::default(),
            ends: vec![None],
            charsmap: if charsmap.is_empty() { None } else { Some(Charsmap::new(charsmap)?) },
            unknown,
            unknown_score: f64::from(worst - UNKNOWN_PENALTY),
            add_space_prefix,
            remove_extra_spaces,
        };
        for id in vocabulary.ids() {
            if matches!(vocabulary.kind(id), Kind::Normal | Kind::UserDefined | Kind::Unused) {
                unigram.insert(vocabulary.bytes(id), id);
            }
        }
        Ok(unigram)
    }

    fn insert(&mut self, bytes: &[u8], id: TokenId) {
        let mut node = ROOT;
        for &byte in bytes {
            node = *self.edges.entry((node, byte)).or_insert_with(|| {
                self.ends.push(None);
                self.ends.len() as u32 - 1
            });
        }
        self.ends[node as usize] = Some(id);
    }

    pub fn encode(&self, vocabulary: &Vocabulary, text: &str, out: &mut Vec<TokenId>) {
        let text = self.normalise(text);
        let nowhere = Best { token: self.unknown, start: 0, score: -f64::MAX };
        let mut best = vec![nowhere; text.len() + 1];
        best[0].score = 0.0;
        for (start, c) in text.char_indices() {
            let so_far = best[start].score;
            let mut offer = |end: usize, token: TokenId, score: f64| {
                if so_far + score > best[end].score {
                    best[end] = Best { token, start, score: so_far + score };
                }
            };
            let mut whole_character = false;
            let mut node = ROOT;
            for (end, &byte) in
                text.bytes().enumerate().skip(start).map(|(at, _)| (at + 1, &text.as_bytes()[at]))
            {
                let Some(&next) = self.edges.get(&(node, byte)) else { break };
                node = next;
                let Some(token) = self.ends[node as usize] else { continue };
                whole_character |= end - start == c.len_utf8();
                let user_defined = vocabulary.kind(token) == Kind::UserDefined;
                offer(end, token, if user_defined { 0.0 } else { f64::from(vocabulary.score(token)) });
            }
            if !whole_character {
                offer(start + c.len_utf8(), self.unknown, self.unknown_score);
            }
        }
        self.collect(&best, out);
    }

    /// Walks back from the end of the text; neighbouring unknown characters become one token.
    fn collect(&self, best: &[Best], out: &mut Vec<TokenId>) {
        let first = out.len();
        let mut end = best.len() - 1;
        let mut after_unknown = false;
        while end > 0 {
            let Best { token, start, .. } = best[end];
            if !(after_unknown && token == self.unknown) {
                out.push(token);
            }
            after_unknown = token == self.unknown;
            end = start;
        }
        out[first..].reverse();
    }

    fn normalise(&self, text: &str) -> String {
        let mapped = match &self.charsmap {
            Some(charsmap) => charsmap.apply(text),
            None => text.to_string(),
        };
        let mut normal = String::with_capacity(mapped.len() * 2);
        let (mut prefixed, mut in_word) = (false, false);
        for c in mapped.chars() {
            if c == ' ' {
                in_word = false;
                if !self.remove_extra_spaces {
                    normal.push_str(SPACE_MARK);
                }
                continue;
            }
            if !in_word {
                in_word = true;
                if (self.add_space_prefix && !prefixed) || self.remove_extra_spaces {
                    normal.push_str(SPACE_MARK);
                    prefixed = true;
                }
            }
            normal.push(c);
        }
        normal
    }
}
