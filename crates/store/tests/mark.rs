//! A copy of a store's folder is no backup: its mark, outside the folder, knows what was signed since (R14).
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use dovetail_store::{
    Count, Found, Identity, MARK_LATE_BATCHES_MAX, Mark, Marking, Reader, Store, StoreError, mark_beside,
};
use fixture::{A, B, SETTINGS, batch, crash_image, identity};
use primitives::{Read, Write};
use std::fs;
use std::path::{Path, PathBuf};

/// A store of `batch` batches counts them in tens.
const COUNT: Count = Count {
    of_store: |reader: &Reader| reader.scan(A, &[], &[], 1_000).len() as u64 * 10,
    of_batch: |writes| match writes.first() {
        Some(Write::Put { key, .. }) => Some(u64::from_be_bytes(key.as_slice().try_into().ok()?) * 10),
        _ => None,
    },
};

fn open_as(path: &Path, identity: &Identity) -> Result<(Store, Mark), StoreError> {
    let marking = Marking { path: mark_beside(path), count: COUNT };
    Store::open_marked(path, marking, &[A, B], identity, SETTINGS)
}

fn open(path: &Path) -> Result<(Store, Mark), StoreError> {
    open_as(path, &identity())
}

/// A store with batches up to the `last`-th, closed again, and its mark set.
fn go_on(path: &Path, last: u64) {
    let (mut store, mark) = open(path).unwrap();
    for number in store.sequence() + 1..=last {
        store.commit(&batch(number)).unwrap();
    }
    mark.set().unwrap();
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    (folder, path)
}

#[test]
fn a_copy_of_the_folder_put_back_is_refused_and_the_right_one_opens() {
    let (folder, path) = folder();
    go_on(&path, 3);
    let (copy, newest) = (folder.path().join("copy"), folder.path().join("newest"));
    crash_image(&path, &copy);
    go_on(&path, 7);
    fs::rename(&path, &newest).unwrap();
    crash_image(&copy, &path);
    let refusal = open(&path).unwrap_err();
    assert!(
        matches!(refusal, StoreError::BehindMark { store: 30, batch: 3, marked: 70, batch_marked: 7, .. }),
        "{refusal}"
    );
    assert!(refusal.to_string().contains("ends at block 30") && refusal.to_string().contains("up to block 70"));
    fs::remove_dir_all(&path).unwrap();
    fs::rename(&newest, &path).unwrap();
    assert!(open(&path).unwrap().1.is_set());
}

#[test]
fn an_empty_folder_in_place_of_a_store_that_signed_is_refused() {
    let (_folder, path) = folder();
    go_on(&path, 3);
    fs::remove_dir_all(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::BehindMark { store: 0, marked: 30, .. })));
}

#[test]
fn a_copy_that_ran_on_by_itself_is_refused() {
    let (folder, path) = folder();
    go_on(&path, 3);
    let copy = folder.path().join("copy");
    crash_image(&path, &copy);
    go_on(&path, 4);
    fs::remove_dir_all(&path).unwrap();
    fs::rename(&copy, &path).unwrap();
    let mut store = Store::open(&path, &[A, B], &identity(), SETTINGS).unwrap();
    store.commit(&batch(9)).unwrap();
    drop(store);
    assert!(matches!(open(&path), Err(StoreError::OtherMark { .. })));
}

#[test]
fn the_mark_of_another_key_is_refused() {
    let (_folder, path) = folder();
    go_on(&path, 3);
    fs::remove_dir_all(&path).unwrap();
    let other = Identity { key: Some([8; 32]), ..identity() };
    assert!(matches!(open_as(&path, &other), Err(StoreError::OtherMark { .. })));
}

#[test]
fn a_store_without_a_mark_opens_and_says_so() {
    let (_folder, path) = folder();
    let (mut store, mark) = open(&path).unwrap();
    store.commit(&batch(1)).unwrap();
    assert!(!mark.is_set());
    drop(store);
    let (_, mark) = open(&path).unwrap();
    assert!(!mark.is_set(), "only its owner sets it");
    fs::write(mark_beside(&path), b"torn").unwrap();
    drop(mark);
    assert!(!open(&path).unwrap().1.is_set(), "a mark that nobody can read is none");
}

#[test]
fn what_there_was_of_the_mark_is_told() {
    let (folder, path) = folder();
    let found = || open(&path).unwrap().1.found();
    assert_eq!(found(), Found::New);
    go_on(&path, 3);
    assert_eq!(found(), Found::Agrees);
    let mark = folder.path().join("mark");
    fs::copy(mark_beside(&path), &mark).unwrap();
    go_on(&path, 5);
    fs::copy(&mark, mark_beside(&path)).unwrap();
    assert_eq!(found(), Found::Late { batches: 2 });
    go_on(&path, 4 + MARK_LATE_BATCHES_MAX);
    fs::copy(&mark, mark_beside(&path)).unwrap();
    assert_eq!(found(), Found::Old { batches: 1 + MARK_LATE_BATCHES_MAX });
    fs::write(mark_beside(&path), b"").unwrap();
    assert_eq!(found(), Found::Unreadable);
    fs::remove_file(mark_beside(&path)).unwrap();
    assert_eq!(found(), Found::Missing);
}

#[test]
fn a_store_that_is_ahead_of_its_mark_opens() {
    let (folder, path) = folder();
    go_on(&path, 3);
    let mark = folder.path().join("mark");
    fs::copy(mark_beside(&path), &mark).unwrap();
    go_on(&path, 5);
    // Power failed before the mark was synced.
    fs::copy(&mark, mark_beside(&path)).unwrap();
    assert!(open(&path).unwrap().1.is_set());
}
