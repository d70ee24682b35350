//! Room on the disk: a high-water mark for new work, and a reserve that is given up so that work under way can end.
//!
//! ```text
//!   free space  0 ----------------|---------------------|-------------------->
//!               reserve given up  bytes_free_min / 2    bytes_free_min
//!               new work refused, decisions written     all taken
//! ```

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use tracing::warn;

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
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// The reserve of the store at `folder`, given up at once if there is no room for it.
    pub(crate) fn open(folder: &Path, bytes_free_min: u64, bytes: u64) -> io::Result<Self> {
        let mut reserve = Self { folder: folder.to_owned(), bytes_free_min, bytes, held: false };
        reserve.held = fs::metadata(reserve.path()).is_ok_and(|file| file.len() == bytes);
        reserve.check()?;
        Ok(reserve)
    }

    /// How much room there is now. Gives the reserve up when space is scarce, takes it back when there is plenty.
    pub(crate) fn check(&mut self) -> io::Result<Room> {
        let bytes_free = bytes_free(&self.folder)?;
        if self.held && bytes_free < self.bytes_free_min / 2 {
            self.give_up()?;
        }
        if bytes_free < self.bytes_free_min {
            return Ok(Room::Low { bytes_free });
        }
        if !self.held && bytes_free > self.bytes_free_min.saturating_add(self.bytes) {
            self.take();
        }
        Ok(Room::Plenty)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("reserve")
    }

    fn give_up(&mut self) -> io::Result<()> {
        fs::remove_file(self.path())?;
        self.held = false;
        warn!(folder = %self.folder.display(), bytes = self.bytes, "disk is nearly full, reserve given up");
        Ok(())
    }

    /// Takes the reserve; without one the store still works, so a failure is no error.
    fn take(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let allocated = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path())
            .and_then(|file| Ok(fallocate(&file, FallocateFlags::empty(), 0, self.bytes)?));
        self.held = allocated.is_ok();
        if !self.held {
            // A part of a reserve holds space and helps no one.
            let _ = fs::remove_file(self.path());
        }
    }
}

fn bytes_free(folder: &Path) -> io::Result<u64> {
    let disk = statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_gives_the_reserve_up_and_room_takes_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::open(folder.path(), 0, 4096).unwrap();
        assert!(reserve.held && folder.path().join("reserve").exists());
        reserve.bytes_free_min = u64::MAX;
        assert!(matches!(reserve.check().unwrap(), Room::Low { .. }));
        assert!(!reserve.held && !folder.path().join("reserve").exists());
        reserve.bytes_free_min = 0;
        assert_eq!(reserve.check().unwrap(), Room::Plenty);
        assert!(reserve.held);
    }
}
