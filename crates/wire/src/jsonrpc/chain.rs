//! What a node offers to the JSON-RPC: the one trait between them.

use super::cheats::{Command, Done};
use super::entry::Entry;
use super::intake::{Arrival, Intake};
use super::parties::{self, Order, involves};
use crate::rejection::{Reason, Rejection};
use crate::state::OutcomeRecord;
use alloy_primitives::{Address, B256, U256};
use evm::trace::TraceError;
use evm::{Data, ExecuteError, Ground, Missing, NetworkParams, SystemTransaction, View};
use primitives::{ShardId, Slot, Time};
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, LazyLock};

/// How far back [`Chain::slot_of_hash`] tries hashes of blocks that show nothing: one hash a slot, some 10 ms in all.
pub const HASH_SEARCH_SLOTS_MAX: u64 = 100_000;

/// How many of them it tries before it lets others have the thread.
const HASHES_AT_ONCE_COUNT: u64 = 1_024;

/// A closed slot and what it shows: what ran at it, and late decisions of what ran before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotBlock {
    /// Which.
    pub slot: Slot,
    /// Outcomes; those of one shard in the order of its log.
    pub outcomes: Vec<OutcomeRecord>,
    /// Shards that did not answer when it was told: what they show in it follows when they are back. For ever the same
    /// once there is none.
    pub silent: Vec<ShardId>,
}

impl SlotBlock {
    /// With nothing in it.
    pub fn empty(slot: Slot) -> Self {
        Self { slot, outcomes: Vec::new(), silent: Vec::new() }
    }
}

/// Which logs are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// Who may have written one; empty for anybody.
    pub addresses: Vec<Address>,
    /// What may stand at each topic's position; empty for anything, also for nothing.
    pub topics: [Vec<B256>; 4],
}

/// What a search for logs came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// Slots in which such logs may be, in order. No other slot before `next` has one.
    pub slots: Vec<Slot>,
    /// The first slot that was not looked at.
    pub next: Slot,
}

/// Where a transaction is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Taken in, not yet in a closed slot.
    Pending {
        /// The signed bytes.
        bytes: Data,
        /// Who signed.
        sender: Address,
    },
    /// In a closed slot.
    Placed(Box<Entry>),
}

/// A transaction that was taken in and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// What was taken in.
    pub arrival: Arrival,
    /// Its nonce.
    pub nonce: u64,
    /// Whether it waits for an earlier nonce of its sender.
    pub is_ahead: bool,
}

/// Whether a node takes work, for those who balance between several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether it does.
    pub is_ready: bool,
    /// Why not, or what it does without; lines for a person.
    pub text: String,
}

/// What nobody has taken anything in with.
static NOTHING: LazyLock<Intake> = LazyLock::new(Intake::default);

/// How a transaction that was accepted ended without a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// When, by the node's clock.
    pub time: Time,
    /// Why.
    pub reason: String,
}

/// Of which moment a state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After this closed block.
    After(Slot),
    /// Now: with what ran after the head.
    Newest,
}

/// What runs on a state: in the block of its moment, over a view that may lack values.
pub type Run<T> = Arc<dyn Fn(&Ground<'_>, &dyn View) -> Result<T, RunFailure> + Send + Sync>;

/// What `run` does, as a [`Run`].
pub(super) fn running<T, E: Into<RunFailure>>(
    run: impl Fn(&Ground<'_>, &dyn View) -> Result<T, E> + Send + Sync + 'static,
) -> Run<T> {
    Arc::new(move |ground, view| run(ground, view).map_err(Into::into))
}

/// Why a [`Run`] came to nothing.
#[derive(Debug)]
pub enum RunFailure {
    /// The view lacks these values: with them it may be run again.
    Missing(BTreeSet<Missing>),
    /// It cannot be run.
    Refused(Rejection),
}

impl From<ExecuteError> for RunFailure {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Missing(missing) => Self::Missing(missing),
            error => Self::Refused(error.into()),
        }
    }
}

impl From<TraceError> for RunFailure {
    fn from(error: TraceError) -> Self {
        let reason = match error {
            TraceError::Execute(error) => return error.into(),
            TraceError::Tracer { .. } => Reason::InvalidArgument,
            TraceError::TooLarge | TraceError::TooMuch => Reason::RangeTooWide,
            TraceError::System { .. } => Reason::Unsupported,
            TraceError::Differs { .. } => Reason::Internal,
        };
        Self::Refused(Rejection::new(reason, error.to_string()))
    }
}

/// An account as wallets see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountView {
    /// Transactions sent.
    pub nonce: u64,
    /// Wei, fragments of fees included.
    pub balance: U256,
    /// Its code; empty for none.
    pub code: Data,
}

/// What is not kept any more, or may be: never told as if it had not been.
pub fn pruned(what: impl fmt::Display, oldest: Slot) -> Rejection {
    Rejection::new(Reason::Pruned, format!("{what} is kept here: block {oldest} is the oldest that this node has"))
}

/// The network as one chain; a service implements it.
///
/// # Errors
/// A [`Rejection`]: a shard that cannot be reached, a bound, or the transaction's own fault.
pub trait Chain: Send + Sync + 'static {
    /// What all shards agree on.
    fn params(&self) -> &NetworkParams;

    /// The first slot this network has.
    fn earliest(&self) -> Slot;

    /// The first slot of which it is kept what it shows; a question about one before it is refused, by [`pruned`]. By default all
    /// are kept.
    fn oldest(&self) -> Slot {
        self.earliest()
    }

    /// The last block that is told: closed on every shard that answers.
    fn head(&self) -> impl Future<Output = Result<Slot, Rejection>> + Send;

    /// Waits until the head is after `slot`, and says where it is.
    fn wait_head(&self, slot: Slot) -> impl Future<Output = Result<Slot, Rejection>> + Send;

    /// The slot that a transaction which is sent now would run at, if nothing held it up. By default the one after the head.
    fn coming(&self) -> impl Future<Output = Result<Slot, Rejection>> + Send {
        async move { Ok(Slot(self.head().await?.0.saturating_add(1))) }
    }

    /// The first slot after which all of the state is kept still. By default it is after every slot.
    fn oldest_state(&self) -> impl Future<Output = Result<Slot, Rejection>> + Send {
        async { Ok(self.earliest()) }
    }

    /// What the protocol's own transaction `record` called, if that is known. By default it is not.
    fn own_call(
        &self,
        _record: &OutcomeRecord,
    ) -> impl Future<Output = Result<Option<SystemTransaction>, Rejection>> + Send {
        async { Ok(None) }
    }

    /// What time it would see, in seconds. By default that of its slot.
    fn coming_time(&self, slot: Slot) -> u64 {
        self.params().start_of(slot).seconds()
    }

    /// What `slot`, which is closed, shows.
    fn block(&self, slot: Slot) -> impl Future<Output = Result<Arc<SlotBlock>, Rejection>> + Send;

    /// Up to `count_max` closed slots from `from` to `to`, both included, that show anything; in order.
    fn occupied(
        &self,
        from: Slot,
        to: Slot,
        count_max: usize,
    ) -> impl Future<Output = Result<Vec<Slot>, Rejection>> + Send;

    /// Up to `count_max` closed slots from `from` to `to`, both included, that may show logs which `query` looks for. By default
    /// all that show anything.
    fn search(
        &self,
        _query: &LogQuery,
        from: Slot,
        to: Slot,
        count_max: usize,
    ) -> impl Future<Output = Result<Candidates, Rejection>> + Send {
        async move {
            let slots = self.occupied(from, to, count_max).await?;
            let last = if slots.len() < count_max { to } else { slots.last().copied().unwrap_or(to) };
            Ok(Candidates { slots, next: Slot(last.0.saturating_add(1)) })
        }
    }

    /// What `slot`, which is closed, shows that may have written logs which `query` looks for, in order. By default all of it.
    fn excerpt(&self, _query: &LogQuery, slot: Slot) -> impl Future<Output = Result<Vec<Entry>, Rejection>> + Send {
        async move { Ok(Entry::all(&*self.block(slot).await?).collect()) }
    }

    /// Up to `count_max` closed slots between the two, both included, that show a transaction which `address` took part in, in
    /// `order`. By default every block that shows anything is looked at.
    fn involving(
        &self,
        address: Address,
        (from, to): (Slot, Slot),
        order: Order,
        count_max: usize,
    ) -> impl Future<Output = Result<Vec<Slot>, Rejection>> + Send {
        async move {
            let mut slots = Vec::new();
            for slot in self.occupied(from, to, usize::MAX).await? {
                if self.block(slot).await?.outcomes.iter().any(|record| involves(record, address)) {
                    slots.push(slot);
                }
            }
            if order == Order::Descending {
                slots.reverse();
            }
            slots.truncate(count_max);
            Ok(slots)
        }
    }

    /// The transaction of `sender` with `nonce`, once a closed block shows it. By default every block is looked at.
    fn sent(&self, sender: Address, nonce: u64) -> impl Future<Output = Result<Option<B256>, Rejection>> + Send {
        async move {
            let is_it = |record: &OutcomeRecord| record.sender == sender && parties::nonce(record) == Some(nonce);
            self.shown(is_it).await
        }
    }

    /// The transaction that created the contract at `address` itself, not by a contract, once a closed block shows it. By
    /// default every block is looked at.
    fn creation(&self, address: Address) -> impl Future<Output = Result<Option<B256>, Rejection>> + Send {
        async move { self.shown(|record| record.outcome.created == Some(address)).await }
    }

    /// The first transaction of all closed blocks that is one which is looked for.
    fn shown(
        &self,
        is_it: impl Fn(&OutcomeRecord) -> bool + Send + Sync,
    ) -> impl Future<Output = Result<Option<B256>, Rejection>> + Send {
        async move {
            for slot in self.occupied(self.earliest(), self.head().await?, usize::MAX).await? {
                let block = self.block(slot).await?;
                if let Some(record) = block.outcomes.iter().find(|record| is_it(record)) {
                    return Ok(Some(record.transaction));
                }
            }
            Ok(None)
        }
    }

    /// Where a transaction is, by its hash; none if it is unknown.
    fn transaction(&self, hash: B256) -> impl Future<Output = Result<Option<Found>, Rejection>> + Send;

    /// How an accepted transaction ended that was not committed, if this node remembers such a one. By default none is.
    fn refusal(&self, _hash: B256) -> impl Future<Output = Result<Option<Ended>, Rejection>> + Send {
        async { Ok(None) }
    }

    /// An account.
    fn account(&self, address: Address, moment: Moment) -> impl Future<Output = Result<AccountView, Rejection>> + Send;

    /// A storage slot.
    fn storage(
        &self,
        address: Address,
        slot: U256,
        moment: Moment,
    ) -> impl Future<Output = Result<U256, Rejection>> + Send;

    /// What `run` comes to on the state of `moment`, in its block; of now that is the one which a transaction would run at, after
    /// the head. It is run off the threads that serve, again whenever it lacked values. Nothing changes.
    fn over<T: Send + 'static>(&self, moment: Moment, run: Run<T>)
    -> impl Future<Output = Result<T, Rejection>> + Send;

    /// The same, where `brief` tells it if that is soon done: it takes a bounded time, and may be run on a thread that serves. By
    /// default it is not tried.
    fn over_soon<T: Send + 'static>(
        &self,
        moment: Moment,
        _brief: Run<Option<T>>,
        run: Run<T>,
    ) -> impl Future<Output = Result<T, Rejection>> + Send {
        self.over(moment, run)
    }

    /// Takes a signed transaction in; answers its hash once it is accepted.
    fn send_raw(&self, transaction: Data) -> impl Future<Output = Result<B256, Rejection>> + Send;

    /// The next nonce of `address` when transactions under way are counted. By default those are not known.
    fn next_nonce(&self, address: Address) -> impl Future<Output = Result<u64, Rejection>> + Send {
        async move { Ok(self.account(address, Moment::Newest).await?.nonce) }
    }

    /// What this node has taken in and not seen end, of one sender or of all. By default nothing is known.
    fn under_way(&self, _sender: Option<Address>) -> Vec<UnderWay> {
        Vec::new()
    }

    /// What this node takes in, as it comes. By default nothing does.
    fn intake(&self) -> &Intake {
        &NOTHING
    }

    /// Whether this node takes work. By default it does as long as it answers at all.
    fn readiness(&self) -> Readiness {
        Readiness { is_ready: true, text: "ready\n".to_owned() }
    }

    /// What time it is for contracts in `slot`, in seconds. By default that of the slot, for nobody moves it.
    fn time_of(&self, slot: Slot) -> u64 {
        self.params().start_of(slot).seconds()
    }

    /// Accounts whose transactions are taken without a signature. By default none are.
    fn accounts(&self) -> Vec<Address> {
        Vec::new()
    }

    /// Does what a test suite asks for, on a network with cheats. By default nothing is done.
    fn cheat(&self, _command: Command) -> impl Future<Output = Result<Done, Rejection>> + Send {
        async { Err(Rejection::new(Reason::Unsupported, "this network has no cheats")) }
    }

    /// Whether each transaction closes its block. By default none does: blocks are closed by the clock.
    fn automines(&self) -> bool {
        false
    }

    /// Wei per gas that get a transaction in sooner. Nothing does, by default: there is no auction.
    fn priority_fee(&self) -> u128 {
        0
    }

    /// The slot whose block has this hash, if that block shows anything, however long ago. By default nothing is known.
    fn shown_as(&self, _hash: B256) -> impl Future<Output = Result<Option<Slot>, Rejection>> + Send {
        async { Ok(None) }
    }

    /// Fails where a block that is not known may be one that is not kept.
    fn unknown_hash(&self, hash: B256) -> Result<(), Rejection> {
        if self.oldest() > self.earliest() {
            Err(pruned(format_args!("no block of hash {hash}"), self.oldest()))
        } else {
            Ok(())
        }
    }

    /// The slot whose block has this hash. Hashes are those of numbers: of blocks that show nothing, the last
    /// [`HASH_SEARCH_SLOTS_MAX`] are tried.
    fn slot_of_hash(&self, hash: B256) -> impl Future<Output = Result<Option<Slot>, Rejection>> + Send {
        async move {
            let head = self.head().await?;
            if let Some(slot) = self.shown_as(hash).await? {
                // What lies beyond the head is not told yet.
                return Ok(Some(slot).filter(|slot| *slot <= head));
            }
            let oldest = self.earliest().0.max(head.0.saturating_sub(HASH_SEARCH_SLOTS_MAX));
            let mut last = head.0;
            loop {
                let first = oldest.max(last.saturating_sub(HASHES_AT_ONCE_COUNT));
                if let Some(slot) = (first..=last).rev().find(|slot| self.params().block_hash(*slot) == hash) {
                    return Ok(Some(Slot(slot)));
                }
                if first <= oldest {
                    return self.unknown_hash(hash).map(|()| None);
                }
                last = first - 1;
                tokio::task::yield_now().await;
            }
        }
    }
}
