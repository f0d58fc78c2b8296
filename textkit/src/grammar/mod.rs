//! Constrained decoding, by llguidance: grammars are compiled against a model's vocabulary and stepped token by
//! token. The regular parts of a grammar are lexed by derivatives, the rest is an Earley parser over lexemes.

mod disjoint;
mod gbnf;
mod quoted;
mod schema;
mod vocabulary;

use llguidance::api::TopLevelGrammar;

use crate::error::{Error, Result, Status};
use crate::stack::{bounded, bounded_here, Bounds};
pub use schema::Strictness;
pub use vocabulary::Vocabulary;

/// A larger grammar is refused before it is read. What it makes is limited by the engine's own fuel, which does not
/// depend on the machine as a time would.
const SOURCE_BYTES_MAX: usize = 1 << 20;
/// Messages quote the grammar.
const MESSAGE_CHARS_MAX: usize = 500;
/// Rules and schemas that refer to each other are compiled by recursion. The engine's fuel is spent below a quarter of
/// this memory.
const BOUNDS: Bounds = Bounds { stack_bytes: 512 << 20, memory_bytes: MEMORY_BYTES };
pub(crate) const MEMORY_BYTES: usize = 512 << 20;
/// Conversions recurse no deeper than what they read may be nested.
const CONVERSION_STACK_BYTES: usize = 16 << 20;
/// What one step of a matcher may add to it.
pub(crate) const STEP_BYTES: usize = 256 << 20;
/// How messages call it.
pub(crate) const WHAT: &str = "the grammar";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    JsonSchema,
    Regex,
    Lark,
    Gbnf,
}

fn check_size(source: &str) -> Result<()> {
    if source.len() <= SOURCE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("expected at most {SOURCE_BYTES_MAX} bytes, got {}", source.len());
    Err(Error::new(Status::Limit, message))
}

/// Runs a conversion of a source.
fn converted(source: &str, body: impl FnOnce() -> Result<String> + Send) -> Result<String> {
    check_size(source)?;
    bounded(Bounds { stack_bytes: CONVERSION_STACK_BYTES, ..BOUNDS }, WHAT, body)
}

/// Returns a Lark grammar for the same texts as a GBNF grammar.
pub fn gbnf_to_lark(source: &str) -> Result<String> {
    converted(source, || gbnf::to_lark(source))
}

/// Returns a Lark grammar of the JSON forms of the texts that `source` matches.
pub fn lark_in_json(source: &str) -> Result<String> {
    converted(source, || quoted::lark_in_json(source))
}

/// Returns a JSON Schema as the engine takes it. Messages call it `place`.
pub fn checked_schema(source: &str, strictness: Strictness, place: &str) -> Result<String> {
    converted(source, || schema::checked_schema(source, strictness, place))
}

/// A compiled grammar.
pub struct Grammar {
    start: llguidance::Matcher,
}

impl Grammar {
    pub fn compile(vocabulary: &Vocabulary, syntax: Syntax, source: &str) -> Result<Grammar> {
        check_size(source)?;
        bounded(BOUNDS, WHAT, || {
            let grammar = match syntax {
                Syntax::JsonSchema => {
                    TopLevelGrammar::from_json_schema(schema::checked(source, Strictness::Strict, "schema")?)
                }
                Syntax::Regex => TopLevelGrammar::from_regex(source),
                Syntax::Lark => TopLevelGrammar::from_lark(source.to_string()),
                Syntax::Gbnf => TopLevelGrammar::from_lark(gbnf::to_lark(source)?),
            };
            let parser = vocabulary.factory.create_parser(grammar).map_err(failure)?;
            let mut start = llguidance::Matcher::new(Ok(parser));
            // The first mask builds the states that every sequence begins with, and shows grammars that match nothing.
            start.compute_mask_or_eos().map_err(failure)?;
            Ok(Grammar { start })
        })
    }

    /// Returns a matcher at the start, with caches of its own.
    pub fn start(&self) -> Matcher {
        Matcher { inner: self.start.deep_clone() }
    }
}

/// Steps a grammar along one sequence.
pub struct Matcher {
    inner: llguidance::Matcher,
}

impl Matcher {
    /// Writes the tokens that may come next, a bit for each; words beyond the vocabulary are zero.
    pub fn fill_mask(&mut self, mask: &mut [u32]) -> Result<()> {
        let inner = &mut self.inner;
        let allowed = bounded_here(STEP_BYTES, WHAT, || inner.compute_mask_or_eos().map_err(failure))?;
        let words = allowed.as_slice();
        let covered = words.len().min(mask.len());
        mask[..covered].copy_from_slice(&words[..covered]);
        mask[covered..].fill(0);
        Ok(())
    }

    pub fn accept(&mut self, tokens: &[u32]) -> Result<()> {
        let inner = &mut self.inner;
        bounded_here(STEP_BYTES, WHAT, || inner.consume_tokens(tokens).map_err(failure))
    }

    /// Returns the tokens that must come next, as far as the grammar leaves no choice.
    pub fn forced(&mut self) -> Vec<u32> {
        match self.inner.is_stopped() {
            true => Vec::new(),
            false => self.inner.compute_ff_tokens(),
        }
    }

    /// Returns whether the answer may end here.
    pub fn is_accepting(&mut self) -> bool {
        self.inner.is_stopped() || self.inner.is_accepting().unwrap_or(false)
    }

    /// Returns whether nothing but the end can follow.
    pub fn is_complete(&self) -> bool {
        self.inner.is_stopped() && !self.inner.is_error()
    }
}

/// The engine's message without what it adds for its own developers.
fn failure(error: anyhow::Error) -> Error {
    let message = format!("{error:#}");
    let mut text = message.as_str();
    for mark in ["\n<backtrace>", "\n<non-verbose/>", "\n<state>"] {
        text = text.split(mark).next().unwrap_or(text);
    }
    if let Some((at, _)) = text.char_indices().nth(MESSAGE_CHARS_MAX) {
        text = &text[..at];
    }
    // Schemas are not fetched.
    let outside =
        text.strip_prefix("Resource '").and_then(|rest| rest.split_once("' is not present in a registry"));
    let outside = outside.map(|(name, _)| format!("the reference to '{name}' leads out of the schema"));
    let text = outside.as_deref().unwrap_or(text);
    let over = ["too complex", "limit", "too big", "too large", "too many"];
    let status = if over.iter().any(|mark| text.contains(mark)) { Status::Limit } else { Status::Invalid };
    Error::new(status, text.trim())
}
