//! The state tree: a Jellyfish Merkle tree over all of a shard's state, computed beside the commit path.
//!
//!   version n makes nodes and values stale ----> one row, STALE[n] ----> block n + 1,024 removes what the row names
//!
//! Promise: the root after a block depends on the state alone, not on the order of its changes or on when it was computed
//! (I11); a header's root is at most [`STATE_ROOT_LAG_BLOCKS_MAX`] blocks old; a proof shows a key's value or that it has
//! none. A version is of one block or of several, and has the height of the last. What a block costs depends on what it and one
//! block before it changed, never on how many blocks there were.
//! Knows nothing of what state means: keys are canonical bytes of a [`StateKey`], values those the ledger stores.
//! Source: Gao, Hu, Wu, "Jellyfish Merkle Tree", 2021, as crate `jmt` has it, with keyed blake3 in place of SHA-256. A version is made
//! here ([`trie`]), its proofs are made and checked by the crate.

mod trie;

use crate::spaces::{self, TREE_NODES, TREE_ROOTS, TREE_STALE, TREE_VALUES};
use crate::staged::{Staged, get_value, own_value};
use borsh::{BorshDeserialize, BorshSerialize};
use evm::StateKey;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{JellyfishMerkleTree, KeyHash, RootHash, SimpleHasher};
use primitives::{Digest, Height, Read, Slot, encode};
use std::sync::LazyLock;
use trie::{Change, Growth, Hash, Trie, Version};

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

/// A version in the making: what blocks changed since the newest one, and what stood there.
#[derive(Debug)]
pub(crate) struct Next {
    height: Height,
    /// What changes.
    pub(crate) changes: BlockChanges,
    /// The hash of each key of `changes`.
    hashes: Vec<Hash>,
    /// Of each key of `changes`, where its newest value stands, and what it is.
    pub(crate) before: Vec<Option<Stored>>,
    growth: Growth,
}

impl Next {
    /// Version `height`, that of the last of the blocks that made `changes`, over the newest version in `read`, of which the upper nodes
    /// may be known.
    ///
    /// Most keys that change are new, and the tree itself says so: only of the others a value is looked for.
    ///
    /// # Errors
    /// [`StateTreeError::Corrupt`].
    pub(crate) fn after(
        read: &impl Read,
        height: Height,
        changes: BlockChanges,
        known: KnownNodes,
    ) -> Result<Self, StateTreeError> {
        let newest = newest_root(read);
        let from = newest.map(|(height, _)| height.0);
        let hashes: Vec<_> = changes.iter().map(|(key, _)| trie::hash(key)).collect();
        let value = |values: &Vec<ValueAt>| Some(trie::hash(values.last()?.value.as_ref()?));
        let mut sorted: Vec<_> = (0..)
            .zip(hashes.iter().zip(&changes))
            .map(|(index, (key, (_, values)))| Change { key: *key, value: value(values), index })
            .collect();
        sorted.sort_unstable_by_key(|change| change.key);
        let trie = match known.0 {
            Some((root, trie)) if Some(root) == newest => trie,
            _ => Trie::read(read, from)?,
        };
        let growth = trie.grow(read, from, height.0, &sorted)?;
        let found = hashes.iter().zip(&growth.found);
        let before = found.map(|(key, version)| newest_by(read, key, (*version)?)).collect();
        Ok(Self { height, changes, hashes, before, growth })
    }

    /// Adds it; gives its root, and the nodes known of it.
    pub(crate) fn put<R: Read>(self, staged: &mut Staged<'_, R>) -> (Digest, KnownNodes) {
        let Self { height, changes, hashes, before, growth } = self;
        let values = before.into_iter().flatten().map(|(stored, _)| stored).collect();
        let mut stale = Stale { nodes: growth.stale, values };
        for (key, node) in growth.rows {
            staged.put(TREE_NODES, key, node);
        }
        for (key, (_, values)) in hashes.iter().zip(changes) {
            let (stored, value) = (value_key(key, height.0), last(values));
            staged.put_value(TREE_VALUES, stored.clone(), &value);
            if value.is_none() {
                stale.values.push(stored); // With all before it removed, nothing says gone as well.
            }
        }
        staged.put_value(TREE_STALE, spaces::height_key(height), &stale);
        let root = Digest::new(growth.root);
        staged.put_value(TREE_ROOTS, spaces::height_key(height), &root);
        staged.put_value(TREE_ROOTS, spaces::NEWEST, &(height, root));
        (root, KnownNodes(Some(((height, root), growth.trie))))
    }
}

/// What is known of the nodes of one version, by its height and its root, from its making: what the next version will read most of.
#[derive(Debug, Default)]
pub(crate) struct KnownNodes(Option<((Height, Digest), Trie)>);

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

/// What stands of a key under the newest root.
fn newest_of(read: &impl Read, key: &Hash) -> Option<Stored> {
    let (stored, value) = read.scan(TREE_VALUES, key, key, 1).into_iter().next()?;
    Some((stored, own_value(TREE_VALUES, &value)))
}

/// The same of a key whose leaf has a row of `version`: most leaves are as old as their values, and a look is less than a scan.
fn newest_by(read: &impl Read, key: &Hash, version: Version) -> Option<Stored> {
    let stored = value_key(key, version);
    match read.get(TREE_VALUES, &stored) {
        Some(value) => Some((stored, own_value(TREE_VALUES, &value))),
        None => newest_of(read, key),
    }
}

/// The value of a key, by its canonical bytes, under the newest root; `None` for nothing there.
pub(crate) fn newest_value(read: &impl Read, key: &[u8]) -> Option<Vec<u8>> {
    newest_of(read, &trie::hash(key))?.1
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
    let nodes = Nodes { read };
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

/// The tree's nodes and values in a store, for the crate's proofs.
struct Nodes<'a, R> {
    read: &'a R,
}

impl<R: Read> TreeReader for Nodes<'_, R> {
    fn get_node_option(&self, key: &NodeKey) -> Result<Option<Node>, anyhow::Error> {
        let path: Vec<u8> = key.nibble_path().nibbles().map(u8::from).collect();
        Ok(get_value(self.read, TREE_NODES, &trie::row_key(key.version(), &path)))
    }

    fn get_value_option(&self, version: u64, key: KeyHash) -> Result<Option<Vec<u8>>, anyhow::Error> {
        let newest = self.read.scan(TREE_VALUES, &key.0, &value_key(&key.0, version), 1);
        Ok(newest.first().and_then(|(_, value)| own_value(TREE_VALUES, value)))
    }

    fn get_rightmost_leaf(&self) -> Result<Option<(NodeKey, LeafNode)>, anyhow::Error> {
        Ok(None) // Only a restore asks, and nothing here restores.
    }
}

/// Key hash, then version: all values of one key together, the newest first.
fn value_key(key: &Hash, version: Version) -> Vec<u8> {
    [&key[..], &(!version).to_be_bytes()].concat()
}

#[allow(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
fn corrupt(error: anyhow::Error) -> StateTreeError {
    StateTreeError::Corrupt { reason: format!("{error:#}") }
}

#[cfg(test)]
mod tests;
