//! Bounds on memory. The crate's allocator counts what each thread takes; a body that runs within a budget is unwound
//! by the allocation that would go over it, and so is whatever the system has no memory for. No call ends the process.
//!
//! Unwinding out of a failed allocation is what collections are written for: at the same places they panic about a
//! capacity that no machine has. It needs the hook for such failures, which std has and does not yet call stable:
//! RUSTC_BOOTSTRAP=textkit, set where the crate is built, opens it to this crate alone.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::Once;

/// Outside of a budget a thread may take more than there is.
const UNBOUNDED: i64 = i64::MAX / 2;

thread_local! {
    /// Bytes that this thread may still take.
    static LEFT: Cell<i64> = const { Cell::new(UNBOUNDED) };
    static WENT_OVER: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns whether so many bytes more may be taken, and counts them.
fn take(bytes: i64) -> bool {
    LEFT.with(|left| {
        let rest = left.get().wrapping_sub(bytes);
        let allowed = rest >= 0 || bytes <= 0;
        if allowed {
            left.set(rest);
        }
        allowed
    })
}

// Safety: all memory is the system's; what is refused is null, as for a failed allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match take(layout.size() as i64) {
            true => System.alloc(layout),
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match take(layout.size() as i64) {
            true => System.alloc_zeroed(layout),
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn realloc(&self, data: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match take(size as i64 - layout.size() as i64) {
            true => System.realloc(data, layout, size),
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        take(-(layout.size() as i64));
        System.dealloc(data, layout);
    }
}

/// What a body is unwound with.
struct OutOfMemory;

fn unwind(_: Layout) {
    // Destructors may allocate on the way out, and so may who catches this before within() does.
    WENT_OVER.set(true);
    LEFT.set(UNBOUNDED);
    resume_unwind(Box::new(OutOfMemory));
}

/// A budget was not enough.
#[derive(Debug, PartialEq, Eq)]
pub struct Exceeded;

/// Runs `body`, which may hold so many bytes more at a time than it began with. Other panics go on to the caller.
pub fn within<T>(bytes: usize, body: impl FnOnce() -> T) -> Result<T, Exceeded> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::alloc::set_alloc_error_hook(unwind));
    let bytes = i64::try_from(bytes).unwrap_or(UNBOUNDED).min(UNBOUNDED);
    let (outer, outer_went_over) = (LEFT.replace(bytes), WENT_OVER.replace(false));
    let result = catch_unwind(AssertUnwindSafe(body));
    let went_over = WENT_OVER.replace(outer_went_over);
    let taken = if went_over { 0 } else { bytes - LEFT.get() };
    LEFT.set(outer - taken);
    match result {
        _ if went_over => Err(Exceeded),
        Ok(value) => Ok(value),
        Err(panic) => resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocation_that_goes_over_unwinds() {
        assert_eq!(within(1 << 20, || vec![1u8; 1 << 10].len()), Ok(1 << 10));
        assert_eq!(within(1 << 20, || vec![1u8; 1 << 21].len()), Err(Exceeded));
        assert_eq!(within(1 << 20, || vec![0u8; 1 << 21].len()), Err(Exceeded), "zeroed memory counts, too");
        let doubled = || {
            let mut text = String::from("x");
            for _ in 0..60 {
                text = text.clone() + &text;
            }
            text.len()
        };
        assert_eq!(within(1 << 20, doubled), Err(Exceeded));
        assert_eq!(vec![1u8; 1 << 21].len(), 1 << 21, "afterwards nothing is bounded");
    }

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let churn = || (0..1000).map(|i| vec![i as u8; 1 << 19].len()).sum::<usize>();
        assert_eq!(within(1 << 20, churn), Ok(1000 << 19));
    }

    #[test]
    fn a_budget_within_a_budget_counts_for_both() {
        let kept = || {
            let inner = within(1 << 21, || vec![1u8; 3 << 18]);
            let more = within(1 << 21, || vec![1u8; 3 << 18]);
            (inner.is_ok(), more.is_ok(), vec![1u8; 1 << 18].len())
        };
        assert_eq!(within(1 << 20, kept), Err(Exceeded));
    }

    #[test]
    fn who_catches_the_unwinding_does_not_hide_it() {
        let hidden = || catch_unwind(|| vec![1u8; 1 << 21].len()).is_err();
        assert_eq!(within(1 << 20, hidden), Err(Exceeded));
    }

    #[test]
    fn what_no_machine_has_is_a_panic() {
        assert!(catch_unwind(|| Vec::<u8>::with_capacity(1 << 60).capacity()).is_err());
    }
}
