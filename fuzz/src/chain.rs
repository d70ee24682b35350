//! A chain in memory for the Ethereum JSON-RPC to ask: a few blocks that never change.

use crate::sample;
use alloy_primitives::{Address, B256, U256, keccak256};
use evm::{AccountState, Bytecode, Data, Ground, Log, NetworkParams, Outcome, Placement, State, Status};
use primitives::{Height, ShardId, Slot, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::jsonrpc::{AccountView, Chain, Entry, Found, Moment, Run, RunFailure, SlotBlock};
use wire::state::{LeafPlace, OutcomeRecord};
use wire::{Reason, Rejection};

const EARLIEST: Slot = Slot(1_000);
const HEAD: Slot = Slot(1_200);

/// Code that returns its input; it reverts with it if the first byte is not zero.
const ECHO: [u8; 19] =
    [0x36, 0x5f, 0x5f, 0x37, 0x5f, 0x35, 0x60, 0xf8, 0x1c, 0x60, 0x0f, 0x57, 0x36, 0x5f, 0xf3, 0x5b, 0x36, 0x5f, 0xfd];

#[derive(Debug)]
pub(crate) struct MemoryChain {
    params: NetworkParams,
    blocks: BTreeMap<Slot, Arc<SlotBlock>>,
    state: State,
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
        called: None,
    }
}

fn internal(error: &dyn std::fmt::Display) -> Rejection {
    Rejection::new(Reason::Internal, error.to_string())
}

impl MemoryChain {
    pub(crate) fn new() -> Self {
        let block = |(slot, count): (u64, usize)| {
            let slot = Slot(slot);
            let transactions = sample::transactions().into_iter().take(count);
            let outcomes = (0..).zip(transactions).map(|(index, bytes)| record(slot, index, bytes)).collect();
            (slot, Arc::new(SlotBlock { outcomes, ..SlotBlock::empty(slot) }))
        };
        Self { params: sample::params(), blocks: [(1_010, 3), (1_190, 5)].map(block).into(), state: state() }
    }
}

/// One contract, which echoes.
fn state() -> State {
    let mut state = State::default();
    let code_hash = keccak256(ECHO);
    let account = AccountState { code_hash, ..AccountState::EMPTY };
    state.accounts.insert(sample::user(2).address(), account);
    state.codes.insert(code_hash, Bytecode::new_raw(ECHO.to_vec().into()));
    state
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
        let shown = self.blocks.values().flat_map(|block| Entry::all(block));
        let found = shown.into_iter().find(|entry| entry.record.transaction == hash);
        Ok(found.map(|entry| Found::Placed(Box::new(entry))))
    }

    async fn account(&self, address: Address, _: Moment) -> Result<AccountView, Rejection> {
        let code = if address == sample::user(2).address() { vec![0x5f, 0].into() } else { Data::default() };
        Ok(AccountView { nonce: 3, balance: U256::from(5), code })
    }

    async fn storage(&self, _: Address, slot: U256, _: Moment) -> Result<U256, Rejection> {
        Ok(slot)
    }

    async fn over<T: Send + 'static>(&self, moment: Moment, run: Run<T>) -> Result<T, Rejection> {
        let slot = match moment {
            Moment::After(slot) => slot,
            Moment::Newest => Slot(HEAD.0 + 1),
        };
        let placement = Placement::new(1, 1, BTreeMap::new()).map_err(|error| internal(&error))?;
        match run(&Ground::of_slot(&self.params, &placement, slot), &self.state) {
            Ok(ran) => Ok(ran),
            Err(RunFailure::Refused(rejection)) => Err(rejection),
            Err(RunFailure::Missing(missing)) => Err(internal(&format!("a whole state lacks {missing:?}"))),
        }
    }

    async fn send_raw(&self, transaction: Data) -> Result<B256, Rejection> {
        Ok(keccak256(&*transaction))
    }
}
