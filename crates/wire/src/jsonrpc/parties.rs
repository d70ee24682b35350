//! Who took part in a transaction, as far as its outcome says: who sent it, whom it called, what it created, and who wrote logs.
//!
//! Whoever was called inside and wrote nothing is not among them: that takes a trace.

use super::view::{decode, target};
use crate::state::OutcomeRecord;
use alloy_consensus::Transaction as _;
use alloy_primitives::Address;
use std::collections::BTreeSet;

/// In which order slots are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    Ascending,
    /// The newest first.
    Descending,
}

/// Who sent a transaction, whom it called and what it created.
pub fn parties(record: &OutcomeRecord) -> BTreeSet<Address> {
    let called = target(record).ok().flatten();
    [Some(record.sender), called, record.outcome.created].into_iter().flatten().collect()
}

/// The nonce of a transaction; none of one that nobody signed.
pub fn nonce(record: &OutcomeRecord) -> Option<u64> {
    if record.bytes.is_empty() { None } else { decode(&record.bytes).ok().map(|signed| signed.nonce()) }
}

/// Whether `address` took part in a transaction.
pub(super) fn involves(record: &OutcomeRecord, address: Address) -> bool {
    record.outcome.logs.iter().any(|log| log.address == address) || parties(record).contains(&address)
}
