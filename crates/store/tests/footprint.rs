//! How much of a disk a store takes.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use dovetail_store::{Settings, Store, StoreError, settled_extents};
use fixture::{batch, identity};
use primitives::{Space, Write};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// As many spaces as a shard has.
const SPACES: [Space; 24] = [
    Space("a"),
    Space("b"),
    Space("c"),
    Space("d"),
    Space("e"),
    Space("f"),
    Space("g"),
    Space("h"),
    Space("i"),
    Space("j"),
    Space("k"),
    Space("l"),
    Space("m"),
    Space("n"),
    Space("o"),
    Space("p"),
    Space("q"),
    Space("r"),
    Space("s"),
    Space("t"),
    Space("u"),
    Space("v"),
    Space("w"),
    Space("x"),
];

/// What a store may take on the disk that holds next to nothing.
const EMPTY_BYTES_MAX: u64 = 16 << 20;

/// What a folder takes on the disk: what is allocated, whatever the files' lengths say.
fn bytes_on_disk(folder: &Path) -> u64 {
    let of_entry = |entry: fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() { bytes_on_disk(&entry.path()) } else { metadata.blocks() * 512 }
    };
    fs::read_dir(folder).unwrap().map(|entry| of_entry(entry.unwrap())).sum()
}

/// Sizes as on a disk of any size that is large enough.
fn open(folder: &Path) -> Store {
    let settings = Settings { bytes_free_min: Some(0), bytes_reserve_max: Some(64 << 20), ..Settings::default() };
    Store::open(folder, &SPACES, &identity(), settings).unwrap()
}

#[test]
fn a_store_with_little_in_it_takes_little_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    for number in 1..=10 {
        store.commit(&batch(number)).unwrap();
        store.room().unwrap();
    }
    let bytes = bytes_on_disk(folder.path());
    assert!(bytes <= EMPTY_BYTES_MAX, "{bytes} bytes while it is open");
    drop(store);
    for _ in 0..3 {
        drop(open(folder.path()));
    }
    let bytes = bytes_on_disk(folder.path());
    assert!(bytes <= EMPTY_BYTES_MAX, "{bytes} bytes after three openings more");
}

#[test]
fn a_store_that_is_written_to_holds_a_reserve_for_what_is_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let reserve = || fs::metadata(folder.path().join("reserve")).unwrap().blocks() * 512;
    let at_first = reserve();
    for number in 0..9_u64 {
        store.commit(&[Write::put(SPACES[0], number.to_be_bytes(), vec![7; 1 << 20])]).unwrap();
    }
    store.room().unwrap();
    assert!(reserve() >= at_first + (9 << 20), "{} bytes, {at_first} at first", reserve());
}

#[test]
fn what_each_space_takes_is_told_of_a_store_that_nobody_has_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    for number in 0..100_u64 {
        store.commit(&[Write::put(SPACES[number as usize % 2], number.to_be_bytes(), vec![7; 1 << 10])]).unwrap();
        store.commit(&[Write::put(SPACES[2], [1], vec![7; 1 << 10])]).unwrap();
    }
    assert!(matches!(settled_extents(folder.path()), Err(StoreError::Held { .. })));
    drop(store);
    let extents = settled_extents(folder.path()).unwrap();
    let rows = |space: &str| extents.get(space).map(|extent| extent.rows);
    assert_eq!((rows("a"), rows("b"), rows("c"), rows("d")), (Some(50), Some(50), Some(1), None));
    assert!(extents["a"].bytes > extents["c"].bytes);
    assert_eq!(open(folder.path()).sequence(), 200, "and it opens as before");
}
