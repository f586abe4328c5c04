//! `KeyMap`, a map from hub keys to driver values.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use slotmap::{DefaultKey, SecondaryMap};

use crate::keys::TableKey;

/// A map from hub keys to driver values. A lookup is an array access. A stale key keeps its entry
/// until the entry is removed, or until a newer key with the same slot is inserted.
///
/// ```
/// use std::time::Duration;
/// use roomer_hub::{Action, Config, ConnId, HashKey, Hub, Input, KeyMap};
///
/// let mut hub = Hub::new(Config::default(), HashKey([0; 16]));
/// let mut names = KeyMap::new();
/// let id = ConnId::from_random_bytes([1; 16]);
/// for action in hub.handle(Duration::ZERO, Input::Open { id, extended: false }) {
///     if let Action::Opened { conn } = action {
///         names.insert(conn, "Ann");
///     }
/// }
/// let conn = hub.tables().find_conn(id.as_str()).unwrap();
/// assert_eq!(names.get(conn), Some(&"Ann"));
/// ```
#[derive(Clone)]
pub struct KeyMap<K, V> {
    slots: SecondaryMap<DefaultKey, V>,
    keys: PhantomData<K>,
}

impl<K: TableKey, V> KeyMap<K, V> {
    /// Creates an empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns true if there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns true if the key has a value.
    #[must_use]
    #[inline]
    pub fn contains_key(&self, key: K) -> bool {
        self.slots.contains_key(key.slot())
    }

    /// Returns a key's value.
    #[must_use]
    #[inline]
    pub fn get(&self, key: K) -> Option<&V> {
        self.slots.get(key.slot())
    }

    /// Returns a mutable reference to a key's value.
    #[must_use]
    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.slots.get_mut(key.slot())
    }

    /// Sets a key's value, and returns the previous value. Does nothing for the null key.
    #[inline]
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.slots.insert(key.slot(), value)
    }

    /// Removes and returns a key's value.
    #[inline]
    pub fn remove(&mut self, key: K) -> Option<V> {
        self.slots.remove(key.slot())
    }

    /// Returns the keys and values in an unspecified but reproducible order.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.slots.iter().map(|(slot, value)| (K::from_slot(slot), value))
    }

    /// Returns the keys in the order of [`iter`](Self::iter).
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.slots.keys().map(K::from_slot)
    }

    /// Returns the values in the order of [`iter`](Self::iter).
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.slots.values()
    }
}

impl<K, V> Default for KeyMap<K, V> {
    fn default() -> Self {
        KeyMap { slots: SecondaryMap::new(), keys: PhantomData }
    }
}

impl<K: TableKey + fmt::Debug, V: fmt::Debug> fmt::Debug for KeyMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: TableKey, V> Index<K> for KeyMap<K, V> {
    type Output = V;

    /// Returns a key's value. Panics if there is none.
    #[inline]
    fn index(&self, key: K) -> &V {
        &self.slots[key.slot()]
    }
}

impl<K: TableKey, V> IndexMut<K> for KeyMap<K, V> {
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut V {
        &mut self.slots[key.slot()]
    }
}

impl<K: TableKey, V> Extend<(K, V)> for KeyMap<K, V> {
    #[inline]
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        self.slots.extend(entries.into_iter().map(|(key, value)| (key.slot(), value)));
    }
}
