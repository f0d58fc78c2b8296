//! tk_tokenizer_*.

use super::{array, fallible, infallible, memory_for, Owned, Slice};
use crate::tokenizer::{gguf_form, GgufVocabulary, Span, TokenId, Tokenizer, TokenizerConfig};

/// What reading a vocabulary takes, for each of its bytes: tables of tokens and merges, and those of a file's JSON.
const LOAD_TIMES: usize = 64;
/// The same where the tokenizer is written anew, and read again to prove it.
const REWRITE_TIMES: usize = 3 * LOAD_TIMES;
/// What encoding takes for each byte of the text: a long word's heap of merges, or tokenizers' copies of each word with
/// the places of its bytes.
const ENCODE_TIMES: usize = 384;
/// How messages call them.
const FILE: &str = "the tokenizer";
const TEXT: &str = "the text";

#[repr(C)]
pub struct TextSpan {
    text: Slice,
    literal: bool,
}

#[repr(C)]
pub struct GgufVocabularyArrays {
    model: Slice,
    pre: Slice,
    tokens: *const Slice,
    token_count: usize,
    scores: *const f32,
    score_count: usize,
    token_types: *const i32,
    token_type_count: usize,
    merges: *const Slice,
    merge_count: usize,
    precompiled_charsmap: Slice,
    bos: i64,
    eos: i64,
    unknown: i64,
    separator: i64,
    add_bos: i8,
    add_eos: i8,
    add_space_prefix: i8,
    remove_extra_whitespaces: i8,
    lowercase: i8,
    strip_accents: i8,
}

#[repr(C)]
pub struct TokenizerConfigSlices {
    bos: Slice,
    eos: Slice,
    add_bos: i8,
    add_eos: i8,
    size: usize,
}

fn id(number: i64) -> Option<TokenId> {
    (number >= 0).then(|| TokenId::try_from(number).unwrap_or(TokenId::MAX))
}

fn flag(number: i8) -> Option<bool> {
    (number >= 0).then_some(number != 0)
}

fn number(id: Option<TokenId>) -> i64 {
    id.map_or(-1, i64::from)
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_from_gguf(
    vocabulary: *const GgufVocabularyArrays,
    tokenizer: *mut *mut Tokenizer,
    error: *mut Owned<u8>,
) -> i32 {
    let given = &*vocabulary;
    let bytes =
        |data, len| array::<Slice>(data, len).iter().map(|slice| slice.len + size_of::<Slice>()).sum();
    let [tokens, merges]: [usize; 2] =
        [bytes(given.tokens, given.token_count), bytes(given.merges, given.merge_count)];
    let memory_bytes = memory_for(tokens + merges + given.precompiled_charsmap.len, LOAD_TIMES);
    fallible(memory_bytes, FILE, tokenizer, error, || {
        let slices = |data, len| array::<Slice>(data, len).iter().map(|slice| slice.bytes()).collect();
        let (model, pre) = (given.model.text(), given.pre.text());
        let file = GgufVocabulary {
            model: &model,
            pre: &pre,
            tokens: slices(given.tokens, given.token_count),
            scores: array(given.scores, given.score_count),
            token_types: array(given.token_types, given.token_type_count),
            merges: slices(given.merges, given.merge_count),
            precompiled_charsmap: given.precompiled_charsmap.bytes(),
            bos: id(given.bos),
            eos: id(given.eos),
            unknown: id(given.unknown),
            separator: id(given.separator),
            add_bos: flag(given.add_bos),
            add_eos: flag(given.add_eos),
            add_space_prefix: flag(given.add_space_prefix),
            remove_extra_whitespaces: flag(given.remove_extra_whitespaces),
            lowercase: flag(given.lowercase),
            strip_accents: flag(given.strip_accents),
        };
        Tokenizer::from_gguf(&file).map(|loaded| Box::into_raw(Box::new(loaded)))
    })
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_from_json(
    json: Slice,
    config: *const TokenizerConfigSlices,
    tokenizer: *mut *mut Tokenizer,
    error: *mut Owned<u8>,
) -> i32 {
    fallible(memory_for(json.len, LOAD_TIMES), FILE, tokenizer, error, || {
        with_config(&*config, |config| Tokenizer::from_json(json.bytes(), config))
            .map(|loaded| Box::into_raw(Box::new(loaded)))
    })
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_gguf_of_json(
    json: Slice,
    config: *const TokenizerConfigSlices,
    vocabulary: *mut Owned<u8>,
    error: *mut Owned<u8>,
) -> i32 {
    fallible(memory_for(json.len, REWRITE_TIMES), FILE, vocabulary, error, || {
        with_config(&*config, |config| gguf_form::of_json(json.bytes(), config))
            .map(|text| text.into_bytes().into())
    })
}

unsafe fn with_config<T>(given: &TokenizerConfigSlices, body: impl FnOnce(&TokenizerConfig) -> T) -> T {
    let (bos, eos) = (given.bos.text(), given.eos.text());
    body(&TokenizerConfig {
        bos: &bos,
        eos: &eos,
        add_bos: flag(given.add_bos),
        add_eos: flag(given.add_eos),
        size: given.size,
    })
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_free(tokenizer: *mut Tokenizer) {
    if !tokenizer.is_null() {
        infallible((), || drop(Box::from_raw(tokenizer)));
    }
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_encode(
    tokenizer: *const Tokenizer,
    spans: *const TextSpan,
    span_count: usize,
    add_special: bool,
    ids_max: usize,
    ids: *mut Owned<u32>,
    error: *mut Owned<u8>,
) -> i32 {
    let given = array(spans, span_count);
    let bytes = given.iter().map(|span| span.text.len).sum();
    fallible(memory_for(bytes, ENCODE_TIMES), TEXT, ids, error, || {
        let texts: Vec<_> = given.iter().map(|span| span.text.text()).collect();
        let spans: Vec<_> =
            given.iter().zip(&texts).map(|(span, text)| Span { text, literal: span.literal }).collect();
        (*tokenizer).encode(&spans, add_special, ids_max).map(Owned::from)
    })
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_bytes_per_token_max(tokenizer: *const Tokenizer) -> usize {
    infallible(0, || (*tokenizer).bytes_per_token_max().unwrap_or(0))
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_token_bytes(
    tokenizer: *const Tokenizer,
    token: u32,
    special: bool,
) -> Owned<u8> {
    let bytes = infallible(Vec::new(), || (*tokenizer).token_bytes(token, special).into_owned());
    bytes.into()
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_token_of(tokenizer: *const Tokenizer, text: Slice) -> i64 {
    infallible(-1, || number((*tokenizer).token_of(text.bytes())))
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_is_mark(tokenizer: *const Tokenizer, token: u32) -> bool {
    infallible(false, || (*tokenizer).is_mark(token))
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_is_control(tokenizer: *const Tokenizer, token: u32) -> bool {
    infallible(false, || (*tokenizer).is_control(token))
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_vocab_size(tokenizer: *const Tokenizer) -> usize {
    infallible(0, || (*tokenizer).len())
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_bos(tokenizer: *const Tokenizer) -> i64 {
    infallible(-1, || number((*tokenizer).bos()))
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_eos(tokenizer: *const Tokenizer) -> i64 {
    infallible(-1, || number((*tokenizer).eos()))
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_adds_bos(tokenizer: *const Tokenizer) -> bool {
    infallible(false, || (*tokenizer).adds_bos())
}

#[no_mangle]
pub unsafe extern "C" fn tk_tokenizer_strips_first_space(tokenizer: *const Tokenizer) -> bool {
    infallible(false, || (*tokenizer).strips_first_space())
}
