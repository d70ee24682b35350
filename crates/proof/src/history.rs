//! The tree over all earlier headers of a shard, so that any later certificate proves any earlier block.
//!
//! ```text
//!   header h carries root(digests of headers 1 .. h-1); leaf i is header i+1
//!   peaks: the tops of the perfect subtrees, one for each bit of the count     13 headers = 8 + 4 + 1
//! ```
//!
//! Promise: appending costs one hash amortised and keeps at most 62 digests in memory; a node once complete never
//! changes, so it is written once and serves proofs under every later header.
//! Knows nothing of where nodes are kept: [`History::append`] says what to write, proofs are given a reader.
//! Source: Merkle mountain ranges, in the shape of `merkle.rs`.

use crate::{
    Header,
    merkle::{self, EMPTY_TOP, PathError, Place, TreeKind},
};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Height, NetworkId, ShardId};
use std::io;

/// A complete node: the perfect subtree of `2^level` leaves that starts at leaf `index * 2^level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// 0 for leaves.
    pub level: u8,
    /// The node's place on its level, from 0.
    pub index: u64,
}

impl NodeId {
    /// A key for a store: level, then index big-endian, so that a level is one range in order.
    pub fn key(&self) -> [u8; 9] {
        let mut key = [self.level; 9];
        key[1..].copy_from_slice(&self.index.to_be_bytes());
        key
    }
}

/// A node that an append completed, to be written in the same batch as the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Which node.
    pub node: NodeId,
    /// Its digest, for ever.
    pub digest: Digest,
}

/// Why a history has no such proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The earlier header is not before the later one, or is genesis.
    #[error("header {earlier} is not in the history that header {later} carries")]
    NotBefore {
        /// The height to be proven.
        earlier: Height,
        /// The height of the header that carries the root.
        later: Height,
    },
    /// The reader lacks a node that was once appended.
    #[error("history node {index} of level {level} is missing")]
    Missing {
        /// Its level.
        level: u8,
        /// Its place.
        index: u64,
    },
}

/// The history of one shard, as its next header will carry it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct History {
    network: NetworkId,
    shard: ShardId,
    count: u64,
    /// From the largest subtree to the smallest: as many as `count` has bits set.
    peaks: Vec<Digest>,
}

impl History {
    /// The history of a shard without blocks.
    pub fn new(network: NetworkId, shard: ShardId) -> Self {
        Self { network, shard, count: 0, peaks: Vec::new() }
    }

    /// How many headers it has: the height of the last one.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Appends the digest of the header at height `count + 1` and says which nodes that completed: at least the leaf.
    pub fn append(&mut self, header: &Digest) -> Vec<Appended> {
        let mut node = NodeId { level: 0, index: self.count };
        let mut digest = merkle::leaf_digest(self.count, header.as_bytes());
        let mut appended = vec![Appended { node, digest }];
        while node.index % 2 == 1
            && let Some(left) = self.peaks.pop()
        {
            digest = merkle::node_digest(&left, &digest);
            node = NodeId { level: node.level + 1, index: node.index / 2 };
            appended.push(Appended { node, digest });
        }
        self.peaks.push(digest);
        self.count += 1;
        appended
    }

    /// The root that the header at height `count + 1` carries.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let smallest = peaks.next().copied().unwrap_or(EMPTY_TOP);
        let top = peaks.fold(smallest, |right, left| merkle::node_digest(left, &right));
        merkle::root_digest(&place_of(self.network, self.shard, Height(self.count + 1)), self.count, &top)
    }

    /// The path that proves header `earlier` under the root that header `later` carries.
    ///
    /// `node` reads what [`History::append`] gave to write: at most 62 x 2 reads.
    pub fn prove(
        earlier: Height,
        later: Height,
        node: impl Fn(NodeId) -> Option<Digest>,
    ) -> Result<Vec<Digest>, HistoryError> {
        let not_before = HistoryError::NotBefore { earlier, later };
        let count = later.0.checked_sub(1).ok_or(not_before)?;
        let mut index = earlier.0.checked_sub(1).ok_or(not_before)?;
        if index >= count {
            return Err(not_before);
        }
        let mut siblings = Vec::new();
        for (step, level) in merkle::levels(index, count).zip(0..) {
            if !matches!(step, merkle::Step::Rise) {
                siblings.push(subtree(NodeId { level, index: index ^ 1 }, count, &node)?);
            }
            index /= 2;
        }
        Ok(siblings)
    }
}

/// The digest of a node in a tree of `count` leaves: read if complete, else made from what is below it.
fn subtree(id: NodeId, count: u64, node: &impl Fn(NodeId) -> Option<Digest>) -> Result<Digest, HistoryError> {
    let missing = HistoryError::Missing { level: id.level, index: id.index };
    if (u128::from(id.index) + 1) << id.level <= u128::from(count) {
        return node(id).ok_or(missing);
    }
    let below = id.level.checked_sub(1).ok_or(missing)?;
    let left = subtree(NodeId { level: below, index: id.index * 2 }, count, node)?;
    let right = NodeId { level: below, index: id.index * 2 + 1 };
    if u128::from(right.index) << below >= u128::from(count) {
        return Ok(left);
    }
    Ok(merkle::node_digest(&left, &subtree(right, count, node)?))
}

/// Checks that `earlier` is in the history that `later` carries: same network, same shard, lower height.
///
/// # Errors
/// [`PathError::Root`] for another network or shard, or if the path ends elsewhere; [`PathError::Index`] and
/// [`PathError::Length`] before any hashing.
pub fn verify_ancestor(earlier: &Header, later: &Header, path: &[Digest]) -> Result<(), PathError> {
    if (earlier.network, earlier.shard) != (later.network, later.shard) {
        return Err(PathError::Root);
    }
    let count = later.height.0.saturating_sub(1);
    let Some(index) = earlier.height.0.checked_sub(1) else {
        return Err(PathError::Index { index: 0, count });
    };
    let place = place_of(later.network, later.shard, later.height);
    merkle::verify_path(&place, &later.history_root, count, index, earlier.digest().as_bytes(), path)
}

fn place_of(network: NetworkId, shard: ShardId, height: Height) -> Place {
    Place { kind: TreeKind::History, network, shard, height }
}

impl BorshDeserialize for History {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let (network, shard, count, peaks) = <(NetworkId, ShardId, u64, Vec<Digest>)>::deserialize_reader(reader)?;
        if peaks.len() == count.count_ones() as usize {
            Ok(Self { network, shard, count, peaks })
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a history has one peak for each bit of its count"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tree, sample};
    use primitives::Domain;
    use std::collections::BTreeMap;

    const NETWORK: NetworkId = NetworkId(7);
    const SHARD: ShardId = ShardId(1);

    fn digests(count: u64) -> Vec<Digest> {
        let domain = Domain::new("test");
        (1..=count).map(|height| domain.hash(&height.to_le_bytes())).collect()
    }

    #[test]
    fn the_history_is_the_merkle_tree_over_its_headers() {
        let mut history = History::new(NETWORK, SHARD);
        for count in 0..70 {
            let tree = Tree::new(digests(count).iter().map(Digest::as_bytes));
            assert_eq!(history.root(), tree.root(&place_of(NETWORK, SHARD, Height(count + 1))), "of {count}");
            history.append(&digests(count + 1)[count as usize]);
        }
    }

    #[test]
    fn every_earlier_header_is_proven_under_every_later_one() {
        let chain = sample::Chain::new();
        for later in 2..=sample::HEIGHT_MAX {
            for earlier in 1..later {
                let path = History::prove(Height(earlier), Height(later), |id| chain.nodes.get(&id).copied()).unwrap();
                let (earlier, later) = (chain.header(earlier), chain.header(later));
                assert_eq!(verify_ancestor(&earlier, &later, &path), Ok(()));
            }
        }
    }

    #[test]
    fn a_header_does_not_prove_itself_or_a_later_one() {
        let chain = sample::Chain::new();
        let read = |id: NodeId| chain.nodes.get(&id).copied();
        assert!(matches!(History::prove(Height(3), Height(3), read), Err(HistoryError::NotBefore { .. })));
        assert!(matches!(History::prove(Height(0), Height(3), read), Err(HistoryError::NotBefore { .. })));
        let header = chain.header(3);
        assert!(matches!(verify_ancestor(&header, &header, &[]), Err(PathError::Index { .. })));
    }

    #[test]
    fn a_history_of_another_shard_proves_nothing() {
        let chain = sample::Chain::new();
        let path = History::prove(Height(2), Height(5), |id| chain.nodes.get(&id).copied()).unwrap();
        let foreign = Header { shard: ShardId(9), ..chain.header(2) };
        assert_eq!(verify_ancestor(&foreign, &chain.header(5), &path), Err(PathError::Root));
    }

    #[test]
    fn a_missing_node_is_named() {
        let result = History::prove(Height(1), Height(3), |_| None);
        assert_eq!(result, Err(HistoryError::Missing { level: 0, index: 1 }));
    }

    #[test]
    fn a_history_survives_its_bytes_and_goes_on_alike() {
        let mut history = History::new(NETWORK, SHARD);
        let mut nodes = BTreeMap::new();
        for digest in digests(13) {
            nodes.extend(history.append(&digest).iter().map(|appended| (appended.node, appended.digest)));
        }
        let mut reopened: History = borsh::from_slice(&borsh::to_vec(&history).unwrap()).unwrap();
        assert_eq!(nodes.len(), 8 + 7 + 4 + 3 - 1 + 2, "13 = 8 + 4 + 1 leaves make 15 + 7 + 1 nodes");
        assert_eq!(history.append(&digests(14)[13]), reopened.append(&digests(14)[13]));
        assert_eq!(history.root(), reopened.root());
    }

    #[test]
    fn bytes_with_a_peak_too_few_are_refused() {
        let bytes = borsh::to_vec(&(NETWORK, SHARD, 3_u64, digests(1))).unwrap();
        assert!(borsh::from_slice::<History>(&bytes).is_err());
    }
}
