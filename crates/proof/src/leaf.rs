//! What a block says to others: a kind and opaque canonical bytes.

use borsh::{BorshDeserialize, BorshSerialize};

/// How many bytes a leaf's body may have.
pub const LEAF_BODY_BYTES_MAX: usize = 64 * 1024;

/// What a leaf's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum LeafKind {
    /// A participant's vote.
    Vote = 1,
    /// A [`crate::Message`] to another domain.
    Message = 2,
    /// A [`crate::Delivery`]: what became of a message.
    Delivery = 3,
    /// What became of an attempt or a transaction.
    Outcome = 4,
}

/// One leaf of an outbox.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Leaf {
    /// What the body is.
    pub kind: LeafKind,
    /// Canonical bytes of a value of that kind, at most [`LEAF_BODY_BYTES_MAX`].
    pub body: Vec<u8>,
}
