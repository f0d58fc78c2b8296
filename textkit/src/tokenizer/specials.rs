//! Finds special tokens in text.

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;
use std::ops::Range;

use super::vocabulary::{Kind, TokenId, Vocabulary};
use crate::error::{Error, Result};

/// A part of the text: a special token, or what lies between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub range: Range<usize>,
    pub token: Option<TokenId>,
}

struct Special {
    id: TokenId,
    text: String,
    /// Stands for itself in any text. The others are tokens in template text only.
    in_any_text: bool,
}

/// The special tokens of a vocabulary, longest first.
pub struct Specials {
    tokens: Vec<Special>,
    automaton: AhoCorasick,
}

impl Specials {
    pub fn new(vocabulary: &Vocabulary) -> Result<Specials> {
        let mut tokens: Vec<Special> = vocabulary
            .ids()
            .filter(|&id| matches!(vocabulary.kind(id), Kind::Control | Kind::UserDefined | Kind::Unknown))
            .filter_map(|id| {
                let text = std::str::from_utf8(vocabulary.bytes(id)).ok()?.to_string();
                Some(Special { id, text, in_any_text: vocabulary.kind(id) == Kind::UserDefined })
            })
            .collect();
        tokens.sort_by_key(|token| std::cmp::Reverse(token.text.len()));
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(tokens.iter().map(|token| &token.text))
            .map_err(|e| Error::invalid(format!("tokenizer.ggml.tokens: too many special tokens: {e}")))?;
        Ok(Specials { tokens, automaton })
    }

    /// Cuts the text at special tokens: the longest first, each from the left. One that is not for any text is no
    /// token where it touches one of the `literal` ranges, which are sorted.
    pub fn partition(&self, text: &str, literal: &[Range<usize>]) -> Vec<Part> {
        let mut parts = Vec::new();
        if !text.is_empty() {
            parts.push(Part { range: 0..text.len(), token: None });
        }
        for index in self.occurring(text) {
            let token = &self.tokens[index];
            let finder = memmem::Finder::new(&token.text);
            let mut cut = Vec::with_capacity(parts.len() + 2);
            for part in parts {
                match part.token {
                    Some(_) => cut.push(part),
                    None => cut_part(text, part.range, token, &finder, literal, &mut cut),
                }
            }
            parts = cut;
        }
        parts
    }

    /// Returns which tokens occur anywhere in the text, in one pass over it; most texts hold few of thousands.
    fn occurring(&self, text: &str) -> Vec<usize> {
        let mut seen = vec![false; self.tokens.len()];
        for found in self.automaton.find_overlapping_iter(text) {
            seen[found.pattern().as_usize()] = true;
        }
        (0..seen.len()).filter(|&index| seen[index]).collect()
    }
}

fn cut_part(
    text: &str,
    range: Range<usize>,
    token: &Special,
    finder: &memmem::Finder,
    literal: &[Range<usize>],
    out: &mut Vec<Part>,
) {
    let (mut done, mut at) = (range.start, range.start);
    while let Some(found) = finder.find(&text.as_bytes()[at..range.end]) {
        let place = at + found..at + found + token.text.len();
        if !token.in_any_text && touches(&place, literal) {
            at = place.start + 1;
            continue;
        }
        if place.start > done {
            out.push(Part { range: done..place.start, token: None });
        }
        (done, at) = (place.end, place.end);
        out.push(Part { range: place, token: Some(token.id) });
    }
    if done < range.end {
        out.push(Part { range: done..range.end, token: None });
    }
}

pub fn touches(place: &Range<usize>, sorted: &[Range<usize>]) -> bool {
    let next = sorted.partition_point(|range| range.end <= place.start);
    sorted.get(next).is_some_and(|range| range.start < place.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(tokens: &[(&str, Kind)], text: &str, literal: &[Range<usize>]) -> Vec<String> {
        let kinds = tokens.iter().map(|(_, kind)| *kind).collect();
        let texts = tokens.iter().map(|(text, _)| text.as_bytes());
        let vocabulary = Vocabulary::from_parts(texts, kinds, vec![0.0; tokens.len()]);
        let parts = Specials::new(&vocabulary).unwrap().partition(text, literal);
        let show = |part: &Part| match part.token {
            Some(id) => format!("#{id}"),
            None => text[part.range.clone()].to_string(),
        };
        parts.iter().map(show).collect()
    }

    #[test]
    fn the_longest_token_wins() {
        let tokens = [("ab", Kind::Control), ("bcd", Kind::Control), ("  ", Kind::UserDefined)];
        assert_eq!(partition(&tokens, "abcd ab", &[]), ["a", "#1", " ", "#0"]);
        assert_eq!(partition(&tokens, "     x", &[]), ["#2", "#2", " x"]);
    }

    #[test]
    fn control_tokens_do_not_form_in_literal_text() {
        let tokens = [("<s>", Kind::Control), ("<t>", Kind::UserDefined)];
        let text = "<s><s><t>";
        assert_eq!(partition(&tokens, text, &[3..9]), ["#0", "<s>", "#1"]);
        assert_eq!(partition(&tokens, text, &[2..3]), ["<s>", "#0", "#1"]);
        assert_eq!(partition(&tokens, text, &[3..3]), ["#0", "#0", "#1"]);
    }
}
