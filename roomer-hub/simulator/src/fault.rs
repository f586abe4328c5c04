//! Faults: the results of failed checks.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A failed check, described in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl Fault {
    #[cold]
    pub fn new(what: String) -> Self {
        Fault(what)
    }
}

/// Runs part of a plan, and converts a panic to a fault. After a panic, whatever `run` has changed
/// must only be read.
pub(crate) fn caught(run: impl FnOnce() -> Result<(), Fault>) -> Result<(), Fault> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(Fault(panic_message(&*panic))))
}

/// Runs the steps of a plan and then the final checks, until the first fault. Returns the fault with
/// the index of its step.
#[cfg(feature = "all-plans")]
pub(crate) fn run_steps<H, S>(
    harness: &mut H,
    steps: &[S],
    mut run: impl FnMut(&mut H, &S) -> Result<(), Fault>,
    finish: impl FnOnce(&mut H) -> Result<(), Fault>,
) -> Option<(usize, String)> {
    let mut at = 0;
    let result = caught(|| {
        for step in steps {
            run(harness, step)?;
            at += 1;
        }
        finish(harness)
    });
    result.err().map(|Fault(what)| (at, what))
}

/// Extracts the message from a panic's payload.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or("without a message"))
}

/// Returns a [`Fault`] from the enclosing function if the condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err($crate::fault::Fault::new(format!($($what)+)));
        }
    };
}
pub(crate) use ensure;
