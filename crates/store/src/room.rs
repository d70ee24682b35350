//! Room on the disk: a high-water mark for new work, and a reserve that is given up so that work under way can end.
//!
//! ```text
//!   free space  0 ----------------|---------------------|-------------------->
//!               reserve given up  bytes_free_min / 2    bytes_free_min
//!               new work refused, decisions written     all taken
//! ```
//!
//! What a full disk must still take is a bounded while of decisions, and what is in memory, which has to go into table files
//! before the log of it can go. Memory holds at most what was written since the store was opened, so the reserve grows
//! with that, up to its bound: a store that does nothing holds next to none.

use rustix::fs::{FallocateFlags, StatVfs, fallocate, statvfs};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use tracing::warn;

/// The reserve of a store that next to nothing was written to.
const RESERVE_BYTES_FIRST: u64 = 4 << 20;

/// The high-water mark's bounds where none is given, and its share of the disk between them.
const FREE_BYTES_LEAST: u64 = 64 << 20;
const FREE_BYTES_MOST: u64 = 512 << 20;
const FREE_SHARE_OF_DISK: u64 = 16;

/// The reserve's share of the high-water mark where none is given.
const RESERVE_SHARE_OF_FREE: u64 = 8;

/// How much room a store's disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Enough for new work.
    Plenty,
    /// Less than new work must leave free: refuse it, and finish what is under way.
    Low {
        /// What is free.
        bytes_free: u64,
    },
}

/// The reserve of one store.
#[derive(Debug)]
pub(crate) struct Reserve {
    folder: PathBuf,
    bytes_free_min: u64,
    bytes_max: u64,
    /// The size of the file; zero if it is given up.
    bytes_held: u64,
    /// What was written since the store was opened.
    bytes_written: u64,
}

impl Reserve {
    /// The reserve of the store at `folder`, given up at once if there is no room for it. Both sizes are shares of the disk
    /// where they are not given.
    pub(crate) fn open(folder: &Path, bytes_free_min: Option<u64>, bytes_max: Option<u64>) -> io::Result<Self> {
        let bytes_free_min = bytes_free_min.unwrap_or(free_min_of(bytes_of_disk(&statvfs(folder)?)));
        let bytes_max = bytes_max.unwrap_or(bytes_free_min / RESERVE_SHARE_OF_FREE);
        let mut reserve =
            Self { folder: folder.to_owned(), bytes_free_min, bytes_max, bytes_held: 0, bytes_written: 0 };
        reserve.bytes_held = fs::metadata(reserve.path()).map_or(0, |file| file.len());
        if reserve.bytes_held > bytes_max {
            reserve.remove()?;
        }
        reserve.check()?;
        Ok(reserve)
    }

    /// With less than this free there is no room for new work.
    pub(crate) fn bytes_free_min(&self) -> u64 {
        self.bytes_free_min
    }

    /// Notes that so much was written.
    pub(crate) fn written(&mut self, bytes: u64) {
        self.bytes_written = self.bytes_written.saturating_add(bytes);
    }

    /// How much room there is now. Gives the reserve up when space is scarce, takes what is wanted of it when there is
    /// plenty.
    pub(crate) fn check(&mut self) -> io::Result<Room> {
        let disk = statvfs(&self.folder)?;
        let bytes_free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if self.bytes_held > 0 && bytes_free < self.bytes_free_min / 2 {
            self.remove()?;
            warn!(folder = %self.folder.display(), "disk is nearly full, reserve given up");
        }
        if bytes_free < self.bytes_free_min {
            return Ok(Room::Low { bytes_free });
        }
        let wanted = self.bytes_wanted();
        let lacking = wanted.saturating_sub(self.bytes_held);
        if lacking > 0 && bytes_free > self.bytes_free_min.saturating_add(lacking) {
            self.take(wanted);
        }
        Ok(Room::Plenty)
    }

    /// Twice what was written: it goes to the disk once more, and decisions come on top. Rounded up to a power of two, so
    /// that it seldom changes.
    fn bytes_wanted(&self) -> u64 {
        let wanted = self.bytes_written.saturating_mul(2).checked_next_power_of_two().unwrap_or(u64::MAX);
        wanted.max(RESERVE_BYTES_FIRST).min(self.bytes_max)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("reserve")
    }

    fn remove(&mut self) -> io::Result<()> {
        fs::remove_file(self.path())?;
        self.bytes_held = 0;
        Ok(())
    }

    /// Makes the reserve `bytes` large; without one the store still works, so a failure is no error.
    fn take(&mut self, bytes: u64) {
        let Ok(file) = OpenOptions::new().write(true).create(true).truncate(false).open(self.path()) else { return };
        if fallocate(&file, FallocateFlags::empty(), 0, bytes).is_ok() {
            self.bytes_held = bytes;
            return;
        }
        // What was had of the rest is given back: it holds space, and nobody knows of it.
        let _ = if self.bytes_held > 0 { file.set_len(self.bytes_held) } else { fs::remove_file(self.path()) };
    }
}

fn bytes_of_disk(disk: &StatVfs) -> u64 {
    disk.f_blocks.saturating_mul(disk.f_frsize)
}

fn free_min_of(bytes_of_disk: u64) -> u64 {
    (bytes_of_disk / FREE_SHARE_OF_DISK).clamp(FREE_BYTES_LEAST, FREE_BYTES_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(folder: &Path) -> Option<u64> {
        fs::metadata(folder.join("reserve")).ok().map(|file| file.len())
    }

    #[test]
    fn a_full_disk_gives_the_reserve_up_and_room_takes_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::open(folder.path(), Some(0), Some(4096)).unwrap();
        assert_eq!(size(folder.path()), Some(4096));
        reserve.bytes_free_min = u64::MAX;
        assert!(matches!(reserve.check().unwrap(), Room::Low { .. }));
        assert_eq!(size(folder.path()), None);
        reserve.bytes_free_min = 0;
        assert_eq!(reserve.check().unwrap(), Room::Plenty);
        assert_eq!(size(folder.path()), Some(4096));
    }

    #[test]
    fn the_reserve_grows_with_what_is_written_up_to_its_bound_and_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = |bytes_max| Reserve::open(folder.path(), Some(0), Some(bytes_max)).unwrap();
        let mut reserve = open(32 << 20);
        let mut sizes = Vec::new();
        for written in [0, 1, 5 << 20, 1 << 20, u64::MAX] {
            reserve.written(written);
            reserve.check().unwrap();
            sizes.extend(size(folder.path()).map(|bytes| bytes >> 20));
        }
        assert_eq!(sizes, [4, 4, 16, 16, 32]);
        drop(open(32 << 20));
        assert_eq!(size(folder.path()), Some(32 << 20), "what was under way before is still under way");
        drop(open(8 << 20));
        assert_eq!(size(folder.path()), Some(4 << 20), "a smaller bound is kept");
    }

    #[test]
    fn the_high_water_mark_is_a_share_of_the_disk_between_two_bounds() {
        let mark = |mebibytes: u64| free_min_of(mebibytes << 20) >> 20;
        assert_eq!([100, 2_048, 1 << 20].map(mark), [64, 128, 512]);
    }
}
