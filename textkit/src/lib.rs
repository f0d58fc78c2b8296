//! The text library of pippin: tokenizers, chat templates and grammars, behind the C ABI of include/textkit.h.

#![feature(alloc_error_hook)]

mod budget;
pub mod error;
#[allow(clippy::missing_safety_doc)]
pub mod ffi;
pub mod grammar;
mod stack;
pub mod template;
pub mod tokenizer;
