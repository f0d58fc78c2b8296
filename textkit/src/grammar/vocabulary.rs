//! A model's tokens as the grammar engine sees them: a trie of their bytes.

use std::sync::Arc;

use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{
    InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv, INVALID_TOKEN,
};
use llguidance::ParserFactory;

use super::failure;
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// The longest token that a node of the trie can count; longer ones are never allowed.
const TOKEN_BYTES_MAX: usize = 1000;

/// A tokenizer that the caller keeps alive.
struct Borrowed(*const Tokenizer);

// Safety: a Tokenizer is immutable and usable from any thread.
unsafe impl Send for Borrowed {}
unsafe impl Sync for Borrowed {}

struct Env {
    trie: TokTrie,
    tokenizer: Borrowed,
}

impl TokenizerEnv for Env {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    /// Bytes that the tokenizer does not give back as they were, as some normalise, are cut greedily.
    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        // Safety: Vocabulary::new's contract.
        let tokenizer = unsafe { &*self.tokenizer.0 };
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            let ids = tokenizer.encode_inside(text).unwrap_or_default();
            let given_back: usize = ids.iter().map(|&id| self.trie.token(id).len()).sum();
            let same = given_back == text.len()
                && ids.iter().flat_map(|&id| self.trie.token(id)).eq(text.as_bytes());
            if same {
                ids
            } else {
                self.trie.greedy_tokenize(text.as_bytes())
            }
        })
    }
}

pub struct Vocabulary {
    pub(super) factory: ParserFactory,
}

impl Vocabulary {
    /// `ends` are the tokens that may end an answer.
    ///
    /// # Safety
    /// The tokenizer outlives the vocabulary and all grammars and matchers made from it.
    pub unsafe fn new(tokenizer: *const Tokenizer, ends: &[TokenId]) -> Result<Vocabulary> {
        let tokens = &*tokenizer;
        let size = tokens.len() as u32;
        if let Some(end) = ends.iter().find(|&&end| end >= size) {
            return Err(Error::invalid(format!("an end token: expected an id below {size}, got {end}")));
        }
        let words: Vec<Vec<u8>> = (0..size).map(|id| word(tokens, id, ends)).collect();
        let info = TokRxInfo::new(size, ends.first().copied().unwrap_or(INVALID_TOKEN));
        let mut trie = TokTrie::from(&info, &words);
        if !ends.is_empty() {
            trie = trie.with_eos_tokens(ends);
        }
        let env: TokEnv = Arc::new(Env { trie, tokenizer: Borrowed(tokenizer) });
        // `ff_tokens` is how the engine calls jump-forward tokens.
        let capabilities = InferenceCapabilities { ff_tokens: true, ..Default::default() };
        let mut factory = ParserFactory::new(&env, capabilities, &slices()).map_err(failure)?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.verbose_errors = false;
        Ok(Vocabulary { factory })
    }

    pub fn size(&self) -> usize {
        self.factory.tok_env().tok_trie().vocab_size()
    }
}

/// Sets of tokens that a grammar often allows as a whole: their bits are then set at once, and only the others are
/// looked at one by one.
fn slices() -> Vec<String> {
    let mut slices = SlicedBiasComputer::json_slices();
    // Words, for patterns that allow less than strings do, such as [A-Za-z ]+. Of the forms in which they can be
    // written, a class before a repetition is the one that the engine also finds inside a longer pattern.
    slices.push(r"[\x20a-zA-Z][a-zA-Z]{0,8}".to_string());
    slices
}

/// The bytes of a token. Those with a meaning of their own stand behind a marker, which no text matches.
fn word(tokenizer: &Tokenizer, id: TokenId, ends: &[TokenId]) -> Vec<u8> {
    let bytes = tokenizer.token_bytes(id, true);
    let marked = tokenizer.is_special(id) || tokenizer.is_mark(id) || ends.contains(&id);
    if bytes.len() > TOKEN_BYTES_MAX || bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
        return Vec::new();
    }
    if !marked {
        return bytes.into_owned();
    }
    let mut word = vec![TokTrie::SPECIAL_TOKEN_MARKER];
    match bytes.is_empty() {
        true => word.extend_from_slice(format!("<end:{id}>").as_bytes()),
        false => word.extend_from_slice(&bytes),
    }
    word
}
