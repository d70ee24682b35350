//! Versions of the tree, put one after the other, beside what the crate makes of them.

use super::*;
use jmt::storage::TreeUpdateBatch;
use primitives::{Memory, Write};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A version's changes of keys below `keys_count`, each to a value or to nothing.
fn version(keys_count: u16, changes_count: usize) -> impl Strategy<Value = Vec<(u16, Option<u8>)>> {
    proptest::collection::vec((0..keys_count, proptest::option::weighted(0.8, any::<u8>())), 0..changes_count)
}

/// Versions of few keys that meet often, and of so many that the tree is four levels deep.
fn versions() -> impl Strategy<Value = Vec<BlockChanges>> {
    let few = proptest::collection::vec(version(16, 12), 1..12);
    let many = proptest::collection::vec(version(4096, 400), 1..6);
    prop_oneof![3 => few, 1 => many].prop_map(|versions| versions.iter().map(|version| changes(version)).collect())
}

fn changes(version: &[(u16, Option<u8>)]) -> BlockChanges {
    let last: BTreeMap<u16, Option<u8>> = version.iter().copied().collect();
    let value = |value: Option<u8>| vec![ValueAt { slot: Slot(1), value: value.map(|byte| vec![byte]) }];
    last.into_iter().map(|(key, byte)| (key.to_be_bytes().to_vec(), value(byte))).collect()
}

/// Whether a version knows the nodes of the one before it.
#[derive(Clone, Copy)]
enum Remembers {
    All,
    None,
}

/// Puts one version more over `store`.
fn put(store: &mut Memory, height: Height, changes: &BlockChanges, known: KnownNodes) -> (Digest, KnownNodes) {
    let mut staged = Staged::new(&*store);
    let next = Next::after(&staged, height, changes.clone(), known).unwrap();
    let found = changes.iter().map(|(key, _)| newest_value(&staged, key)).collect::<Vec<_>>();
    let before = next.before.iter().map(|stored| stored.as_ref().and_then(|(_, value)| value.clone()));
    assert_eq!(before.collect::<Vec<_>>(), found, "what the tree says is what stands");
    let put = next.put(&mut staged);
    let writes = staged.into_writes();
    store.commit(&writes);
    put
}

/// The store that `versions` leave, put one after the other.
fn grown(versions: &[BlockChanges], remembers: Remembers) -> (Memory, Digest) {
    let (mut store, mut root, mut known) = (Memory::default(), None, KnownNodes::default());
    for (height, changes) in (0..).map(Height).zip(versions) {
        let before = match remembers {
            Remembers::All => known,
            Remembers::None => KnownNodes::default(),
        };
        let put = put(&mut store, height, changes, before);
        (root, known) = (Some(put.0), put.1);
    }
    (store, root.unwrap())
}

fn root(versions: &[BlockChanges]) -> Digest {
    grown(versions, Remembers::All).1
}

/// A version as the crate makes it: its root, its nodes by the keys they are stored under, and the keys of those it does without.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    root: Digest,
    nodes: BTreeMap<Vec<u8>, Vec<u8>>,
    stale: BTreeSet<Vec<u8>>,
}

/// A store to the crate, to which each version follows the one numbered before it.
struct Before<'a> {
    store: &'a Memory,
    from: Option<Height>,
}

impl TreeReader for Before<'_> {
    fn get_node_option(&self, key: &NodeKey) -> Result<Option<Node>, anyhow::Error> {
        let from = self.from.filter(|_| key.nibble_path().is_empty());
        let version = from.map_or(key.version(), |from| from.0);
        Nodes { read: self.store }.get_node_option(&NodeKey::new(version, key.nibble_path().clone()))
    }

    fn get_value_option(&self, version: u64, key: KeyHash) -> Result<Option<Vec<u8>>, anyhow::Error> {
        Nodes { read: self.store }.get_value_option(version, key)
    }

    fn get_rightmost_leaf(&self) -> Result<Option<(NodeKey, LeafNode)>, anyhow::Error> {
        Ok(None)
    }
}

fn stored_key(key: &NodeKey) -> Vec<u8> {
    trie::row_key(key.version(), &key.nibble_path().nibbles().map(u8::from).collect::<Vec<_>>())
}

/// What the crate makes of `changes`, one by one.
fn by_the_crate(store: &Memory, from: Option<Height>, height: Height, changes: &BlockChanges) -> Made {
    let reader = Before { store, from };
    let values = changes.iter().map(|(key, values)| (KeyHash::with::<Blake3>(key), last(values.clone())));
    // What goes goes last: then no leaf is pulled up that is pushed down again.
    let (mut puts, gone): (Vec<_>, Vec<_>) = values.partition(|(_, value)| value.is_some());
    puts.extend(gone);
    let tree = JellyfishMerkleTree::<_, Blake3>::new(&reader);
    let (root, batch): (_, TreeUpdateBatch) = tree.put_value_set(puts, height.0).unwrap();
    let nodes = batch.node_batch.nodes().iter().map(|(key, node)| (stored_key(key), primitives::encode(node)));
    let mut nodes: BTreeMap<_, _> = nodes.collect();
    // A tree that loses its last value, and then what it does not have, is left without a node by the crate.
    nodes.entry(trie::row_key(height.0, &[])).or_insert_with(|| primitives::encode(&Node::Null));
    let stale = batch.stale_node_index_batch.iter().map(|stale| stored_key(&stale.node_key));
    // The crate thinks that roots are numbered without gaps, and says nothing of one that it copies.
    let below_the_root = stale.filter(|key| key.len() > 8);
    let stale = below_the_root.chain(from.map(|from| trie::row_key(from.0, &[]))).collect();
    Made { root: Digest::new(root.0), nodes, stale }
}

fn all(store: &Memory, space: primitives::Space, from: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    store.scan(space, &[], from, usize::MAX)
}

proptest! {
    #[test]
    fn a_root_is_of_the_state_however_its_versions_were_cut(
        versions in proptest::collection::vec(version(16, 12), 1..8),
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
    fn nodes_known_from_the_version_before_change_nothing_that_is_stored(versions in versions()) {
        let (knowing, fresh) = (grown(&versions, Remembers::All).0, grown(&versions, Remembers::None).0);
        for space in [TREE_NODES, TREE_ROOTS, TREE_STALE, TREE_VALUES] {
            prop_assert_eq!(all(&knowing, space, &[]), all(&fresh, space, &[]));
        }
    }

    #[test]
    fn a_version_has_the_root_and_the_rows_that_the_crate_makes(versions in versions()) {
        let (mut store, mut from, mut known) = (Memory::default(), None, KnownNodes::default());
        for (height, changes) in (0..).step_by(3).map(Height).zip(&versions) {
            let expected = by_the_crate(&store, from, height, changes);
            let root;
            (root, known) = put(&mut store, height, changes, known);
            let key = spaces::height_key(height);
            let stale: Stale = get_value(&store, TREE_STALE, &key).unwrap();
            let nodes = all(&store, TREE_NODES, &key).into_iter().collect();
            prop_assert_eq!(Made { root, nodes, stale: stale.nodes.into_iter().collect() }, expected);
            from = Some(height);
        }
    }

    #[test]
    fn every_key_of_every_version_is_proven_with_the_value_that_it_had_then(versions in versions()) {
        let (mut store, mut known, mut state) = (Memory::default(), KnownNodes::default(), BTreeMap::new());
        let mut states = Vec::new();
        for (height, changes) in (0..).map(Height).zip(&versions) {
            let root;
            (root, known) = put(&mut store, height, changes, known);
            state.extend(changes.iter().map(|(key, values)| (key.clone(), last(values.clone()))));
            states.push((height, root, state.clone()));
        }
        for (height, root, state) in states {
            for (key, value) in state {
                let nodes = Nodes { read: &store };
                let tree = JellyfishMerkleTree::<_, Blake3>::new(&nodes);
                let (shown, proof) = tree.get_with_proof(KeyHash::with::<Blake3>(&key), height.0).unwrap();
                prop_assert_eq!(&shown, &value);
                proof.verify(RootHash(*root.as_bytes()), KeyHash::with::<Blake3>(&key), shown).unwrap();
            }
        }
    }
}

#[test]
fn nodes_of_another_version_are_not_gone_on_from() {
    let first = vec![changes(&[(1, Some(1)), (2, Some(2))])];
    let (mut store, _) = grown(&first, Remembers::All);
    let (mut other, _) = grown(&[changes(&[(1, Some(1)), (3, Some(3))])], Remembers::All);
    let (_, of_another) = put(&mut other, Height(1), &changes(&[(4, Some(4))]), KnownNodes::default());
    let next = changes(&[(5, Some(5))]);
    let (root, _) = put(&mut store, Height(1), &next, of_another);
    assert_eq!(root, self::root(&[first[0].clone(), next]));
}

#[test]
fn a_tree_that_has_lost_a_node_says_so() {
    let (mut store, _) = grown(&[changes(&[(1, Some(1)), (2, Some(2))])], Remembers::None);
    store.commit(&[Write::delete(TREE_NODES, trie::row_key(0, &[]))]);
    let next = Next::after(&store, Height(1), changes(&[(1, Some(2))]), KnownNodes::default());
    assert!(matches!(next.unwrap_err(), StateTreeError::Corrupt { .. }));
}
