//! Values that a reload of the configuration replaces, all of them at the same instant.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// A value that can be replaced while the server runs.
#[derive(Debug)]
pub(crate) struct Replaceable<T>(RwLock<T>);

/// A new value, and the lock of the value that it replaces.
#[must_use = "the value is replaced only by `replace_all`"]
pub(crate) struct Replacement<'a>(Box<dyn FnOnce() + 'a>);

impl<T> Replaceable<T> {
    pub(crate) fn new(value: T) -> Replaceable<T> {
        Replaceable(RwLock::new(value))
    }

    /// Returns the current value. Replacements wait until the guard is dropped, so do not read
    /// another value before: if a replacement had locked that one, neither could continue.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prepares a replacement. From now on, readers wait for it.
    pub(crate) fn prepare(&self, new: T) -> Replacement<'_> {
        let mut value = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Replacement(Box::new(move || *value = new))
    }
}

/// Replaces all values. When the first one is written, the locks of all are held, so no reader that has
/// seen one new value can see the previous one of another.
pub(crate) fn replace_all(replacements: Vec<Replacement<'_>>) {
    for Replacement(write) in replacements {
        write();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn no_reader_sees_new_and_then_old_value() {
        let (rules, keys) = (Replaceable::new(1), Replaceable::new(1));
        thread::scope(|scope| {
            // The replacement waits for this reader, which has seen the previous keys.
            let reader = keys.read();
            scope.spawn(|| replace_all(vec![rules.prepare(2), keys.prepare(2)]));
            // Wait until the replacement holds the lock of the rules.
            while let Ok(rules) = rules.0.try_read() {
                assert_eq!((*rules, *reader), (1, 1));
                thread::yield_now();
            }
            drop(reader);
            assert_eq!(*rules.read(), 2);
            assert_eq!(*keys.read(), 2);
        });
    }
}
