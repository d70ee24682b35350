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
use alloy_primitives::map::HashMap;
use borsh::{BorshDeserialize, BorshSerialize};
use evm::StateKey;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader, TreeUpdateBatch};
use jmt::{JellyfishMerkleTree, KeyHash, RootHash, SimpleHasher};
use primitives::{Digest, Height, Read, Slot, encode};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
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

/// A version in the making: what blocks changed since the newest one, and what stood there.
#[derive(Debug)]
pub(crate) struct Next {
    /// The newest version so far; none before genesis has one.
    from: Option<Height>,
    /// What changes.
    pub(crate) changes: BlockChanges,
    /// The hash of each key of `changes`.
    hashes: Vec<KeyHash>,
    /// Of each key of `changes`, where its newest value stands, and what it is.
    pub(crate) before: Vec<Option<Stored>>,
    known: KnownNodes,
}

impl Next {
    /// With `changes`, over the newest version in `read`, which is that of `from` and of which some nodes are known.
    ///
    /// Most keys that change are new, and the tree itself says so: only of the others a value is looked for. The nodes on the way to
    /// them are those that the version changes, and are read once for both.
    pub(crate) fn after(read: &impl Read, from: Option<Height>, changes: BlockChanges, known: KnownNodes) -> Self {
        let hashes: Vec<_> = changes.iter().map(|(key, _)| KeyHash::with::<Blake3>(key)).collect();
        let nodes = Nodes { read, root: from.map(|from| root_key(from.0)), known: &known, fresh: None };
        let before = hashes.iter().map(|key| nodes.has_leaf(*key).then(|| newest_of(read, *key)).flatten()).collect();
        Self { from, changes, hashes, before, known }
    }

    /// Adds it as version `height`, that of the last of its blocks; gives its root, and the nodes known of it.
    ///
    /// # Errors
    /// [`StateTreeError::Corrupt`].
    pub(crate) fn put<R: Read>(
        self,
        staged: &mut Staged<'_, R>,
        height: Height,
    ) -> Result<(Digest, KnownNodes), StateTreeError> {
        let Self { from, changes, hashes, before, known } = self;
        let values = changes.into_iter().map(|(_, values)| last(values));
        let hashed: Hashed = hashes.into_iter().zip(values).collect();
        let nodes = Nodes { read: &*staged, root: from.map(|from| root_key(from.0)), known: &known, fresh: None };
        let Growth { root, mut nodes, stale } = put(&nodes, &hashed, height).map_err(corrupt)?;
        // A tree that loses its last value, and then what it does not have, is left without a node by the crate.
        nodes.entry(root_key(height.0)).or_insert(Node::Null);
        let known = known.without(&stale);
        let mut stale = Stale {
            nodes: stale.into_iter().collect(),
            values: before.into_iter().flatten().map(|(stored, _)| stored).collect(),
        };
        // What changes nothing copies the root, and the tree does not say that the earlier one is stale.
        stale.nodes.extend(from.map(|from| root_key(from.0)));
        for (key, node) in nodes {
            staged.put_value(TREE_NODES, key.clone(), &node);
            known.note(key, node);
        }
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
        Ok((root, known))
    }
}

/// What a version changes, by the hash of each key.
type Hashed = BTreeMap<KeyHash, Option<Vec<u8>>>;

/// What a version does to the tree's nodes, by the keys that they are stored under.
struct Growth {
    root: RootHash,
    nodes: BTreeMap<Vec<u8>, Node>,
    /// Those below the root that the version does without.
    stale: BTreeSet<Vec<u8>>,
}

impl Growth {
    fn of(root: RootHash, batch: &TreeUpdateBatch) -> Self {
        let stale = batch.stale_node_index_batch.iter().map(|stale| &stale.node_key).filter(|key| !is_root(key));
        let nodes = batch.node_batch.nodes().iter().map(|(key, node)| (node_key(key), node.clone()));
        Self { root, nodes: nodes.collect(), stale: stale.map(node_key).collect() }
    }

    /// This, and then `next` on top of it, as one.
    fn then(mut self, next: Self) -> Self {
        // A node of this very version is not stored yet: whatever takes its place, it never will be.
        self.stale.extend(next.stale.into_iter().filter(|key| self.nodes.remove(key).is_none()));
        self.nodes.extend(next.nodes);
        Self { root: next.root, ..self }
    }
}

/// Puts a version's values. The crate puts many values together, so that they share their way through the tree, which is most of what
/// they cost; those that go, and those of the first version, it takes one by one.
fn put<R: Read>(nodes: &Nodes<'_, R>, hashed: &Hashed, height: Height) -> Result<Growth, anyhow::Error> {
    let gone: Hashed = hashed.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| (*key, None)).collect();
    if nodes.root.is_none() || gone.len() == hashed.len() {
        return put_singly(nodes, hashed.clone(), height);
    }
    let values = hashed.iter().filter_map(|(key, value)| Some((*key, value.clone()?))).collect();
    if gone.is_empty() {
        return put_together(nodes, values, height);
    }
    // What goes goes last: a tree that is empty for a moment has nothing to go on from.
    let first = put_together(nodes, values, height)?;
    let nodes = Nodes { root: Some(root_key(height.0)), fresh: Some(&first.nodes), ..*nodes };
    let then = put_singly(&nodes, gone, height)?;
    Ok(first.then(then))
}

fn put_singly<R: Read>(nodes: &Nodes<'_, R>, values: Hashed, height: Height) -> Result<Growth, anyhow::Error> {
    let (root, batch) = JellyfishMerkleTree::<_, Blake3>::new(nodes).put_value_set(values, height.0)?;
    Ok(Growth::of(root, &batch))
}

fn put_together<R: Read>(
    nodes: &Nodes<'_, R>,
    values: Vec<(KeyHash, Vec<u8>)>,
    height: Height,
) -> Result<Growth, anyhow::Error> {
    let tree = JellyfishMerkleTree::<_, Blake3>::new(nodes);
    let (roots, batch) = tree.batch_put_value_sets(vec![values], None, height.0)?;
    let root = roots.last().ok_or_else(|| anyhow::anyhow!("a version has no root"))?;
    Ok(Growth::of(*root, &batch))
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

/// What stands of a key under the newest root.
fn newest_of(read: &impl Read, key: KeyHash) -> Option<Stored> {
    let (stored, value) = read.scan(TREE_VALUES, &key.0, &key.0, 1).into_iter().next()?;
    Some((stored, own_value(TREE_VALUES, &value)))
}

/// The value of a key, by its canonical bytes, under the newest root; `None` for nothing there.
pub(crate) fn newest_value(read: &impl Read, key: &[u8]) -> Option<Vec<u8>> {
    newest_of(read, KeyHash::with::<Blake3>(key))?.1
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
    let known = KnownNodes::default();
    let nodes = Nodes { read, root: None, known: &known, fresh: None };
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

/// Nodes of a store by the keys that they are stored under, each read once. A key has a version in it, so what is under it never changes.
#[derive(Debug, Default)]
pub(crate) struct KnownNodes(RefCell<HashMap<Vec<u8>, Option<Node>>>);

impl KnownNodes {
    /// What `see` makes of the node under `key`.
    fn see<T>(&self, read: &impl Read, key: Vec<u8>, see: impl FnOnce(Option<&Node>) -> T) -> T {
        let mut known = self.0.borrow_mut();
        let node = known.entry(key).or_insert_with_key(|key| get_value(read, TREE_NODES, key));
        see(node.as_ref())
    }

    /// What the next version will read most of: the upper nodes, without those that are stale and any root.
    fn without(self, stale: &BTreeSet<Vec<u8>>) -> Self {
        let mut known = self.0.into_inner();
        known.retain(|key, node| node.is_some() && is_upper(key) && !stale.contains(key));
        if known.len() > KNOWN_NODES_COUNT_MAX {
            known.clear(); // Of versions that nobody took over. Costs a read of each that is needed.
        }
        Self(RefCell::new(known))
    }

    /// Notes a node that is about to be stored, if it is an upper one.
    fn note(&self, key: Vec<u8>, node: Node) {
        if is_upper(&key) || key.len() == VERSION_BYTES {
            self.0.borrow_mut().insert(key, Some(node));
        }
    }
}

/// Most nodes that are known from one version to the next, of up to 900 bytes: twice as many as a tree has on the levels that are kept.
const KNOWN_NODES_COUNT_MAX: usize = 2 * (16 + 16 * 16 + 16 * 16 * 16);

/// How many bytes of a node's key are its version; each that follows is a step down from the root.
const VERSION_BYTES: usize = 8;

/// Whether the node under this key is one of the three levels below the root.
fn is_upper(key: &[u8]) -> bool {
    (VERSION_BYTES + 1..=VERSION_BYTES + 3).contains(&key.len())
}

/// The tree's nodes and values in a store.
struct Nodes<'a, R> {
    read: &'a R,
    /// Where the root is, whatever version it is asked for by: to the crate each version follows the one numbered before it.
    root: Option<Vec<u8>>,
    known: &'a KnownNodes,
    /// Nodes of the version in the making.
    fresh: Option<&'a BTreeMap<Vec<u8>, Node>>,
}

/// Where a walk from the root to a key stands.
enum Way {
    /// At an internal node, with the next one under this version.
    On(u64),
    /// At its end: whether that is the key's leaf.
    End(bool),
}

impl<R: Read> Nodes<'_, R> {
    /// Whether the tree under `root` has a leaf of `key`.
    fn has_leaf(&self, key: KeyHash) -> bool {
        let Some(mut stored) = self.root.clone() else { return false };
        let mut path = Vec::with_capacity(2 * key.0.len());
        for nibble in key.0.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]) {
            match self.known.see(self.read, stored, |node| way(node, key, nibble)) {
                Way::End(found) => return found,
                Way::On(version) => {
                    path.push(nibble);
                    stored = [&version.to_be_bytes()[..], &path].concat();
                }
            }
        }
        self.known.see(self.read, stored, |node| matches!(node, Some(Node::Leaf(leaf)) if leaf.key_hash() == key))
    }
}

fn way(node: Option<&Node>, key: KeyHash, nibble: u8) -> Way {
    match node {
        Some(Node::Internal(node)) => {
            let child = node.children_unsorted().find(|(place, _)| u8::from(*place) == nibble);
            child.map_or(Way::End(false), |(_, child)| Way::On(child.version))
        }
        Some(Node::Leaf(leaf)) => Way::End(leaf.key_hash() == key),
        Some(Node::Null) | None => Way::End(false),
    }
}

impl<R: Read> TreeReader for Nodes<'_, R> {
    fn get_node_option(&self, key: &NodeKey) -> Result<Option<Node>, anyhow::Error> {
        let stored = self.root.clone().filter(|_| is_root(key)).unwrap_or_else(|| node_key(key));
        match self.fresh.and_then(|fresh| fresh.get(&stored)) {
            Some(node) => Ok(Some(node.clone())),
            None => self.known.see(self.read, stored, |node| Ok(node.cloned())),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::Memory;
    use proptest::prelude::*;

    /// A version's changes of keys 0 to 15, each to a value or to nothing.
    fn version() -> impl Strategy<Value = Vec<(u8, Option<u8>)>> {
        proptest::collection::vec((0..16_u8, proptest::option::weighted(0.9, any::<u8>())), 0..12)
    }

    fn changes(version: &[(u8, Option<u8>)]) -> BlockChanges {
        let last: BTreeMap<u8, Option<u8>> = version.iter().copied().collect();
        let value = |value: Option<u8>| vec![ValueAt { slot: Slot(1), value: value.map(|byte| vec![byte]) }];
        last.into_iter().map(|(key, byte)| (vec![key], value(byte))).collect()
    }

    /// The store that `versions` leave, put one after the other: each knowing the nodes of the one before it, or none.
    fn grown(versions: &[BlockChanges], knows: bool) -> (Memory, Digest) {
        let (mut store, mut root, mut from, mut remembered) = (Memory::default(), None, None, KnownNodes::default());
        for (height, changes) in (0..).map(Height).zip(versions) {
            let mut staged = Staged::new(&store);
            let next =
                Next::after(&staged, from, changes.clone(), if knows { remembered } else { KnownNodes::default() });
            let found = changes.iter().map(|(key, _)| newest_value(&staged, key)).collect::<Vec<_>>();
            let before = next.before.iter().map(|stored| stored.as_ref().and_then(|(_, value)| value.clone()));
            assert_eq!(before.collect::<Vec<_>>(), found, "what the tree says is what stands");
            let put = next.put(&mut staged, height).unwrap();
            (root, remembered) = (Some(put.0), put.1);
            let writes = staged.into_writes();
            store.commit(&writes);
            from = Some(height);
        }
        (store, root.unwrap())
    }

    fn root(versions: &[BlockChanges]) -> Digest {
        grown(versions, true).1
    }

    proptest! {
        #[test]
        fn a_root_is_of_the_state_however_its_versions_were_cut(
            versions in proptest::collection::vec(version(), 1..8),
        ) {
            let cut: Vec<_> = versions.iter().map(|version| changes(version)).collect();
            let singly: Vec<_> = cut.iter().flatten().map(|change| vec![change.clone()]).collect();
            let mut whole = BTreeMap::new();
            cut.iter().flatten().for_each(|(key, value)| drop(whole.insert(key.clone(), value.clone())));
            let whole: BlockChanges = whole.into_iter().filter(|(_, values)| last(values.clone()).is_some()).collect();
            prop_assume!(!whole.is_empty());
            prop_assert_eq!(root(&cut), root(std::slice::from_ref(&whole)));
            prop_assert_eq!(root(&singly), root(&[whole]));
        }

        #[test]
        fn nodes_known_from_the_version_before_change_nothing_that_is_stored(
            versions in proptest::collection::vec(version(), 1..12),
        ) {
            let versions: Vec<_> = versions.iter().map(|version| changes(version)).collect();
            let (knowing, fresh) = (grown(&versions, true).0, grown(&versions, false).0);
            for space in [TREE_NODES, TREE_ROOTS, TREE_STALE, TREE_VALUES] {
                let all = |store: &Memory| store.scan(space, &[], &[], usize::MAX);
                prop_assert_eq!(all(&knowing), all(&fresh));
            }
        }
    }
}
