//! Who may open a store.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use dovetail_store::{Durability, FORMAT, Fault, Identity, Settings, Store, StoreError};
use fixture::{A, B, SETTINGS, batch, filled, identity, open};
use primitives::{Read, Space};
use rocksdb::{ColumnFamilyDescriptor, DB, Options};
use std::fs;
use std::path::Path;

#[test]
fn a_store_keeps_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 3));
    let store = open(folder.path()).unwrap();
    assert_eq!(store.sequence(), 3);
    assert_eq!(store.reader().get(A, &2_u64.to_be_bytes()), Some(vec![2; 120]));
}

#[test]
fn a_second_opening_is_refused_while_the_first_lives() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let refusal = open(folder.path()).unwrap_err();
    assert!(matches!(&refusal, StoreError::Held { path, owner }
        if path == folder.path() && *owner == format!("process {}", std::process::id())));
    assert!(refusal.to_string().contains("stop it"));
    drop(store);
    open(folder.path()).unwrap();
}

#[test]
fn a_reader_holds_the_store_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let reader = store.reader();
    drop(store);
    assert!(matches!(open(folder.path()), Err(StoreError::Held { .. })));
    drop(reader);
    open(folder.path()).unwrap();
}

#[test]
fn a_store_of_another_key_shard_network_or_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 2));
    let others = [
        Identity { key: Some([8; 32]), ..identity() },
        Identity { key: None, ..identity() },
        Identity { name: "shard 4".into(), ..identity() },
        Identity { network: primitives::NetworkId(8), ..identity() },
        Identity { kind: "relay".into(), ..identity() },
    ];
    for other in others {
        let refusal = Store::open(folder.path(), &[A, B], &other, SETTINGS).unwrap_err();
        assert!(matches!(&refusal, StoreError::OtherIdentity { expected, found, .. }
            if **expected == other && **found == identity()));
    }
    assert_eq!(open(folder.path()).unwrap().sequence(), 2);
}

#[test]
fn a_store_of_a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 2));
    raw_put(folder.path(), b"format", &(FORMAT + 1).to_le_bytes());
    let refusal = open(folder.path()).unwrap_err();
    assert!(matches!(refusal, StoreError::NewerFormat { found, known, .. } if found == FORMAT + 1 && known == FORMAT));
    assert!(refusal.to_string().contains("run the version that wrote it"));
}

#[test]
fn a_store_with_a_space_more_than_before_opens() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 1));
    let c = Space("c");
    drop(Store::open(folder.path(), &[A, B, c], &identity(), SETTINGS).unwrap());
    assert_eq!(open(folder.path()).unwrap().sequence(), 1);
}

#[test]
fn a_space_named_twice_or_taken_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for spaces in [&[A, A][..], &[Space("store")], &[Space("default")]] {
        let refusal = Store::open(folder.path(), spaces, &identity(), SETTINGS);
        assert!(matches!(refusal, Err(StoreError::Spaces { .. })));
    }
}

#[test]
fn a_missing_link_in_the_middle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 5));
    raw_delete(folder.path(), &[b"link/", 3_u64.to_be_bytes().as_slice()].concat());
    assert!(matches!(open(folder.path()), Err(StoreError::Damaged { .. })));
}

#[test]
fn links_that_fall_off_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { durability: Durability::Buffered, ..SETTINGS };
    let mut store = Store::open(folder.path(), &[A, B], &identity(), settings).unwrap();
    for number in 1..=600 {
        store.commit(&batch(number)).unwrap();
    }
    store.sync().unwrap();
    drop(store);
    assert_eq!(open(folder.path()).unwrap().sequence(), 600);
}

#[test]
fn a_store_whose_guard_is_missing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 2));
    fs::remove_file(folder.path().join("guard")).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_store_whose_database_is_missing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 2));
    fs::remove_dir_all(folder.path().join("db")).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::Behind { store: 0, guard: 2, .. })));
}

#[test]
fn an_older_copy_of_the_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 2));
    let old = tempfile::tempdir().unwrap();
    fixture::crash_image(&folder.path().join("db"), &old.path().join("db"));
    let mut store = open(folder.path()).unwrap();
    store.commit(&batch(3)).unwrap();
    drop(store);
    fs::remove_dir_all(folder.path().join("db")).unwrap();
    fixture::crash_image(&old.path().join("db"), &folder.path().join("db"));
    assert!(matches!(open(folder.path()), Err(StoreError::Behind { store: 2, guard: 3, .. })));
}

#[test]
fn the_database_of_another_run_is_refused() {
    let [one, two] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    drop(filled(one.path(), 2));
    let mut store = open(two.path()).unwrap();
    store.commit(&batch(8)).unwrap();
    store.commit(&batch(9)).unwrap();
    drop(store);
    fs::copy(one.path().join("guard"), two.path().join("guard")).unwrap();
    assert!(matches!(open(two.path()), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_full_disk_refuses_new_work_and_takes_decisions() {
    let folder = tempfile::tempdir().unwrap();
    let full = Settings { bytes_free_min: Some(u64::MAX), bytes_reserve_max: Some(4096), ..SETTINGS };
    let mut store = Store::open(folder.path(), &[A, B], &identity(), full).unwrap();
    let refusal = store.admit().unwrap_err();
    assert!(matches!(refusal, StoreError::Full { bytes_free_min: u64::MAX, .. }));
    assert!(refusal.to_string().contains("free some space"));
    assert_eq!(store.commit(&batch(1)).unwrap(), 1);
}

#[test]
fn a_disk_with_room_admits_new_work() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().admit().unwrap();
}

#[test]
fn a_fault_is_for_ever_and_for_all_readers() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(folder.path(), 1);
    let reader = store.reader();
    assert_eq!(reader.get(Space("nowhere"), b"k"), None);
    let fault: Fault = store.fault().unwrap();
    assert_eq!(reader.fault(), Some(fault.clone()));
    assert_eq!(store.commit(&batch(2)), Err(fault.clone()));
    assert_eq!(store.sync(), Err(fault));
}

fn raw(path: &Path) -> DB {
    let families = ["a", "b", "default", "store"].map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
    DB::open_cf_descriptors(&Options::default(), path.join("db"), families).unwrap()
}

fn raw_put(path: &Path, key: &[u8], value: &[u8]) {
    let db = raw(path);
    db.put_cf(db.cf_handle("store").unwrap(), key, value).unwrap();
}

fn raw_delete(path: &Path, key: &[u8]) {
    let db = raw(path);
    db.delete_cf(db.cf_handle("store").unwrap(), key).unwrap();
}
