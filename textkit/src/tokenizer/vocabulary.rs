//! The tokens of a model: bytes, kinds and scores by id, and ids by bytes.

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

use crate::error::{Error, Result};

pub type TokenId = u32;

/// What a token is, by the numbers of `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal = 1,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    fn from_gguf(number: i32) -> Kind {
        match number {
            1 => Kind::Normal,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            6 => Kind::Byte,
            _ => Kind::Unused,
        }
    }
}

/// Control tokens that some files call normal: end-of-turn, end-of-text and fill-in-the-middle markers.
const CONTROL_TEXTS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<｜fim▁begin｜>",
    "<PRE>",
    "▁<PRE>",
    "<|code_prefix|>",
    "<|prefix|>",
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<｜fim▁hole｜>",
    "<SUF>",
    "▁<SUF>",
    "<|code_suffix|>",
    "<|suffix|>",
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<｜fim▁end｜>",
    "<MID>",
    "▁<MID>",
    "<|code_middle|>",
    "<|middle|>",
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];
/// The markers of the harmony format belong to the visible text.
const HARMONY_TEXTS: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

pub struct Vocabulary {
    arena: Vec<u8>,
    ends: Vec<usize>,
    kinds: Vec<Kind>,
    scores: Vec<f32>,
    index: HashTable<TokenId>,
    longest: usize,
}

impl Vocabulary {
    /// Reads the arrays of a GGUF file; `scores` and `types` are empty when the file has none.
    pub fn from_gguf(tokens: &[&[u8]], scores: &[f32], types: &[i32]) -> Result<Vocabulary> {
        if tokens.is_empty() {
            return Err(Error::invalid("tokenizer.ggml.tokens: expected at least one token"));
        }
        for (name, len) in [("scores", scores.len()), ("token_type", types.len())] {
            if len != 0 && len < tokens.len() {
                return Err(Error::invalid(format!(
                    "tokenizer.ggml.{name}: expected {} entries, one per token, got {len}",
                    tokens.len()
                )));
            }
        }
        let kinds = match types.is_empty() {
            true => vec![Kind::Normal; tokens.len()],
            false => types[..tokens.len()].iter().map(|&t| Kind::from_gguf(t)).collect(),
        };
        let scores = match scores.is_empty() {
            true => vec![0.0; tokens.len()],
            false => scores[..tokens.len()].to_vec(),
        };
        let mut vocabulary = Vocabulary::from_parts(tokens.iter().copied(), kinds, scores);
        vocabulary.correct_kinds();
        Ok(vocabulary)
    }

    /// Builds the index. A text that occurs twice belongs to the later id; an empty one gets a name of its own.
    pub fn from_parts<'a>(
        tokens: impl Iterator<Item = &'a [u8]>,
        kinds: Vec<Kind>,
        scores: Vec<f32>,
    ) -> Vocabulary {
        let mut vocabulary = Vocabulary {
            arena: Vec::with_capacity(kinds.len() * 8),
            ends: Vec::with_capacity(kinds.len()),
            index: HashTable::with_capacity(kinds.len()),
            kinds,
            scores,
            longest: 0,
        };
        for (id, token) in tokens.enumerate() {
            match token.is_empty() {
                true => vocabulary.arena.extend_from_slice(format!("[EMPTY_{id}]").as_bytes()),
                false => vocabulary.arena.extend_from_slice(token),
            }
            vocabulary.ends.push(vocabulary.arena.len());
            vocabulary.longest = vocabulary.longest.max(token.len());
            vocabulary.insert(id as TokenId);
        }
        vocabulary
    }

    fn insert(&mut self, id: TokenId) {
        let hash = FxBuildHasher.hash_one(self.bytes(id));
        let (arena, ends) = (&self.arena, &self.ends);
        let bytes_of = |id: &TokenId| slice_of(arena, ends, *id);
        let entry = self.index.entry(
            hash,
            |other| bytes_of(other) == bytes_of(&id),
            |other| FxBuildHasher.hash_one(bytes_of(other)),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(mut place) => *place.get_mut() = id,
            hashbrown::hash_table::Entry::Vacant(place) => {
                place.insert(id);
            }
        }
    }

    /// Repairs kinds that are known to be wrong in files.
    fn correct_kinds(&mut self) {
        let mut set = |text: &str, kind: Kind| {
            if let Some(id) = self.find(text.as_bytes()) {
                self.kinds[id as usize] = kind;
            }
        };
        CONTROL_TEXTS.iter().for_each(|text| set(text, Kind::Control));
        HARMONY_TEXTS.iter().for_each(|text| set(text, Kind::UserDefined));
        let has = |text: &str| self.find(text.as_bytes()).is_some();
        // In the harmony and solar formats <|end|> ends a message, not the answer; these models write </s> as plain
        // text.
        let has_call = has("<|call|>") || has("<|calls|>");
        let end_is_text = has_call && (has("<|return|>") || has("<|flush|>"));
        let eos_is_text = has("<|tool_response>") || has("<|plamo:eos|>");
        for (condition, text, kind) in
            [(end_is_text, "<|end|>", Kind::UserDefined), (eos_is_text, "</s>", Kind::Normal)]
        {
            if let (true, Some(id)) = (condition, self.find(text.as_bytes())) {
                self.kinds[id as usize] = kind;
            }
        }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The length in bytes of the longest token.
    pub fn longest(&self) -> usize {
        self.longest
    }

    #[inline]
    pub fn bytes(&self, id: TokenId) -> &[u8] {
        slice_of(&self.arena, &self.ends, id)
    }

    #[inline]
    pub fn kind(&self, id: TokenId) -> Kind {
        self.kinds[id as usize]
    }

    #[inline]
    pub fn score(&self, id: TokenId) -> f32 {
        self.scores[id as usize]
    }

    #[inline]
    pub fn find(&self, bytes: &[u8]) -> Option<TokenId> {
        let hash = FxBuildHasher.hash_one(bytes);
        self.index.find(hash, |&id| self.bytes(id) == bytes).copied()
    }

    /// Finds a token that text may turn into: never a control token.
    #[inline]
    pub fn find_text(&self, bytes: &[u8]) -> Option<TokenId> {
        self.find(bytes)
            .filter(|&id| matches!(self.kind(id), Kind::Normal | Kind::UserDefined | Kind::Unused))
    }

    pub fn ids(&self) -> impl Iterator<Item = TokenId> {
        0..self.len() as TokenId
    }
}

#[inline]
fn slice_of<'a>(arena: &'a [u8], ends: &[usize], id: TokenId) -> &'a [u8] {
    let id = id as usize;
    let start = if id == 0 { 0 } else { ends[id - 1] };
    &arena[start..ends[id]]
}

/// Returns the byte that a token such as "<0x0A>" stands for.
pub fn byte_of(text: &[u8]) -> Option<u8> {
    let hex = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    match hex.len() {
        2 => u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok(),
        _ => None,
    }
}

/// Returns the ids of the byte tokens "<0x00>" to "<0xFF>", where the vocabulary has them.
pub fn byte_tokens(vocabulary: &Vocabulary) -> [Option<TokenId>; 256] {
    let mut ids = [None; 256];
    for (byte, id) in ids.iter_mut().enumerate() {
        *id = vocabulary.find(format!("<0x{byte:02X}>").as_bytes());
    }
    ids
}
