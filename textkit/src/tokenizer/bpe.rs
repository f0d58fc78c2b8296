//! Byte-pair encoding from a list of merges.

use rustc_hash::FxHashMap;

use super::byte_level;
use super::merge::{merge, Merged, Symbol};
use super::pre_tokenizers::{Alphabet, PreTokenizer};
use super::repeats::Repeats;
use super::splitter::Splitter;
use super::vocabulary::{byte_tokens, TokenId, Vocabulary};
use crate::error::{Error, Result};

/// U+2581, SentencePiece's visible space.
pub const SPACE_MARK: &str = "\u{2581}";

/// A symbol that is no token and takes part in no merge.
const UNKNOWN: u32 = u32::MAX;

pub struct Bpe {
    splitter: Splitter,
    alphabet: Alphabet,
    ignore_merges: bool,
    letters: [char; 256],
    /// The symbol of each byte; of the characters' alphabet, the token "<0xXX>".
    bytes: [u32; 256],
    merges: FxHashMap<(u32, u32), Merged>,
    /// Texts of merges that are no tokens; their symbols follow the token ids.
    inner: Vec<Box<[u8]>>,
    unknown: Option<TokenId>,
}

impl Bpe {
    pub fn new(
        vocabulary: &Vocabulary,
        merges: &[&[u8]],
        rules: &PreTokenizer,
        unknown: Option<TokenId>,
    ) -> Result<Bpe> {
        if merges.is_empty() {
            return Err(Error::invalid(
                "tokenizer.ggml.merges: byte-pair encoding needs them, and there are none",
            ));
        }
        let mut bpe = Bpe {
            splitter: Splitter::new(rules.passes)?,
            alphabet: rules.alphabet,
            ignore_merges: rules.ignore_merges,
            letters: byte_level::alphabet(),
            bytes: [UNKNOWN; 256],
            merges: FxHashMap::with_capacity_and_hasher(merges.len(), Default::default()),
            inner: Vec::new(),
            unknown,
        };
        bpe.read_merges(vocabulary, merges)?;
        if bpe.alphabet == Alphabet::Bytes {
            for byte in 0..256 {
                let letter = bpe.letters[byte];
                bpe.bytes[byte] =
                    vocabulary.find(letter.encode_utf8(&mut [0; 4]).as_bytes()).unwrap_or(UNKNOWN);
            }
        } else {
            for (symbol, token) in bpe.bytes.iter_mut().zip(byte_tokens(vocabulary)) {
                *symbol = token.unwrap_or(UNKNOWN);
            }
        }
        Ok(bpe)
    }

    fn read_merges(&mut self, vocabulary: &Vocabulary, merges: &[&[u8]]) -> Result<()> {
        let mut inner_ids: FxHashMap<Box<[u8]>, u32> = FxHashMap::default();
        let mut text = Vec::new();
        for (rank, line) in merges.iter().enumerate() {
            // The left side may itself start with a space.
            let Some(gap) = line.iter().skip(1).position(|&b| b == b' ').map(|at| at + 1) else {
                return Err(Error::invalid(format!(
                    "tokenizer.ggml.merges[{rank}]: expected two parts and a space between, got {:?}",
                    String::from_utf8_lossy(line)
                )));
            };
            let (left, right) = (&line[..gap], &line[gap + 1..]);
            text.clear();
            text.extend_from_slice(left);
            text.extend_from_slice(right);
            let mut symbol = |bytes: &[u8]| {
                vocabulary.find(bytes).unwrap_or_else(|| {
                    *inner_ids.entry(bytes.into()).or_insert_with(|| {
                        self.inner.push(bytes.into());
                        (vocabulary.len() + self.inner.len() - 1) as u32
                    })
                })
            };
            let pair = (symbol(left), symbol(right));
            let merged = Merged { rank: rank as u32, id: symbol(&text) };
            self.merges.entry(pair).or_insert(merged);
        }
        Ok(())
    }

    /// Whether each byte of a text is in some token. Else bytes that are no tokens are dropped.
    pub fn keeps_all(&self) -> bool {
        self.unknown.is_some() || !self.bytes.contains(&UNKNOWN)
    }

    /// Appends the ids of the text; stops behind the word with which there are more than `ids_max`.
    pub fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        ids_max: usize,
        repeats: &mut Repeats,
        out: &mut Vec<TokenId>,
    ) {
        match self.alphabet {
            Alphabet::Bytes => {
                self.splitter.split(text, |word| {
                    repeats
                        .encode(word, out, |symbols, out| self.encode_bytes(vocabulary, word, symbols, out));
                    out.len() <= ids_max
                });
            }
            Alphabet::Characters | Alphabet::Metaspace => {
                let text = text.replace(' ', SPACE_MARK);
                let mut encode = |word: &str| {
                    repeats.encode(word, out, |symbols, out| {
                        self.encode_characters(vocabulary, word, symbols, out)
                    });
                    out.len() <= ids_max
                };
                self.splitter.split(&text, |line| match self.alphabet {
                    Alphabet::Metaspace => metaspace_words(line, &mut encode),
                    _ => encode(line),
                });
            }
        }
    }

    fn encode_bytes(
        &self,
        vocabulary: &Vocabulary,
        word: &str,
        symbols: &mut Vec<Symbol>,
        out: &mut Vec<TokenId>,
    ) {
        if self.ignore_merges {
            let letters: String = word.bytes().map(|byte| self.letters[byte as usize]).collect();
            if let Some(token) = vocabulary.find_text(letters.as_bytes()) {
                return out.push(token);
            }
        }
        symbols.extend(word.bytes().enumerate().map(|(at, byte)| Symbol {
            id: self.bytes[byte as usize],
            start: at as u32,
            len: 1,
        }));
        self.merge_and_emit(vocabulary, word, symbols, out);
    }

    fn encode_characters(
        &self,
        vocabulary: &Vocabulary,
        word: &str,
        symbols: &mut Vec<Symbol>,
        out: &mut Vec<TokenId>,
    ) {
        if self.ignore_merges || word.bytes().all(|byte| byte == b'\n') {
            if let Some(token) = vocabulary.find_text(word.as_bytes()) {
                return out.push(token);
            }
        }
        symbols.extend(word.char_indices().map(|(at, c)| {
            let bytes = &word.as_bytes()[at..at + c.len_utf8()];
            let id = vocabulary.find_text(bytes).unwrap_or(UNKNOWN);
            Symbol { id, start: at as u32, len: bytes.len() as u32 }
        }));
        self.merge_and_emit(vocabulary, word, symbols, out);
    }

    fn merge_and_emit(
        &self,
        vocabulary: &Vocabulary,
        word: &str,
        symbols: &mut Vec<Symbol>,
        out: &mut Vec<TokenId>,
    ) {
        merge(symbols, |left, right| self.merges.get(&(left.id, right.id)).copied());
        for symbol in symbols.iter() {
            if (symbol.id as usize) < vocabulary.len() {
                out.push(symbol.id);
            } else {
                let bytes = &word.as_bytes()[symbol.start as usize..][..symbol.len as usize];
                self.emit_parts(vocabulary, bytes, out);
            }
        }
    }

    /// Emits a symbol that is no token byte by byte; bytes that are no tokens either become the unknown token, if
    /// the model has one.
    fn emit_parts(&self, vocabulary: &Vocabulary, bytes: &[u8], out: &mut Vec<TokenId>) {
        for &byte in bytes {
            match self.bytes[byte as usize] {
                id if (id as usize) < vocabulary.len() => out.push(id),
                _ => out.extend(self.unknown),
            }
        }
    }
}

/// A line starts with a space mark, and each space mark starts a word. Calls `word` until it returns false.
fn metaspace_words(line: &str, word: &mut impl FnMut(&str) -> bool) -> bool {
    if line.starts_with('\n') {
        return word(line);
    }
    let marked = match line.starts_with(SPACE_MARK) {
        true => line.to_string(),
        false => format!("{SPACE_MARK}{line}"),
    };
    let mut start = 0;
    for (at, _) in marked.match_indices(SPACE_MARK).skip(1) {
        if !word(&marked[start..at]) {
            return false;
        }
        start = at;
    }
    word(&marked[start..])
}
