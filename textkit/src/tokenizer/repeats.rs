//! Words that come again in a text get the ids they got the first time.

use rustc_hash::FxHashMap;

use super::merge::Symbol;
use super::vocabulary::TokenId;

/// Longer words hardly ever come again.
const WORD_BYTES_MAX: usize = 48;

/// What the encoding of one text keeps from word to word.
#[derive(Default)]
pub struct Repeats {
    /// Where in the output the ids of each word stand.
    places: FxHashMap<Box<str>, (usize, usize)>,
    symbols: Vec<Symbol>,
}

impl Repeats {
    /// Appends the ids of a word, by `encode` if it is new. `encode` gets an empty list to work with.
    #[inline]
    pub fn encode(
        &mut self,
        word: &str,
        out: &mut Vec<TokenId>,
        encode: impl FnOnce(&mut Vec<Symbol>, &mut Vec<TokenId>),
    ) {
        if let Some(&(start, end)) = self.places.get(word) {
            return out.extend_from_within(start..end);
        }
        let start = out.len();
        self.symbols.clear();
        encode(&mut self.symbols, out);
        if word.len() <= WORD_BYTES_MAX {
            self.places.insert(word.into(), (start, out.len()));
        }
    }
}
