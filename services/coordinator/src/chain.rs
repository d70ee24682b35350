//! The network as one chain, for Ethereum JSON-RPC: a network block is a slot, its content what ran at it.

use crate::api::Node;
use crate::cheats::Cheats;
use alloy_primitives::{Address, B256, U256};
use evm::{Data, FeesKey, HISTORY_ADDRESS, NetworkParams, StateKey, SystemTransaction, Travels};
use host::{Clock, PEER_SILENT_MAX, Standing};
use primitives::{Slot, Time};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use store::Fault;
use tokio::sync::watch;
use wire::coordinator::CoordinatorApi;
use wire::jsonrpc::{
    AccountView, Candidates, Chain, Command, Done, Ended, Entry, Found, Intake, LogQuery, Moment, Order, Readiness,
    Run, SlotBlock, UnderWay, pruned,
};
use wire::state::{OutcomeRecord, StateValue};
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

    fn oldest(&self) -> Slot {
        self.blocks.index().first()
    }

    async fn head(&self) -> Result<Slot, Rejection> {
        let known = self.first_head(self.head.clone());
        let silent = || Rejection::new(Reason::Unavailable, format!("no head is known yet: {}", self.complaints()));
        tokio::time::timeout(HEAD_DEADLINE, known).await.map_err(|_| silent())?
    }

    async fn coming(&self) -> Result<Slot, Rejection> {
        Ok(self.current())
    }

    async fn wait_head(&self, slot: Slot) -> Result<Slot, Rejection> {
        let mut head = self.head.clone();
        let later = head.wait_for(|head| *head > Some(slot)).await.map_err(|_| stopping())?;
        (*later).ok_or_else(stopping)
    }

    async fn oldest_state(&self) -> Result<Slot, Rejection> {
        self.reads.oldest().await
    }

    async fn own_call(&self, record: &OutcomeRecord) -> Result<Option<SystemTransaction>, Rejection> {
        match &record.called {
            Some(called) => Ok(Some(called.clone())),
            None => self.reads.own_call(record).await,
        }
    }

    async fn block(&self, slot: Slot) -> Result<Arc<SlotBlock>, Rejection> {
        let block = self.blocks.block(slot).map_err(unread)?;
        self.kept(slot, block)
    }

    async fn occupied(&self, from: Slot, to: Slot, count_max: usize) -> Result<Vec<Slot>, Rejection> {
        let slots = self.blocks.index().occupied(from, to, count_max).map_err(unread)?;
        self.kept(from, slots)
    }

    async fn search(&self, query: &LogQuery, from: Slot, to: Slot, count_max: usize) -> Result<Candidates, Rejection> {
        let found = self.blocks.index().search(query, from, to, count_max).map_err(unread)?;
        self.kept(from, found)
    }

    async fn excerpt(&self, query: &LogQuery, slot: Slot) -> Result<Vec<Entry>, Rejection> {
        let entries = self.blocks.index().excerpt(query, slot).map_err(unread)?;
        self.kept(slot, entries)
    }

    async fn involving(
        &self,
        address: Address,
        between: (Slot, Slot),
        order: Order,
        count_max: usize,
    ) -> Result<Vec<Slot>, Rejection> {
        let slots = self.blocks.index().involving(address, between, order, count_max).map_err(unread)?;
        // From the end those that are kept come first, and may be all that is asked for.
        let end = if order == Order::Descending && slots.len() >= count_max { slots.last().copied() } else { None };
        self.kept(end.unwrap_or(between.0), slots)
    }

    async fn sent(&self, sender: Address, nonce: u64) -> Result<Option<B256>, Rejection> {
        let hash = self.blocks.index().sent(sender, nonce).map_err(unread)?;
        let hash = self.known(hash, format_args!("no transaction {nonce} of {sender}"))?;
        self.told(hash).await
    }

    async fn creation(&self, address: Address) -> Result<Option<B256>, Rejection> {
        let hash = self.blocks.index().creation(address).map_err(unread)?;
        let hash = self.known(hash, format_args!("no creation of {address}"))?;
        self.told(hash).await
    }

    async fn shown_as(&self, hash: B256) -> Result<Option<Slot>, Rejection> {
        self.blocks.index().shown_as(hash).map_err(unread)
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Found>, Rejection> {
        if let Some(found) = self.shown(hash).await? {
            return Ok(Some(found));
        }
        let pending = self.lives.look(hash, |life| {
            let signed = life.transactions.iter().find(|transaction| transaction.hash == hash);
            let signed = signed.filter(|_| life.refusal.is_none())?;
            Some((Found::Pending { bytes: signed.bytes.clone(), sender: signed.sender }, life.has_ended()))
        });
        let pending = match pending.flatten() {
            // Nobody has to be asked about what goes on here.
            Some((pending, false)) => return Ok(Some(pending)),
            ended => ended.map(|(pending, _)| pending),
        };
        let shards = self.shards.ids().collect();
        let Some(record) = self.reads.outcome(hash, &shards).await? else { return Ok(pending) };
        self.kept(record.shown, ())?;
        // Not told yet, also where its shard was away and is just telling; unless that came while it was asked for.
        let untold = Found::Pending { bytes: record.bytes, sender: record.sender };
        Ok(Some(self.shown(hash).await?.unwrap_or(untold)))
    }

    async fn refusal(&self, hash: B256) -> Result<Option<Ended>, Rejection> {
        Ok(self.lives.refusal(hash))
    }

    async fn account(&self, address: Address, moment: Moment) -> Result<AccountView, Rejection> {
        let placement = &self.network.placement;
        let account = StateKey::Account(address);
        let mut keys = BTreeSet::from([account]);
        if address == self.network.params.beneficiary {
            let fragment = |shard| StateKey::Fees(FeesKey { shard, beneficiary: address });
            keys.extend(placement.shards().map(fragment));
        }
        let values = self.reads.values(&keys, moment).await?;
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

    async fn storage(&self, address: Address, slot: U256, moment: Moment) -> Result<U256, Rejection> {
        if address == HISTORY_ADDRESS {
            // No shard may have it: it is computed where the contract's own code is there.
            let read: Run<U256> = Arc::new(move |ground, view| Ok(evm::storage_at(ground, (address, slot), view)?));
            return self.reads.briefly(moment, self.block_of(moment), &read).await;
        }
        let values = self.reads.values(&BTreeSet::from([StateKey::Slot(address, slot)]), moment).await?;
        Ok(values
            .into_values()
            .find_map(|value| if let StateValue::Slot(number) = value { Some(number) } else { None })
            .unwrap_or_default())
    }

    async fn over<T: Send + 'static>(&self, moment: Moment, run: Run<T>) -> Result<T, Rejection> {
        self.reads.over(moment, self.block_of(moment), run).await
    }

    async fn over_soon<T: Send + 'static>(
        &self,
        moment: Moment,
        brief: Run<Option<T>>,
        run: Run<T>,
    ) -> Result<T, Rejection> {
        match self.reads.briefly(moment, self.block_of(moment), &brief).await? {
            Some(told) => Ok(told),
            None => self.over(moment, run).await,
        }
    }

    async fn send_raw(&self, transaction: Data) -> Result<B256, Rejection> {
        self.submit_transaction(transaction).await
    }

    fn time_of(&self, slot: Slot) -> u64 {
        let ordinary = || self.network.params.start_of(slot);
        self.cheats.as_ref().map_or_else(ordinary, |cheats| cheats.time_of(slot)).seconds()
    }

    fn coming_time(&self, slot: Slot) -> u64 {
        let ordinary = self.network.params.start_of(slot);
        self.cheats.as_ref().map_or(ordinary, |cheats| cheats.coming(slot)).seconds()
    }

    fn accounts(&self) -> Vec<Address> {
        self.cheats.as_ref().map(Cheats::accounts).unwrap_or_default()
    }

    async fn cheat(&self, command: Command) -> Result<Done, Rejection> {
        match &self.cheats {
            Some(cheats) => self.command(cheats, command).await,
            None => Err(Rejection::new(Reason::Unsupported, "this network has no cheats")),
        }
    }

    fn automines(&self) -> bool {
        self.cheats.as_ref().is_some_and(Cheats::automines)
    }

    fn under_way(&self, sender: Option<Address>) -> Vec<UnderWay> {
        self.lives.under_way(sender)
    }

    fn intake(&self) -> &Intake {
        self.lives.intake()
    }

    fn readiness(&self) -> Readiness {
        let host::Readiness { is_ready, text } = self.health.readiness();
        Readiness { is_ready, text }
    }

    async fn next_nonce(&self, address: Address) -> Result<u64, Rejection> {
        let nonce = self.account(address, Moment::Newest).await?.nonce;
        Ok(self.lives.next_nonce(address, nonce))
    }
}

impl Node {
    async fn first_head(&self, mut head: watch::Receiver<Option<Slot>>) -> Result<Slot, Rejection> {
        let known = head.wait_for(Option::is_some).await.map_err(|_| stopping())?;
        (*known).ok_or_else(stopping)
    }

    /// A transaction of the index, once its block is told.
    async fn told(&self, hash: Option<B256>) -> Result<Option<B256>, Rejection> {
        let Some(hash) = hash else { return Ok(None) };
        let found = Chain::transaction(self, hash).await?;
        Ok(matches!(found, Some(Found::Placed(_))).then_some(hash))
    }

    /// What was read of `slot` and later ones, unless that is not kept any more.
    fn kept<T>(&self, slot: Slot, read: T) -> Result<T, Rejection> {
        let oldest = self.oldest();
        if slot < oldest { Err(pruned(format_args!("nothing of block {slot}"), oldest)) } else { Ok(read) }
    }

    /// What was found, unless it may be missing only because it is not kept any more.
    fn known<T>(&self, found: Option<T>, what: impl fmt::Display) -> Result<Option<T>, Rejection> {
        let oldest = self.oldest();
        if found.is_none() && oldest > self.earliest() { Err(pruned(what, oldest)) } else { Ok(found) }
    }

    /// A transaction of the index, which is not told before its block is.
    async fn shown(&self, hash: B256) -> Result<Option<Found>, Rejection> {
        let Some(entry) = self.blocks.index().entry(hash).map_err(unread)? else { return Ok(None) };
        let entry = self.kept(entry.slot, entry)?;
        if entry.slot <= self.head().await? {
            return Ok(Some(Found::Placed(Box::new(entry))));
        }
        Ok(Some(Found::Pending { bytes: entry.record.bytes, sender: entry.record.sender }))
    }

    /// The slot whose block a run on the state of `moment` sees, and what time it is there.
    fn block_of(&self, moment: Moment) -> (Slot, Travels) {
        let slot = match moment {
            Moment::After(slot) => slot,
            Moment::Newest => self.current(),
        };
        let travels = match (&self.cheats, moment) {
            (None, _) => Travels::default(),
            (Some(cheats), Moment::After(_)) => cheats.travels(),
            (Some(cheats), Moment::Newest) => cheats.travels_to_come(slot),
        };
        (slot, travels)
    }

    /// The slot that the newest state is of: ahead of the head, as that is, wherever this machine's clock stands.
    fn current(&self) -> Slot {
        let head = self.head.borrow().map_or(0, |head| head.0);
        let now = || self.network.params.slot_at(Clock::starting_at(Time(0)).now());
        self.cheats.as_ref().map_or_else(now, Cheats::slot).max(Slot(head + 1))
    }

    /// What is wrong with which shards.
    fn complaints(&self) -> String {
        let complaint = |(shard, standing): (primitives::ShardId, Standing)| {
            Some(format!("shard {shard} {}", standing.complaint()?))
        };
        self.shards.standings().filter_map(complaint).collect::<Vec<_>>().join(", ")
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
pub(crate) fn unread(fault: Fault) -> Rejection {
    Rejection::new(Reason::StoreFailed, format!("the chain index cannot be read: {fault}"))
}

fn stopping() -> Rejection {
    Rejection::new(Reason::Unavailable, "the process is stopping")
}
