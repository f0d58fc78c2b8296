//! Words that come again in a text get the ids they got the first time.

use rustc_hash::FxHashMap;

use super::vocabulary::TokenId;

/// Longer words hardly ever come again.
const WORD_BYTES_MAX: usize = 48;

/// Where in the output the ids of each word stand.
#[derive(Default)]
pub struct Repeats<'t> {
    places: FxHashMap<&'t str, (usize, usize)>,
}

impl<'t> Repeats<'t> {
    /// Appends the ids of a word, by `encode` if it is new.
    #[inline]
    pub fn encode(&mut self, word: &'t str, out: &mut Vec<TokenId>, encode: impl FnOnce(&mut Vec<TokenId>)) {
        if word.len() > WORD_BYTES_MAX {
            return encode(out);
        }
        if let Some(&(start, end)) = self.places.get(word) {
            return out.extend_from_within(start..end);
        }
        let start = out.len();
        encode(out);
        self.places.insert(word, (start, out.len()));
    }
}
