//! strftime_now(): the local time, by the C library's strftime, as Python does it.

use std::ffi::CString;
use std::time::{SystemTime, UNIX_EPOCH};

/// Formats longer than this are a mistake or an attack.
const FORMAT_BYTES_MAX: usize = 256;

/// Returns the time `unix_time` (now, if none) in a format of strftime(3); nothing for a format it does not take.
pub fn strftime(format: &str, unix_time: Option<i64>) -> Option<String> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    if format.len() > FORMAT_BYTES_MAX {
        return None;
    }
    // The mark tells an empty result from one that does not fit.
    let marked = CString::new(format!("{format}|")).ok()?;
    let time = unix_time.unwrap_or_else(now) as libc::time_t;
    let mut buffer = [0u8; 4096];
    // SAFETY: all pointers are to live variables, and strftime gets the buffer's length. A zeroed tm is a valid
    // one.
    let len = unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&time, &mut parts).is_null() {
            return None;
        }
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), marked.as_ptr(), &parts)
    };
    let text = String::from_utf8_lossy(buffer.get(..len)?).into_owned();
    text.strip_suffix('|').map(str::to_string)
}
