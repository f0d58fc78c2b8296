//! tk_vocabulary_*, tk_grammar_*, tk_matcher_*, tk_schema_*.

use super::{array, fallible, infallible, infallible_within, Owned, Slice};
use crate::error::Error;
use crate::grammar::{
    checked_schema, gbnf_to_lark, lark_in_json, Grammar, Matcher, Strictness, Syntax, Vocabulary,
    MEMORY_BYTES, STEP_BYTES, WHAT,
};
use crate::tokenizer::Tokenizer;

#[no_mangle]
pub unsafe extern "C" fn tk_vocabulary_new(
    tokenizer: *const Tokenizer,
    ends: *const u32,
    end_count: usize,
    vocabulary: *mut *mut Vocabulary,
    error: *mut Owned<u8>,
) -> i32 {
    fallible(MEMORY_BYTES, WHAT, vocabulary, error, || {
        Vocabulary::new(tokenizer, array(ends, end_count)).map(|built| Box::into_raw(Box::new(built)))
    })
}

#[no_mangle]
pub unsafe extern "C" fn tk_vocabulary_free(vocabulary: *mut Vocabulary) {
    if !vocabulary.is_null() {
        infallible((), || drop(Box::from_raw(vocabulary)));
    }
}

#[no_mangle]
pub unsafe extern "C" fn tk_schema_check(
    schema: Slice,
    lenient: bool,
    place: Slice,
    checked: *mut Owned<u8>,
    error: *mut Owned<u8>,
) -> i32 {
    let strictness = if lenient { Strictness::Lenient } else { Strictness::Strict };
    fallible(MEMORY_BYTES, WHAT, checked, error, || {
        checked_schema(&schema.text(), strictness, &place.text()).map(|text| text.into_bytes().into())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tk_gbnf_to_lark(source: Slice, lark: *mut Owned<u8>, error: *mut Owned<u8>) -> i32 {
    fallible(MEMORY_BYTES, WHAT, lark, error, || {
        gbnf_to_lark(&source.text()).map(|text| text.into_bytes().into())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tk_lark_in_json(source: Slice, lark: *mut Owned<u8>, error: *mut Owned<u8>) -> i32 {
    fallible(MEMORY_BYTES, WHAT, lark, error, || {
        lark_in_json(&source.text()).map(|text| text.into_bytes().into())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tk_grammar_compile(
    vocabulary: *const Vocabulary,
    syntax: i32,
    source: Slice,
    grammar: *mut *mut Grammar,
    error: *mut Owned<u8>,
) -> i32 {
    fallible(MEMORY_BYTES, WHAT, grammar, error, || {
        let syntax = match syntax {
            0 => Syntax::JsonSchema,
            1 => Syntax::Regex,
            2 => Syntax::Lark,
            3 => Syntax::Gbnf,
            _ => return Err(Error::invalid("unknown grammar syntax")),
        };
        let compiled = Grammar::compile(&*vocabulary, syntax, &source.text())?;
        Ok(Box::into_raw(Box::new(compiled)))
    })
}

#[no_mangle]
pub unsafe extern "C" fn tk_grammar_free(grammar: *mut Grammar) {
    if !grammar.is_null() {
        infallible((), || drop(Box::from_raw(grammar)));
    }
}

#[no_mangle]
pub unsafe extern "C" fn tk_grammar_start(grammar: *const Grammar) -> *mut Matcher {
    infallible_within(MEMORY_BYTES, std::ptr::null_mut(), || Box::into_raw(Box::new((*grammar).start())))
}

#[no_mangle]
pub unsafe extern "C" fn tk_matcher_free(matcher: *mut Matcher) {
    if !matcher.is_null() {
        infallible((), || drop(Box::from_raw(matcher)));
    }
}

#[no_mangle]
pub unsafe extern "C" fn tk_matcher_fill_mask(
    matcher: *mut Matcher,
    words: *mut u32,
    word_count: usize,
    error: *mut Owned<u8>,
) -> i32 {
    let mut nothing = ();
    fallible(STEP_BYTES, WHAT, &mut nothing, error, || {
        (*matcher).fill_mask(std::slice::from_raw_parts_mut(words, word_count))
    })
}

#[no_mangle]
pub unsafe extern "C" fn tk_matcher_accept(
    matcher: *mut Matcher,
    tokens: *const u32,
    token_count: usize,
    error: *mut Owned<u8>,
) -> i32 {
    let mut nothing = ();
    fallible(STEP_BYTES, WHAT, &mut nothing, error, || (*matcher).accept(array(tokens, token_count)))
}

#[no_mangle]
pub unsafe extern "C" fn tk_matcher_forced(matcher: *mut Matcher) -> Owned<u32> {
    infallible_within(STEP_BYTES, Vec::new(), || (*matcher).forced()).into()
}

#[no_mangle]
pub unsafe extern "C" fn tk_matcher_is_accepting(matcher: *mut Matcher) -> bool {
    infallible_within(STEP_BYTES, false, || (*matcher).is_accepting())
}

#[no_mangle]
pub unsafe extern "C" fn tk_matcher_is_complete(matcher: *const Matcher) -> bool {
    infallible(false, || (*matcher).is_complete())
}
