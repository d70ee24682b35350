//! Copies of stores that run, and what is refused of them.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use dovetail_store as store;
use primitives::{Digest, NetworkId, Read, Space, Write};
use std::fs;
use std::path::{Path, PathBuf};
use store::backup::{self, BackupError, Manifest, Subject};
use store::{Identity, Settings, Store};

const SPACE: Space = Space("things");

fn identity(name: &str, network: u64) -> Identity {
    Identity { kind: "executor".to_owned(), network: NetworkId(network), name: name.to_owned(), key: None }
}

fn genesis(text: &str) -> Digest {
    primitives::Domain::new("dovetail v1 test genesis").hash(text.as_bytes())
}

/// A running store with so many batches, and the folder it is in.
fn running(batches: u64) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut store =
        Store::open(&folder.path().join("data"), &[SPACE], &identity("shard 1", 7), Settings::default()).unwrap();
    for batch in 1..=batches {
        put(&mut store, batch);
    }
    (folder, store)
}

fn put(store: &mut Store, batch: u64) {
    let (key, value) = (batch.to_be_bytes().to_vec(), vec![batch as u8; 1000]);
    store.commit(&[Write::Put { space: SPACE, key, value }]).unwrap();
}

/// How many things there are.
fn count(reader: &store::Reader) -> u64 {
    reader.scan(SPACE, &[], &[], usize::MAX).len() as u64
}

fn subject() -> Subject {
    Subject { identity: identity("shard 1", 7), genesis: genesis("first"), count, now_ms: 5 }
}

fn taken(folder: &Path, store: &Store, name: &str) -> Result<(PathBuf, Manifest), BackupError> {
    backup::back_up(&store.reader(), &folder.join("data"), name, subject())
}

fn restored(path: &Path, data: &Path) -> Result<Manifest, BackupError> {
    let manifest = backup::examine(path, data, &identity("shard 1", 7), genesis("first"))?;
    backup::put(path, data, &manifest)?;
    Ok(manifest)
}

#[test]
fn a_copy_of_a_running_store_is_of_one_moment_and_opens() {
    let (folder, mut store) = running(100);
    let (path, manifest) = taken(folder.path(), &store, "first").unwrap();
    put(&mut store, 101);
    assert_eq!((manifest.batch, manifest.count), (100, 100));
    assert!(manifest.bytes() > 0);
    let data = folder.path().join("restored");
    assert_eq!(restored(&path, &data).unwrap(), manifest);
    let opened = Store::open(&data, &[SPACE], &identity("shard 1", 7), Settings::default()).unwrap();
    assert_eq!((opened.sequence(), count(&opened.reader())), (100, 100));
    assert_eq!(count(&store.reader()), 101, "the original goes on");
}

#[test]
fn a_copy_is_taken_while_batches_are_written() {
    let (folder, mut store) = running(10);
    let reader = store.reader();
    let data = folder.path().join("data");
    let copying = std::thread::spawn(move || {
        (0..5)
            .map(|number| backup::back_up(&reader, &data, &format!("copy-{number}"), subject()).unwrap())
            .collect::<Vec<_>>()
    });
    let mut batch = 10;
    while !copying.is_finished() {
        batch += 1;
        put(&mut store, batch);
    }
    for (number, (path, manifest)) in copying.join().unwrap().into_iter().enumerate() {
        assert_eq!(manifest.batch, manifest.count, "each batch has one thing");
        let data = folder.path().join(format!("restored-{number}"));
        restored(&path, &data).unwrap();
        let opened = Store::open(&data, &[SPACE], &identity("shard 1", 7), Settings::default()).unwrap();
        assert_eq!((opened.sequence(), count(&opened.reader())), (manifest.batch, manifest.count));
    }
}

#[test]
fn half_a_copy_is_told_by_the_file_that_is_missing_short_or_changed() {
    let (folder, store) = running(100);
    let (path, _) = taken(folder.path(), &store, "first").unwrap();
    let data = folder.path().join("restored");
    let table = fs::read_dir(path.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let table = table.filter(|path| path.extension().is_some_and(|extension| extension == "sst")).max().unwrap();
    let bytes = fs::read(&table).unwrap();
    let refused = || match restored(&path, &data).unwrap_err() {
        BackupError::Damaged { file, reason, .. } => {
            assert!(table.ends_with(file.strip_prefix("db/").unwrap()));
            reason
        }
        other => panic!("{other}"),
    };
    // Its files may be links to those of the store that runs: what is changed is another file in its place.
    fs::remove_file(&table).unwrap();
    assert!(refused().contains("is not there"));
    fs::write(&table, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused().contains("bytes instead of"));
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    fs::write(&table, &changed).unwrap();
    assert!(refused().contains("was changed"));
    fs::write(&table, &bytes).unwrap();
    fs::remove_file(path.join("manifest")).unwrap();
    assert!(matches!(restored(&path, &data), Err(BackupError::NoManifest { .. })));
    assert!(!data.exists(), "nothing was written");
}

#[test]
fn a_copy_of_another_shard_network_or_genesis_is_refused_by_both_names() {
    let (folder, store) = running(3);
    let (path, _) = taken(folder.path(), &store, "first").unwrap();
    let data = folder.path().join("restored");
    for (other, named) in [(identity("shard 2", 7), "shard 2"), (identity("shard 1", 8), "network 8")] {
        let refusal = backup::examine(&path, &data, &other, genesis("first")).unwrap_err();
        assert!(matches!(refusal, BackupError::OtherIdentity { .. }));
        assert!(
            refusal.to_string().contains("shard 1 of network 7") && refusal.to_string().contains(named),
            "{refusal}"
        );
    }
    let refusal = backup::examine(&path, &data, &identity("shard 1", 7), genesis("second")).unwrap_err();
    assert!(matches!(refusal, BackupError::OtherGenesis { .. }), "{refusal}");
}

#[test]
fn a_copy_is_never_put_over_a_store_nor_over_another_copy() {
    let (folder, store) = running(3);
    let (path, _) = taken(folder.path(), &store, "first").unwrap();
    assert!(matches!(taken(folder.path(), &store, "first"), Err(BackupError::Exists { .. })));
    assert!(matches!(restored(&path, &folder.path().join("data")), Err(BackupError::Occupied { .. })));
    for name in ["", "..", ".hidden", "-x", "a/b", "ä", &"x".repeat(65)] {
        assert!(matches!(taken(folder.path(), &store, name), Err(BackupError::Name { .. })), "{name:?}");
    }
}
