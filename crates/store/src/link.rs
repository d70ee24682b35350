//! The chain of batches: each carries its sequence, the digest of the one before and its own.
//!
//! Promise: batches that vanished from the middle of the log are noticed at opening, whatever RocksDB thought of it.
//! The newest [`LINKS_COUNT_MAX`] links are kept; a batch removes the one that falls off.

use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Domain, Write, decode, encode};
use std::sync::LazyLock;

/// How many links a store keeps, and checks at opening.
pub(crate) const LINKS_COUNT_MAX: u64 = 256;

/// The canonical length of a link.
const LINK_BYTES: usize = 8 + 32 + 32;

static BATCH: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 store batch"));
static GENESIS: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 store genesis"));

/// One batch's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Link {
    /// The batch's number; 0 makes the store.
    pub(crate) sequence: u64,
    /// The digest of the batch before.
    pub(crate) previous: Digest,
    /// The digest of this one: its number, the previous digest and every write.
    pub(crate) digest: Digest,
}

impl Link {
    /// The link of the batch that makes a store: the start of a chain that no other store shares unless it is a copy.
    pub(crate) fn genesis(identity: &[u8]) -> Self {
        let previous = GENESIS.hash(identity);
        Self { sequence: 0, previous, digest: previous }
    }

    /// The link of a batch of `writes` after this one.
    pub(crate) fn next(&self, writes: &[Write]) -> Self {
        let sequence = self.sequence + 1;
        Self { sequence, previous: self.digest, digest: BATCH.hash(&preimage(sequence, &self.digest, writes)) }
    }

    /// Whether `next` may follow this link.
    pub(crate) fn precedes(&self, next: &Self) -> bool {
        next.sequence == self.sequence + 1 && next.previous == self.digest
    }

    /// The link with these stored bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        decode(bytes, LINK_BYTES).ok()
    }

    /// The bytes to store.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        encode(&self)
    }
}

/// What a batch's digest is of: lengths before contents, so that no two batches share one.
fn preimage(sequence: u64, previous: &Digest, writes: &[Write]) -> Vec<u8> {
    let bytes = writes.iter().map(|write| match write {
        Write::Put { space, key, value } => space.0.len() + key.len() + value.len() + 13,
        Write::Delete { space, key } => space.0.len() + key.len() + 9,
    });
    let mut out = Vec::with_capacity(40 + bytes.sum::<usize>());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(previous.as_bytes());
    for write in writes {
        match write {
            Write::Put { space, key, value } => {
                out.push(1);
                append(&mut out, space.0.as_bytes());
                append(&mut out, key);
                append(&mut out, value);
            }
            Write::Delete { space, key } => {
                out.push(2);
                append(&mut out, space.0.as_bytes());
                append(&mut out, key);
            }
        }
    }
    out
}

fn append(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u64).to_le_bytes());
    out.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::Space;

    const A: Space = Space("a");

    #[test]
    fn a_batch_depends_on_all_before_it() {
        let genesis = Link::genesis(b"x");
        let one = genesis.next(&[Write::put(A, *b"k", *b"v")]);
        let other = genesis.next(&[Write::put(A, *b"k", *b"w")]);
        assert!(genesis.precedes(&one) && genesis.precedes(&other));
        assert_ne!(one.digest, other.digest);
        assert!(!one.precedes(&other.next(&[])));
    }

    #[test]
    fn bytes_moved_between_key_and_value_change_the_digest() {
        let genesis = Link::genesis(b"x");
        let one = genesis.next(&[Write::put(A, *b"ab", *b"c")]);
        let other = genesis.next(&[Write::put(A, *b"a", *b"bc")]);
        assert_ne!(one.digest, other.digest);
    }

    #[test]
    fn a_link_survives_its_bytes() {
        let link = Link::genesis(b"x").next(&[]);
        assert_eq!(Link::from_bytes(&link.to_bytes()), Some(link));
    }
}
