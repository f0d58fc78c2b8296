//! WordPiece as BERT uses it: clean words, cut into the longest known pieces from the left.

use unicode_general_category::{get_general_category, GeneralCategory as Category};
use unicode_normalization::UnicodeNormalization;

use super::bpe::SPACE_MARK;
use super::vocabulary::{TokenId, Vocabulary};

pub struct WordPiece {
    pub unknown: TokenId,
    pub lowercase: bool,
    pub strip_accents: bool,
}

impl WordPiece {
    /// Appends the ids of the text; stops behind the word with which there are more than `ids_max`.
    pub fn encode(&self, vocabulary: &Vocabulary, text: &str, ids_max: usize, out: &mut Vec<TokenId>) {
        for word in self.words(text) {
            self.encode_word(vocabulary, &word, out);
            if out.len() > ids_max {
                return;
            }
        }
    }

    /// Cuts a word, which starts with a space mark, into tokens; a word that cannot be cut is one unknown token.
    fn encode_word(&self, vocabulary: &Vocabulary, word: &str, out: &mut Vec<TokenId>) {
        let (first, bytes) = (out.len(), word.as_bytes());
        let mut start = 0;
        while start < bytes.len() {
            let longest = (start + vocabulary.longest()).min(bytes.len());
            let found = (start + 1..=longest)
                .rev()
                .find_map(|end| vocabulary.find_text(&bytes[start..end]).map(|token| (end, token)));
            let Some((end, token)) = found else {
                out.truncate(first);
                return out.push(self.unknown);
            };
            out.push(token);
            start = end;
        }
    }

    fn words(&self, text: &str) -> Vec<String> {
        let text: String = if self.strip_accents { text.nfd().collect() } else { text.to_string() };
        let mut words = Vec::new();
        let mut word = String::new();
        let mut finish = |word: &mut String| {
            if !word.is_empty() {
                words.push(format!("{SPACE_MARK}{word}"));
                word.clear();
            }
        };
        for c in text.chars() {
            if c.is_whitespace() {
                finish(&mut word);
                continue;
            }
            let category = get_general_category(c);
            let accent = matches!(
                category,
                Category::NonspacingMark | Category::EnclosingMark | Category::SpacingMark
            );
            if is_invisible(c, category) || (self.strip_accents && accent) {
                continue;
            }
            let alone = is_punctuation(c, category) || is_chinese(c);
            if alone {
                finish(&mut word);
            }
            match self.lowercase {
                true => word.extend(c.to_lowercase()),
                false => word.push(c),
            }
            if alone {
                finish(&mut word);
            }
        }
        finish(&mut word);
        words
    }
}

fn is_invisible(c: char, category: Category) -> bool {
    matches!(c, '\0' | '\u{fffd}')
        || matches!(category, Category::Control | Category::Format | Category::PrivateUse)
}

fn is_punctuation(c: char, category: Category) -> bool {
    c.is_ascii_punctuation()
        || matches!(
            category,
            Category::ConnectorPunctuation
                | Category::DashPunctuation
                | Category::OpenPunctuation
                | Category::ClosePunctuation
                | Category::InitialPunctuation
                | Category::FinalPunctuation
                | Category::OtherPunctuation
        )
}

/// Chinese characters, in the ranges of BERT's own tokenizer; U+2B820 to U+2B91F are not among them.
fn is_chinese(c: char) -> bool {
    matches!(u32::from(c),
        0x4e00..=0x9fff | 0x3400..=0x4dbf | 0x20000..=0x2a6df | 0x2a700..=0x2b73f | 0x2b740..=0x2b81f
        | 0x2b920..=0x2ceaf | 0xf900..=0xfaff | 0x2f800..=0x2fa1f)
}
