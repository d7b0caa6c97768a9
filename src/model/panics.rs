//! Panics, wherever in the process they happen: each is a defect of the service.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The message that callers get.
pub const DEFECT: &str =
    "the service has met a defect in itself; the call may have been carried out";

/// How many there were. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Panics(Arc<AtomicU64>);

impl Panics {
    /// Counts a panic.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many panics were counted.
    pub fn counted(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A guard for a thread to hold as long as it runs. Counts a panic if it is dropped by one.
    pub fn guard(&self) -> Guard {
        Guard(self.clone())
    }
}

/// Counts the panic of its thread.
#[derive(Debug)]
pub struct Guard(Panics);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.count();
        }
    }
}

/// A panic's message.
pub fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(no words)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_is_counted_and_one_that_ends_is_not() {
        let panics = Panics::default();
        for panicking in [false, true] {
            let guard = panics.guard();
            let thread = std::thread::spawn(move || {
                let _guard = guard;
                assert!(!panicking, "as a defect would");
            });
            assert_eq!(thread.join().is_err(), panicking);
            assert_eq!(panics.counted(), u64::from(panicking));
        }
    }
}
