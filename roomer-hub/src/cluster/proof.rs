//! Session proofs, which show another node that a client presented a session's token.

use std::fmt;
use std::hash::Hasher;

use roomer_proto::ConnId;
use roomer_proto::cluster::NodeId;
use siphasher::sip128::{Hasher128, SipHasher24};

/// A proof that a client has presented the token for a session on another node.
///
/// The proof is a keyed hash (SipHash-2-4, 128 bits) whose key is the token's secret. Frames
/// therefore do not contain the secret, and reading them is not enough to resume the session.
/// Only the session's node and the node that received the token can compute the proof. Each
/// proof is bound to one session, one reporting node and one user.
#[derive(Clone, Copy)]
pub struct SessionProof(pub [u8; 16]);

impl SessionProof {
    /// Computes the proof that node `from` sends for the session of connection `id`. `user` is the
    /// client's user on node `from`.
    #[must_use]
    pub fn new(secret: &[u8; 16], id: &ConnId, from: NodeId, user: Option<&str>) -> Self {
        // Use the stronger SipHash variant, because this is a message authentication code, not a
        // table hash.
        let mut hasher = SipHasher24::new_with_key(secret);
        // Only the last part has a variable length, so the encoding is unambiguous.
        hasher.write(id.as_ref());
        hasher.write(&from.0.to_be_bytes());
        hasher.write(&[u8::from(user.is_some())]);
        hasher.write(user.unwrap_or_default().as_bytes());
        SessionProof(hasher.finish128().as_bytes())
    }

    /// Combines the secret of the session's next token with a keyed hash, so that in a frame only
    /// the node that has the client's socket can read it. `presented` is the secret of the token
    /// that the client presented to resume the session; `opener` and `number` identify the tunnel.
    /// Applying the function again restores the secret.
    #[must_use]
    pub fn mask(
        next: [u8; 16],
        presented: &[u8; 16],
        id: &ConnId,
        (opener, number): (NodeId, u64),
    ) -> [u8; 16] {
        let mut hasher = SipHasher24::new_with_key(presented);
        hasher.write(id.as_ref());
        hasher.write(&opener.0.to_be_bytes());
        // At this place, a proof has the byte 0 or 1. A different byte keeps a proof from revealing
        // the mask.
        hasher.write(&[2]);
        hasher.write(&number.to_be_bytes());
        let mask = hasher.finish128().as_bytes();
        std::array::from_fn(|at| next[at] ^ mask[at])
    }

    fn difference(&self, other: &Self) -> u8 {
        let pairs = self.0.iter().zip(&other.0);
        // Keep the compiler from exiting the loop early.
        pairs.fold(0, |seen, (one, other)| std::hint::black_box(seen | (one ^ other)))
    }
}

/// Compares in constant time so that a proof cannot be guessed byte by byte.
impl PartialEq for SessionProof {
    fn eq(&self, other: &Self) -> bool {
        self.difference(other) == 0
    }
}

impl Eq for SessionProof {}

impl fmt::Debug for SessionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionProof")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proof_is_bound_to_secret_session_node_and_user() {
        let [id, other_id] = [[1; 16], [2; 16]].map(ConnId::from_random_bytes);
        let proof = SessionProof::new(&[7; 16], &id, NodeId(3), Some("ann"));
        assert_eq!(proof, SessionProof::new(&[7; 16], &id, NodeId(3), Some("ann")));
        let mut wrong = [7; 16];
        wrong[15] ^= 1;
        let others = [
            SessionProof::new(&wrong, &id, NodeId(3), Some("ann")),
            SessionProof::new(&[7; 16], &other_id, NodeId(3), Some("ann")),
            SessionProof::new(&[7; 16], &id, NodeId(4), Some("ann")),
            SessionProof::new(&[7; 16], &id, NodeId(3), Some("bob")),
            SessionProof::new(&[7; 16], &id, NodeId(3), Some("")),
            SessionProof::new(&[7; 16], &id, NodeId(3), None),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(proof, *other, "{at}");
            assert!(!others[..at].contains(other), "{at}");
        }
    }

    #[test]
    fn masked_secret_is_bound_to_presented_secret_and_tunnel() {
        let [id, other_id] = [[1; 16], [2; 16]].map(ConnId::from_random_bytes);
        let tunnel = (NodeId(3), 4);
        let masked = SessionProof::mask([9; 16], &[7; 16], &id, tunnel);
        assert_eq!(SessionProof::mask(masked, &[7; 16], &id, tunnel), [9; 16]);
        let others = [
            SessionProof::mask(masked, &[8; 16], &id, tunnel),
            SessionProof::mask(masked, &[7; 16], &other_id, tunnel),
            SessionProof::mask(masked, &[7; 16], &id, (NodeId(4), 4)),
            SessionProof::mask(masked, &[7; 16], &id, (NodeId(3), 5)),
        ];
        assert!(!others.contains(&[9; 16]));
        let mask = SessionProof::mask([0; 16], &[7; 16], &id, tunnel);
        for user in [None, Some(""), Some("ann")] {
            assert_ne!(SessionProof::new(&[7; 16], &id, NodeId(3), user).0, mask);
        }
    }

    #[test]
    fn proof_with_flipped_bit_is_invalid() {
        let proof = SessionProof([0x5a; 16]);
        for bit in 0..128 {
            let mut other = proof;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(proof, other, "{bit}");
        }
    }
}
