//! What an attestor says, as it is kept in its journal and served to carriers.
//!
//! Promise: a word is on the disk before anybody hears it, and one block number of a route never gets a second, different word.

use crate::hops;
use alloy_primitives::{B256, Bytes, keccak256};
use primitives::Height;
use proof::Attestation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use wire::hops::{Hop, Standing, Step};
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
    /// The transaction of each, by an endpoint's word, which nothing is signed over; none in a journal of an earlier version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) transactions: Vec<B256>,
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
    /// Message -> the foreign blocks, and which of their leaves, that are about it.
    places: BTreeMap<B256, Vec<(u64, usize)>>,
    /// Message of the foreign chain -> the one that tells its sender how it ended.
    answers: BTreeMap<B256, B256>,
}

impl Words {
    pub(crate) fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Inbound(word) => {
                for (index, leaf) in word.leaves.iter().enumerate() {
                    self.places.entry(hops::done(leaf).1).or_default().push((word.number, index));
                }
                self.inbound.insert(word.number, word);
            }
            Entry::Outbound { shard, next: (height, index), word } => {
                if let Some(message) = hops::answered(shard, &word.message) {
                    self.answers.insert(message, keccak256(&word.message));
                }
                self.next.insert(shard, LeafPlace { height: Height(height), index });
                self.outbound.entry(shard).or_default().push(word);
            }
        }
    }
}

impl Words {
    /// What was read of this message on the foreign chain, and of what told its sender there how it ended.
    pub(crate) fn hops(&self, message: B256) -> Vec<Hop> {
        let own = self.hops_of(message);
        let answer = self.answers.get(&message).into_iter().flat_map(|answer| self.hops_of(*answer));
        own.chain(answer.map(|hop| Hop { step: Step::Answered, ..hop })).collect()
    }

    fn hops_of(&self, message: B256) -> impl Iterator<Item = Hop> {
        let places = self.places.get(&message).into_iter().flatten();
        places.filter_map(|(number, index)| {
            let word = self.inbound.get(number)?;
            let (step, _) = hops::done(word.leaves.get(*index)?);
            let transaction = word.transactions.get(*index).copied().filter(|hash| !hash.is_zero());
            let state = Standing::Final;
            let block_hash = word.attestation().map(|attestation| attestation.block.hash);
            Some(Hop { step, state, transaction, block: Some(*number), block_hash })
        })
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
    use alloy_primitives::U256;
    use primitives::{ShardId, Time};
    use proof::{Message, Processed};

    const TRANSACTION: B256 = B256::repeat_byte(7);

    fn entry(number: u64) -> Entry {
        let leaves = vec![vec![1].into()];
        Entry::Inbound(InboundWord { number, attestation: Bytes::new(), leaves, transactions: vec![TRANSACTION] })
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
    fn a_message_is_found_with_its_transaction_and_with_its_block_alone_where_a_journal_has_no_more() {
        let mut words = Words::default();
        words.add(entry(4));
        let (id, old) = (keccak256([1]), r#"{"inbound":{"number":5,"attestation":"0x","leaves":["0x01"]}}"#);
        words.add(serde_json::from_str(old).unwrap());
        let hop = |transaction, number| Hop {
            step: Step::Dispatched,
            state: Standing::Final,
            transaction,
            block: Some(number),
            block_hash: None,
        };
        assert_eq!(words.hops(id), [hop(Some(TRANSACTION), 4), hop(None, 5)]);
        assert_eq!(words.hops(B256::ZERO), []);
    }

    #[test]
    fn the_answer_to_a_message_is_found_by_that_message() {
        let (mut words, id) = (Words::default(), B256::repeat_byte(3));
        let message = Message {
            nonce: 0,
            origin: 0xd007_0001,
            sender: evm::mailbox_address(ShardId(1)).into_word(),
            destination: 31_337,
            recipient: B256::repeat_byte(2),
            body: [&id[..], &[0; 31], &[1]].concat(),
            gas_limit: 0,
            deadline: Time(0),
            value: U256::ZERO,
        };
        let packed = message.packed();
        assert_eq!(
            (hops::answered(1, &packed), hops::answered(2, &packed)),
            (Some(id), None),
            "its own mailbox's word"
        );
        let end = Processed { domain: 31_337, origin: message.origin, id: message.v3_id() };
        let word = OutboundWord {
            index: 0,
            root: B256::ZERO,
            message: packed.into(),
            signature: Bytes::new(),
            siblings: Vec::new(),
        };
        words.add(Entry::Outbound { shard: 1, next: (1, 1), word });
        assert_eq!(words.hops(id), []);
        let (leaves, transactions) = (vec![end.to_bytes().into()], vec![TRANSACTION]);
        words.add(Entry::Inbound(InboundWord { number: 9, attestation: Bytes::new(), leaves, transactions }));
        let found = words.hops(id);
        assert_eq!(found.iter().map(|hop| (hop.step, hop.block)).collect::<Vec<_>>(), [(Step::Answered, Some(9))]);
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
