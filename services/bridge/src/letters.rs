//! Messages that are for a person: each a file, with all that is needed to try it again.
//!
//! Promise: a letter is on the disk before the carrier forgets the message, and goes only when an operator says so. What an operator
//! dropped stays in `dropped/` with the reason.

use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How many letters are kept; what would be one more is tried on and on instead.
pub(crate) const LETTERS_COUNT_MAX: usize = 10_000;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    /// From the foreign chain.
    In,
    /// To it.
    Out,
}

impl Direction {
    /// The name of the way, as operators and metrics have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// A message that is no longer tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Letter {
    /// Hyperlane's id.
    pub(crate) id: B256,
    /// Which way it goes.
    pub(crate) direction: Direction,
    /// The shard that it is from or for.
    pub(crate) shard: u32,
    /// Out: its place in the shard's tree. In: its place in its block.
    pub(crate) index: u32,
    /// Its v3 bytes, or a leaf that says how one ended.
    pub(crate) message: Bytes,
    /// Out: what the ISM takes. In: the receipt, canonical bytes.
    pub(crate) proof: Bytes,
    /// Why it was given up.
    pub(crate) why: String,
    /// How often it was tried.
    pub(crate) tries: u32,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Letters {
    folder: PathBuf,
    letters: BTreeMap<B256, Letter>,
}

impl Letters {
    /// Those in `folder`, which is made if it is not there.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder.join("dropped"))?;
        let mut letters = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let letter: Letter = serde_json::from_slice(&fs::read(path)?)?;
                letters.insert(letter.id, letter);
            }
        }
        Ok(Self { folder: folder.to_owned(), letters })
    }

    /// All, by id.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Letter> {
        self.letters.values()
    }

    /// One.
    pub(crate) fn get(&self, id: B256) -> Option<&Letter> {
        self.letters.get(&id)
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.letters.len()
    }

    /// Puts one aside. It says whether there was room.
    pub(crate) fn keep(&mut self, letter: Letter) -> io::Result<bool> {
        if self.letters.len() >= LETTERS_COUNT_MAX && !self.letters.contains_key(&letter.id) {
            return Ok(false);
        }
        chains::journal::write_synced(&self.file(letter.id), &serde_json::to_vec_pretty(&letter)?)?;
        self.letters.insert(letter.id, letter);
        Ok(true)
    }

    /// Takes one out again.
    pub(crate) fn take(&mut self, id: B256) -> io::Result<Option<Letter>> {
        let Some(letter) = self.letters.get(&id).cloned() else { return Ok(None) };
        fs::remove_file(self.file(id))?;
        self.letters.remove(&id);
        Ok(Some(letter))
    }

    /// Gives one up for good, for a reason that is kept with it.
    pub(crate) fn drop_one(&mut self, id: B256, reason: &str) -> io::Result<Option<Letter>> {
        let Some(letter) = self.letters.get(&id).cloned() else { return Ok(None) };
        let record = serde_json::json!({ "dropped": reason, "letter": letter });
        let kept = self.folder.join("dropped").join(format!("{id}.json"));
        chains::journal::write_synced(&kept, &serde_json::to_vec_pretty(&record)?)?;
        self.take(id)
    }

    fn file(&self, id: B256) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(byte: u8) -> Letter {
        Letter {
            id: B256::repeat_byte(byte),
            direction: Direction::Out,
            shard: 1,
            index: 2,
            message: vec![3; 80].into(),
            proof: vec![4; 10].into(),
            why: "it reverted".to_owned(),
            tries: 3,
        }
    }

    #[test]
    fn a_letter_outlives_a_restart_and_goes_when_somebody_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = Letters::open(dir.path()).unwrap();
        assert!(letters.keep(letter(1)).unwrap() && letters.keep(letter(2)).unwrap());
        let mut letters = Letters::open(dir.path()).unwrap();
        assert_eq!(letters.all().cloned().collect::<Vec<_>>(), [letter(1), letter(2)]);
        assert_eq!(letters.take(letter(1).id).unwrap(), Some(letter(1)));
        assert_eq!(letters.drop_one(letter(2).id, "a test").unwrap(), Some(letter(2)));
        assert_eq!(Letters::open(dir.path()).unwrap().count(), 0);
        let kept = fs::read_to_string(dir.path().join("dropped").join(format!("{}.json", letter(2).id))).unwrap();
        assert!(kept.contains("a test"), "{kept}");
    }
}
