//! An index and outcomes for tests.

use super::Index;
use alloy_primitives::{Address, B256};
use evm::{Outcome, Status};
use primitives::{Height, NetworkId, ShardId, Slot, Time};
use tempfile::TempDir;
use wire::state::{LeafPlace, OutcomeRecord};

/// An empty index, and the folder that it is in.
pub(crate) fn index() -> (TempDir, Index) {
    let dir = tempfile::tempdir().unwrap();
    let index = open(&dir);
    (dir, index)
}

/// The index in `dir`.
pub(crate) fn open(dir: &TempDir) -> Index {
    Index::open(dir.path(), NetworkId(1)).unwrap()
}

/// A transaction that block `shown` shows.
pub(crate) fn record(id: u8, shown: u64, time: u64) -> OutcomeRecord {
    OutcomeRecord {
        transaction: B256::repeat_byte(id),
        bytes: vec![id].into(),
        sender: Address::ZERO,
        outcome: Outcome {
            transaction: None,
            kind: 2,
            status: Status::Success,
            gas_used: 1,
            gas_price: 1,
            output: Vec::new().into(),
            logs: Vec::new(),
            created: None,
        },
        number: shown,
        shown: Slot(shown),
        height: Height(u64::from(id)),
        index: 0,
        time: Time(time),
        leaf: LeafPlace { height: Height(u64::from(id)), index: 0 },
        attempt: None,
        participants: vec![ShardId(0)],
    }
}
