//! An index and outcomes for tests.

use super::Index;
use alloy_primitives::{Address, B256};
use evm::{Environments, NetworkParams, Outcome, Spec, Status};
use primitives::{Height, Millis, NetworkId, ShardId, Slot, Time};
use tempfile::TempDir;
use wire::shard::{LogPlace, Tip};
use wire::state::{LeafPlace, OutcomeRecord};

/// An empty index, and the folder that it is in.
pub(crate) fn index() -> (TempDir, Index) {
    let dir = tempfile::tempdir().unwrap();
    let index = open(&dir);
    (dir, index)
}

/// The index in `dir`.
pub(crate) fn open(dir: &TempDir) -> Index {
    Index::open(dir.path(), params()).unwrap()
}

/// The network that the index is of.
pub(crate) fn params() -> NetworkParams {
    NetworkParams {
        network: NetworkId(1),
        genesis: Time(0),
        slot_length: Millis(500),
        base_fee: 1,
        gas_limit: 30_000_000,
        beneficiary: Address::ZERO,
        spec: Spec::default(),
        environments: Environments::Slots,
        takes_unprotected: false,
    }
}

/// Where a log is read to of which everything before `open` is known.
pub(crate) fn at(open: u64) -> LogPlace {
    let genesis = LogPlace::genesis(&params(), ShardId(0));
    LogPlace { tip: Tip { height: Height(open), ..genesis.tip }, open: Slot(open) }
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
        called: None,
    }
}
