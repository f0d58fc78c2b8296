//! Bounded calls: on a stack of known size, within a budget of memory.

use crate::budget;
use crate::error::{Error, Result, Status};

/// What a call may use.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Of a thread of its own, of which only what is touched is committed.
    pub stack_bytes: usize,
    pub memory_bytes: usize,
}

/// Runs `body` on such a stack. A panic goes on to the caller. Errors: Limit, saying that `what` needs more memory.
pub fn bounded<T: Send>(bounds: Bounds, what: &str, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(bounds.stack_bytes)
            .spawn_scoped(scope, || bounded_here(bounds.memory_bytes, what, body));
        let thread =
            thread.map_err(|e| Error::new(Status::Failed, format!("no thread for deep recursion: {e}")))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The same on the caller's stack, for bodies that recurse no deeper than a few hundred levels.
pub fn bounded_here<T>(memory_bytes: usize, what: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    budget::within(memory_bytes, body).unwrap_or_else(|_| {
        let message = format!("{what}: it needs more than {} MiB of memory", memory_bytes >> 20);
        Err(Error::new(Status::Limit, message))
    })
}
