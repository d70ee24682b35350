//! A binary Merkle tree whose proofs have no freedom.
//!
//! ```text
//!   root = H_root(kind, network, shard, height, count, top)
//!                            top
//!                     +-------+-------+            a node is H_node(left, right)
//!                   node             [e]           a last node without a partner rises as it is: never doubled
//!                +---+---+            |
//!              node     node          |
//!             +-+-+    +-+-+          |
//!            [a] [b]  [c] [d]        [e]           a leaf is H_leaf(index, bytes)
//! ```
//!
//! Promise: the shape follows from the count, the count is in the root, the sides follow from the index, the index is in
//! the leaf. So a path is siblings and nothing else, of exactly one length, and any other index, count, place, order,
//! length or bit ends in another root.
//! Source: the shape of RFC 9162 §2.1, with keyed blake3, an index in each leaf and a root of its own kind.

use crate::purpose;
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Height, NetworkId, ShardId, encode};

/// How many leaves a tree may have: any count whose paths fit [`PATH_COUNT_MAX`].
pub const LEAVES_COUNT_MAX: u64 = 1 << 62;

/// How many siblings a path may have.
pub const PATH_COUNT_MAX: usize = 62;

/// What a tree is of. No two kinds share a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum TreeKind {
    /// What a block says to others.
    Outbox = 1,
    /// The entries of a block.
    Log = 2,
    /// The outcomes of a block's transactions.
    Outcomes = 3,
    /// The headers before a block.
    History = 4,
    /// The messages of a foreign chain's block.
    Foreign = 5,
}

/// Whose tree it is; part of the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize)]
pub struct Place {
    /// What the tree is of.
    pub kind: TreeKind,
    /// The network.
    pub network: NetworkId,
    /// The shard.
    pub shard: ShardId,
    /// The block.
    pub height: Height,
}

/// Why a path does not prove its leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The count is above [`LEAVES_COUNT_MAX`].
    #[error("a tree of {count} leaves is too large")]
    Count {
        /// The count claimed.
        count: u64,
    },
    /// There is no such leaf.
    #[error("leaf {index} of a tree with {count} leaves")]
    Index {
        /// The index claimed.
        index: u64,
        /// How many leaves the tree has.
        count: u64,
    },
    /// The path is not as long as index and count say; nothing was hashed.
    #[error("a path of {actual} siblings where {expected} are due")]
    Length {
        /// How many siblings came.
        actual: usize,
        /// How many there must be.
        expected: usize,
    },
    /// The path ends elsewhere.
    #[error("the path ends in another root")]
    Root,
}

/// Checks that `leaf` is entry `index` of the tree at `place` with `count` leaves and root `root`.
///
/// `siblings` runs from leaf to top: at most [`PATH_COUNT_MAX`], one hash each.
/// # Errors
/// [`PathError::Count`], [`PathError::Index`] and [`PathError::Length`] before any hashing; [`PathError::Root`] if the
/// path ends elsewhere.
pub fn verify_path(
    place: &Place,
    root: &Digest,
    count: u64,
    index: u64,
    leaf: &[u8],
    siblings: &[Digest],
) -> Result<(), PathError> {
    let expected = path_length(index, count)?;
    if siblings.len() != expected {
        return Err(PathError::Length { actual: siblings.len(), expected });
    }
    let mut siblings = siblings.iter();
    let top = levels(index, count).try_fold(leaf_digest(index, leaf), |digest, step| match step {
        Step::Rise => Some(digest),
        Step::Left => siblings.next().map(|right| node_digest(&digest, right)),
        Step::Right => siblings.next().map(|left| node_digest(left, &digest)),
    });
    match top {
        Some(top) if root_digest(place, count, &top) == *root => Ok(()),
        _ => Err(PathError::Root),
    }
}

/// How many siblings the path of leaf `index` in a tree of `count` leaves has.
pub(crate) fn path_length(index: u64, count: u64) -> Result<usize, PathError> {
    if count > LEAVES_COUNT_MAX {
        return Err(PathError::Count { count });
    }
    if index >= count {
        return Err(PathError::Index { index, count });
    }
    Ok(levels(index, count).filter(|step| !matches!(step, Step::Rise)).count())
}

/// What happens to a node on its way up one level.
pub(crate) enum Step {
    /// It is the left of a pair.
    Left,
    /// It is the right of a pair.
    Right,
    /// It has no partner.
    Rise,
}

/// The steps of leaf `index` to the top of a tree of `count` leaves.
pub(crate) fn levels(index: u64, count: u64) -> impl Iterator<Item = Step> {
    let (mut index, mut width) = (index, count);
    std::iter::from_fn(move || {
        (width > 1).then(|| {
            let step = match (index % 2, index + 1 == width) {
                (1, _) => Step::Right,
                (_, true) => Step::Rise,
                (_, false) => Step::Left,
            };
            (index, width) = (index / 2, width.div_ceil(2));
            step
        })
    })
}

pub(crate) fn leaf_digest(index: u64, bytes: &[u8]) -> Digest {
    let mut preimage = Vec::with_capacity(8 + bytes.len());
    preimage.extend_from_slice(&index.to_le_bytes());
    preimage.extend_from_slice(bytes);
    purpose::LEAF.hash(&preimage)
}

pub(crate) fn node_digest(left: &Digest, right: &Digest) -> Digest {
    let mut preimage = [0; 64];
    preimage[..32].copy_from_slice(left.as_bytes());
    preimage[32..].copy_from_slice(right.as_bytes());
    purpose::NODE.hash(&preimage)
}

/// The root over `top`; 61 bytes, one compression.
pub(crate) fn root_digest(place: &Place, count: u64, top: &Digest) -> Digest {
    purpose::ROOT.hash(&encode(&(place, count, top)))
}

/// What stands for the top of a tree without leaves; the root then binds count 0.
pub(crate) const EMPTY_TOP: Digest = Digest::new([0; 32]);

/// A whole tree in memory: 64 bytes a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// From the leaves up; the last level has one digest. Empty for no leaves.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The tree over `leaves`, one hash a leaf and one a node.
    pub fn new<B: AsRef<[u8]>>(leaves: impl IntoIterator<Item = B>) -> Self {
        let mut level: Vec<_> =
            leaves.into_iter().zip(0_u64..).map(|(leaf, i)| leaf_digest(i, leaf.as_ref())).collect();
        let mut levels = Vec::new();
        while level.len() > 1 {
            let above = level.chunks(2).map(pair_digest).collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        if !level.is_empty() {
            levels.push(level);
        }
        Self { levels }
    }

    /// How many leaves it has.
    pub fn count(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Its root at `place`. A tree without leaves has a root too, and proves nothing.
    pub fn root(&self, place: &Place) -> Digest {
        let top = self.levels.last().and_then(|level| level.first()).unwrap_or(&EMPTY_TOP);
        root_digest(place, self.count(), top)
    }

    /// The siblings of leaf `index` from leaf to top.
    ///
    /// # Errors
    /// [`PathError::Index`] if there is no such leaf.
    pub fn prove(&self, index: u64) -> Result<Vec<Digest>, PathError> {
        path_length(index, self.count())?;
        let mut place = index as usize;
        let mut siblings = Vec::new();
        for level in &self.levels {
            siblings.extend(level.get(place ^ 1));
            place /= 2;
        }
        Ok(siblings)
    }
}

fn pair_digest(pair: &[Digest]) -> Digest {
    match pair {
        [left, right] => node_digest(left, right),
        [last, ..] => *last,
        [] => EMPTY_TOP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { kind: TreeKind::Outbox, network: NetworkId(7), shard: ShardId(1), height: Height(3) }
    }

    fn leaves(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|i| format!("leaf {i}").into_bytes()).collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven() {
        for count in 1..=33 {
            let tree = Tree::new(leaves(count));
            let root = tree.root(&place());
            for (index, leaf) in leaves(count).iter().enumerate() {
                let path = tree.prove(index as u64).unwrap();
                assert_eq!(verify_path(&place(), &root, count as u64, index as u64, leaf, &path), Ok(()));
            }
        }
    }

    #[test]
    fn a_path_proves_one_leaf_at_one_index_of_one_count() {
        for count in 1..=12_u64 {
            let tree = Tree::new(leaves(count as usize));
            let root = tree.root(&place());
            for (index, leaf) in leaves(count as usize).iter().enumerate() {
                let path = tree.prove(index as u64).unwrap();
                for (other_count, other_index) in (1..=16).flat_map(|c| (0..c).map(move |i| (c, i))) {
                    if (other_count, other_index) != (count, index as u64) {
                        assert!(verify_path(&place(), &root, other_count, other_index, leaf, &path).is_err());
                    }
                }
            }
        }
    }

    #[test]
    fn the_tree_agrees_with_the_recursive_definition() {
        fn top(leaves: &[(u64, Vec<u8>)]) -> Digest {
            if let [(index, leaf)] = leaves {
                return leaf_digest(*index, leaf);
            }
            // RFC 9162 §2.1.1: split at the largest power of two below the count.
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_digest(&top(left), &top(right))
        }
        for count in 1..=40 {
            let indexed: Vec<_> = (0..).zip(leaves(count)).collect();
            assert_eq!(Tree::new(leaves(count)).root(&place()), root_digest(&place(), count as u64, &top(&indexed)));
        }
    }

    #[test]
    fn no_two_places_share_a_root() {
        let tree = Tree::new(leaves(3));
        let root = tree.root(&place());
        for other in [
            Place { kind: TreeKind::Log, ..place() },
            Place { network: NetworkId(8), ..place() },
            Place { shard: ShardId(2), ..place() },
            Place { height: Height(4), ..place() },
        ] {
            assert_ne!(tree.root(&other), root);
        }
    }

    #[test]
    fn an_empty_tree_has_a_root_and_proves_nothing() {
        let tree = Tree::new(Vec::<Vec<u8>>::new());
        assert!(!tree.root(&place()).is_zero());
        assert_eq!(tree.prove(0), Err(PathError::Index { index: 0, count: 0 }));
        let root = tree.root(&place());
        assert_eq!(verify_path(&place(), &root, 0, 0, b"", &[]), Err(PathError::Index { index: 0, count: 0 }));
    }
}
