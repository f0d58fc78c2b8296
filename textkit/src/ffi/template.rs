//! tk_template_*.

use super::{fallible, infallible, Owned, Slice};
use crate::template::spans::Piece;
use crate::template::{bounds, ChatTemplate, WHAT};
use crate::tokenizer::Tokenizer;

/// The C side's "now".
const NOW: i64 = i64::MIN;

fn clock(unix_time: i64) -> Option<i64> {
    (unix_time != NOW).then_some(unix_time)
}

#[no_mangle]
pub unsafe extern "C" fn tk_template_compile(
    source: Slice,
    template: *mut *mut ChatTemplate,
    error: *mut Owned<u8>,
) -> i32 {
    fallible(bounds(source.len).memory_bytes, WHAT, template, error, || {
        ChatTemplate::compile(&source.text()).map(|compiled| Box::into_raw(Box::new(compiled)))
    })
}

#[no_mangle]
pub unsafe extern "C" fn tk_template_free(template: *mut ChatTemplate) {
    if !template.is_null() {
        infallible((), || drop(Box::from_raw(template)));
    }
}

#[no_mangle]
pub unsafe extern "C" fn tk_template_render(
    template: *const ChatTemplate,
    context_json: Slice,
    unix_time: i64,
    text: *mut Owned<u8>,
    error: *mut Owned<u8>,
) -> i32 {
    fallible(bounds(context_json.len).memory_bytes, WHAT, text, error, || {
        let rendered = (*template).render(&context_json.text(), clock(unix_time))?;
        Ok(rendered.into_bytes().into())
    })
}

#[repr(C)]
pub struct Rendered {
    text: Owned<u8>,
    literal_ends: Owned<u32>,
}

#[no_mangle]
pub unsafe extern "C" fn tk_template_render_spans(
    template: *const ChatTemplate,
    context_json: Slice,
    tokenizer: *const Tokenizer,
    unix_time: i64,
    rendered: *mut Rendered,
    error: *mut Owned<u8>,
) -> i32 {
    fallible(bounds(context_json.len).memory_bytes, WHAT, rendered, error, || {
        let pieces = (*template).render_spans(&context_json.text(), &*tokenizer, clock(unix_time))?;
        let mut text = Vec::new();
        let mut literal_ends = Vec::new();
        for Piece { text: piece, literal } in pieces {
            if literal {
                literal_ends.push(text.len() as u32);
                literal_ends.push((text.len() + piece.len()) as u32);
            }
            text.extend_from_slice(piece.as_bytes());
        }
        Ok(Rendered { text: text.into(), literal_ends: literal_ends.into() })
    })
}
