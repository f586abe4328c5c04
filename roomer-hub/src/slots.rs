//! `Slots`, a slot map with typed keys.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use slotmap::{DefaultKey, SlotMap};

use crate::keys::TableKey;

/// A table that assigns keys to its entries.
#[derive(Debug)]
pub(crate) struct Slots<K, V> {
    slots: SlotMap<DefaultKey, V>,
    keys: PhantomData<K>,
}

impl<K: TableKey, V> Slots<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.slots.get(key.slot())
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.slots.get_mut(key.slot())
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: V) -> K {
        K::from_slot(self.slots.insert(value))
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        self.slots.remove(key.slot())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.slots.iter().map(|(slot, value)| (K::from_slot(slot), value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.slots.values()
    }

    /// Returns the number of entries for which memory is allocated.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity()
    }
}

impl<K, V> Default for Slots<K, V> {
    fn default() -> Self {
        Slots { slots: SlotMap::new(), keys: PhantomData }
    }
}

impl<K: TableKey, V> Index<K> for Slots<K, V> {
    type Output = V;

    #[inline]
    fn index(&self, key: K) -> &V {
        &self.slots[key.slot()]
    }
}

impl<K: TableKey, V> IndexMut<K> for Slots<K, V> {
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut V {
        &mut self.slots[key.slot()]
    }
}
