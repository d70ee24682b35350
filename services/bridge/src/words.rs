//! What an attestor says, as it is kept in its journal and served to carriers.
//!
//! Promise: a word is on the disk before anybody hears it, and one block number of a route never gets a second, different word.

use alloy_primitives::{B256, Bytes};
use primitives::Height;
use proof::Attestation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use wire::state::LeafPlace;

/// How many words one answer has at most.
pub(crate) const WORDS_PER_ANSWER_COUNT_MAX: usize = 64;

/// On a foreign block that says something to this network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InboundWord {
    /// The foreign block's number.
    pub(crate) number: u64,
    /// Canonical bytes of the [`Attestation`].
    pub(crate) attestation: Bytes,
    /// The block's leaves, in order: the v3 bytes of messages, then the ends of others.
    pub(crate) leaves: Vec<Bytes>,
}

impl InboundWord {
    pub(crate) fn attestation(&self) -> Option<Attestation> {
        primitives::decode(&self.attestation, proof::FOREIGN_RECEIPT_BYTES_MAX).ok()
    }
}

/// On a message that leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutboundWord {
    /// Its place in the tree of its shard's messages for the foreign chain.
    pub(crate) index: u32,
    /// The tree's root after it.
    pub(crate) root: B256,
    /// Its v3 bytes.
    pub(crate) message: Bytes,
    /// Over the checkpoint: r, s, v.
    pub(crate) signature: Bytes,
    /// The message's left siblings in the tree, for whoever needs its path; they prove themselves.
    #[serde(default)]
    pub(crate) siblings: Vec<B256>,
}

/// One line of the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A foreign block.
    Inbound(InboundWord),
    /// A leaf of a shard's outbox, and the first one not looked at after it.
    Outbound {
        /// The shard.
        shard: u32,
        /// Where to read on.
        next: (u64, u32),
        /// The word.
        word: OutboundWord,
    },
}

/// All that was said.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) inbound: BTreeMap<u64, InboundWord>,
    pub(crate) outbound: BTreeMap<u32, Vec<OutboundWord>>,
    /// Where each shard's outbox is read on.
    pub(crate) next: BTreeMap<u32, LeafPlace>,
}

impl Words {
    pub(crate) fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Inbound(word) => drop(self.inbound.insert(word.number, word)),
            Entry::Outbound { shard, next: (height, index), word } => {
                self.next.insert(shard, LeafPlace { height: Height(height), index });
                self.outbound.entry(shard).or_default().push(word);
            }
        }
    }
}

/// The file behind the words: a line each, synced.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// The bytes of whole lines.
    whole: u64,
}

impl Journal {
    /// Opens the journal at `path`, with all that is in it. A last line that was not written to its end was never heard.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Words)> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let (mut words, mut whole, mut line) = (Words::default(), 0_u64, String::new());
        let mut reader = BufReader::new(&mut file);
        while reader.read_line(&mut line)? > 0 {
            if !line.ends_with('\n') {
                break;
            }
            words.add(serde_json::from_str(&line)?);
            whole += line.len() as u64;
            line.clear();
        }
        file.set_len(whole)?;
        Ok((Self { file, whole }, words))
    }

    /// Writes `entry` down, synced. What a failure left of it is taken back, so that the next line begins where this one did.
    pub(crate) fn append(&mut self, entry: &Entry) -> io::Result<()> {
        self.append_by(entry, |file, line| file.write_all(line).and_then(|()| file.sync_data()))
    }

    fn append_by(&mut self, entry: &Entry, write: impl FnOnce(&mut File, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if let Err(error) = write(&mut self.file, &line) {
            self.file.set_len(self.whole)?;
            return Err(error);
        }
        self.whole += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> Entry {
        Entry::Inbound(InboundWord { number, attestation: Bytes::new(), leaves: vec![vec![1].into()] })
    }

    #[test]
    fn a_journal_comes_back_without_the_line_that_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&entry(1)).unwrap();
        journal.append(&entry(2)).unwrap();
        drop(journal);
        let length = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 3).unwrap();
        let (mut journal, words) = Journal::open(&path).unwrap();
        assert_eq!(words.inbound.keys().copied().collect::<Vec<_>>(), [1]);
        journal.append(&entry(3)).unwrap();
        let (_, words) = Journal::open(&path).unwrap();
        assert_eq!(words.inbound.keys().copied().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_line_that_a_full_disk_cut_is_taken_back_and_the_next_one_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&entry(1)).unwrap();
        let full = |file: &mut File, line: &[u8]| {
            file.write_all(&line[..line.len() / 2])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        assert_eq!(journal.append_by(&entry(2), full).unwrap_err().kind(), io::ErrorKind::StorageFull);
        journal.append(&entry(3)).unwrap();
        let (_, words) = Journal::open(&path).unwrap();
        assert_eq!(words.inbound.keys().copied().collect::<Vec<_>>(), [1, 3]);
    }
}
