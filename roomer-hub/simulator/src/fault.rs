//! Why a run was ended.

/// What is wrong, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl Fault {
    #[cold]
    pub fn new(what: String) -> Self {
        Fault(what)
    }
}

/// Returns a [`Fault`] unless something is so.
macro_rules! ensure {
    ($so:expr, $($what:tt)+) => {
        if !$so {
            return Err($crate::fault::Fault::new(format!($($what)+)));
        }
    };
}
pub(crate) use ensure;
