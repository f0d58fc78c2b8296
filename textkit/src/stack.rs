//! Threads with room for deep recursion.

use crate::error::{Error, Result, Status};

/// Runs `body` on a thread with a stack of so many bytes, of which only what is touched is committed. A panic goes
/// on to the caller.
pub fn on_large_stack<T: Send>(bytes: usize, body: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(bytes).spawn_scoped(scope, body);
        let thread =
            thread.map_err(|e| Error::new(Status::Failed, format!("no thread for deep recursion: {e}")))?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
