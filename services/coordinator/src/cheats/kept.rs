//! What is kept of a test suite's time over a restart: the legs of contracts' time, how far it is ahead, and whether the shards
//! were just going back.
//!
//! ```text
//!   travels:  [length, change] [length, change] …      a change: so many legs stay, these follow, and what else is so now
//! ```
//!
//! Promise: what is read is what was written last, whole. A suite's every transaction has a leg, so what is written is what changed;
//! a start writes the file anew, as one change, beside itself and moved over itself. Not synced: who loses power loses a test run,
//! and a last change that is not whole is left out.

use borsh::{BorshDeserialize, BorshSerialize};
use evm::{Leg, Travels};
use primitives::{Slot, encode};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file's name in the data folder.
const NAME: &str = "travels";

/// Bytes of a change's length, little-endian.
const LENGTH_BYTES: usize = 4;

/// The file of a network with cheats cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}", path = path.display())]
pub struct KeptError {
    path: PathBuf,
    source: io::Error,
}

/// What the file comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Known {
    legs: Vec<Leg>,
    /// How far contracts' time is ahead of the host's clock, in milliseconds.
    pub(super) shift_ms: i64,
    reverting: Option<Slot>,
}

/// What one write adds to the file.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
struct Change {
    /// How many of the legs before it stay.
    stay_count: u64,
    follow: Vec<Leg>,
    shift_ms: i64,
    reverting: Option<Slot>,
}

impl Known {
    pub(super) fn travels(&self) -> Travels {
        Travels::new(self.legs.clone())
    }

    /// What `bytes` come to.
    fn of(bytes: &[u8]) -> io::Result<Self> {
        let (mut known, mut rest) = (Self::default(), bytes);
        while let Some((length, after)) = rest.split_first_chunk::<LENGTH_BYTES>() {
            let Some((change, after)) = after.split_at_checked(u32::from_le_bytes(*length) as usize) else { break };
            known.change(borsh::from_slice(change)?);
            rest = after;
        }
        Ok(known)
    }

    fn change(&mut self, change: Change) {
        self.legs.truncate(usize::try_from(change.stay_count).unwrap_or(usize::MAX));
        self.legs.extend(change.follow);
        (self.shift_ms, self.reverting) = (change.shift_ms, change.reverting);
    }

    /// What makes it of one with these legs.
    fn since(&self, legs: &[Leg]) -> Change {
        let stay = self.legs.iter().zip(legs).take_while(|(one, other)| one == other).count();
        let (shift_ms, reverting) = (self.shift_ms, self.reverting);
        Change { stay_count: stay as u64, follow: self.legs[stay..].to_vec(), shift_ms, reverting }
    }
}

impl Change {
    fn framed(&self) -> Vec<u8> {
        let change = encode(self);
        let length = u32::try_from(change.len()).unwrap_or(u32::MAX);
        [&length.to_le_bytes()[..], &change].concat()
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Kept {
    written: Mutex<Written>,
    reverting: Option<Slot>,
}

/// The file, open at its end, and what it comes to.
#[derive(Debug)]
struct Written {
    file: File,
    known: Known,
}

impl Kept {
    /// The file in the folder `data`, and what it says; nothing where there is none.
    pub(super) fn open(data: &Path) -> Result<(Self, Known), KeptError> {
        let path = data.join(NAME);
        match read(&path).and_then(|known| Ok((begin(&path, &known)?, known))) {
            Ok((file, known)) => {
                let written = Mutex::new(Written { file, known: known.clone() });
                Ok((Self { written, reverting: known.reverting }, known))
            }
            Err(source) => Err(KeptError { path, source }),
        }
    }

    /// The slot that the shards were going back to when this was opened, if they were.
    pub(super) fn reverting(&self) -> Option<Slot> {
        self.reverting
    }

    /// Keeps this instead of what was kept.
    pub(super) fn write(&self, travels: &Travels, shift_ms: i64, reverting: Option<Slot>) -> io::Result<()> {
        let known = Known { legs: travels.legs().to_vec(), shift_ms, reverting };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.known != known {
            let change = known.since(&written.known.legs).framed();
            written.append(&change)?;
            written.known = known;
        }
        Ok(())
    }
}

impl Written {
    /// Adds all of it, or nothing.
    fn append(&mut self, change: &[u8]) -> io::Result<()> {
        let before = self.file.metadata()?.len();
        self.file.write_all(change).or_else(|error| self.file.set_len(before).and(Err(error)))
    }
}

fn read(path: &Path) -> io::Result<Known> {
    match std::fs::read(path) {
        Ok(bytes) => Known::of(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Known::default()),
        Err(error) => Err(error),
    }
}

/// The file anew, with all that is known as one change.
fn begin(path: &Path, known: &Known) -> io::Result<File> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, known.since(&[]).framed())?;
    std::fs::rename(&beside, path)?;
    OpenOptions::new().append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::{Millis, Time};

    fn leg(slot: u64) -> Leg {
        Leg { slot: Slot(slot), begin: Time(9_000 + slot), step: Millis(0) }
    }

    /// What the next that opens the file reads.
    fn read_back(data: &Path) -> Known {
        Kept::open(data).unwrap().1
    }

    #[test]
    fn what_was_written_last_is_read_back_by_the_next() {
        let data = tempfile::tempdir().unwrap();
        let (kept, known) = Kept::open(data.path()).unwrap();
        assert_eq!((known, kept.reverting()), (Known::default(), None));
        kept.write(&Travels::new(vec![leg(3)]), -5, Some(Slot(2))).unwrap();
        let (kept, known) = Kept::open(data.path()).unwrap();
        assert_eq!((known.travels().legs(), known.shift_ms, kept.reverting()), (&[leg(3)][..], -5, Some(Slot(2))));
    }

    #[test]
    fn legs_that_are_added_and_taken_back_are_read_back_as_they_were_at_the_end() {
        let data = tempfile::tempdir().unwrap();
        let (kept, _) = Kept::open(data.path()).unwrap();
        for legs in [vec![1], vec![1, 4], vec![1, 4, 9], vec![1, 5], vec![], vec![7, 8]] {
            let legs: Vec<Leg> = legs.into_iter().map(leg).collect();
            kept.write(&Travels::new(legs.clone()), 1, None).unwrap();
            assert_eq!(read(&data.path().join(NAME)).unwrap().legs, legs);
        }
        assert_eq!(read_back(data.path()).legs, [leg(7), leg(8)]);
        assert_eq!(read_back(data.path()).legs, [leg(7), leg(8)], "and once more, from the file that was made anew");
    }

    #[test]
    fn a_transaction_writes_its_own_leg_and_not_all_before_it() {
        let data = tempfile::tempdir().unwrap();
        let (kept, _) = Kept::open(data.path()).unwrap();
        let (mut travels, path) = (Travels::default(), data.path().join(NAME));
        let mut bytes = 0;
        for slot in 0..1_000 {
            travels.set(leg(slot));
            kept.write(&travels, 1, None).unwrap();
            kept.write(&travels, 1, None).unwrap();
            let length = std::fs::metadata(&path).unwrap().len();
            assert!(bytes == 0 || length - bytes < 100, "{} more bytes at leg {slot}", length - bytes);
            bytes = length;
        }
        assert_eq!(read_back(data.path()).legs.len(), 1_000);
    }

    #[test]
    fn a_last_change_that_is_not_whole_is_left_out() {
        let data = tempfile::tempdir().unwrap();
        let (kept, _) = Kept::open(data.path()).unwrap();
        kept.write(&Travels::new(vec![leg(3)]), 1, None).unwrap();
        kept.write(&Travels::new(vec![leg(3), leg(4)]), 2, None).unwrap();
        let path = data.path().join(NAME);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let known = read_back(data.path());
        assert_eq!((known.legs, known.shift_ms), (vec![leg(3)], 1));
    }

    #[test]
    fn a_file_that_is_none_stops_the_start() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(NAME), [3, 0, 0, 0, 7, 7, 7]).unwrap();
        assert!(Kept::open(data.path()).unwrap_err().to_string().contains("travels"));
    }
}
