//! The C ABI: the functions of include/textkit.h.
//!
//! Safety, for the whole folder: the caller keeps the contract of textkit.h. Handles come from this library and
//! live during the call, slices point to `len` readable elements, and output pointers are valid for writing.

mod grammar;
mod template;
mod tokenizer;

use std::borrow::Cow;
use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::budget;
use crate::error::{Error, Result, Status};
use crate::stack::bounded_here;

/// Memory of a call that is given little, and the base of the others.
const CALL_BYTES: usize = 64 << 20;
const CALL_BYTES_MAX: usize = 2 << 30;

/// Returns the memory of a call that may take so many times the bytes that it is given.
fn memory_for(given: usize, times: usize) -> usize {
    CALL_BYTES.saturating_add(given.saturating_mul(times)).min(CALL_BYTES_MAX)
}

const TK_OK: i32 = 0;
const TK_PANIC: i32 = 6;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    data: *const u8,
    len: usize,
}

impl Slice {
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        array(self.data, self.len)
    }

    unsafe fn text<'a>(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes())
    }
}

unsafe fn array<'a, T>(data: *const T, len: usize) -> &'a [T] {
    match data.is_null() || len == 0 {
        true => &[],
        false => std::slice::from_raw_parts(data, len),
    }
}

/// An owned array, as tk_buffer and tk_ids.
#[repr(C)]
pub struct Owned<T> {
    data: *mut T,
    len: usize,
    capacity: usize,
}

impl<T> From<Vec<T>> for Owned<T> {
    fn from(vec: Vec<T>) -> Self {
        let mut vec = std::mem::ManuallyDrop::new(vec);
        Owned { data: vec.as_mut_ptr(), len: vec.len(), capacity: vec.capacity() }
    }
}

impl<T> Owned<T> {
    unsafe fn free(self) {
        if !self.data.is_null() {
            drop(Vec::from_raw_parts(self.data, self.len, self.capacity));
        }
    }
}

#[no_mangle]
pub unsafe extern "C" fn tk_buffer_free(buffer: Owned<u8>) {
    infallible((), || buffer.free());
}

#[no_mangle]
pub unsafe extern "C" fn tk_ids_free(ids: Owned<u32>) {
    infallible((), || ids.free());
}

fn code(status: Status) -> i32 {
    match status {
        Status::Invalid => 1,
        Status::Unsupported => 2,
        Status::Raised => 3,
        Status::Failed => 4,
        Status::Limit => 5,
    }
}

/// Runs the body of a function that can fail, within so much memory; writes its result or its message, which calls
/// what the memory is for `what`.
unsafe fn fallible<T>(
    memory_bytes: usize,
    what: &str,
    out: *mut T,
    error: *mut Owned<u8>,
    body: impl FnOnce() -> Result<T>,
) -> i32 {
    let bounded = || bounded_here(memory_bytes, what, body);
    let (status, message) = match catch_unwind(AssertUnwindSafe(bounded)) {
        Ok(Ok(value)) => {
            out.write(value);
            return TK_OK;
        }
        Ok(Err(Error { status, message })) => (code(status), message),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            (TK_PANIC, format!("textkit: {text}"))
        }
    };
    error.write(message.into_bytes().into());
    status
}

/// Runs the body of a function that cannot tell a failure, within so much memory.
fn infallible_within<T>(memory_bytes: usize, otherwise: T, body: impl FnOnce() -> T) -> T {
    let bounded = || budget::within(memory_bytes, body).ok();
    catch_unwind(AssertUnwindSafe(bounded)).ok().flatten().unwrap_or(otherwise)
}

/// The same for what takes little memory, or gives it back.
fn infallible<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    infallible_within(CALL_BYTES, otherwise, body)
}
