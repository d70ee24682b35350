//! The guard: a small file beside the database that says which batch was synced last.
//!
//! ```text
//! batch n synced -> guard says n        opening: the database ends before n? it lost what was promised: refuse.
//! ```
//!
//! It is written after the sync it speaks of, so it is never ahead of what the disk had; it goes to the system at every
//! batch and to the disk at every [`GUARD_SYNC_BATCHES`]th, so after power loss it may be a little behind, and guards a
//! little less. Two slots, written in turn, each with its own checksum: a torn write costs one of them.
//!
//! `mark` keeps a file of the same make outside the store's folder.

use crate::error::End;
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Domain, decode, encode};
use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::LazyLock;

/// How many batches may pass between two syncs of the guard itself.
pub(crate) const GUARD_SYNC_BATCHES: u64 = 64;

/// Where the second slot starts: another sector than the first.
const SLOT_STRIDE_BYTES: u64 = 4096;

/// What follows a note in its slot.
const CHECKSUM_BYTES: usize = 32;

static SLOT: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 store guard"));

/// What such a file says.
pub(crate) trait Note: BorshSerialize + BorshDeserialize + Copy {
    /// Its canonical length: the same for every note of the kind.
    const BYTES: usize;

    /// The batch it speaks of.
    fn sequence(&self) -> u64;
}

impl Note for End {
    const BYTES: usize = 8 + 32;

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// An open guard file, or one of its make.
#[derive(Debug)]
pub(crate) struct Guard<N = End> {
    file: File,
    notes: PhantomData<N>,
}

impl<N: Note> Guard<N> {
    /// Opens the guard at `path`, and what it says; nothing if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Option<(Self, Option<N>)>> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => {
                let guard = Self { file, notes: PhantomData };
                let note = guard.read();
                Ok(Some((guard, note)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the guard at `path` say `note`, on the disk.
    pub(crate) fn create(path: &Path, note: N) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let guard = Self { file, notes: PhantomData };
        guard.write(note)?;
        guard.file.sync_all()?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(guard)
    }

    /// Notes a batch that was synced.
    pub(crate) fn note(&self, note: N) -> io::Result<()> {
        self.write(note)?;
        if note.sequence().is_multiple_of(GUARD_SYNC_BATCHES) { self.sync() } else { Ok(()) }
    }

    /// Brings what was noted to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, note: N) -> io::Result<()> {
        let bytes = encode(&(note, SLOT.hash_of(&note)));
        self.file.write_all_at(&bytes, (note.sequence() % 2) * SLOT_STRIDE_BYTES)
    }

    /// The later of the whole slots.
    fn read(&self) -> Option<N> {
        [0, 1].into_iter().filter_map(|slot| self.read_slot(slot * SLOT_STRIDE_BYTES)).max_by_key(Note::sequence)
    }

    fn read_slot(&self, offset: u64) -> Option<N> {
        let mut bytes = vec![0; N::BYTES + CHECKSUM_BYTES];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        let (note, checksum): (N, Digest) = decode(&bytes, N::BYTES + CHECKSUM_BYTES).ok()?;
        (checksum == SLOT.hash_of(&note)).then_some(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(sequence: u64) -> End {
        End { sequence, digest: SLOT.hash_of(&sequence) }
    }

    #[test]
    fn the_latest_note_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard");
        assert!(Guard::<End>::open(&path).unwrap().is_none());
        let guard = Guard::create(&path, end(0)).unwrap();
        for sequence in 1..=5 {
            guard.note(end(sequence)).unwrap();
        }
        assert_eq!(Guard::<End>::open(&path).unwrap().unwrap().1, Some(end(5)));
    }

    #[test]
    fn a_torn_note_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard");
        let guard = Guard::create(&path, end(0)).unwrap();
        guard.note(end(1)).unwrap();
        guard.file.write_all_at(&[0xFF; 20], SLOT_STRIDE_BYTES + 4).unwrap();
        assert_eq!(Guard::<End>::open(&path).unwrap().unwrap().1, Some(end(0)));
    }
}
