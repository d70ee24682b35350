//! A shard's machine: one step takes a batch of inputs, makes at most one block, and answers each input.
//!
//!   inputs --> Work: ledger, draft block, replies, sends --> seal --> writes (one batch) --> receipts in the replies
//!
//! Promise: what is in memory here is a cache of the store; [`Shard::open`] on the store after any synced batch goes on as
//! this machine would have (I12). R2's order is [`Output`]: no receipt leaves before its block is synced.
//! Knows nothing of disks, clocks and sockets.

use crate::advance::Advance;
use crate::attempts::Attempts;
use crate::base;
use crate::blocks::{Draft, LeafPlace, Sealed, Surroundings, Tip};
use crate::closing;
use crate::config::{self, OpenError, ShardConfig};
use crate::dispatch::Mailbox;
use crate::execution::oldest_slot_taken;
use crate::freshness::Freshness;
#[cfg(feature = "twins")]
use crate::freshness::Start;
use crate::heat::Heat;
use crate::inbox::Backlog;
use crate::input::{AcknowledgeRefusal, Answer, Busy, DeliverRefusal, Input, LockCounts, Pending, Reply, Send, Ticket};
use crate::ledger::Ledger;
use crate::limits::{
    HANDLE_DELIVERY_GAS, HOT_KEYS_TOLD_COUNT_MAX, INPUTS_PER_STEP_COUNT_MAX, SELF_CHECK_COUNT_MAX,
    SELF_CHECK_EVERY_STEPS_COUNT, STEP_GAS_MAX,
};
use crate::locks::LockTable;
use crate::messages::ValueTotals;
use crate::queries;
use crate::recency::Recency;
use crate::retention::{Forgetting, Kept};
use crate::seen::Seen;
use crate::settling::Settling;
use crate::spaces::{self, APPLIED_COUNT, CHANGES, HISTORY_TIP, META, NEWEST_SLOT, TIP, VALUE};
use crate::staged::get_value;
use crate::state_tree::{self, STATE_ROOT_LAG_BLOCKS_MAX};
use crate::tombstones::Tombstones;
use crate::unended::Unended;
use crate::waiting::Waiting;
use commit::Participant;
use evm::{CodeCache, NetworkParams, Placement};
use primitives::{Digest, Epoch, Height, Machine, Output, Read, ShardId, Slot, Time, Write};
use proof::{Admission, Certified, History, Message, Receipt, ReceiptVerifier, Signer};

/// One shard of a network.
#[derive(Debug)]
pub struct Shard {
    pub(crate) params: NetworkParams,
    pub(crate) placement: Placement,
    pub(crate) me: ShardId,
    pub(crate) mailbox: Mailbox,
    pub(crate) participant: Participant,
    pub(crate) verifier: ReceiptVerifier,
    epoch: Epoch,
    signer: Signer,
    tip: Tip,
    /// No block to come has an earlier time.
    time: Time,
    history: History,
    /// The newest state root, and the block it is of.
    state: (Height, Digest),
    pub(crate) locks: LockTable,
    pub(crate) heat: Heat,
    pub(crate) attempts: Attempts,
    pub(crate) waiting: Waiting,
    pub(crate) tombstones: Tombstones,
    pub(crate) settling: Settling,
    pub(crate) unended: Unended,
    pub(crate) value: ValueTotals,
    pub(crate) applied_count: u64,
    pub(crate) recency: Recency,
    pub(crate) codes: CodeCache,
    /// Whether there are values of another chain to be read.
    pub(crate) forked: bool,
    pub(crate) freshness: Freshness,
    pub(crate) seen: Seen,
    steps_count: u64,
}

impl Shard {
    /// The writes that make an empty store this shard's, with its part of `accounts`: one batch.
    ///
    /// # Errors
    /// [`OpenError`] for a configuration that no shard starts with.
    pub fn genesis(config: &ShardConfig, accounts: &config::GenesisAccounts) -> Result<Vec<Write>, OpenError> {
        config::genesis(config, accounts)
    }

    /// The machine as the store behind `read` left it.
    ///
    /// # Errors
    /// [`OpenError`] if the store is not this shard's, or the configuration is not one to start with.
    pub fn open(config: ShardConfig, read: &impl Read) -> Result<Self, OpenError> {
        config.check()?;
        config::check_store(&config, read)?;
        let (network, me) = (config.network(), config.me);
        let tip: Tip = get_value(read, META, TIP).ok_or(OpenError::Empty)?;
        let mut locks = LockTable::default();
        let seen = Seen::open(read, &config.settled);
        let mut participant = config.participant();
        for shard in config.placement.shards() {
            participant.note_settled(shard, seen.settled_through(shard));
        }
        let start = config.start;
        #[cfg(feature = "twins")] // RestoredStoreVotes breaks R14.
        let start = if config.twin == Some(commit::Twin::RestoredStoreVotes) { Start::Vouched } else { start };
        let attempts = Attempts::open(read, tip.time, (&config.params, &participant), &mut locks);
        Ok(Self {
            mailbox: Mailbox {
                network,
                shard: me,
                beneficiary: config.params.beneficiary,
                foreign: config.routes.iter().map(|route| route.terms().domain).collect(),
            },
            participant,
            verifier: config.verifier(),
            epoch: config.epoch(),
            time: tip.time,
            history: get_value(read, META, HISTORY_TIP).ok_or(OpenError::Empty)?,
            state: state_tree::newest_root(read).ok_or(OpenError::Empty)?,
            value: get_value(read, META, VALUE).unwrap_or_default(),
            applied_count: get_value(read, META, APPLIED_COUNT).unwrap_or(0),
            recency: Recency::open(get_value(read, META, NEWEST_SLOT).unwrap_or(Slot(0))),
            codes: CodeCache::default(),
            forked: base::is_forked(read),
            freshness: Freshness::open(start, config.placement.shards().filter(|shard| *shard != me)),
            seen,
            steps_count: 0,
            params: config.params,
            placement: config.placement,
            signer: config.signer,
            me,
            tip,
            locks,
            heat: Heat::default(),
            attempts,
            waiting: Waiting::default(),
            tombstones: Tombstones::open(read),
            settling: Settling::open(read),
            unended: Unended::open(read),
        })
    }

    /// What is locked here now.
    fn count_locks(&mut self) -> LockCounts {
        LockCounts {
            keys_count: self.locks.keys_count(),
            holders_count: self.locks.holders_count(),
            waiting_count: self.waiting.count(),
            hottest: self.heat.hottest(self.time, HOT_KEYS_TOLD_COUNT_MAX),
        }
    }

    /// This shard.
    pub fn id(&self) -> ShardId {
        self.me
    }

    /// The newest block.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The time below which no block to come lies.
    pub fn time(&self) -> Time {
        self.time
    }

    /// Whether its store is shown to be the newest, so that it signs (R14).
    pub fn is_shown(&self) -> bool {
        self.freshness.is_shown()
    }

    /// How many attempts are undecided.
    pub fn live_count(&self) -> usize {
        self.attempts.live_count()
    }

    /// How many keys are held.
    pub fn locks_count(&self) -> usize {
        self.locks.keys_count()
    }

    /// The newest certified header of another shard that this one has seen.
    pub fn newest_seen(&self, shard: ShardId) -> Option<&Certified> {
        self.seen.newest(shard)
    }

    /// By how many blocks the newest state root lags.
    pub fn state_lag(&self) -> u64 {
        self.tip.height.0.saturating_sub(self.state.0.0)
    }

    /// Refuses new work while the state root lags too far: decisions, aborts and acknowledgements always go on.
    pub(crate) fn check_lag(&self) -> Result<(), Busy> {
        match self.state_lag() {
            lag if lag > STATE_ROOT_LAG_BLOCKS_MAX => Err(Busy::Lagging { lag }),
            _ => Ok(()),
        }
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            network: self.params.network,
            shard: self.me,
            epoch: self.epoch,
            time: self.time,
            settled_through: self.attempts.settled_through(self.time),
            ended_before: self.unended.ended_before(),
            state: self.state,
        }
    }

    /// Checks the tables against each other: all of them when small, now and then when large (I7).
    fn assert_valid(&self) {
        let small = self.locks.keys_count() <= SELF_CHECK_COUNT_MAX;
        if small || self.steps_count.is_multiple_of(SELF_CHECK_EVERY_STEPS_COUNT) {
            self.locks.assert_valid();
            self.attempts.assert_valid(&self.locks);
            self.waiting.assert_valid();
        }
        assert!(self.history.count() == self.tip.height.0, "the history has one leaf for each block");
        assert!(self.time >= self.tip.time, "time never goes back");
        assert!(self.state.0 <= self.tip.height, "the state root is of a block that exists");
    }
}

impl Machine for Shard {
    type Input = Input;
    type Send = Send;
    type Reply = Reply;

    fn step(&mut self, now: Time, inputs: Vec<Input>, read: &impl Read) -> Output<Send, Reply> {
        self.steps_count += 1;
        self.time = self.time.max(now); // R10: deadlines meet the block's time, and that never goes back.
        self.recency.forget_before(oldest_slot_taken(&self.params, self.time));
        let mut work = Work::new(self, read);
        let mut load = Load::default();
        work.see(&inputs);
        for input in inputs {
            match work.bar(&input) {
                Some(busy) => work.refuse(&input, busy),
                None if load.takes(&input, &work.shard.params) => work.take(input),
                None => work.refuse(&input, Busy::Inputs),
            }
        }
        let mut backlog = Backlog::None;
        if work.shard.freshness.is_shown() {
            work.ask_about_late();
            backlog = work.run_waiting();
        }
        work.follow_freshness();
        let mut output = work.finish();
        if backlog == Backlog::Some {
            output.wake = Some(self.time);
        }
        if cfg!(debug_assertions) {
            self.assert_valid();
        }
        output
    }
}

/// For how many inputs one counts: each vote may end an attempt.
fn weight(input: &Input) -> usize {
    match input {
        Input::Votes(votes) => votes.len().max(1),
        _ => 1,
    }
}

/// The gas that an input may burn in the step. What was executed before the step burns none.
fn gas(input: &Input, params: &NetworkParams) -> u64 {
    match input {
        Input::Local { payload, .. } => {
            payload.signed().map(|transaction| transaction.gas_limit().min(params.gas_limit)).sum()
        }
        Input::Deliver { fact, .. } => {
            Message::from_fact(fact).map_or(0, |message| message.gas_limit.min(params.gas_limit))
        }
        Input::Admit { admission, .. } => match &***admission {
            Admission::Message { message, .. } => message.gas_limit.min(params.gas_limit),
            Admission::Processed(_) => HANDLE_DELIVERY_GAS,
        },
        Input::Acknowledge { .. } => HANDLE_DELIVERY_GAS,
        _ => 0,
    }
}

/// How much a step has taken on.
#[derive(Debug, Default)]
struct Load {
    inputs_count: usize,
    gas: u64,
}

impl Load {
    /// Whether the step takes `input` too. What ends attempts and what keeps the state root up is always taken: it makes
    /// room; what is only asked for takes none. One input may exceed the gas of a step, so
    /// that every transaction fits into some step; what burns none is not kept out by it.
    fn takes(&mut self, input: &Input, params: &NetworkParams) -> bool {
        if matches!(input, Input::Decision { .. } | Input::StateRoots(_) | Input::Forget { .. } | Input::Attest { .. })
        {
            return true;
        }
        let (inputs_count, gas) = (self.inputs_count + weight(input), gas(input, params));
        let is_too_much_gas = gas > 0 && self.gas > 0 && self.gas.saturating_add(gas) > STEP_GAS_MAX;
        if inputs_count > INPUTS_PER_STEP_COUNT_MAX || is_too_much_gas {
            return false;
        }
        (self.inputs_count, self.gas) = (inputs_count, self.gas.saturating_add(gas));
        true
    }
}

/// One step's work on a shard.
#[derive(Debug)]
pub(crate) struct Work<'s, 'a, R> {
    /// The shard; what changes in it changes in the step's batch too.
    pub(crate) shard: &'s mut Shard,
    /// The state as the step sees it.
    pub(crate) ledger: Ledger<'a, R>,
    /// The step's block.
    pub(crate) draft: Draft,
    /// The step's block time (R10).
    pub(crate) time: Time,
    /// What goes to other shards.
    pub(crate) sends: Vec<Send>,
    replies: Vec<(Ticket, Pending)>,
    /// What is old and goes with the step, once all is answered.
    forgettings: Vec<Forgetting>,
}

impl<'s, 'a, R: Read> Work<'s, 'a, R> {
    pub(crate) fn new(shard: &'s mut Shard, read: &'a R) -> Self {
        let (draft, time) = (Draft::after(&shard.tip), shard.time);
        let (sends, replies, forgettings) = (Vec::new(), Vec::new(), Vec::new());
        Self { shard, ledger: Ledger::new(read), draft, time, sends, replies, forgettings }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Local { ticket, payload } => {
                let answer = self.local(&payload);
                self.reply(ticket, answer);
            }
            Input::Prepare { ticket, prepare } => {
                let answer = self.prepare(&prepare).unwrap_or_else(|refusal| Answer::AttemptRefused(refusal).into());
                self.reply(ticket, answer);
            }
            Input::AbortRequest { ticket, descriptor, waits } => {
                let answer = self.abort_request(&descriptor, waits.as_deref());
                self.reply(ticket, answer.unwrap_or_else(|refusal| Answer::AttemptRefused(refusal).into()));
            }
            Input::Decision { ticket, proof } => {
                let answer = self.decision(&proof).unwrap_or_else(Answer::AttemptRefused);
                self.reply(ticket, answer);
            }
            Input::Votes(votes) => votes.into_iter().for_each(|vote| self.vote(vote)),
            Input::Deliver { ticket, fact } => {
                let answer = self.deliver(&fact);
                self.attend(&fact, answer.as_ref().err().and_then(DeliverRefusal::busy));
                self.reply(ticket, answer.unwrap_or_else(|refusal| Answer::DeliverRefused(refusal).into()));
            }
            Input::Admit { ticket, admission } => {
                let answer = self.admit(&admission);
                self.reply(ticket, answer);
            }
            Input::Acknowledge { ticket, fact } => {
                let answer = self.acknowledge(&fact);
                self.attend(&fact, answer.as_ref().err().and_then(AcknowledgeRefusal::busy));
                self.reply(ticket, answer.unwrap_or_else(Answer::AcknowledgeRefused));
            }
            Input::Cheat { ticket, cheat } => {
                let answer = self.cheat(&cheat).unwrap_or_else(Answer::CheatRefused);
                self.reply(ticket, answer);
            }
            Input::StateRoots(advance) => self.state_roots(advance),
            Input::Forget { ticket, forgetting } => {
                self.forgettings.push(*forgetting);
                self.reply(ticket, Answer::Forgot);
            }
            Input::Base { ticket, values } => {
                let answer = self.take_base(values).unwrap_or_else(Answer::BaseRefused);
                self.reply(ticket, answer);
            }
            Input::Attest { ticket } => {
                let answer = self.attest();
                self.reply(ticket, answer);
            }
            Input::Recall { ticket, shard } => {
                let newest = self.shard.seen.newest(shard).cloned().map(Box::new);
                self.reply(ticket, Answer::Sighting { newest });
            }
            Input::CountLocks { ticket } => {
                let answer = Answer::Locks(self.shard.count_locks());
                self.reply(ticket, answer);
            }
            Input::Sighting { .. } | Input::Tick => {}
        }
    }

    /// Answers an input that the step does not act on.
    fn refuse(&mut self, input: &Input, busy: Busy) {
        let (ticket, answer) = match input {
            Input::Local { ticket, .. } => (ticket, Answer::LocalRefused(busy.into())),
            Input::Prepare { ticket, .. } | Input::AbortRequest { ticket, .. } | Input::Decision { ticket, .. } => {
                (ticket, Answer::AttemptRefused(busy.into()))
            }
            Input::Deliver { ticket, .. } | Input::Admit { ticket, .. } => {
                (ticket, Answer::DeliverRefused(busy.into()))
            }
            Input::Acknowledge { ticket, .. } => (ticket, Answer::AcknowledgeRefused(busy.into())),
            Input::Base { ticket, .. } => (ticket, Answer::BaseRefused(busy.into())),
            Input::Cheat { ticket, .. } => (ticket, Answer::CheatRefused(busy.into())),
            Input::Attest { ticket } => (ticket, self.attest()),
            Input::Forget { ticket, .. } => (ticket, Answer::Forgot),
            Input::Recall { ticket, .. } => (ticket, Answer::Sighting { newest: None }),
            Input::CountLocks { ticket } => (ticket, Answer::Locks(self.shard.count_locks())),
            Input::Votes(_) | Input::StateRoots(_) | Input::Sighting { .. } | Input::Tick => return,
        };
        self.reply(*ticket, answer);
    }

    fn reply(&mut self, ticket: Ticket, answer: impl Into<Pending>) {
        self.replies.push((ticket, answer.into()));
    }

    /// Takes a root that follows the newest one; another was computed twice and changes nothing.
    fn state_roots(&mut self, advance: Advance) {
        let (newest, height) = (self.shard.state.0, advance.root.0);
        if advance.from == Some(newest) && newest < height && height <= self.shard.tip.height {
            self.shard.state = advance.root;
            self.ledger.staged.extend(advance.writes);
        }
    }

    /// Takes away what follows on what went before; what was computed twice changes nothing. Last of all: what was answered before has
    /// receipts of leaves that go.
    fn forget(&mut self) {
        for forgetting in std::mem::take(&mut self.forgettings) {
            if forgetting.from == Kept::read(&self.ledger.staged).first {
                self.ledger.staged.extend(forgetting.writes);
            }
        }
    }

    /// Says up to when all is told. Nothing is written: a machine that is opened again goes on at no earlier time because
    /// its host's clock does not, which is the host's promise.
    fn attest(&self) -> Answer {
        // Blocks to come may have this very time, so it is the millisecond before that is closed.
        let open = closing::first_open(&self.shard.params, self.time, self.shard.attempts.oldest_number());
        Answer::Attested { open, time: Time(self.time.0.saturating_sub(1)), height: self.shard.tip.height }
    }

    fn finish(mut self) -> Output<Send, Reply> {
        let sealed = (!self.draft.is_empty()).then(|| self.seal());
        self.save_seen();
        if sealed.is_some() {
            self.shard.tombstones.prune(self.time, &mut self.ledger.staged);
            self.shard.settling.prune(&self.shard.participant, self.time, &mut self.ledger.staged);
        }
        let staged = &self.ledger.staged;
        let receipt = |place: LeafPlace| match &sealed {
            Some(block) if block.header.height == place.height => block.receipt(place),
            _ => queries::receipt_at(staged, place),
        };
        let answered = |(ticket, pending): (Ticket, Pending)| Reply { ticket, answer: complete(pending, &receipt) };
        let replies = std::mem::take(&mut self.replies).into_iter().map(answered).collect();
        self.forget();
        let wake = self.shard.attempts.due_at().into_iter().chain(self.shard.freshness.due_at()).min();
        Output { writes: self.ledger.staged.into_writes(), sends: self.sends, replies, wake }
    }

    fn seal(&mut self) -> Sealed {
        let draft = std::mem::replace(&mut self.draft, Draft::after(&self.shard.tip));
        let shard = &mut *self.shard;
        let (sealed, entries) = draft.seal(shard.surroundings(), &shard.tip, &shard.history, &shard.signer);
        let changed = self.ledger.take_changed();
        let staged = &mut self.ledger.staged;
        staged.put_value(CHANGES, spaces::height_key(sealed.header.height), &changed);
        staged.put_value(META, VALUE, &shard.value);
        staged.put_value(META, APPLIED_COUNT, &shard.applied_count);
        staged.put_value(META, NEWEST_SLOT, &shard.recency.newest());
        shard.tip = sealed.stage(&entries, &mut shard.history, staged);
        sealed
    }
}

/// The answer, with the receipt it waited for.
fn complete(pending: Pending, receipt: &impl Fn(LeafPlace) -> Receipt) -> Answer {
    match pending {
        Pending::Ready(answer) => answer,
        Pending::Vote { vote, place, hint } => Answer::Voted { vote, receipt: Box::new(receipt(place)), hint },
        Pending::Delivery { delivery, place, novelty } => {
            Answer::Delivered { delivery, receipt: Box::new(receipt(place)), novelty }
        }
    }
}
