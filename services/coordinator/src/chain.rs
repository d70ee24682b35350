//! The network as one chain, for Ethereum JSON-RPC: a network block is a slot, its content what was decided in it.

use crate::api::Node;
use alloy_primitives::{Address, B256, U256};
use evm::{CallRequest, Data, FeesKey, NetworkParams, Outcome, StateKey};
use host::{PEER_SILENT_MAX, Standing};
use primitives::Slot;
use std::collections::BTreeSet;
use std::time::Duration;
use wire::coordinator::CoordinatorApi;
use wire::jsonrpc::{AccountView, Chain, Found, SlotBlock};
use wire::state::StateValue;
use wire::{Reason, Rejection};

/// How long a question waits for the first head: as long as a silent shard may hold it, and a moment more.
const HEAD_DEADLINE: Duration = PEER_SILENT_MAX.saturating_add(Duration::from_secs(1));

impl Chain for Node {
    fn params(&self) -> &NetworkParams {
        &self.network.params
    }

    fn earliest(&self) -> Slot {
        Slot(0)
    }

    async fn head(&self) -> Result<Slot, Rejection> {
        let mut head = self.reads.head();
        let known = tokio::time::timeout(HEAD_DEADLINE, head.wait_for(|slot| slot.0 > 0)).await;
        let silent = || Rejection::new(Reason::Unavailable, format!("no head is known yet: {}", self.complaints()));
        known.map_err(|_| silent())?.map(|slot| *slot).map_err(|_| stopping())
    }

    async fn wait_head(&self, slot: Slot) -> Result<Slot, Rejection> {
        let mut head = self.reads.head();
        let later = head.wait_for(|head| *head > slot).await;
        later.map(|head| *head).map_err(|_| stopping())
    }

    async fn block(&self, slot: Slot) -> Result<SlotBlock, Rejection> {
        Ok(SlotBlock { slot, outcomes: self.reads.outcomes(slot, slot).await? })
    }

    async fn occupied(&self, from: Slot, to: Slot, count_max: usize) -> Result<Vec<Slot>, Rejection> {
        let outcomes = self.reads.outcomes(from, to).await?;
        let slots: BTreeSet<Slot> = outcomes.iter().map(|record| self.network.params.slot_at(record.time)).collect();
        Ok(slots.into_iter().take(count_max).collect())
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Found>, Rejection> {
        let pending = self.lives.look(hash, |life| {
            let signed = life.transactions.iter().find(|transaction| transaction.hash == hash);
            let signed = signed.filter(|_| life.refusal.is_none())?;
            Some(Found::Pending { bytes: signed.bytes.clone(), sender: signed.sender })
        });
        let shards = self.shards.ids().collect();
        let Some(record) = self.reads.outcome(hash, &shards).await? else { return Ok(pending.flatten()) };
        let slot = self.network.params.slot_at(record.time);
        if slot > self.head().await? {
            return Ok(Some(Found::Pending { bytes: record.bytes, sender: record.sender }));
        }
        let block = self.block(slot).await?;
        let index = block.outcomes.iter().position(|outcome| outcome.transaction == hash);
        Ok(index.map(|index| Found::Placed { slot, index }))
    }

    async fn account(&self, address: Address) -> Result<AccountView, Rejection> {
        let placement = &self.network.placement;
        let account = StateKey::Account(address);
        let mut keys = BTreeSet::from([account]);
        if address == self.network.params.beneficiary {
            let fragment = |shard| StateKey::Fees(FeesKey { shard, beneficiary: address });
            keys.extend(placement.shards().map(fragment));
        }
        let values = self.reads.values(&keys).await?;
        let mut view = AccountView::default();
        for (_, value) in values {
            match value {
                StateValue::Account(Some(state)) => {
                    view.nonce = state.nonce;
                    view.balance += state.balance;
                    view.code = self.reads.code(placement.shard_of(address), state.code_hash).await?;
                }
                StateValue::Fees(wei) => view.balance += wei,
                StateValue::Account(None) | StateValue::Slot(_) => {}
            }
        }
        Ok(view)
    }

    async fn storage(&self, address: Address, slot: U256) -> Result<U256, Rejection> {
        let values = self.reads.values(&BTreeSet::from([StateKey::Slot(address, slot)])).await?;
        Ok(values
            .into_values()
            .find_map(|value| if let StateValue::Slot(number) = value { Some(number) } else { None })
            .unwrap_or_default())
    }

    async fn call(&self, call: CallRequest) -> Result<Outcome, Rejection> {
        self.reads.call(&call).await
    }

    async fn send_raw(&self, transaction: Data) -> Result<B256, Rejection> {
        self.submit_transaction(transaction).await
    }

    async fn next_nonce(&self, address: Address) -> Result<u64, Rejection> {
        let nonce = self.account(address).await?.nonce;
        Ok(self.lives.next_nonce(address, nonce))
    }
}

impl Node {
    /// What is wrong with which shards.
    fn complaints(&self) -> String {
        let complaint = |(shard, standing): (primitives::ShardId, Standing)| {
            Some(format!("shard {shard} {}", standing.complaint()?))
        };
        self.shards.standings().filter_map(complaint).collect::<Vec<_>>().join(", ")
    }
}

fn stopping() -> Rejection {
    Rejection::new(Reason::Unavailable, "the process is stopping")
}
