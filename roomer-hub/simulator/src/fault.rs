//! Faults: the results of failed checks.

use std::any::Any;

/// A failed check, described in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl Fault {
    #[cold]
    pub fn new(what: String) -> Self {
        Fault(what)
    }
}

/// Extracts the message from a panic's payload.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
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
