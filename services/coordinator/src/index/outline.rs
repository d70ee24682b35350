//! A block in short: of each transaction its place, the gas and the logs before it, and a sieve of what its logs are about.
//!
//! ```text
//!   OUTLINES[slot] = line line line … end      line: place (24 bytes), gas before (8), logs before (4), sieve (8)
//!                                              end: gas (8), logs (4) of all                        all big-endian
//! ```
//!
//! Promise: with its outline one transaction of a block, or those with certain logs, can be told without reading the others. A
//! sieve lets through all that is wanted, and little else.

use crate::blocks::Place;
use alloy_primitives::{Address, B256};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use wire::jsonrpc::LogQuery;
use wire::state::OutcomeRecord;

/// Bytes of a place in its block.
pub(super) const PLACE_BYTES: usize = 24;

/// Bytes of a line, and of what is at the end.
const LINE_BYTES: usize = PLACE_BYTES + SUM_BYTES + 8;
const SUM_BYTES: usize = 8 + 4;

/// Bits that each address and each topic sets in a sieve.
const SIEVE_BITS_EACH: u32 = 2;

/// One block in short, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outline<'a>(&'a [u8]);

/// One transaction in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// How many stand before it.
    pub(super) index: usize,
    /// The place, as the end of its key.
    pub(super) place: &'a [u8],
    pub(super) before: Sum,
    pub(super) sieve: Sieve,
}

/// Gas and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    pub(super) gas: u64,
    pub(super) logs: u32,
}

impl Sum {
    fn of(record: &OutcomeRecord) -> Self {
        Self { gas: record.outcome.gas_used, logs: u32::try_from(record.outcome.logs.len()).unwrap_or(u32::MAX) }
    }

    fn plus(self, other: Self) -> Self {
        Self { gas: self.gas.saturating_add(other.gas), logs: self.logs.saturating_add(other.logs) }
    }

    fn minus(self, other: Self) -> Self {
        Self { gas: self.gas.saturating_sub(other.gas), logs: self.logs.saturating_sub(other.logs) }
    }

    fn read(bytes: &[u8]) -> Self {
        let logs = number(bytes.get(8..SUM_BYTES).unwrap_or_default());
        Self { gas: number(bytes.get(..8).unwrap_or_default()), logs: u32::try_from(logs).unwrap_or(u32::MAX) }
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.gas.to_be_bytes());
        out.extend_from_slice(&self.logs.to_be_bytes());
    }
}

impl<'a> Outline<'a> {
    /// Of what is stored; nothing for an empty block.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many transactions there are.
    pub(super) fn count(self) -> usize {
        self.0.len() / LINE_BYTES
    }

    /// The gas and the logs of all of them.
    pub(super) fn all(self) -> Sum {
        Sum::read(self.0.get(self.count() * LINE_BYTES..).unwrap_or_default())
    }

    /// The line of the transaction at `place`.
    pub(super) fn find(self, place: &[u8]) -> Option<Line<'a>> {
        let (mut from, mut to) = (0, self.count());
        while from < to {
            let middle = from + (to - from) / 2;
            let line = self.line(middle)?;
            match line.place.cmp(place) {
                Ordering::Less => from = middle + 1,
                Ordering::Equal => return Some(line),
                Ordering::Greater => to = middle,
            }
        }
        None
    }

    /// All lines, in the order of their places.
    pub(super) fn lines(self) -> impl Iterator<Item = Line<'a>> {
        (0..self.count()).filter_map(move |index| self.line(index))
    }

    fn line(self, index: usize) -> Option<Line<'a>> {
        let line = self.0.get(index * LINE_BYTES..(index + 1) * LINE_BYTES)?;
        let (place, rest) = line.split_at(PLACE_BYTES);
        let (before, sieve) = rest.split_at(SUM_BYTES);
        Some(Line { index, place, before: Sum::read(before), sieve: Sieve(number(sieve)) })
    }

    /// The same with more transactions in it, to be stored; those that were there already are there once.
    pub(super) fn with<'r>(self, more: impl Iterator<Item = (Place, &'r OutcomeRecord)>) -> Vec<u8> {
        let end = self.all();
        let mut all: BTreeMap<Vec<u8>, (Sum, Sieve)> = BTreeMap::new();
        for line in self.lines() {
            let after = self.line(line.index + 1).map_or(end, |next| next.before);
            all.insert(line.place.to_vec(), (after.minus(line.before), line.sieve));
        }
        all.extend(more.map(|(place, record)| (place_key(place).to_vec(), (Sum::of(record), Sieve::of(record)))));
        let (mut bytes, mut sum) = (Vec::with_capacity(all.len() * LINE_BYTES + SUM_BYTES), Sum::default());
        for (place, (own, sieve)) in all {
            bytes.extend_from_slice(&place);
            sum.write(&mut bytes);
            bytes.extend_from_slice(&sieve.0.to_be_bytes());
            sum = sum.plus(own);
        }
        sum.write(&mut bytes);
        bytes
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
}

/// A place in its block, in bytes that sort as places do.
pub(super) fn place_key((time, shard, height, index): Place) -> [u8; PLACE_BYTES] {
    let mut key = [0; PLACE_BYTES];
    key[..8].copy_from_slice(&time.0.to_be_bytes());
    key[8..12].copy_from_slice(&shard.0.to_be_bytes());
    key[12..20].copy_from_slice(&height.0.to_be_bytes());
    key[20..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Which addresses and topics a transaction's logs may have: bits of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sieve(u64);

impl Sieve {
    fn of(record: &OutcomeRecord) -> Self {
        let mut bits = 0;
        for log in &record.outcome.logs {
            bits |= of_address(&log.address);
            for (position, topic) in log.topics.iter().enumerate() {
                bits |= of_topic(position, topic);
            }
        }
        Self(bits)
    }

    /// Whether it has no logs.
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one of its logs may be one that `wanted` looks for.
    pub(super) fn lets_through(self, wanted: &Wanted) -> bool {
        wanted.0.iter().all(|one_of| one_of.iter().any(|bits| self.0 & bits == *bits))
    }
}

/// What a query looks for, as sieves know it: of each list one.
#[derive(Debug)]
pub(super) struct Wanted(Vec<Vec<u64>>);

impl Wanted {
    pub(super) fn of(query: &LogQuery) -> Self {
        let addresses = query.addresses.iter().map(of_address).collect();
        let topics = query.topics.iter().enumerate();
        let topics = topics.map(|(position, topics)| topics.iter().map(|topic| of_topic(position, topic)).collect());
        Self(std::iter::once(addresses).chain(topics).filter(|one_of: &Vec<u64>| !one_of.is_empty()).collect())
    }
}

fn of_address(address: &Address) -> u64 {
    bits(0, address.as_slice())
}

fn of_topic(position: usize, topic: &B256) -> u64 {
    bits(1 + position as u64, topic.as_slice())
}

/// A few bits out of 64 that depend on all of `bytes` (FNV-1a over words, then what Murmur ends with).
fn bits(kind: u64, bytes: &[u8]) -> u64 {
    let words = bytes.chunks(8).map(|word| word.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)));
    let mixed = words.fold(0xcbf2_9ce4_8422_2325 ^ kind, |hash, word| (hash ^ word).wrapping_mul(0x0100_0000_01b3));
    let hash = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (0..SIEVE_BITS_EACH).fold(0, |bits, number| bits | 1 << (hash >> (58 - 6 * number) & 63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::place;
    use crate::index::sample::record;
    use evm::Log;
    use primitives::ShardId;

    fn with_log(id: u8, time: u64, address: u8, topics: &[u8]) -> OutcomeRecord {
        let mut record = record(id, 5, time);
        record.outcome.logs.push(Log {
            address: Address::repeat_byte(address),
            topics: topics.iter().map(|topic| B256::repeat_byte(*topic)).collect(),
            data: Vec::new().into(),
        });
        record.outcome.gas_used = 100 + u64::from(id);
        record
    }

    fn outline(records: &[OutcomeRecord]) -> Vec<u8> {
        Outline::of(&[]).with(records.iter().map(|record| (place(ShardId(0), record), record)))
    }

    #[test]
    fn lines_stand_in_the_order_of_their_places_and_once_with_all_that_is_before_them() {
        let (first, second, third) = (with_log(1, 10, 1, &[]), with_log(2, 20, 1, &[]), with_log(3, 30, 1, &[]));
        let stored = outline(&[third.clone(), first]);
        let more = [second, third];
        let stored = Outline::of(&stored).with(more.iter().map(|record| (place(ShardId(0), record), record)));
        let outline = Outline::of(&stored);
        let told: Vec<_> = outline.lines().map(|line| (line.index, line.before)).collect();
        assert_eq!(
            told,
            [(0, Sum { gas: 0, logs: 0 }), (1, Sum { gas: 101, logs: 1 }), (2, Sum { gas: 203, logs: 2 })]
        );
        for line in outline.lines() {
            assert_eq!(outline.find(line.place), Some(line));
        }
        assert_eq!(outline.find(&[0; PLACE_BYTES]), None);
        assert_eq!(outline.find(&[u8::MAX; PLACE_BYTES]), None);
        assert_eq!((Outline::of(&[]).count(), Outline::of(&[]).find(&[])), (0, None));
    }

    #[test]
    fn a_sieve_lets_through_all_that_is_wanted_and_little_else() {
        let records: Vec<_> = (0..=255).map(|id| with_log(id, u64::from(id), 1, &[2, id])).collect();
        let stored = outline(&records);
        let outline = Outline::of(&stored);
        let mut passed = 0;
        for id in 0..=255_u8 {
            let topics = [vec![B256::repeat_byte(2)], vec![B256::repeat_byte(id)], vec![], vec![]];
            let wanted = Wanted::of(&LogQuery { addresses: vec![Address::repeat_byte(1)], topics });
            let through: Vec<_> = outline.lines().map(|line| line.sieve.lets_through(&wanted)).collect();
            assert!(through[usize::from(id)], "what is wanted comes through");
            passed += through.iter().filter(|through| **through).count();
        }
        assert!(passed < 4 * 256, "{passed} of 65,536 came through where 256 were wanted");
        let anything = Wanted::of(&LogQuery::default());
        assert!(outline.lines().all(|line| line.sieve.lets_through(&anything)));
    }
}
