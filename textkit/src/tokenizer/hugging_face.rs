//! A tokenizer.json, run by Hugging Face's tokenizers. Added tokens are found here and not there, because there a
//! tokenizer cannot tell template text from what a user typed.

use aho_corasick::{AhoCorasick, Input, MatchKind};
use serde_json::Value as Json;
use std::ops::Range;
use tokenizers::models::bpe::BPE;
use tokenizers::models::ModelWrapper;
use tokenizers::normalizer::Range as TextRange;
use tokenizers::{
    AddedToken, Encoding, Model, NormalizedString, Normalizer, OffsetReferential, OffsetType, PostProcessor,
    PreTokenizedString, PreTokenizer, Token, Tokenizer,
};

use super::byte_level;
use super::specials::touches;
use super::vocabulary::{byte_of, byte_tokens, Kind, TokenId, Vocabulary};
use super::Spelling;
use crate::error::{Error, Result};

/// More ids than any model has; a larger one is a broken file.
const TOKENS_MAX: u32 = 1 << 24;
/// How many bytes the normal forms of Unicode make one of at most: NFKC writes "𝐀" as "A", NFC three characters of
/// seven bytes as one of two.
const NORMAL_FORMS_SHRINK_BY: usize = 4;

pub struct HuggingFace {
    tokenizer: Tokenizer,
    /// Added tokens that are looked for in the text as it is.
    raw: AddedTokens,
    /// Added tokens that are looked for after normalisation.
    normalised: AddedTokens,
    shrinks_by: Option<usize>,
}

pub struct Loaded {
    pub engine: HuggingFace,
    pub vocabulary: Vocabulary,
    pub spelling: Spelling,
    pub prefix: Vec<TokenId>,
    pub suffix: Vec<TokenId>,
    pub space_prefix: bool,
}

pub fn wrong(error: impl std::fmt::Display) -> Error {
    Error::invalid(format!("tokenizer.json: {error}"))
}

/// `size` is the number of the model's tokens, 0 where it is not known: fewer are filled up with unused ones, and
/// added tokens beyond it, which the model cannot read, are left out.
pub fn load(json: &[u8], size: usize) -> Result<Loaded> {
    let mut tokenizer = Tokenizer::from_bytes(json).map_err(wrong)?;
    // Cutting and padding are for training.
    tokenizer.with_truncation(None).map_err(wrong)?;
    tokenizer.with_padding(None);
    let (prefix, suffix) = surroundings(&tokenizer)?;
    let decoder = serde_json::to_value(tokenizer.get_decoder()).map_err(wrong)?.to_string();
    let pre_tokenizer = serde_json::to_value(tokenizer.get_pre_tokenizer()).map_err(wrong)?.to_string();
    let has = |text: &str, kind: &str| text.contains(&format!("\"type\":\"{kind}\""));
    let spelling = if has(&decoder, "ByteLevel") || (decoder == "null" && has(&pre_tokenizer, "ByteLevel")) {
        Spelling::ByteLevel
    } else if has(&decoder, "WordPiece") {
        Spelling::Continued
    } else {
        Spelling::SpaceMarks
    };
    let vocabulary = vocabulary_of(&tokenizer, has(&decoder, "ByteFallback"), size)?;
    if let Some(id) = prefix.iter().chain(&suffix).find(|&&id| id as usize >= vocabulary.len()) {
        return Err(wrong(format!("its post-processor adds token {id}, of {}", vocabulary.len())));
    }
    let metaspace_prefix = has(&decoder, "Metaspace") && !decoder.contains("\"prepend_scheme\":\"never\"");
    let mut added: Vec<_> = tokenizer.get_added_tokens_decoder().into_iter().collect();
    added.retain(|(id, _)| (*id as usize) < vocabulary.len());
    added.sort_by_key(|(id, _)| *id);
    let (normalised, raw) = added.into_iter().partition(|(_, token)| token.normalized);
    let shrinks_by = shrinks_by(&tokenizer, &vocabulary).map_err(wrong)?;
    let engine = HuggingFace {
        shrinks_by,
        raw: AddedTokens::new(raw, None)?,
        normalised: AddedTokens::new(normalised, Some(&tokenizer))?,
        tokenizer,
    };
    let space_prefix = metaspace_prefix || has(&decoder, "Strip");
    Ok(Loaded { engine, vocabulary, spelling, prefix, suffix, space_prefix })
}

/// Returns the ids that the post-processor puts before and after a text.
fn surroundings(tokenizer: &Tokenizer) -> Result<(Vec<TokenId>, Vec<TokenId>)> {
    const TEXT: u32 = u32::MAX;
    let Some(processor) = tokenizer.get_post_processor() else {
        return Ok((vec![], vec![]));
    };
    let text = Encoding::from_tokens(vec![Token::new(TEXT, String::new(), (0, 0))], 0);
    let processed = processor.process(text, None, true).map_err(wrong)?;
    let ids = processed.get_ids();
    let at =
        ids.iter().position(|&id| id == TEXT).ok_or_else(|| wrong("its post-processor drops the text"))?;
    Ok((ids[..at].to_vec(), ids[at + 1..].to_vec()))
}

/// Returns how many tokens there must be for these ids.
fn size_for(ids: impl Iterator<Item = u32>) -> usize {
    ids.max().map_or(0, |id| id as usize + 1)
}

fn vocabulary_of(tokenizer: &Tokenizer, byte_fallback: bool, model_size: usize) -> Result<Vocabulary> {
    let texts = tokenizer.get_vocab(true);
    let size = if model_size > 0 { model_size } else { size_for(texts.values().copied()) };
    if size == 0 || size > TOKENS_MAX as usize {
        return Err(wrong(format!("expected 1 to {TOKENS_MAX} tokens, got {size}")));
    }
    let own = size_for(tokenizer.get_vocab(false).into_values());
    if own > size {
        return Err(wrong(format!("it has {own} tokens, the model {size}")));
    }
    let mut tokens = vec![""; size];
    let mut kinds = vec![Kind::Unused; size];
    for (text, &id) in texts.iter().filter(|(_, &id)| (id as usize) < size) {
        tokens[id as usize] = text;
        kinds[id as usize] = match byte_fallback && byte_of(text.as_bytes()).is_some() {
            true => Kind::Byte,
            false => Kind::Normal,
        };
    }
    for (id, token) in tokenizer.get_added_tokens_decoder() {
        let Some(kind) = kinds.get_mut(id as usize) else { continue };
        *kind = if token.special { Kind::Control } else { Kind::UserDefined };
    }
    let scores = vec![0.0; size];
    Ok(Vocabulary::from_parts(tokens.iter().map(|text| text.as_bytes()), kinds, scores))
}

/// How many bytes of a text may become one by normalisation, where no other step drops any; nothing where one does.
fn shrinks_by(tokenizer: &Tokenizer, vocabulary: &Vocabulary) -> serde_json::Result<Option<usize>> {
    let normaliser = serde_json::to_value(tokenizer.get_normalizer())?;
    let pre_tokenizer = serde_json::to_value(tokenizer.get_pre_tokenizer())?;
    let cuts = steps(&pre_tokenizer, "pretokenizers");
    let by_letters = cuts.iter().any(|step| step["type"] == "ByteLevel");
    let model_keeps = match tokenizer.get_model() {
        ModelWrapper::BPE(model) => keeps_all(model, vocabulary, by_letters),
        _ => false,
    };
    let swallows = |token: &AddedToken| token.lstrip || token.rstrip;
    if !model_keeps || tokenizer.get_added_tokens_decoder().values().any(swallows) {
        return Ok(None);
    }
    let keeps = cuts.iter().all(|step| match step["type"].as_str().unwrap_or_default() {
        "ByteLevel" | "Metaspace" | "Digits" => true,
        "Split" | "Punctuation" => step["behavior"] != "Removed",
        _ => false,
    });
    let mut factors = steps(&normaliser, "normalizers").into_iter().map(normaliser_shrinks_by);
    let factor = factors.try_fold(1, |product: usize, factor| factor.map(|factor| product * factor));
    Ok(factor.filter(|_| keeps))
}

/// Returns the steps of a normaliser or a pre-tokenizer, those of a sequence one by one.
fn steps<'j>(value: &'j Json, list: &str) -> Vec<&'j Json> {
    match value {
        Json::Null => Vec::new(),
        _ if value["type"] == "Sequence" => {
            value[list].as_array().into_iter().flatten().flat_map(|step| steps(step, list)).collect()
        }
        _ => vec![value],
    }
}

fn normaliser_shrinks_by(step: &Json) -> Option<usize> {
    match step["type"].as_str()? {
        "NFC" | "NFD" | "NFKC" | "NFKD" => Some(NORMAL_FORMS_SHRINK_BY),
        "Prepend" => Some(1),
        // Spaces become space marks, or the like.
        "Replace" => {
            let (pattern, content) = (step["pattern"]["String"].as_str()?, step["content"].as_str()?);
            (content.len() >= pattern.len()).then_some(1)
        }
        _ => None,
    }
}

/// Whether each byte that a model knows no longer token for has one of its own.
fn keeps_all(model: &BPE, vocabulary: &Vocabulary, by_letters: bool) -> bool {
    let has = |text: &str| vocabulary.find(text.as_bytes()).is_some();
    if by_letters {
        return byte_level::alphabet().iter().all(|letter| has(letter.encode_utf8(&mut [0; 4])));
    }
    model.byte_fallback && byte_tokens(vocabulary).iter().all(Option::is_some)
}

impl HuggingFace {
    /// How many bytes of a text may become one before it is cut into tokens; nothing where text may be dropped.
    pub fn shrinks_by(&self) -> Option<usize> {
        self.shrinks_by
    }

    /// Where the pre-tokenizer cuts a text: ends in bytes.
    pub fn cuts(&self, text: &str) -> Result<Vec<usize>> {
        let mut pieces = PreTokenizedString::from(text);
        if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces).map_err(wrong)?;
        }
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        Ok(splits.into_iter().map(|(_, (_, end), _)| end).collect())
    }

    /// A text in the normaliser's form.
    pub fn normal(&self, text: &str) -> Result<String> {
        let mut normal = NormalizedString::from(text);
        if let Some(normaliser) = self.tokenizer.get_normalizer() {
            normaliser.normalize(&mut normal).map_err(wrong)?;
        }
        Ok(normal.get().to_string())
    }

    pub fn encode(&self, text: &str, literal: &[Range<usize>], ids: &mut Vec<TokenId>) -> Result<()> {
        let failed = |error| Error::invalid(format!("the text cannot be tokenised: {error}"));
        let mut pieces = PreTokenizedString::from(text);
        pieces.split(|_, piece| Ok(self.raw.cut(piece, literal))).map_err(failed)?;
        if let Some(normaliser) = self.tokenizer.get_normalizer() {
            pieces.normalize(|piece| normaliser.normalize(piece)).map_err(failed)?;
        }
        pieces.split(|_, piece| Ok(self.normalised.cut(piece, literal))).map_err(failed)?;
        if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces).map_err(failed)?;
        }
        pieces.tokenize(|piece| self.tokenizer.get_model().tokenize(piece.get())).map_err(failed)?;
        for (_, _, tokens) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            ids.extend(tokens.iter().flatten().map(|token| token.id));
        }
        Ok(())
    }
}

struct AddedTokens {
    tokens: Vec<(TokenId, AddedToken)>,
    automaton: AhoCorasick,
}

impl AddedTokens {
    /// `tokenizer` is given where the tokens' own texts are to be normalised too.
    fn new(mut tokens: Vec<(TokenId, AddedToken)>, tokenizer: Option<&Tokenizer>) -> Result<AddedTokens> {
        tokens.retain(|(_, token)| !token.content.is_empty());
        let mut texts = Vec::with_capacity(tokens.len());
        for (_, token) in &tokens {
            let mut text = NormalizedString::from(token.content.as_str());
            if let Some(normaliser) = tokenizer.and_then(|tokenizer| tokenizer.get_normalizer()) {
                normaliser.normalize(&mut text).map_err(wrong)?;
            }
            texts.push(text.get().to_string());
        }
        let automaton =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts).map_err(wrong)?;
        Ok(AddedTokens { tokens, automaton })
    }

    fn cut(
        &self,
        piece: NormalizedString,
        literal: &[Range<usize>],
    ) -> Vec<(NormalizedString, Option<Vec<Token>>)> {
        let mut parts = Vec::new();
        let mut keep = |range: Range<usize>, token: Option<TokenId>| {
            if let Some(part) = piece.slice(TextRange::Normalized(range)) {
                let len = part.get().len();
                let tokens = token.map(|id| vec![Token::new(id, part.get().to_string(), (0, len))]);
                parts.push((part, tokens));
            }
        };
        let text = piece.get();
        let (mut done, mut at) = (0, 0);
        while let Some(found) = self.automaton.find(Input::new(text).range(at..)) {
            let (id, token) = &self.tokens[found.pattern().as_usize()];
            if found.is_empty() || !allowed(token, &piece, found.range(), literal) {
                at = next_character(text, found.start());
                continue;
            }
            let mut range = found.range();
            if token.lstrip {
                range.start = done + text[done..range.start].trim_end().len();
            }
            if token.rstrip {
                range.end = text.len() - text[range.end..].trim_start().len();
            }
            if range.start > done {
                keep(done..range.start, None);
            }
            (done, at) = (range.end, range.end);
            keep(range, Some(*id));
        }
        if done < text.len() {
            keep(done..text.len(), None);
        }
        parts
    }
}

/// Whether a token may stand at a place of a piece.
fn allowed(
    token: &AddedToken,
    piece: &NormalizedString,
    range: Range<usize>,
    literal: &[Range<usize>],
) -> bool {
    if token.single_word {
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let text = piece.get();
        if joins(text[..range.start].chars().next_back()) || joins(text[range.end..].chars().next()) {
            return false;
        }
    }
    if !token.special {
        return true;
    }
    let base = piece.offsets_original().0;
    let original = piece.convert_offsets(TextRange::Normalized(range));
    original.is_none_or(|place| !touches(&(base + place.start..base + place.end), literal))
}

/// Returns the place of the character after the one at `at`, or the end.
fn next_character(text: &str, at: usize) -> usize {
    at + text[at..].chars().next().map_or(1, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use unicode_normalization::UnicodeNormalization;

    #[test]
    fn no_normal_form_shrinks_by_more() {
        let characters = || (0..=0x10ffff).filter_map(char::from_u32);
        // The longest character whose decomposition is just this one.
        let mut longest: HashMap<char, usize> = HashMap::new();
        for c in characters() {
            for decomposed in [c.nfd().collect::<Vec<_>>(), c.nfkd().collect()] {
                if let [one] = decomposed[..] {
                    let bytes = longest.entry(one).or_default();
                    *bytes = c.len_utf8().max(*bytes);
                }
            }
        }
        for c in characters() {
            let parts = c.nfd().map(|part| longest.get(&part).copied().unwrap_or(part.len_utf8()));
            let bytes: usize = parts.sum();
            assert!(bytes <= NORMAL_FORMS_SHRINK_BY * c.len_utf8(), "{c}: of {bytes} bytes");
        }
    }
}
