//! Splits text into words, inside which byte-pair encoding works. A splitter is a list of passes; each pass cuts
//! the pieces that the one before it left.
//!
//! The regular expressions run on an automaton without look-around. The one look-ahead that nearly all tokenizers
//! share, `\s+(?!\S)|\s+` at the end, is done by hand: a run of white space gives its last character to the word
//! after it.

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

use crate::error::{Error, Result, Status};

/// One pass over the pieces.
#[derive(Clone, Copy, Debug)]
pub enum Pass {
    /// Each match is a piece, and so is what lies between two matches.
    Isolate(&'static str),
    /// The same, with `|\s+(?!\S)|\s+` after the expression.
    Words(&'static str),
    /// The same, but the white space before a word is cut into powers of two, up to 512.
    WordsCascade(&'static str),
    /// Runs of digits are cut into threes, counted from their right end.
    DigitGroups(&'static str),
}

enum CompiledPass {
    Isolate(Regex),
    Words(Regex),
    WordsCascade(Regex),
    DigitGroups(Regex),
}

pub struct Splitter {
    passes: Vec<CompiledPass>,
}

impl Splitter {
    pub fn new(passes: &[Pass]) -> Result<Splitter> {
        let compile = |patterns: &[&str]| {
            Regex::new_many(patterns)
                .map_err(|e| Error::new(Status::Unsupported, format!("a pre-tokenizer's expression: {e}")))
        };
        let passes = passes
            .iter()
            .map(|pass| match *pass {
                Pass::Isolate(pattern) => compile(&[pattern]).map(CompiledPass::Isolate),
                Pass::Words(pattern) => compile(&[pattern, r"\s+"]).map(CompiledPass::Words),
                Pass::WordsCascade(pattern) => compile(&[pattern, r"\s+"]).map(CompiledPass::WordsCascade),
                Pass::DigitGroups(pattern) => compile(&[pattern]).map(CompiledPass::DigitGroups),
            })
            .collect::<Result<_>>()?;
        Ok(Splitter { passes })
    }

    /// Calls `word` with each word of the text, in order, until it returns false. Returns what the last call did.
    pub fn split<'t>(&self, text: &'t str, mut word: impl FnMut(&'t str) -> bool) -> bool {
        let Some((last, before)) = self.passes.split_last() else {
            return word(text);
        };
        let mut pieces = vec![text];
        let mut cut = Vec::new();
        for pass in before {
            cut.clear();
            for piece in &pieces {
                pass.run(piece, &mut |p| {
                    cut.push(p);
                    true
                });
            }
            std::mem::swap(&mut pieces, &mut cut);
        }
        pieces.iter().all(|piece| last.run(piece, &mut word))
    }
}

impl CompiledPass {
    /// Calls `emit` with each piece, until it returns false. Returns what the last call did.
    fn run<'t>(&self, text: &'t str, emit: &mut impl FnMut(&'t str) -> bool) -> bool {
        match self {
            CompiledPass::Isolate(regex) => isolate(regex, text, emit, |run, emit| emit(run)),
            CompiledPass::DigitGroups(regex) => isolate(regex, text, emit, digit_groups),
            CompiledPass::Words(regex) => words(regex, text, emit, last_space_apart),
            CompiledPass::WordsCascade(regex) => words(regex, text, emit, powers_of_two),
        }
    }
}

fn isolate<'t, E: FnMut(&'t str) -> bool>(
    regex: &Regex,
    text: &'t str,
    emit: &mut E,
    cut: impl Fn(&'t str, &mut E) -> bool,
) -> bool {
    let mut done = 0;
    for found in regex.find_iter(text).filter(|found| !found.is_empty()) {
        if found.start() > done && !emit(&text[done..found.start()]) {
            return false;
        }
        if !cut(&text[found.range()], emit) {
            return false;
        }
        done = found.end();
    }
    done == text.len() || emit(&text[done..])
}

/// Runs an expression that matches nearly everywhere: each search is anchored where the last match ended. `spaces`
/// says what to emit of a run of white space that a word follows, and returns how many bytes that was; nothing where
/// no more is wanted.
fn words<'t, E: FnMut(&'t str) -> bool>(
    regex: &Regex,
    text: &'t str,
    emit: &mut E,
    spaces: impl Fn(&'t str, &mut E) -> Option<usize>,
) -> bool {
    let (mut unmatched, mut at) = (0, 0);
    while at < text.len() {
        let input = Input::new(text).range(at..).anchored(Anchored::Yes);
        let Some(found) = regex.find(input).filter(|found| !found.is_empty()) else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if unmatched < at && !emit(&text[unmatched..at]) {
            return false;
        }
        let run = &text[found.range()];
        let taken = match found.pattern().as_usize() == 1 && found.end() < text.len() {
            true => spaces(run, emit),
            false => emit(run).then_some(run.len()),
        };
        let Some(taken) = taken else { return false };
        at += taken;
        unmatched = at;
    }
    unmatched == text.len() || emit(&text[unmatched..])
}

/// Leaves the last character to the word that follows, unless it is the only one.
fn last_space_apart<'t>(run: &'t str, emit: &mut impl FnMut(&'t str) -> bool) -> Option<usize> {
    let last = run.char_indices().next_back().map_or(0, |(at, _)| at);
    let taken = if last == 0 { run.len() } else { last };
    emit(&run[..taken]).then_some(taken)
}

/// Emits pieces of 512, 256, ... characters, and lets only a last single one touch the word that follows.
fn powers_of_two<'t>(run: &'t str, emit: &mut impl FnMut(&'t str) -> bool) -> Option<usize> {
    let starts: Vec<usize> = run.char_indices().map(|(at, _)| at).chain([run.len()]).collect();
    let (mut at, mut left) = (0, starts.len() - 1);
    while left > 1 {
        let size = (0..=9).rev().map(|power| 1 << power).find(|&size| size < left).unwrap_or(1);
        if !emit(&run[starts[at]..starts[at + size]]) {
            return None;
        }
        at += size;
        left -= size;
    }
    if at == 0 {
        return emit(run).then_some(run.len());
    }
    Some(starts[at])
}

fn digit_groups<'t>(run: &'t str, emit: &mut impl FnMut(&'t str) -> bool) -> bool {
    let starts: Vec<usize> = run.char_indices().map(|(at, _)| at).chain([run.len()]).collect();
    let count = starts.len() - 1;
    let mut at = 0;
    while at < count {
        let size = if at == 0 && count % 3 > 0 { count % 3 } else { 3 };
        if !emit(&run[starts[at]..starts[at + size]]) {
            return false;
        }
        at += size;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::pre_tokenizers;

    fn split(name: &str, text: &str) -> Vec<String> {
        let splitter = Splitter::new(pre_tokenizers::find(name).unwrap().passes).unwrap();
        let mut words = Vec::new();
        let all = splitter.split(text, |word| {
            words.push(word.to_string());
            true
        });
        assert!(all);
        assert_eq!(words.concat(), text);
        // However early it is stopped, no further word comes.
        for wanted in 1..=words.len() {
            let mut seen = 0;
            let went_on = splitter.split(text, |_| {
                seen += 1;
                seen < wanted
            });
            assert_eq!((seen, went_on), (wanted, false), "{name}");
        }
        words
    }

    #[test]
    fn white_space_gives_its_last_character_to_the_word() {
        assert_eq!(split("qwen2", "a   b \t c  "), ["a", "  ", " b", " \t", " c", "  "]);
        assert_eq!(split("gpt-2", "\t\tx"), ["\t", "\t", "x"]);
        assert_eq!(split("llama-bpe", "x \n\n  y"), ["x", " \n\n", " ", " y"]);
    }

    #[test]
    fn digits_are_cut_as_the_model_wants() {
        assert_eq!(split("smollm", "in 1234"), ["in", " ", "1", "2", "3", "4"]);
        assert_eq!(split("llama-bpe", "12345678"), ["123", "456", "78"]);
        assert_eq!(split("tiny_aya", "1234567"), ["1", "234", "567"]);
        assert_eq!(split("superbpe", "a b 12345"), ["a b ", "12", "345"]);
    }

    #[test]
    fn contractions() {
        assert_eq!(split("gpt-2", "don't I'LL"), ["don", "'t", " I", "'", "LL"]);
        assert_eq!(split("qwen2", "don'T we'Ve"), ["don", "'T", " we", "'Ve"]);
        assert_eq!(split("gpt-4o", "Don't HELLOworld"), ["Don't", " HELLOworld"]);
    }

    #[test]
    fn cascade_of_white_space() {
        assert_eq!(split("jais-2", "a       b"), ["a", "    ", "  ", " b"]);
        assert_eq!(split("jais-2", "a   "), ["a", "   "]);
    }

    #[test]
    fn every_pre_tokenizer_compiles_and_loses_nothing() {
        for entry in pre_tokenizers::TABLE {
            for name in entry.names {
                split(name, "It's 12,345.67 größer… 你好 привет\r\n\n\t  x_y 😀👩‍👩‍👧 'S\u{85}\u{3000}\u{0}  ");
            }
        }
    }
}
