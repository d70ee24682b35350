//! The time before which this shard has said that no block of it will be, kept beside the store so that no restart takes it
//! back.
//!
//! ```text
//! attest: machine says t --> 16 bytes over the old ones, not synced --> t is told
//! start:  the clock goes on from the later of this and the newest block's time
//! ```
//!
//! Promise: after a kill no block has a time before one that was told, even if the machine's clock was set back
//! meanwhile: what a process has written outlives it. After a loss of power the last seconds of this file may be gone; then it
//! is the machine's clock that has to be past them, and it is unless it was set back by more than the outage was long. What
//! that would cost is a network block that changes after it was shown, never a vote or a lock.
//!
//! Why not in the store: a promise of every reader of an idle shard would be a synced batch.

use primitives::Time;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use wire::{Reason, Rejection};

/// The file's name in the data folder.
const NAME: &str = "attested";

/// A time and its complement: bytes that are not both are taken for none.
const RECORD_BYTES: usize = 16;

/// The file cannot be opened or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {path}: {source}")]
pub struct FloorError {
    /// Which file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// The newest such time on the disk.
#[derive(Debug)]
pub(crate) struct Floor {
    file: File,
    noted: Mutex<Time>,
}

impl Floor {
    /// The file in the folder `data`, made if there is none, and what it says.
    pub(crate) fn open(data: &Path) -> Result<(Self, Time), FloorError> {
        let path = data.join(NAME);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let read = opened.and_then(|file| read(&file).map(|time| (file, time)));
        let (file, time) = read.map_err(|source| FloorError { path, source })?;
        Ok((Self { file, noted: Mutex::new(time) }, time))
    }

    /// Keeps `time`, unless a later one is kept: one write into the page cache.
    ///
    /// # Errors
    /// [`Reason::StoreFailed`]: then it may not be told.
    pub(crate) fn note(&self, time: Time) -> Result<(), Rejection> {
        // A panic while it was held left a time that is on the disk or not told.
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if time <= *noted {
            return Ok(());
        }
        let failed = |error: io::Error| Rejection::new(Reason::StoreFailed, format!("cannot note a time: {error}"));
        self.file.write_all_at(&record(time), 0).map_err(failed)?;
        *noted = time;
        Ok(())
    }
}

fn record(time: Time) -> [u8; RECORD_BYTES] {
    (u128::from(time.0) << 64 | u128::from(!time.0)).to_be_bytes()
}

/// What `file` says; zero where it says nothing, or half of something.
fn read(file: &File) -> io::Result<Time> {
    let mut bytes = [0; RECORD_BYTES];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Time(0)),
        Err(error) => return Err(error),
    }
    let number = u128::from_be_bytes(bytes);
    let time = Time(u64::try_from(number >> 64).unwrap_or_default());
    Ok(if record(time) == bytes { time } else { Time(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_attested_is_known_after_a_kill() {
        let data = tempfile::tempdir().unwrap();
        let (floor, at_first) = Floor::open(data.path()).unwrap();
        assert_eq!(at_first, Time(0));
        floor.note(Time(7_000)).unwrap();
        floor.note(Time(6_000)).unwrap(); // An answer that overtook a later one.
        drop(floor); // Nothing was synced or closed in order.
        assert_eq!(Floor::open(data.path()).unwrap().1, Time(7_000));
    }

    #[test]
    fn half_a_record_is_none() {
        let data = tempfile::tempdir().unwrap();
        let (floor, _) = Floor::open(data.path()).unwrap();
        floor.note(Time(7_000)).unwrap();
        floor.file.write_all_at(&[0xff; 8], 0).unwrap();
        assert_eq!(Floor::open(data.path()).unwrap().1, Time(0));
    }
}
