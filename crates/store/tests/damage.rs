//! What a store makes of bytes that are not what was written.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use dovetail_store::StoreError;
use fixture::{A, B, batch, crash_image, filled, log_file, open};
use primitives::Read;
use rocksdb::{ColumnFamilyDescriptor, DB, Options};
use std::fs;
use std::path::Path;

const BATCHES_COUNT: u64 = 40;
const TRIALS_COUNT: usize = 128;

/// Flips bit `bit` of the log of a copy of `from` and gives the copy to `check`.
fn with_flipped_bit<T>(from: &Path, bit: usize, check: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    crash_image(from, folder.path());
    let log = log_file(folder.path());
    let mut bytes = fs::read(&log).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(&log, bytes).unwrap();
    check(folder.path())
}

/// Bits spread over the whole log, first and last byte included.
fn bits(from: &Path) -> impl Iterator<Item = usize> + use<> {
    let last = usize::try_from(fs::metadata(log_file(from)).unwrap().len()).unwrap() * 8 - 1;
    (0..TRIALS_COUNT).map(move |trial| last * trial / (TRIALS_COUNT - 1))
}

#[test]
fn a_flipped_bit_anywhere_in_the_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _store = filled(folder.path(), BATCHES_COUNT);
    for bit in bits(folder.path()) {
        let refusal = with_flipped_bit(folder.path(), bit, |path| open(path).map(|store| store.sequence()));
        assert!(
            matches!(refusal, Err(StoreError::Damaged { .. } | StoreError::Behind { .. })),
            "bit {bit} of the log was taken: {refusal:?}"
        );
    }
}

/// The twin of the test above: RocksDB's default settings lose synced batches on the same bits and say nothing.
#[test]
fn rocksdbs_default_recovery_drops_batches_silently() {
    let folder = tempfile::tempdir().unwrap();
    let _store = filled(folder.path(), BATCHES_COUNT);
    let silent = bits(folder.path()).filter(|bit| {
        with_flipped_bit(folder.path(), *bit, |path| {
            let families =
                ["a", "b", "default", "store"].map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
            DB::open_cf_descriptors(&Options::default(), path.join("db"), families).is_ok_and(|db| {
                let last = db.get_cf(db.cf_handle("a").unwrap(), BATCHES_COUNT.to_be_bytes());
                last.is_ok_and(|value| value.is_none())
            })
        })
    });
    assert!(silent.count() > TRIALS_COUNT / 2);
}

#[test]
fn a_batch_torn_before_its_sync_returned_is_forgotten_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(folder.path(), 3);
    let before = tempfile::tempdir().unwrap();
    crash_image(folder.path(), before.path());
    store.commit(&batch(4)).unwrap();
    let log = fs::read(log_file(folder.path())).unwrap();
    let kept = fs::read(log_file(before.path())).unwrap().len();
    for length in kept + 1..log.len() {
        let torn = tempfile::tempdir().unwrap();
        crash_image(before.path(), torn.path());
        fs::write(log_file(torn.path()), &log[..length]).unwrap();
        let reopened = open(torn.path()).unwrap();
        assert_eq!(reopened.sequence(), 3);
        let reader = reopened.reader();
        assert_eq!((reader.get(A, &4_u64.to_be_bytes()), reader.get(B, &4_u64.to_be_bytes())), (None, None));
    }
}

#[test]
fn a_log_cut_short_after_a_sync_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 4);
    let image = tempfile::tempdir().unwrap();
    crash_image(folder.path(), image.path());
    drop(store);
    let log = log_file(image.path());
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(open(image.path()), Err(StoreError::Behind { store: 3, guard: 4, .. })));
}

#[test]
fn a_damaged_table_is_a_fault_and_never_an_absent_value() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), BATCHES_COUNT));
    // A second opening moves the log into tables.
    drop(open(folder.path()).unwrap());
    let tables = fs::read_dir(folder.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
    let tables: Vec<_> = tables.filter(|path| path.extension().is_some_and(|extension| extension == "sst")).collect();
    assert!(!tables.is_empty());
    for table in tables {
        let mut bytes = fs::read(&table).unwrap();
        bytes[8..40].fill(0x5A);
        fs::write(&table, bytes).unwrap();
    }
    match open(folder.path()) {
        Err(refusal) => assert!(matches!(refusal, StoreError::Damaged { .. } | StoreError::Fault(_)), "{refusal}"),
        Ok(mut store) => {
            assert_eq!(store.reader().get(A, &1_u64.to_be_bytes()), None);
            let fault = store.fault().unwrap();
            assert_eq!(store.commit(&batch(BATCHES_COUNT + 1)), Err(fault));
        }
    }
}
