//! The state tree: a Jellyfish Merkle tree over all of a shard's state, computed beside the commit path.
//!
//!   version n makes nodes and values stale ----> one row, STALE[n] ----> block n + 1,024 removes what the row names
//!
//! Promise: the root after a block depends on the state alone, not on the order of its changes or on when it was computed
//! (I11); a header's root is at most [`STATE_ROOT_LAG_BLOCKS_MAX`] blocks old; a proof shows a key's value or that it has
//! none. A version is of one block or of several, and has the height of the last. What a block costs depends on what it and one
//! block before it changed, never on how many blocks there were.
//! Knows nothing of what state means: keys are canonical bytes of a [`StateKey`], values those the ledger stores.
//! Source: Gao, Hu, Wu, "Jellyfish Merkle Tree", 2021, by crate `jmt` with keyed blake3 in place of SHA-256.

use crate::spaces::{self, TREE_NODES, TREE_ROOTS, TREE_STALE, TREE_VALUES};
use crate::staged::{Staged, get_value, own_value};
use borsh::{BorshDeserialize, BorshSerialize};
use evm::StateKey;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{JellyfishMerkleTree, KeyHash, RootHash, SimpleHasher};
use primitives::{Digest, Height, Read, Slot, encode};
use std::sync::LazyLock;

/// How many blocks a header's state root may lag; beyond it the shard refuses new work until the root has caught up.
pub const STATE_ROOT_LAG_BLOCKS_MAX: u64 = 4096;

/// For how many blocks below the newest root proofs can still be made.
pub const STATE_VERSIONS_KEPT_COUNT: u64 = 1024;

/// Most bytes a state proof may have: 256 siblings of up to 65 bytes and a leaf.
pub const STATE_PROOF_BYTES_MAX: usize = 32 * 1024;

/// A key's value from a slot on.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ValueAt {
    /// The slot of the payload that gave it; 0 for genesis and for what a replayed block did.
    pub slot: Slot,
    /// The new value, or `None` for gone.
    pub value: Option<Vec<u8>>,
}

/// What one block changed in the state: canonical key, and its values in the order in which they came, at least one.
pub type BlockChanges = Vec<(Vec<u8>, Vec<ValueAt>)>;

/// Blake3 under the tree's own key.
struct Blake3(blake3::Hasher);

static TREE_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key("dovetail v1 state tree", &[]));

impl SimpleHasher for Blake3 {
    fn new() -> Self {
        Self(blake3::Hasher::new_keyed(&TREE_KEY))
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// What no version from one on needs: it is removed when that version is the oldest kept.
#[derive(Debug, Default, BorshSerialize, BorshDeserialize)]
struct Stale {
    /// Keys of nodes.
    nodes: Vec<Vec<u8>>,
    /// Keys of values.
    values: Vec<Vec<u8>>,
}

/// Why the tree could not be read. The store is corrupt; nothing a client does leads here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateTreeError {
    /// A node or value that must be there is not.
    #[error("state tree: {reason}")]
    Corrupt {
        /// What the tree said.
        reason: String,
    },
    /// The version is newer than the newest root, or pruned.
    #[error("no state tree of height {height}")]
    NoVersion {
        /// The height asked for.
        height: Height,
    },
    /// The proof does not show this value of this key under this root.
    #[error("the state proof does not hold: {reason}")]
    Proof {
        /// What failed.
        reason: String,
    },
}

/// The newest root and its height.
pub fn newest_root(read: &impl Read) -> Option<(Height, Digest)> {
    get_value(read, TREE_ROOTS, spaces::NEWEST)
}

/// The root after block `height`, if it was computed.
pub fn root_at(read: &impl Read, height: Height) -> Option<Digest> {
    get_value(read, TREE_ROOTS, &spaces::height_key(height))
}

/// Adds what blocks up to `height` changed since version `from`, as version `height`; `before` is what is [`newest`] of each key.
pub(crate) fn put_version<R: Read>(
    staged: &mut Staged<'_, R>,
    from: Option<Height>,
    height: Height,
    changes: BlockChanges,
    before: Vec<Option<Stored>>,
) -> Result<Digest, StateTreeError> {
    let hashed: std::collections::BTreeMap<KeyHash, Option<Vec<u8>>> =
        changes.into_iter().map(|(key, values)| (KeyHash::with::<Blake3>(key), last(values))).collect();
    let (root, batch) = {
        let nodes = Nodes { read: &*staged, root: from.map(|from| root_key(from.0)) };
        JellyfishMerkleTree::<_, Blake3>::new(&nodes).put_value_set(hashed.clone(), height.0).map_err(corrupt)?
    };
    for (key, node) in batch.node_batch.nodes() {
        staged.put_value(TREE_NODES, node_key(key), node);
    }
    let below_root = batch.stale_node_index_batch.iter().map(|stale| &stale.node_key).filter(|key| !is_root(key));
    let mut stale = Stale {
        nodes: below_root.map(node_key).collect(),
        values: before.into_iter().flatten().map(|(stored, _)| stored).collect(),
    };
    // What changes nothing copies the root, and the tree does not say that the earlier one is stale.
    stale.nodes.extend(from.map(|from| root_key(from.0)));
    for (key, value) in hashed {
        let stored = value_key(key, height.0);
        staged.put_value(TREE_VALUES, stored.clone(), &value);
        if value.is_none() {
            stale.values.push(stored); // With all before it removed, nothing says gone as well.
        }
    }
    staged.put_value(TREE_STALE, spaces::height_key(height), &stale);
    let root = Digest::new(root.0);
    staged.put_value(TREE_ROOTS, spaces::height_key(height), &root);
    staged.put_value(TREE_ROOTS, spaces::NEWEST, &(height, root));
    Ok(root)
}

/// Removes what no version kept needs any more, once the newest is no longer that of `from`: what became stale with versions
/// that are [`STATE_VERSIONS_KEPT_COUNT`] blocks old by now.
pub(crate) fn prune<R: Read>(staged: &mut Staged<'_, R>, from: Option<Height>, newest: Height) {
    let first = from.map_or(0, |from| (from.0 + 1).saturating_sub(STATE_VERSIONS_KEPT_COUNT));
    let Some(last) = newest.0.checked_sub(STATE_VERSIONS_KEPT_COUNT) else { return };
    (first..=last).for_each(|height| prune_version(staged, &spaces::height_key(Height(height))));
}

/// Removes what no version from that of `height` on needs, if there is one.
fn prune_version<R: Read>(staged: &mut Staged<'_, R>, height: &[u8]) {
    let Some(stale) = get_value::<Stale>(staged, TREE_STALE, height) else { return };
    for node in stale.nodes {
        if node.len() == height.len() {
            staged.delete(TREE_ROOTS, node.clone()); // The root of a version has its height alone for a key.
        }
        staged.delete(TREE_NODES, node);
    }
    stale.values.into_iter().for_each(|key| staged.delete(TREE_VALUES, key));
    staged.delete(TREE_STALE, height.to_vec());
}

fn last(values: Vec<ValueAt>) -> Option<Vec<u8>> {
    values.into_iter().next_back()?.value
}

/// Where the newest value of a key stands, and what it is.
pub(crate) type Stored = (Vec<u8>, Option<Vec<u8>>);

/// What stands of a key, by its canonical bytes, under the newest root.
pub(crate) fn newest(read: &impl Read, key: &[u8]) -> Option<Stored> {
    let key = KeyHash::with::<Blake3>(key);
    let (stored, value) = read.scan(TREE_VALUES, &key.0, &key.0, 1).into_iter().next()?;
    Some((stored, own_value(TREE_VALUES, &value)))
}

/// The value of a key, by its canonical bytes, under the newest root; `None` for nothing there.
pub(crate) fn newest_value(read: &impl Read, key: &[u8]) -> Option<Vec<u8>> {
    newest(read, key)?.1
}

/// Shows a key's value, or that it has none, under a state root.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StateProof {
    /// Canonical bytes of the tree's own proof: leaf and siblings.
    bytes: Vec<u8>,
}

/// The value of `key` after block `height`, with its proof under the root of that height.
///
/// # Errors
/// [`StateTreeError::NoVersion`] if that root is not computed yet or pruned.
pub fn prove(
    read: &impl Read,
    key: &StateKey,
    height: Height,
) -> Result<(Option<Vec<u8>>, StateProof), StateTreeError> {
    if root_at(read, height).is_none() {
        return Err(StateTreeError::NoVersion { height });
    }
    let nodes = Nodes { read, root: None };
    let tree = JellyfishMerkleTree::<_, Blake3>::new(&nodes);
    let (value, proof) = tree.get_with_proof(KeyHash::with::<Blake3>(encode(key)), height.0).map_err(corrupt)?;
    Ok((value, StateProof { bytes: encode(&proof) }))
}

/// Checks that under `root` the value of `key` is `value`, `None` for no value. Some 7 µs.
///
/// # Errors
/// [`StateTreeError::Proof`].
pub fn verify(root: Digest, key: &StateKey, value: Option<&[u8]>, proof: &StateProof) -> Result<(), StateTreeError> {
    let refused = |reason: String| StateTreeError::Proof { reason };
    let proof: jmt::proof::SparseMerkleProof<Blake3> =
        primitives::decode(&proof.bytes, STATE_PROOF_BYTES_MAX).map_err(|error| refused(error.to_string()))?;
    proof
        .verify(RootHash(*root.as_bytes()), KeyHash::with::<Blake3>(encode(key)), value)
        .map_err(|error| refused(error.to_string()))
}

/// The tree's nodes and values in a store.
struct Nodes<'a, R> {
    read: &'a R,
    /// Where the root is, whatever version it is asked for by: to the crate each version follows the one numbered before it.
    root: Option<Vec<u8>>,
}

impl<R: Read> TreeReader for Nodes<'_, R> {
    fn get_node_option(&self, key: &NodeKey) -> Result<Option<Node>, anyhow::Error> {
        let stored = self.root.clone().filter(|_| is_root(key)).unwrap_or_else(|| node_key(key));
        Ok(get_value(self.read, TREE_NODES, &stored))
    }

    fn get_value_option(&self, version: u64, key: KeyHash) -> Result<Option<Vec<u8>>, anyhow::Error> {
        let newest = self.read.scan(TREE_VALUES, &key.0, &value_key(key, version), 1);
        Ok(newest.first().and_then(|(_, value)| own_value(TREE_VALUES, value)))
    }

    fn get_rightmost_leaf(&self) -> Result<Option<(NodeKey, LeafNode)>, anyhow::Error> {
        Ok(None) // Only a restore asks, and nothing here restores.
    }
}

/// Version, then the path's nibbles: all nodes of one version together, its root first.
fn node_key(key: &NodeKey) -> Vec<u8> {
    let nibbles = key.nibble_path().nibbles().map(u8::from);
    key.version().to_be_bytes().into_iter().chain(nibbles).collect()
}

/// The key of a version's root.
fn root_key(version: u64) -> Vec<u8> {
    version.to_be_bytes().into()
}

fn is_root(key: &NodeKey) -> bool {
    key.nibble_path().is_empty()
}

/// Key hash, then version: all values of one key together, the newest first.
fn value_key(key: KeyHash, version: u64) -> Vec<u8> {
    [&key.0[..], &(!version).to_be_bytes()].concat()
}

#[allow(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
fn corrupt(error: anyhow::Error) -> StateTreeError {
    StateTreeError::Corrupt { reason: format!("{error:#}") }
}
