//! Where text looks like a control token.

use aho_corasick::{AhoCorasick, MatchKind};
use std::ops::Range;

use super::Tokenizer;

pub struct ControlTexts {
    automaton: Option<AhoCorasick>,
    /// Sorted, to look up by their starts.
    texts: Vec<String>,
    longest: usize,
}

impl ControlTexts {
    pub fn new(tokenizer: &Tokenizer) -> ControlTexts {
        let mut texts: Vec<String> =
            tokenizer.control_texts().filter(|text| !text.is_empty()).map(str::to_string).collect();
        texts.sort();
        ControlTexts {
            automaton: AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&texts).ok(),
            longest: texts.iter().map(String::len).max().unwrap_or(0),
            texts,
        }
    }

    /// Returns the places of control tokens' texts, and of the start of one at the end of the text, white space
    /// after it aside. They are sorted and apart.
    pub fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut places: Vec<_> =
            self.automaton.iter().flat_map(|a| a.find_iter(text)).map(|m| m.range()).collect();
        let end = text.trim_end().len();
        let after = places.last().map_or(0, |place| place.end);
        let first = end.saturating_sub(self.longest).max(after);
        let start = (first..end).find(|&at| text.is_char_boundary(at) && self.starts_one(&text[at..end]));
        places.extend(start.map(|start| start..end));
        places
    }

    fn starts_one(&self, text: &str) -> bool {
        let at = self.texts.partition_point(|known| known.as_str() < text);
        self.texts.get(at).is_some_and(|known| known.starts_with(text))
    }
}
