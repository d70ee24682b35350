//! What a store gives back, and that a store in memory gives the same.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use fixture::{A, B, open};
use primitives::{Memory, Read, Space, Write};
use proptest::prelude::*;

#[test]
fn the_later_of_two_writes_to_one_key_wins() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[Write::put(A, *b"k", *b"1"), Write::put(A, *b"k", *b"2"), Write::put(A, *b"l", *b"1")]).unwrap();
    store.commit(&[Write::delete(A, *b"k"), Write::put(A, *b"k", *b"3"), Write::delete(A, *b"l")]).unwrap();
    assert_eq!(store.reader().get(A, b"k"), Some(b"3".to_vec()));
    assert_eq!(store.reader().get(A, b"l"), None);
}

#[test]
fn an_empty_batch_takes_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).unwrap();
    assert_eq!(store.commit(&[]).unwrap(), 0);
    assert_eq!(store.commit(&[Write::put(A, *b"k", *b"v")]).unwrap(), 1);
}

#[test]
fn a_snapshot_sees_all_of_a_batch_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[Write::put(A, *b"k", *b"1"), Write::put(B, *b"k", *b"1")]).unwrap();
    let reader = store.reader();
    let snapshot = reader.snapshot();
    store.commit(&[Write::put(A, *b"k", *b"2"), Write::delete(B, *b"k")]).unwrap();
    assert_eq!((snapshot.get(A, b"k"), snapshot.get(B, b"k")), (Some(b"1".to_vec()), Some(b"1".to_vec())));
    assert_eq!(snapshot.scan(B, b"", b"", 9).len(), 1);
    assert_eq!((reader.get(A, b"k"), reader.get(B, b"k")), (Some(b"2".to_vec()), None));
    assert_eq!(snapshot.fault(), None);
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, 254, 255]), 0..4)
}

fn write() -> impl Strategy<Value = Write> {
    let space = || prop::sample::select(vec![A, B]);
    prop_oneof![
        (space(), key(), any::<[u8; 2]>()).prop_map(|(space, key, value)| Write::put(space, key, value)),
        (space(), key()).prop_map(|(space, key)| Write::delete(space, key)),
    ]
}

fn same_reads(one: &impl Read, other: &impl Read, space: Space, keys: &[(Vec<u8>, Vec<u8>, usize)]) {
    for (prefix, from, count_max) in keys {
        assert_eq!(one.get(space, prefix), other.get(space, prefix));
        let entries = one.scan(space, prefix, from, *count_max);
        assert_eq!(entries, other.scan(space, prefix, from, *count_max));
        assert!(entries.len() <= *count_max && entries.is_sorted());
        assert!(entries.iter().all(|(key, _)| key.starts_with(prefix) && key >= from));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_disk_read_alike(
        batches in prop::collection::vec(prop::collection::vec(write(), 0..12), 1..6),
        keys in prop::collection::vec((key(), key(), 0_usize..6), 24),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path()).unwrap();
        let mut memory = Memory::new();
        for batch in &batches {
            store.commit(batch).unwrap();
            memory.commit(batch);
        }
        for space in [A, B] {
            same_reads(&store.reader(), &memory, space, &keys);
            same_reads(&store.reader().snapshot(), &memory, space, &keys);
        }
    }
}
