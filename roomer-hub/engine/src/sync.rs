//! The engine's locks and atomics, from the standard library or from loom.
//!
//! `--cfg roomer_loom` selects loom's, which explores every interleaving.

#[cfg(all(test, roomer_loom))]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize};
#[cfg(all(test, roomer_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard};
use std::sync::PoisonError;
pub(crate) use std::sync::atomic::Ordering;
#[cfg(not(all(test, roomer_loom)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize};
#[cfg(not(all(test, roomer_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Acquires a lock and ignores poisoning: no code that may panic halfway through a change runs with a
/// lock held.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
