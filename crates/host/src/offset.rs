//! How far a devnet with cheats has moved its time ahead of the host's clock: one number in one file that all its processes read.
//!
//! ```text
//!   the coordinator: "n blocks more" --16 bytes over the old ones--> the file <--each look at a clock-- every process
//! ```
//!
//! Promise: it only grows, so no clock that counts it goes back; half a record is none, and then what was read last holds. It is
//! kept over a restart. What other shards' clocks show is compared without it (docs/decisions/0020), so whoever reads the file a
//! moment later is not held back.
//! Only a network with cheats has one: docs/decisions/0025.

use evm::NetworkParams;
use primitives::{Millis, Time};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A length of time and its complement: bytes that are not both are taken for none.
const RECORD_BYTES: usize = 16;

/// Why there is no offset to go by.
#[derive(Debug, thiserror::Error)]
pub enum OffsetError {
    /// The file cannot be opened.
    #[error("cannot open {path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is named on a network whose time nobody moves.
    #[error("`cheats_clock` is set, and the network has no cheats: its `environments` are not \"cheats\"")]
    NoCheats,
    /// None is named on a network whose time is moved.
    #[error("the network has cheats, and `cheats_clock` is not set: this process would not know what time it is there")]
    NoFile,
}

/// How far time was moved: shared by all that read it in a process.
#[derive(Debug, Clone, Default)]
pub struct TimeOffset(Option<Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    file: File,
    /// The furthest that was read or written here.
    furthest_ms: AtomicU64,
}

impl TimeOffset {
    /// Nobody moves time.
    pub fn none() -> Self {
        Self::default()
    }

    /// That of the network with these parameters, in the file at `path`, made if it is not there.
    ///
    /// # Errors
    /// [`OffsetError`]: a network with cheats needs a file, and no other takes one.
    pub fn of_network(params: &NetworkParams, path: Option<&Path>) -> Result<Self, OffsetError> {
        match (path, params.environments.has_cheats()) {
            (None, false) => Ok(Self::none()),
            (Some(path), true) => Self::open(path),
            (Some(_), false) => Err(OffsetError::NoCheats),
            (None, true) => Err(OffsetError::NoFile),
        }
    }

    fn open(path: &Path) -> Result<Self, OffsetError> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|source| OffsetError::File { path: path.to_owned(), source })?;
        Ok(Self(Some(Arc::new(Kept { file, furthest_ms: AtomicU64::new(0) }))))
    }

    /// How far it is now: one read of a file in memory.
    pub fn get(&self) -> Millis {
        let Some(kept) = &self.0 else { return Millis(0) };
        let read = read(&kept.file).unwrap_or(0);
        Millis(kept.furthest_ms.fetch_max(read, Ordering::AcqRel).max(read))
    }

    /// Moves time on so that `time` is not before `to`, where the clocks show `now` without it.
    ///
    /// # Errors
    /// Those of the file: then nothing was moved.
    pub fn reach(&self, now: Time, to: Time) -> io::Result<()> {
        let Some(kept) = &self.0 else { return Ok(()) };
        let wanted = to.since(now);
        if wanted > self.get() {
            kept.file.write_all_at(&record(wanted), 0)?;
        }
        Ok(())
    }
}

fn record(offset: Millis) -> [u8; RECORD_BYTES] {
    (u128::from(offset.0) << 64 | u128::from(!offset.0)).to_be_bytes()
}

fn read(file: &File) -> Option<u64> {
    let mut bytes = [0; RECORD_BYTES];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let offset = Millis(u64::try_from(u128::from_be_bytes(bytes) >> 64).ok()?);
    (record(offset) == bytes).then_some(offset.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> TimeOffset {
        TimeOffset::open(path).unwrap()
    }

    #[test]
    fn what_one_process_moves_all_see_and_a_restart_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        let (mover, reader) = (open(&path), open(&path));
        assert_eq!(reader.get(), Millis(0));
        mover.reach(Time(100), Time(1_100)).unwrap();
        assert_eq!(reader.get(), Millis(1_000));
        mover.reach(Time(200), Time(900)).unwrap();
        assert_eq!(reader.get(), Millis(1_000), "it never shrinks");
        assert_eq!(open(&path).get(), Millis(1_000));
    }

    #[test]
    fn half_a_record_is_none_and_what_was_read_before_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        let offset = open(&path);
        offset.reach(Time(0), Time(500)).unwrap();
        assert_eq!(offset.get(), Millis(500));
        std::fs::write(&path, [0xff; 9]).unwrap();
        assert_eq!(offset.get(), Millis(500));
        assert_eq!(open(&path).get(), Millis(0));
    }

    #[test]
    fn time_is_moved_on_a_network_with_cheats_and_on_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        let params = |environments| NetworkParams {
            network: primitives::NetworkId(1),
            genesis: Time(0),
            slot_length: Millis(250),
            base_fee: 0,
            gas_limit: 30_000_000,
            beneficiary: evm::Address::ZERO,
            spec: evm::Spec::default(),
            environments,
            takes_unprotected: false,
        };
        let (slots, cheats) = (params(evm::Environments::Slots), params(evm::Environments::Cheats));
        assert!(matches!(TimeOffset::of_network(&slots, Some(&path)), Err(OffsetError::NoCheats)));
        assert!(matches!(TimeOffset::of_network(&cheats, None), Err(OffsetError::NoFile)));
        assert!(TimeOffset::of_network(&slots, None).is_ok() && TimeOffset::of_network(&cheats, Some(&path)).is_ok());
    }
}
