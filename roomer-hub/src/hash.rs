//! The keyed hash function for names chosen by clients.

use std::hash::{BuildHasher, Hash};

use siphasher::sip::SipHasher13;

/// The secret key for the hub's hash tables: 128 bits, for SipHash-1-3. Without the key, a client
/// cannot choose names that collide. The key affects only speed, not behaviour.
#[derive(Clone, Copy)]
pub struct HashKey(pub [u8; 16]);

impl HashKey {
    pub(crate) fn hash(&self, text: &str) -> u64 {
        // Hash the bytes in one step. `Hash` for `str` would append a byte to separate fields, but
        // there is only one field.
        self.state().build_hasher().hash(text.as_bytes())
    }

    pub(crate) fn hash_one(&self, value: impl Hash) -> u64 {
        self.state().hash_one(value)
    }

    /// Returns the key in the form that hash tables take.
    pub(crate) fn state(self) -> KeyedState {
        KeyedState(self)
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key itself is omitted: with it, a client could choose names that all collide.
        f.write_str("HashKey(secret)")
    }
}

/// The state of hash tables: builds hashers with the key. `HashKey` itself does not, since an
/// implementation of a public type would make the hash function part of the public API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedState(HashKey);

impl BuildHasher for KeyedState {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests that names cannot be made to collide without knowing the key.
    #[test]
    fn hash_depends_on_name_and_each_key_byte() {
        let key = HashKey([7; 16]);
        assert_ne!(key.hash("lobby"), key.hash("lobbz"));
        assert_eq!(key.hash("lobby"), HashKey([7; 16]).hash("lobby"));
        for byte in 0..16 {
            let mut other = key;
            other.0[byte] ^= 1;
            assert_ne!(key.hash("lobby"), other.hash("lobby"), "byte {byte}");
            assert_ne!(key.hash_one("lobby"), other.hash_one("lobby"), "byte {byte}");
        }
    }
}
