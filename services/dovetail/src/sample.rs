//! A network that nobody runs, for tests of what is checked offline.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use host::network::{EnvironmentSource, Genesis, Network, NetworkFile, ShardEntry};
use primitives::{Millis, Time};
use proof::SecretKey;
use std::collections::BTreeMap;
use wire::node::NodeState;

/// One shard for each of `secrets`, its only validator's.
pub(crate) fn network(chain_id: u64, secrets: &[SecretKey]) -> Network {
    let entry = |(shard, secret): (u32, &SecretKey)| ShardEntry {
        shard,
        endpoint: "http://127.0.0.1:1".to_owned(),
        epoch: 1,
        validators: vec![secret.public().to_string()],
    };
    let file = NetworkFile {
        network: chain_id,
        genesis_ms: 0,
        slot_ms: 500,
        base_fee_wei: 7,
        gas_limit: 30_000_000,
        beneficiary: alloy_primitives::Address::ZERO,
        fork: "osaka".to_owned(),
        environments: EnvironmentSource::Slots,
        allow_unprotected_transactions: false,
        placement_version: 1,
        genesis: None,
        genesis_digest: None,
        shards: (0..).zip(secrets).map(entry).collect(),
        pinned: BTreeMap::new(),
        routes: Vec::new(),
        roles: BTreeMap::new(),
    };
    Network::new(&file, Genesis::default()).unwrap()
}

/// A node that is well and does not say of which network it is.
pub(crate) fn node(name: &str, clock: Time) -> NodeState {
    NodeState {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        is_ready: true,
        remarks: "ready".to_owned(),
        clock,
        running: Millis(65_000),
        certificate_until_s: 0,
        open_attempts: Vec::new(),
        open_attempts_count: 0,
        of: None,
    }
}
