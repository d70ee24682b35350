//! A chain in memory for the Ethereum JSON-RPC to ask: a few blocks that never change.

use crate::sample;
use alloy_primitives::{Address, B256, U256, keccak256};
use evm::{CallRequest, Data, Log, NetworkParams, Outcome, Status};
use primitives::{Height, ShardId, Slot, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::jsonrpc::{AccountView, Chain, Found, Moment, SlotBlock};
use wire::state::{LeafPlace, OutcomeRecord};
use wire::{Reason, Rejection};

const EARLIEST: Slot = Slot(1_000);
const HEAD: Slot = Slot(1_200);

/// Least gas that a call succeeds with.
const CALL_GAS: u64 = 60_000;

#[derive(Debug)]
pub(crate) struct MemoryChain {
    params: NetworkParams,
    blocks: BTreeMap<Slot, Arc<SlotBlock>>,
}

fn record(slot: Slot, index: u32, bytes: Vec<u8>) -> OutcomeRecord {
    let log = Log { address: sample::user(2).address(), topics: vec![B256::repeat_byte(7)], data: vec![1].into() };
    OutcomeRecord {
        transaction: keccak256(&bytes),
        sender: sample::user(1).address(),
        outcome: Outcome {
            transaction: None,
            kind: 2,
            status: Status::Success,
            gas_used: 40_000,
            gas_price: 10,
            output: Data::default(),
            logs: vec![log],
            created: None,
        },
        bytes: bytes.into(),
        number: slot.0,
        shown: slot,
        height: Height(1),
        index,
        time: Time(slot.0 * 1_000),
        leaf: LeafPlace { height: Height(1), index },
        attempt: None,
        participants: vec![ShardId(0)],
    }
}

impl MemoryChain {
    pub(crate) fn new() -> Self {
        let block = |(slot, count): (u64, usize)| {
            let slot = Slot(slot);
            let transactions = sample::transactions().into_iter().take(count);
            let outcomes = (0..).zip(transactions).map(|(index, bytes)| record(slot, index, bytes)).collect();
            (slot, Arc::new(SlotBlock { outcomes, ..SlotBlock::empty(slot) }))
        };
        Self { params: sample::params(), blocks: [(1_010, 3), (1_190, 5)].map(block).into() }
    }
}

impl Chain for MemoryChain {
    fn params(&self) -> &NetworkParams {
        &self.params
    }

    fn earliest(&self) -> Slot {
        EARLIEST
    }

    async fn head(&self) -> Result<Slot, Rejection> {
        Ok(HEAD)
    }

    async fn wait_head(&self, _: Slot) -> Result<Slot, Rejection> {
        std::future::pending().await
    }

    async fn block(&self, slot: Slot) -> Result<Arc<SlotBlock>, Rejection> {
        assert!((EARLIEST..=HEAD).contains(&slot), "only closed slots are asked for, not {slot}");
        Ok(self.blocks.get(&slot).cloned().unwrap_or_else(|| Arc::new(SlotBlock::empty(slot))))
    }

    async fn occupied(&self, from: Slot, to: Slot, count_max: usize) -> Result<Vec<Slot>, Rejection> {
        assert!(from <= to && to <= HEAD, "a range of closed slots, not {from} to {to}");
        Ok(self.blocks.range(from..=to).map(|(slot, _)| *slot).take(count_max).collect())
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Found>, Rejection> {
        let placed = |block: &Arc<SlotBlock>| {
            let index = block.outcomes.iter().position(|record| record.transaction == hash)?;
            Some(Found::Placed { slot: block.slot, index })
        };
        Ok(self.blocks.values().find_map(placed))
    }

    async fn account(&self, address: Address, _: Moment) -> Result<AccountView, Rejection> {
        let code = if address == sample::user(2).address() { vec![0x5f, 0].into() } else { Data::default() };
        Ok(AccountView { nonce: 3, balance: U256::from(5), code })
    }

    async fn storage(&self, _: Address, slot: U256, _: Moment) -> Result<U256, Rejection> {
        Ok(slot)
    }

    async fn call(&self, call: CallRequest, _: Moment) -> Result<Outcome, Rejection> {
        let gas_limit = call.gas_limit.unwrap_or(self.params.gas_limit);
        if gas_limit < 21_000 {
            return Err(Rejection::new(Reason::IntrinsicGasTooLow, "under 21000"));
        }
        let mut outcome = record(EARLIEST, 0, Vec::new()).outcome;
        outcome.gas_used = CALL_GAS.min(gas_limit);
        outcome.output = call.input;
        outcome.status = if gas_limit < CALL_GAS { Status::Halted } else { Status::Success };
        if outcome.output.first() == Some(&0xff) {
            outcome.status = Status::Reverted;
        }
        Ok(outcome)
    }

    async fn send_raw(&self, transaction: Data) -> Result<B256, Rejection> {
        Ok(keccak256(&*transaction))
    }
}
