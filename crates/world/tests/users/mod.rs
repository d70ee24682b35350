//! Users with keys, and what they sign.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use dovetail_world::World;
use evm::{Environment, Environments, NetworkParams, Payload, Spec};
use primitives::{Millis, NetworkId, ShardId, Time};
use shard::{GenesisAccount, GenesisAccounts};
use std::collections::BTreeMap;

pub const NETWORK: NetworkId = NetworkId(1337);
pub const ETHER: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);

/// A user with a key.
pub fn user(seed: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(seed + 1)).unwrap()
}

pub fn params() -> NetworkParams {
    NetworkParams {
        network: NETWORK,
        genesis: Time(0),
        slot_length: Millis(500),
        base_fee: 1,
        gas_limit: 30_000_000,
        beneficiary: Address::repeat_byte(0xfe),
        spec: Spec::default(),
        environments: Environments::Slots,
        takes_unprotected: false,
    }
}

/// User n on shard n, as far as there are shards.
pub fn spread(shards: u32) -> BTreeMap<Address, ShardId> {
    (0..32).map(|seed| (user(seed).address(), ShardId(u32::from(seed) % shards))).collect()
}

pub fn genesis(_: u32) -> GenesisAccounts {
    let account = GenesisAccount { balance: ETHER * U256::from(100), ..GenesisAccount::default() };
    (0..32).map(|seed| (user(seed).address(), account.clone())).collect()
}

pub fn sign(from: u8, to: TxKind, value: U256, input: Vec<u8>, nonce: u64) -> Vec<u8> {
    let transaction = TxEip1559 {
        chain_id: NETWORK.0,
        nonce,
        gas_limit: 1_000_000,
        max_fee_per_gas: 10,
        max_priority_fee_per_gas: 1,
        to,
        value,
        input: Bytes::from(input),
        ..TxEip1559::default()
    };
    let signature = user(from).sign_hash_sync(&transaction.signature_hash()).unwrap();
    TxEnvelope::Eip1559(transaction.into_signed(signature)).encoded_2718()
}

pub fn transfer(world: &World, from: u8, to: Address, value: U256, nonce: u64) -> Payload {
    let slot = Environment::Slot(world.plan().params.slot_at(world.now()));
    Payload::signed(slot, sign(from, TxKind::Call(to), value, Vec::new(), nonce))
}
