//! The chain index: everything that the shards show in closed blocks, on this node's own disk.
//!
//! ```text
//!   a page of a shard's outcomes --one batch--> BLOCKS[slot, place] -> outcome      SLOTS[slot]
//!                                               OUTLINES[slot] -> its transactions in short
//!                                               PLACES[transaction] -> its key in BLOCKS
//!                                               LOGS[address, topic or party, slot]
//!                                               SENT[sender, nonce] -> transaction    CREATED[contract] -> transaction
//!                                               HASHES[block hash] -> slot, of those that show anything
//!                                               ATTEMPTS[attempt] -> the key in BLOCKS of a transaction that it committed
//!                                               CURSORS[shard] -> how far its log is read, and the first slot that is not whole
//!                                               CURSORS["first"] -> the first slot that is kept
//! ```
//!
//! Promise: a page and the cursor behind it are one batch, so a process that is killed anywhere goes on where it was, and what
//! is brought twice is kept once. Nothing here is anybody's only copy: with its folder deleted it is read from the shards again,
//! which is also why it is not synced.
//! Knows nothing of connections, of heads, and of who is silent.

mod forgetting;
mod outline;
mod pages;
mod postings;

pub(crate) use pages::Totals;

use crate::blocks::{Place, place};
use alloy_primitives::{Address, B256};
use evm::{NetworkParams, SystemTransaction};
use outline::{Line, Outline, PLACE_BYTES, Sum, Wanted, place_key};
use postings::Union;
use primitives::{AttemptId, Read, ShardId, Slot, Space, Write, encode};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use store::{Durability, Fault, Identity, Reader, Store, StoreError};
use wire::jsonrpc::{Candidates, Entry, LogQuery, Order, SlotBlock, nonce, parties};
use wire::shard::LogPlace;
use wire::state::OutcomeRecord;

/// Slot, time, shard, height, index -> outcome, and what it called if nobody signed it.
const BLOCKS: Space = Space("index_blocks");
/// Slot -> nothing: those that show anything.
const SLOTS: Space = Space("index_slots");
/// Slot -> its [`Outline`].
const OUTLINES: Space = Space("index_outlines");
/// Transaction -> its key in [`BLOCKS`].
const PLACES: Space = Space("index_places");
/// What is looked for, slot -> nothing.
const LOGS: Space = Space("index_logs");
/// Sender, nonce -> transaction.
const SENT: Space = Space("index_sent");
/// Contract that a transaction created -> transaction.
const CREATED: Space = Space("index_created");
/// Hash of a block that shows anything -> slot. Hashes are those of numbers, so one says nothing of its number.
const HASHES: Space = Space("index_hashes");
/// Half of an attempt's id -> the key in [`BLOCKS`] of a transaction that it committed; none of what an earlier version took in.
const ATTEMPTS: Space = Space("index_attempts");
/// Shard -> [`LogPlace`]. Of another name since there are rows that older indexes lack: those are read from the shards again.
const CURSORS: Space = Space("index_cursors_5");

/// Under which the first slot that is kept stands in [`CURSORS`]: no shard's key, which has four bytes.
const FIRST: &[u8] = b"first";

/// All of them.
const SPACES: [Space; 10] = [BLOCKS, SLOTS, OUTLINES, PLACES, LOGS, SENT, CREATED, HASHES, ATTEMPTS, CURSORS];

/// The index's folder in that of the coordinator's store.
const FOLDER: &str = "index";

/// Most steps from slot to slot that one search for logs takes before it says how far it came.
const SEARCH_STEPS_COUNT_MAX: usize = 16_384;

/// How far a cursor may go on in memory alone while nothing is shown: an idle network is written down now and then, not with
/// each answer.
const CURSOR_SLOTS_MAX: u64 = 16;

/// How many outcomes of a block are read at a time.
const BLOCK_PAGE_COUNT: usize = 256;

/// Of a block of which more than one transaction in so many is wanted all are read: that is one scan.
const WANTED_SHARE_MAX: usize = 8;

/// The index, open.
#[derive(Debug)]
pub(crate) struct Index {
    store: Mutex<Store>,
    reader: Reader,
    params: NetworkParams,
    /// The first slot that is kept.
    first: AtomicU64,
}

impl Index {
    /// The index in `data`, the coordinator's folder; made if there is none.
    pub(crate) fn open(data: &Path, params: NetworkParams) -> Result<Self, StoreError> {
        let identity =
            Identity { kind: "index".to_owned(), network: params.network, name: "coordinator".to_owned(), key: None };
        let settings = store::Settings { durability: Durability::Buffered, ..store::Settings::default() };
        let store = Store::open(&data.join(FOLDER), &SPACES, &identity, settings)?;
        let reader = store.reader();
        let first = AtomicU64::new(reader.get(CURSORS, FIRST).map_or(0, |bytes| slot_of(&bytes).0));
        Ok(Self { reader, store: Mutex::new(store), params, first })
    }

    /// How far the log of `shard` is here.
    pub(crate) fn place(&self, shard: ShardId) -> LogPlace {
        let stored = self.reader.get(CURSORS, &shard.0.to_be_bytes());
        let place = stored.and_then(|bytes| primitives::decode(&bytes, usize::MAX).ok());
        place.unwrap_or_else(|| LogPlace::genesis(&self.params, shard))
    }

    /// Whether nothing of `shard` is known here yet, not even up to when it had shown nothing.
    pub(crate) fn is_new_to(&self, shard: ShardId) -> bool {
        self.place(shard) == LogPlace::genesis(&self.params, shard)
    }

    /// The first slot that is kept. What is read of one before it may be incomplete, so it is asked for after the reading.
    pub(crate) fn first(&self) -> Slot {
        Slot(self.first.load(Ordering::Acquire))
    }

    /// Takes over what `shard` shows; everything up to `at` is here then.
    pub(crate) fn add(&self, shard: ShardId, outcomes: &[OutcomeRecord], at: LogPlace) -> Result<(), Fault> {
        let open = self.place(shard).open;
        let further = at.open.0.saturating_sub(open.0);
        if outcomes.is_empty() && further < CURSOR_SLOTS_MAX && !self.shows_between(open, at.open) {
            return Ok(());
        }
        // Most outcomes of a block stand in lists that the one before them stands in: each list is written once.
        let mut marks = BTreeSet::new();
        let mut writes: Vec<Write> = outcomes.iter().flat_map(|record| rows(shard, record, &mut marks)).collect();
        writes.extend(marks.into_iter().map(|(space, key)| Write::put(space, key, Vec::new())));
        let shown: BTreeSet<Slot> = outcomes.iter().map(|record| record.shown).collect();
        writes.extend(shown.iter().map(|slot| self.hash_row(*slot)));
        writes.push(Write::put(CURSORS, shard.0.to_be_bytes(), encode(&at)));
        // A batch is whole or not there.
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        // What other shards show in the same blocks is in them by now, or waits for the lock.
        writes.extend(shown.iter().map(|slot| self.outline_row(shard, *slot, outcomes)));
        // What is under way is told on a disk that takes no new work, too; this gives up the store's reserve when it must.
        store.room()?;
        store.commit(&writes).map(drop)
    }

    /// What block `slot` shows, in order.
    pub(crate) fn block(&self, slot: Slot) -> Result<Vec<OutcomeRecord>, Fault> {
        let (prefix, mut from, mut outcomes) = (slot.0.to_be_bytes(), Vec::new(), Vec::new());
        loop {
            let page = self.reader.scan(BLOCKS, &prefix, &from, BLOCK_PAGE_COUNT);
            outcomes.extend(page.iter().filter_map(|(_, bytes)| decoded(bytes)));
            match page.last() {
                Some((key, _)) if page.len() == BLOCK_PAGE_COUNT => from = after(key),
                _ => return self.checked(outcomes),
            }
        }
    }

    /// Up to `count_max` slots from `from` to `to` that show anything, in order.
    pub(crate) fn occupied(&self, from: Slot, to: Slot, count_max: usize) -> Result<Vec<Slot>, Fault> {
        let rows = self.reader.scan(SLOTS, &[], &from.0.to_be_bytes(), count_max);
        let slots = rows.iter().map(|(key, _)| slot_of(key)).take_while(|slot| *slot <= to);
        self.checked(slots.collect())
    }

    /// Whether a block that shows something lies from `from` on and before `to`: that a shard closed it is kept at once, so that it is
    /// whole for whoever starts while that shard is silent.
    fn shows_between(&self, from: Slot, to: Slot) -> bool {
        let next = self.reader.scan(SLOTS, &[], &from.0.to_be_bytes(), 1);
        next.first().is_some_and(|(key, _)| slot_of(key) < to)
    }

    /// The last slot that shows anything, as far as is known.
    pub(crate) fn last(&self) -> Option<Slot> {
        let last = self.reader.scan_back(SLOTS, &[], &u64::MAX.to_be_bytes(), 1);
        last.first().map(|(key, _)| slot_of(key))
    }

    /// A transaction, with its place in its block.
    pub(crate) fn entry(&self, transaction: B256) -> Result<Option<Entry>, Fault> {
        let found = self.reader.get(PLACES, transaction.as_slice()).and_then(|key| {
            let (slot, place) = (slot_of(&key), key.get(key.len().checked_sub(PLACE_BYTES)?..)?);
            self.outlined(slot, |outline| self.told(slot, &outline.find(place)?))
        });
        self.checked(found)
    }

    /// What block `slot` shows that may have written logs which `query` looks for, in order.
    pub(crate) fn excerpt(&self, query: &LogQuery, slot: Slot) -> Result<Vec<Entry>, Fault> {
        let wanted = Wanted::of(query);
        let is_wanted = |line: &Line<'_>| !line.sieve.is_empty() && line.sieve.lets_through(&wanted);
        let few = self.outlined(slot, |outline| {
            let lines: Vec<_> = outline.lines().filter(is_wanted).collect();
            let are_few = lines.len() * WANTED_SHARE_MAX <= outline.count();
            are_few.then(|| lines.iter().filter_map(|line| self.told(slot, line)).collect())
        });
        if let Some(few) = few {
            return self.checked(few);
        }
        let block = SlotBlock { outcomes: self.block(slot)?, ..SlotBlock::empty(slot) };
        Ok(Entry::all(&block).collect())
    }

    /// The transaction of a line.
    fn told(&self, slot: Slot, line: &Line<'_>) -> Option<Entry> {
        let key = [&slot.0.to_be_bytes()[..], line.place].concat();
        let record = self.reader.get(BLOCKS, &key).and_then(|bytes| decoded(&bytes))?;
        let Sum { gas: gas_before, logs } = line.before;
        Some(Entry { slot, index: line.index, gas_before, logs_before: logs as usize, record })
    }

    /// What `see` makes of a block in short, which is large in a busy network and so is not copied.
    fn outlined<T>(&self, slot: Slot, see: impl FnOnce(Outline<'_>) -> T) -> T {
        self.reader.look(OUTLINES, &slot.0.to_be_bytes(), |bytes| see(Outline::of(bytes.unwrap_or_default())))
    }

    fn outline_row(&self, shard: ShardId, slot: Slot, outcomes: &[OutcomeRecord]) -> Write {
        let of_slot = outcomes.iter().filter(|record| record.shown == slot);
        let outline = self.outlined(slot, |old| old.with(of_slot.map(|record| (place(shard, record), record))));
        Write::put(OUTLINES, slot.0.to_be_bytes(), outline)
    }

    /// The slots from `from` to `to` that may have logs which `query` looks for: up to `count_max` of them, or fewer where the
    /// search was long.
    pub(crate) fn search(&self, query: &LogQuery, from: Slot, to: Slot, count_max: usize) -> Result<Candidates, Fault> {
        let topics = query.topics.iter().enumerate();
        let topics = topics.map(|(position, topics)| topics.iter().map(|topic| topic_key(position, topic)).collect());
        let addresses: Vec<Vec<u8>> = query.addresses.iter().map(address_key).collect();
        let wanted = std::iter::once(addresses).chain(topics).filter(|keys| !keys.is_empty());
        let mut unions: Vec<Union<'_>> = wanted.map(|keys| Union::new(&self.reader, LOGS, keys, to)).collect();
        if unions.is_empty() {
            unions.push(Union::new(&self.reader, SLOTS, vec![Vec::new()], to));
        }
        let found = postings::common(&mut unions, from, to, count_max, SEARCH_STEPS_COUNT_MAX);
        self.checked(found)
    }

    /// Up to `count_max` slots between the two that show a transaction which `address` took part in, in `order`.
    pub(crate) fn involving(
        &self,
        address: Address,
        (from, to): (Slot, Slot),
        order: Order,
        count_max: usize,
    ) -> Result<Vec<Slot>, Fault> {
        let mut slots = BTreeSet::new();
        for list in [address_key(&address), party_key(&address)] {
            let rows = match order {
                Order::Ascending => self.reader.scan(LOGS, &list, &at(&list, from), count_max),
                Order::Descending => self.reader.scan_back(LOGS, &list, &at(&list, to), count_max),
            };
            slots.extend(rows.iter().map(|(key, _)| slot_of(&key[list.len()..])));
        }
        let slots = slots.into_iter().filter(|slot| (from..=to).contains(slot));
        self.checked(match order {
            Order::Ascending => slots.take(count_max).collect(),
            Order::Descending => slots.rev().take(count_max).collect(),
        })
    }

    /// The transaction of `sender` with `nonce`.
    pub(crate) fn sent(&self, sender: Address, nonce: u64) -> Result<Option<B256>, Fault> {
        self.hash(SENT, &sent_key(&sender, nonce))
    }

    /// The transaction that created the contract at `address` itself.
    pub(crate) fn creation(&self, address: Address) -> Result<Option<B256>, Fault> {
        self.hash(CREATED, address.as_slice())
    }

    /// A transaction that `attempt` committed.
    pub(crate) fn committed_by(&self, attempt: AttemptId) -> Result<Option<OutcomeRecord>, Fault> {
        let key = self.reader.get(ATTEMPTS, attempt_key(&attempt)).filter(|key| slot_of(key) >= self.first());
        let record = key.and_then(|key| decoded(&self.reader.get(BLOCKS, &key)?));
        self.checked(record.filter(|record| record.attempt == Some(attempt)))
    }

    /// The slot whose block has `hash`, if that block shows anything.
    pub(crate) fn shown_as(&self, hash: B256) -> Result<Option<Slot>, Fault> {
        self.checked(self.reader.get(HASHES, hash.as_slice()).map(|bytes| slot_of(&bytes)))
    }

    fn hash_row(&self, slot: Slot) -> Write {
        Write::put(HASHES, self.params.block_hash(slot.0).to_vec(), slot.0.to_be_bytes().to_vec())
    }

    fn hash(&self, space: Space, key: &[u8]) -> Result<Option<B256>, Fault> {
        self.checked(self.reader.get(space, key).and_then(|bytes| B256::try_from(bytes.as_slice()).ok()))
    }

    /// What was read, unless the store has failed: a read that failed looks like one that found nothing.
    fn checked<T>(&self, read: T) -> Result<T, Fault> {
        self.reader.fault().map_or(Ok(read), Err)
    }
}

/// The rows of one outcome. Of those that only have to be there, `marks` gets the keys.
fn rows(shard: ShardId, record: &OutcomeRecord, marks: &mut BTreeSet<(Space, Vec<u8>)>) -> Vec<Write> {
    let slot = record.shown.0.to_be_bytes();
    let key = block_key(record.shown, place(shard, record));
    let mut rows = vec![
        Write::put(BLOCKS, key.clone(), encode(&(record, &record.called))),
        Write::put(PLACES, record.transaction.to_vec(), key.clone()),
    ];
    rows.extend(record.attempt.map(|attempt| Write::put(ATTEMPTS, attempt_key(&attempt).to_vec(), key)));
    let mut found = BTreeSet::new();
    for log in &record.outcome.logs {
        found.insert(address_key(&log.address));
        found.extend(log.topics.iter().enumerate().map(|(position, topic)| topic_key(position, topic)));
    }
    found.extend(parties(record).iter().map(party_key));
    let hash = || record.transaction.to_vec();
    rows.extend(nonce(record).map(|nonce| Write::put(SENT, sent_key(&record.sender, nonce), hash())));
    rows.extend(record.outcome.created.map(|contract| Write::put(CREATED, contract.to_vec(), hash())));
    marks.insert((SLOTS, slot.to_vec()));
    marks.extend(found.into_iter().map(|key| (LOGS, [&key[..], &slot].concat())));
    rows
}

/// All outcomes of one block together, in the order in which it shows them.
fn block_key(slot: Slot, place: Place) -> Vec<u8> {
    [&slot.0.to_be_bytes()[..], &place_key(place)].concat()
}

/// The kind of key that whoever took part in a transaction is under: behind those of a log's address and its four topics.
const PARTY_KIND: u8 = 5;

/// Kinds of keys are told apart by their first byte, so none is the beginning of another.
fn address_key(address: &Address) -> Vec<u8> {
    [&[0], address.as_slice()].concat()
}

fn topic_key(position: usize, topic: &B256) -> Vec<u8> {
    [&[1 + u8::try_from(position).unwrap_or(u8::MAX - 1)], topic.as_slice()].concat()
}

fn party_key(address: &Address) -> Vec<u8> {
    [&[PARTY_KIND], address.as_slice()].concat()
}

/// Half of it tells attempts apart, and the transaction that is found says whether it is this one's.
fn attempt_key(attempt: &AttemptId) -> &[u8] {
    attempt.0.as_bytes().split_at(16).0
}

fn sent_key(sender: &Address, nonce: u64) -> Vec<u8> {
    [sender.as_slice(), &nonce.to_be_bytes()].concat()
}

/// The place of `slot` in a list.
fn at(list: &[u8], slot: Slot) -> Vec<u8> {
    [list, &slot.0.to_be_bytes()].concat()
}

/// The first key after `key`.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn decoded(bytes: &[u8]) -> Option<OutcomeRecord> {
    let (record, called): (OutcomeRecord, Option<SystemTransaction>) = primitives::decode(bytes, usize::MAX).ok()?;
    Some(OutcomeRecord { called, ..record })
}

/// The slot that a key starts with.
fn slot_of(key: &[u8]) -> Slot {
    Slot(key.iter().chain(std::iter::repeat(&0)).take(8).fold(0, |slot, byte| slot << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod hashes;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
