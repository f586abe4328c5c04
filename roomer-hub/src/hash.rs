//! Keyed hashing of what clients choose.

use std::hash::{BuildHasher, Hasher};

use siphasher::sip::SipHasher13;

/// The secret key of the hub's name tables: SipHash-1-3 with 128 bits, so that nobody who does
/// not know the key can choose names that collide. It changes no behaviour, only speed.
#[derive(Clone, Copy)]
pub struct HashKey(pub [u8; 16]);

impl HashKey {
    pub(crate) fn hash(&self, text: &str) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write(text.as_bytes());
        hasher.finish()
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(secret)")
    }
}

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.0)
    }
}
