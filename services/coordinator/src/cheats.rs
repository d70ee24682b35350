//! A test suite's time, state and snapshots, on a network with cheats: docs/decisions/0025.
//!
//! ```text
//!   transaction --> open: a leg of time at the slot it will run in --> submitted --> its first try ended, nobody else under way
//!                                                                        --> settle: the clock moves past the slot's end
//!   command ------> waits until nothing is under way --> settle --> done over the shards --> settle
//!                         (at most QUIET_WAIT)                                                '--> `latest` has it
//! ```
//!
//! Promise: a command is alone: nothing that came through this node is under way while it is done, and what it did is in the last
//! block that is told when it answers. Contracts' time is a function of the slot that this node keeps, and every payload names its
//! own, so the shards need no copy.
//! Slots, and so numbers of blocks, only go on. A network with cheats has one coordinator; nobody else may submit meanwhile.

mod kept;
mod shards;

use crate::api::Node;
use alloy_primitives::Address;
use coordinator::Input;
use evm::{Leg, NetworkParams, Travels};
use host::network::Network;
use host::{Class, Clock, TimeOffset, wall};
use kept::{Kept, KeptError};
use primitives::{Millis, Slot, Time};
use shard::limits::SLOT_BEHIND_MAX;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use wire::jsonrpc::{Command, Done};
use wire::{Reason, Rejection};

pub use kept::KeptError as CheatsError;

/// How long a command waits for what is under way.
const QUIET_WAIT: Duration = Duration::from_secs(10);

/// Between two looks whether anything is under way that nobody waits for any more.
const QUIET_PAUSE: Duration = Duration::from_millis(5);

/// How long a block may take to be told once all clocks are past its end.
const TOLD_WAIT: Duration = Duration::from_secs(10);

/// The least that contracts' time goes on from one block with something in it to the next, as with anvil and hardhat.
const BLOCK_STEP: Millis = Millis(1_000);

/// Most blocks that one command makes.
const BLOCKS_COUNT_MAX: u64 = 100_000_000;

/// What this node knows of time and snapshots.
#[derive(Debug)]
pub(crate) struct Cheats {
    params: NetworkParams,
    offset: TimeOffset,
    accounts: Vec<Address>,
    /// Whoever moves slots or state; a transaction takes it while it opens its block.
    turn: tokio::sync::Mutex<()>,
    /// Transactions whose first try has not ended.
    sending: AtomicUsize,
    sent: Notify,
    state: Mutex<State>,
    kept: Kept,
}

/// What commands change.
#[derive(Debug)]
struct State {
    travels: Travels,
    /// How far contracts' time is ahead of the host's clock, in milliseconds.
    shift_ms: i64,
    /// All that it was asked to be increased by, in seconds.
    increased: u64,
    /// What the next block's time has to be, in seconds.
    next: Option<u64>,
    snapshots: BTreeMap<u64, Snapshot>,
    snapshots_count: u64,
    is_automining: bool,
    /// Whether something may have run in a slot that is not settled.
    is_open: bool,
}

/// A state to go back to.
#[derive(Debug, Clone, Copy)]
struct Snapshot {
    /// The closed slot that it is after.
    slot: Slot,
    shift_ms: i64,
}

impl Cheats {
    /// Those of `network`, if it has any; what is kept of them is in `data`.
    pub(crate) fn open(network: &Network, offset: TimeOffset, data: &Path) -> Result<Option<Self>, KeptError> {
        if !network.params.environments.has_cheats() {
            return Ok(None);
        }
        let (kept, known) = Kept::open(data)?;
        let is_account = |(address, account): (&Address, &host::network::GenesisAccount)| {
            let is_funded = !account.balance.is_zero() && account.nonce == 0 && account.code.0.is_empty();
            is_funded.then_some(*address)
        };
        Ok(Some(Self {
            params: network.params.clone(),
            offset,
            accounts: network.genesis.accounts.iter().filter_map(is_account).collect(),
            turn: tokio::sync::Mutex::new(()),
            sending: AtomicUsize::new(0),
            sent: Notify::new(),
            state: Mutex::new(State {
                travels: known.travels(),
                shift_ms: known.shift_ms,
                increased: 0,
                next: None,
                snapshots: BTreeMap::new(),
                snapshots_count: 0,
                is_automining: true,
                is_open: true,
            }),
            kept,
        }))
    }

    /// Accounts that have something from the beginning on.
    pub(crate) fn accounts(&self) -> Vec<Address> {
        self.accounts.clone()
    }

    /// What time it is for contracts, slot by slot.
    pub(crate) fn travels(&self) -> Travels {
        self.state().travels.clone()
    }

    /// What time it is for contracts in `slot`.
    pub(crate) fn time_of(&self, slot: Slot) -> Time {
        self.state().travels.time_of(&self.params, slot)
    }

    /// Whether each transaction closes its block.
    pub(crate) fn automines(&self) -> bool {
        self.state().is_automining
    }

    /// The time that the next block will have, where the newest slot is `slot`.
    pub(crate) fn coming(&self, slot: Slot) -> Time {
        let state = self.state();
        if state.is_open { state.travels.time_of(&self.params, slot) } else { self.next_time(&state, slot) }
    }

    /// The same slots with the next block's time from `slot` on.
    pub(crate) fn travels_to_come(&self, slot: Slot) -> Travels {
        let (mut travels, begin) = (self.travels(), self.coming(slot));
        travels.set(Leg { slot, begin, step: Millis(0) });
        travels
    }

    /// The slot that it is now.
    pub(crate) fn slot(&self) -> Slot {
        self.params.slot_at(Clock::starting_at(Time(0)).moved_by(self.offset.clone()).now())
    }

    fn next_time(&self, state: &State, slot: Slot) -> Time {
        if let Some(seconds) = state.next {
            return Time(seconds.saturating_mul(1_000));
        }
        let last = state.travels.time_of(&self.params, Slot(slot.0.saturating_sub(1)));
        shifted(wall(), state.shift_ms).max(last.after(BLOCK_STEP))
    }

    /// Gives the next block its time, from the present slot on. Nothing has run in that slot.
    fn begin_block(&self, state: &mut State) -> Leg {
        let slot = self.slot();
        let begin = self.next_time(state, slot);
        let leg = Leg { slot, begin, step: Millis(0) };
        state.travels.set(leg);
        state.next = None;
        state.shift_ms = difference(begin, wall());
        state.is_open = true;
        leg
    }

    fn keep(&self, state: &State, reverting: Option<Slot>) -> Result<(), Rejection> {
        self.kept.write(&state.travels, state.shift_ms, reverting).map_err(|error| unkept(&error))
    }

    /// What is behind the lock is whole after every operation.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction on its way; when it is dropped, it is not any more.
struct Sending<'a>(&'a Cheats);

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.sending.fetch_sub(1, Ordering::AcqRel);
        self.0.sent.notify_waiters();
    }
}

impl Node {
    /// Has what `submit` does done in a block with a time of its own, and closes that block unless others are under way.
    pub(crate) async fn in_block<T>(
        &self,
        cheats: &Cheats,
        submit: impl Future<Output = Result<T, Rejection>>,
    ) -> Result<T, Rejection> {
        let turn = cheats.turn.lock().await;
        cheats.sending.fetch_add(1, Ordering::AcqRel);
        let sending = Sending(cheats);
        self.open_block(cheats).await?;
        drop(turn);
        let submitted = submit.await;
        drop(sending);
        if cheats.automines() {
            let _turn = cheats.turn.lock().await;
            if cheats.sending.load(Ordering::Acquire) == 0 {
                // What is tried again was answered before it ended.
                let ended = tokio::time::timeout(QUIET_WAIT, self.ended()).await.is_ok();
                if ended && cheats.state().is_open {
                    self.settle(cheats, cheats.slot()).await?;
                }
            }
        }
        submitted
    }

    /// Tells the machine what was kept of time, and ends what was begun, before anything is handed in.
    pub(crate) async fn resume_cheats(&self, cheats: &Cheats) {
        if let Err(rejection) = self.try_resume_cheats(cheats).await {
            tracing::error!(%rejection, "going back to a snapshot was begun and is not ended: go back to it again, or begin anew");
        }
    }

    async fn try_resume_cheats(&self, cheats: &Cheats) -> Result<(), Rejection> {
        self.tell_time(cheats).await?;
        let Some(to) = cheats.kept.reverting() else { return Ok(()) };
        self.go_back(cheats, to).await?;
        cheats.keep(&cheats.state(), None)
    }

    async fn tell_time(&self, cheats: &Cheats) -> Result<(), Rejection> {
        let travels = cheats.travels();
        Ok(self.handle.tell(Class::UnderWay, Input::Travel(travels)).await?)
    }

    async fn open_block(&self, cheats: &Cheats) -> Result<(), Rejection> {
        {
            let mut state = cheats.state();
            if state.is_open {
                return Ok(());
            }
            cheats.begin_block(&mut state);
            cheats.keep(&state, None)?;
        }
        self.tell_time(cheats).await
    }

    /// Whether anything is under way but what waits for an earlier nonce.
    fn is_under_way(&self) -> bool {
        self.lives.under_way(None).iter().any(|one| !one.is_ahead)
    }

    /// Does a command, when nothing is under way.
    pub(crate) async fn command(&self, cheats: &Cheats, command: Command) -> Result<Done, Rejection> {
        let _turn = cheats.turn.lock().await;
        tokio::time::timeout(QUIET_WAIT, self.quiet(cheats)).await.map_err(|_| busy())?;
        match command {
            Command::Mine { count: 0, .. } => Ok(Done::Yes),
            Command::Mine { count, interval } => self.mine(cheats, count, interval).await,
            Command::IncreaseTime(seconds) => {
                self.end_block(cheats).await?;
                increase(&mut cheats.state(), seconds)
            }
            Command::NextTime(seconds) => self.set_next_time(cheats, seconds).await,
            Command::Set { address, parts } => {
                self.set_account(address, parts).await?;
                self.settle(cheats, cheats.slot()).await?;
                Ok(Done::Yes)
            }
            Command::Snapshot => self.snapshot(cheats).await,
            Command::Revert(id) => self.revert(cheats, id).await,
            Command::Reset => self.reset(cheats).await,
            Command::Automine(is_on) => {
                cheats.state().is_automining = is_on;
                Ok(Done::Yes)
            }
        }
    }

    /// Waits until all that was handed in has ended, but for what waits for a nonce.
    async fn ended(&self) {
        while self.is_under_way() {
            tokio::time::sleep(QUIET_PAUSE).await;
        }
    }

    /// Waits until nothing is under way.
    async fn quiet(&self, cheats: &Cheats) {
        loop {
            let sent = cheats.sent.notified();
            if cheats.sending.load(Ordering::Acquire) > 0 {
                // Whoever sends looks at the time again, so that none that ended just now is missed.
                let _ = tokio::time::timeout(QUIET_PAUSE, sent).await;
            } else if self.is_under_way() {
                tokio::time::sleep(QUIET_PAUSE).await;
            } else {
                return;
            }
        }
    }

    /// Moves all clocks past the end of `slot`, and waits until its block is told.
    async fn settle(&self, cheats: &Cheats, slot: Slot) -> Result<(), Rejection> {
        // A shard takes what is of a slot until so long after it.
        let closed = cheats.params.end_of(slot).after(SLOT_BEHIND_MAX).after(Millis(1));
        cheats.offset.reach(wall(), closed).map_err(|error| unmoved(&error))?;
        self.blocks.hurry();
        let mut head: watch::Receiver<Option<Slot>> = self.head.clone();
        let told = head.wait_for(|head| *head >= Some(slot));
        let told = tokio::time::timeout(TOLD_WAIT, told).await;
        told.map_err(|_| late(slot))?.map_err(|_| Rejection::new(Reason::Unavailable, "the process is stopping"))?;
        cheats.state().is_open = false;
        Ok(())
    }

    /// Closes the block that something may have run in: that keeps the time which it saw.
    async fn end_block(&self, cheats: &Cheats) -> Result<(), Rejection> {
        let is_open = cheats.state().is_open;
        if is_open { self.settle(cheats, cheats.slot()).await } else { Ok(()) }
    }

    async fn mine(&self, cheats: &Cheats, count: u64, interval: Millis) -> Result<Done, Rejection> {
        if count > BLOCKS_COUNT_MAX {
            let text = format!("{count} blocks where at most {BLOCKS_COUNT_MAX} are made at once");
            return Err(Rejection::new(Reason::InvalidArgument, text));
        }
        let last = {
            let mut state = cheats.state();
            let (slot, begin) = if state.is_open {
                let slot = cheats.slot();
                (slot, state.travels.time_of(&cheats.params, slot))
            } else {
                let leg = cheats.begin_block(&mut state);
                (leg.slot, leg.begin)
            };
            let last = Slot(slot.0.saturating_add(count - 1));
            if count > 1 {
                let end = begin.after(Millis(interval.0.saturating_mul(count - 1)));
                state.travels.set(Leg { slot: slot.next(), begin: begin.after(interval), step: interval });
                state.travels.set(Leg { slot: last, begin: end, step: Millis(0) });
                state.shift_ms = difference(end, wall());
            }
            cheats.keep(&state, None)?;
            last
        };
        self.tell_time(cheats).await?;
        self.settle(cheats, last).await?;
        Ok(Done::Yes)
    }

    async fn set_next_time(&self, cheats: &Cheats, seconds: u64) -> Result<Done, Rejection> {
        self.end_block(cheats).await?;
        let mut state = cheats.state();
        let last = state.travels.time_of(&cheats.params, cheats.slot()).seconds();
        if seconds <= last {
            let text = format!("Timestamp {seconds} is lower than or equal to previous block's timestamp {last}");
            return Err(Rejection::new(Reason::InvalidArgument, text));
        }
        state.next = Some(seconds);
        Ok(Done::Yes)
    }

    async fn snapshot(&self, cheats: &Cheats) -> Result<Done, Rejection> {
        let slot = cheats.slot();
        self.settle(cheats, slot).await?;
        let mut state = cheats.state();
        state.snapshots_count += 1;
        let (id, shift_ms) = (state.snapshots_count, state.shift_ms);
        state.snapshots.insert(id, Snapshot { slot, shift_ms });
        Ok(Done::Number(id))
    }

    async fn revert(&self, cheats: &Cheats, id: u64) -> Result<Done, Rejection> {
        let Some(snapshot) = cheats.state().snapshots.get(&id).copied() else { return Ok(Done::No) };
        self.check_back(snapshot.slot).await?;
        {
            let mut state = cheats.state();
            let time = state.travels.time_of(&cheats.params, snapshot.slot);
            // The blocks between go on to be told, and show nothing, at the time that it was.
            state.travels.set(Leg { slot: snapshot.slot.next(), begin: time, step: Millis(0) });
            (state.shift_ms, state.next) = (snapshot.shift_ms, None);
            cheats.keep(&state, Some(snapshot.slot))?;
        }
        self.go_back(cheats, snapshot.slot).await?;
        let mut state = cheats.state();
        // Until all of it is done it may be asked for again.
        state.snapshots.split_off(&id);
        cheats.keep(&state, None)?;
        Ok(Done::Yes)
    }

    /// Back to genesis, the time of the clocks, and no snapshots.
    async fn reset(&self, cheats: &Cheats) -> Result<Done, Rejection> {
        self.check_back(Slot(0)).await?;
        {
            let mut state = cheats.state();
            state.travels = Travels::default();
            (state.shift_ms, state.increased, state.next, state.is_automining) = (0, 0, None, true);
            state.snapshots.clear();
            cheats.keep(&state, Some(Slot(0)))?;
        }
        self.go_back(cheats, Slot(0)).await?;
        cheats.keep(&cheats.state(), None)?;
        Ok(Done::Yes)
    }

    /// Has all shards and this node go back to what they were after `to`.
    async fn go_back(&self, cheats: &Cheats, to: Slot) -> Result<(), Rejection> {
        self.revert_shards(to).await?;
        self.settle(cheats, cheats.slot()).await?;
        self.blocks.forget_after(to).map_err(crate::chain::unread)?;
        self.lives.forget_ended();
        self.handle.tell(Class::UnderWay, Input::Forget).await?;
        self.tell_time(cheats).await
    }
}

/// From the next block on it is so much later.
fn increase(state: &mut State, seconds: u64) -> Result<Done, Rejection> {
    let more = seconds.checked_mul(1_000).and_then(|more| i64::try_from(more).ok());
    let shift = more.and_then(|more| state.shift_ms.checked_add(more));
    let far = || Rejection::new(Reason::InvalidArgument, format!("{seconds} s is further than time goes"));
    state.shift_ms = shift.ok_or_else(far)?;
    state.increased = state.increased.saturating_add(seconds);
    Ok(Done::Number(state.increased))
}

fn shifted(time: Time, shift_ms: i64) -> Time {
    Time(time.0.saturating_add_signed(shift_ms))
}

/// How far `time` is ahead of `clock`, in milliseconds.
fn difference(time: Time, clock: Time) -> i64 {
    i64::try_from(i128::from(time.0) - i128::from(clock.0)).unwrap_or(i64::MAX)
}

fn busy() -> Rejection {
    let text =
        format!("transactions are under way since {QUIET_WAIT:?}: nothing was done, ask again when they have ended");
    Rejection::new(Reason::Busy, text)
}

fn late(slot: Slot) -> Rejection {
    Rejection::new(Reason::TimedOut, format!("block {slot} was not told within {TOLD_WAIT:?}"))
}

fn unmoved(error: &io::Error) -> Rejection {
    Rejection::new(Reason::StoreFailed, format!("time was not moved: {error}"))
}

fn unkept(error: &io::Error) -> Rejection {
    Rejection::new(Reason::StoreFailed, format!("what time it is was not kept: {error}"))
}

#[cfg(test)]
mod tests;
