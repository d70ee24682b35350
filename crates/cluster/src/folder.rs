//! The folder of a network: taken by whoever runs it, and entered only when no node of an earlier run is left in it.
//!
//! ```text
//! take: lock the folder -> vacated: wait until each node's store is free -> lay out, start
//! ```
//!
//! A devnet that was killed leaves nodes behind, which drain: for a moment, and 25 s at most.

use crate::process::{DRAIN_TIMEOUT, POLL_PAUSE};
use eyre::{Result, WrapErr, eyre};
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Instant;

/// The file in a network's folder that whoever runs the network has locked.
const LOCK_FILE: &str = "lock";

/// The file in a store's folder that whoever has the store open has locked.
const STORE_LOCK_FILE: &str = "owner";

/// Takes the folder, or says that another runs a network in it: before anything in it is written.
pub(crate) fn take(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK_FILE);
    let file = File::create(&path).wrap_err_with(|| format!("cannot make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(eyre!("another process runs the network in {}: stop it first, or use another folder", dir.display()))
        }
        Err(TryLockError::Error(error)) => Err(error).wrap_err_with(|| format!("cannot lock {}", path.display())),
    }
}

/// Waits until nobody has a store in the folder open, and tells whom it waits for.
///
/// # Errors
/// After the time that a node may take to drain, with who is still there.
pub(crate) fn vacated(dir: &Path, mut tell: impl FnMut(&[String])) -> Result<()> {
    let until = Instant::now() + DRAIN_TIMEOUT;
    loop {
        let left = left_in(dir)?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(eyre!(
                "{} of the network that ran in {} before still had a store open after {DRAIN_TIMEOUT:?}: end it, or use \
                 another folder",
                left.join(", "),
                dir.display()
            ));
        }
        tell(&left);
        std::thread::sleep(POLL_PAUSE);
    }
}

/// Whose stores in the folder are open, each with what its process is called.
fn left_in(dir: &Path) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(dir).wrap_err_with(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let path = entry.path().join(STORE_LOCK_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(error).wrap_err_with(|| format!("cannot open {}", path.display())),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = std::fs::read_to_string(&path).unwrap_or_default();
                left.push(format!("{} ({})", entry.file_name().display(), owner.trim()));
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).wrap_err_with(|| format!("cannot lock {}", path.display()));
            }
        }
    }
    left.sort();
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_entered_once_the_nodes_of_the_last_run_have_left_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("executor-0");
        std::fs::create_dir(&store).unwrap();
        std::fs::write(dir.path().join("network.toml"), "").unwrap();
        vacated(dir.path(), |left| panic!("nobody is there, and {left:?} is waited for")).unwrap();
        let mut held = Some(File::create(store.join(STORE_LOCK_FILE)).unwrap());
        std::fs::write(store.join(STORE_LOCK_FILE), "process 7\n").unwrap();
        held.as_ref().unwrap().try_lock().unwrap();
        let mut told = Vec::new();
        vacated(dir.path(), |left| {
            told = left.to_vec();
            held = None;
        })
        .unwrap();
        assert_eq!(told, ["executor-0 (process 7)"]);
    }
}
