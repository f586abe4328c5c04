//! The locks and atomics of the engine: the standard library's, or loom's when
//! `--cfg roomer_loom` has the tests try every interleaving.

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

/// Locks, also after a panic elsewhere: no lock of the engine is held where a panic could leave
/// half a change behind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
