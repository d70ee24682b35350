//! What the protocol's own transactions called: found again in the log of what was applied, for who wants to run them again.
//!
//! ```text
//! transaction's id -> its outcome: height -> the log's records of that block (by halving: heights ascend) -> the one it is the id of
//! ```
//!
//! Costs a reader some twenty records and those of one block; who commits pays nothing for it.
//! Knows nothing of traces.

use crate::applied::{Applied, applied};
use crate::outcomes::outcome;
use crate::spaces::{APPLIED_COUNT, META};
use crate::staged::get_value;
use alloy_primitives::B256;
use evm::{SystemTransaction, TransactionKind};
use primitives::{Height, Read};

/// How many records of a block are read at a time.
const RECORDS_PER_PAGE_COUNT: usize = 64;

/// The system transaction whose outcome this shard keeps under the id `transaction`.
pub fn own_call(read: &impl Read, transaction: B256) -> Option<SystemTransaction> {
    let height = outcome(read, transaction)?.height;
    let mut next = first_of(read, height);
    loop {
        let page = applied(read, next, RECORDS_PER_PAGE_COUNT);
        let mut of_block = page.iter().take_while(|record| record.height == height);
        if let Some(found) = of_block.find_map(|record| called(record, transaction)) {
            return Some(found);
        }
        if page.len() < RECORDS_PER_PAGE_COUNT || page.last().is_none_or(|record| record.height > height) {
            return None;
        }
        next += page.len() as u64;
    }
}

/// The number of the log's first record of the block at `height`, or of a later one.
fn first_of(read: &impl Read, height: Height) -> u64 {
    let (mut low, mut high) = (0, get_value(read, META, APPLIED_COUNT).unwrap_or(0));
    while low < high {
        let middle = low + (high - low) / 2;
        if applied(read, middle, 1).first().is_some_and(|record| record.height < height) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// What of a record has this id.
fn called(record: &Applied, transaction: B256) -> Option<SystemTransaction> {
    let payload = record.payload.as_ref()?;
    payload.transactions.iter().enumerate().find_map(|(index, kind)| match kind {
        TransactionKind::System(system) if record.cause.system_id(payload.digest(), index) == transaction => {
            Some(system.clone())
        }
        _ => None,
    })
}
