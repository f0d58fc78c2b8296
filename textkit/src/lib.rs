//! The text library of pippin: tokenizers and chat templates, behind the C ABI of include/textkit.h.

pub mod error;
#[allow(clippy::missing_safety_doc)]
pub mod ffi;
pub mod template;
pub mod tokenizer;
