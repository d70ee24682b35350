//! What the protocol's own transactions called: found again in the log of what was applied, for who wants to run them again.
//!
//! ```text
//! transaction's id -> its outcome: height -> the log's records of that block (by halving: heights ascend) -> the one it is the id of
//! ```
//!
//! Costs a reader some twenty records and those of one block; who commits pays nothing for it.
//! Knows nothing of traces.

use crate::applied::{Applied, Cause, records};
use crate::outcomes::outcome;
use crate::retention::Kept;
use crate::spaces::{APPLIED_COUNT, META};
use crate::staged::get_value;
use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use evm::{Payload, SystemTransaction, TransactionKind};
use primitives::{Height, Read};
use std::collections::{BTreeMap, VecDeque};

/// How many records of a block are read at a time.
const RECORDS_PER_PAGE_COUNT: usize = 64;

/// A payload of the protocol's own, with what ran it: the ids of its transactions follow from both.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OwnPayload {
    /// Why it ran.
    pub cause: Cause,
    /// What ran.
    pub payload: Payload,
}

impl OwnPayload {
    /// Its system transaction that has the id `transaction`.
    pub fn call(&self, transaction: B256) -> Option<&SystemTransaction> {
        self.calls().find_map(|(id, call)| (id == transaction).then_some(call))
    }

    fn has_calls(&self) -> bool {
        self.payload.transactions.iter().any(|kind| matches!(kind, TransactionKind::System(_)))
    }

    /// Its system transactions, each with its id.
    fn calls(&self) -> impl Iterator<Item = (B256, &SystemTransaction)> {
        let digest = self.payload.digest();
        self.payload.transactions.iter().enumerate().filter_map(move |(index, kind)| match kind {
            TransactionKind::System(system) => Some((self.cause.system_id(digest, index), system)),
            TransactionKind::Signed(_) => None,
        })
    }
}

/// The system transaction whose outcome this shard keeps under the id `transaction`.
pub fn own_call(read: &impl Read, transaction: B256) -> Option<SystemTransaction> {
    let height = outcome(read, transaction)?.height;
    OfBlock::new(read, height).find_map(|own| own.call(transaction).cloned())
}

/// The payloads of the block at `height` that have system transactions, by the ids of those.
pub(crate) fn of_block(read: &impl Read, height: Height) -> BTreeMap<B256, OwnPayload> {
    let by_ids = |own: OwnPayload| own.calls().map(|(id, _)| (id, own.clone())).collect::<Vec<_>>();
    OfBlock::new(read, height).filter(OwnPayload::has_calls).flat_map(by_ids).collect()
}

/// The payloads of one block that this shard is a home of, in the order of its log.
struct OfBlock<'a, R> {
    read: &'a R,
    height: Height,
    /// The number of the next record that is read.
    next: u64,
    page: VecDeque<Applied>,
}

impl<'a, R: Read> OfBlock<'a, R> {
    fn new(read: &'a R, height: Height) -> Self {
        Self { read, height, next: first_of(read, height), page: VecDeque::new() }
    }
}

impl<R: Read> Iterator for OfBlock<'_, R> {
    type Item = OwnPayload;

    fn next(&mut self) -> Option<OwnPayload> {
        loop {
            if self.page.is_empty() {
                self.page = records(self.read, self.next, RECORDS_PER_PAGE_COUNT).into();
                self.next += self.page.len() as u64;
            }
            let record = self.page.pop_front().filter(|record| record.height == self.height)?;
            if let Some(payload) = record.payload {
                return Some(OwnPayload { cause: record.cause, payload });
            }
        }
    }
}

/// The number of the log's first record of the block at `height`, or of a later one.
fn first_of(read: &impl Read, height: Height) -> u64 {
    let (mut low, mut high) = (Kept::read(read).applied, get_value(read, META, APPLIED_COUNT).unwrap_or(0));
    while low < high {
        let middle = low + (high - low) / 2;
        if records(read, middle, 1).first().is_some_and(|record| record.height < height) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
