//! The tree of all that one block says to others.

use crate::{
    Certificate, Header, LEAF_BODY_BYTES_MAX, Leaf, Receipt,
    merkle::{PathError, Place, Tree, TreeKind},
};
use primitives::{Digest, Height, NetworkId, ShardId, encode};

/// How many leaves a block's outbox may have.
pub const OUTBOX_LEAVES_COUNT_MAX: u32 = 1 << 20;

/// Why leaves are not an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// More than [`OUTBOX_LEAVES_COUNT_MAX`].
    #[error("{actual} outbox leaves where at most {max} are allowed")]
    TooMany {
        /// How many leaves came.
        actual: usize,
        /// How many are allowed.
        max: u32,
    },
    /// A body above [`LEAF_BODY_BYTES_MAX`].
    #[error("the body of outbox leaf {index} has {actual} bytes where at most {max} are allowed")]
    BodyTooLong {
        /// Which leaf.
        index: usize,
        /// How many bytes it has.
        actual: usize,
        /// How many are allowed.
        max: usize,
    },
}

/// One block's outbox, with all its nodes in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    leaves: Vec<Leaf>,
    place: Place,
    tree: Tree,
}

impl Outbox {
    /// The outbox of block `height` of `shard`, whose leaves are `leaves` in this order.
    pub fn new(network: NetworkId, shard: ShardId, height: Height, leaves: Vec<Leaf>) -> Result<Self, OutboxError> {
        if leaves.len() > OUTBOX_LEAVES_COUNT_MAX as usize {
            return Err(OutboxError::TooMany { actual: leaves.len(), max: OUTBOX_LEAVES_COUNT_MAX });
        }
        if let Some((index, leaf)) = leaves.iter().enumerate().find(|(_, leaf)| leaf.body.len() > LEAF_BODY_BYTES_MAX) {
            let actual = leaf.body.len();
            return Err(OutboxError::BodyTooLong { index, actual, max: LEAF_BODY_BYTES_MAX });
        }
        let tree = Tree::new(leaves.iter().map(encode));
        Ok(Self { leaves, place: place_of(network, shard, height), tree })
    }

    /// The root that goes into the block's header.
    pub fn root(&self) -> Digest {
        self.tree.root(&self.place)
    }

    /// How many leaves there are; goes into the header too.
    pub fn count(&self) -> u32 {
        self.leaves.len() as u32
    }

    /// The leaves in order.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The siblings of leaf `index`, from leaf to top.
    ///
    /// # Errors
    /// [`PathError::Index`] if there is no such leaf.
    pub fn prove(&self, index: u32) -> Result<Vec<Digest>, PathError> {
        self.tree.prove(u64::from(index))
    }

    /// The receipt of leaf `index`, under the header that carries this outbox's root and its certificate.
    ///
    /// # Errors
    /// [`PathError::Index`] if there is no such leaf; [`PathError::Root`] if `header` carries another outbox.
    pub fn receipt(&self, index: u32, header: &Header, certificate: &Certificate) -> Result<Receipt, PathError> {
        let path = self.prove(index)?;
        if header.outbox_root != self.root() || header.outbox_count != self.count() {
            return Err(PathError::Root);
        }
        let leaf = self.leaves[index as usize].clone();
        Ok(Receipt { leaf, index, path, header: header.clone(), certificate: certificate.clone(), ancestry: None })
    }
}

/// Whose tree the outbox of that block is.
pub(crate) fn place_of(network: NetworkId, shard: ShardId, height: Height) -> Place {
    Place { kind: TreeKind::Outbox, network, shard, height }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LeafKind, sample};

    #[test]
    fn a_leaf_above_its_bound_is_refused() {
        let leaf = Leaf { kind: LeafKind::Vote, body: vec![0; LEAF_BODY_BYTES_MAX + 1] };
        let outbox = Outbox::new(NetworkId(7), ShardId(1), Height(3), vec![leaf]);
        assert!(matches!(outbox, Err(OutboxError::BodyTooLong { index: 0, .. })));
    }

    #[test]
    fn a_receipt_is_not_made_under_another_blocks_header() {
        let chain = sample::Chain::new();
        let (header, certificate) = chain.certified(3);
        let outbox = Outbox::new(NetworkId(7), ShardId(1), Height(3), vec![]).unwrap();
        assert_eq!(outbox.receipt(0, &header, &certificate), Err(PathError::Index { index: 0, count: 0 }));
        let leaf = Leaf { kind: LeafKind::Vote, body: vec![1] };
        let outbox = Outbox::new(NetworkId(7), ShardId(1), Height(3), vec![leaf]).unwrap();
        assert_eq!(outbox.receipt(0, &header, &certificate), Err(PathError::Root));
    }

    #[test]
    fn an_empty_outbox_has_a_root_of_its_own() {
        let at = |height| Outbox::new(NetworkId(7), ShardId(1), Height(height), vec![]).unwrap().root();
        assert_ne!(at(1), at(2));
        assert!(!at(1).is_zero());
    }
}
