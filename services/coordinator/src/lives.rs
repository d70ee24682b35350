//! The lives of submissions as their clients follow them, and why accepted ones ended without a commit.
//!
//! Lives are in memory only: after a restart those that had not ended begin anew, and what has ended is looked up at the shards
//! by its hash. Refusals of accepted ones the machine remembers; here they are found by hash.

use crate::explorer::{Decisions, Hour};
use alloy_primitives::{Address, B256};
use commit::DecisionProof;
use coordinator::{Event, REFUSALS_COUNT_MAX, Refusal, Refused, Reply, Ticket};
use evm::{Data, Outcome};
use primitives::{AttemptId, ShardId, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use wire::coordinator::{LifeEvent, LifeStage};
use wire::jsonrpc::{Arrival, Ended, Intake, UnderWay};

/// How many lives are remembered after their end.
const ENDED_COUNT_MAX: usize = 100_000;

/// Most bytes of them, about: a bundle has many transactions, and each of them may have done much.
const ENDED_BYTES_MAX: usize = 256 << 20;

/// What a life takes besides its transactions and what they did, about, what a transaction does, and what a log does.
const LIFE_BYTES: usize = 1 << 10;
const TRANSACTION_BYTES: usize = 512;
const LOG_BYTES: usize = 256;

/// Tries within which a shard's refusal may yet turn out to be for good: until then there is nothing to tell.
const TRIES_UNTOLD_COUNT_MAX: u32 = 3;

/// How many events of one life are kept; a submission that is tried again and again loses its middle ones.
const EVENTS_COUNT_MAX: usize = 512;

/// After every ticket that there is.
const LAST: Ticket = Ticket(u64::MAX);

/// A signed transaction of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) hash: B256,
    pub(crate) sender: Address,
    pub(crate) nonce: u64,
    pub(crate) bytes: Data,
}

impl Signed {
    fn arrival(&self) -> Arrival {
        Arrival { hash: self.hash, sender: self.sender, bytes: self.bytes.clone() }
    }
}

/// What whoever submitted waits for. Told apart from the events, of which there are many more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Milestone {
    /// Known here, and no more.
    Begun,
    /// It is kept by the machine, or has ended: it will not end without a word.
    Accepted,
    /// All that the first try could tell is told: it ended, it waits for others, or it is tried again.
    Settled,
}

/// One submission from its acceptance on.
#[derive(Debug)]
pub(crate) struct Life {
    id: B256,
    /// Its signed transactions, in order.
    pub(crate) transactions: Vec<Signed>,
    /// Once committed: what each transaction did, in order.
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) events: Vec<LifeEvent>,
    pub(crate) participants: BTreeSet<ShardId>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) proof: Option<Arc<DecisionProof>>,
    numbered: watch::Sender<u32>,
    milestone: watch::Sender<Milestone>,
    /// Whether it is kept by the machine.
    is_accepted: bool,
    /// How often it was handed to shards.
    tries: u32,
    /// Whether the first try has come to anything, or has to wait.
    is_settled: bool,
    /// Whether it waits for an earlier nonce.
    is_ahead: bool,
}

/// An accepted submission that ended without a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Its signed transactions, in order.
    pub(crate) transactions: Vec<Signed>,
    /// Why.
    pub(crate) reason: String,
}

/// An attempt that is begun and not decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standstill {
    pub(crate) attempt: AttemptId,
    /// The submission.
    pub(crate) id: B256,
    /// Its first signed transaction.
    pub(crate) transaction: Option<B256>,
    /// When the attempt began.
    pub(crate) since: Time,
    pub(crate) participants: BTreeSet<ShardId>,
}

impl Life {
    fn new(id: B256, transactions: Vec<Signed>) -> Self {
        Self {
            id,
            transactions,
            outcomes: Vec::new(),
            events: Vec::new(),
            participants: BTreeSet::new(),
            refusal: None,
            proof: None,
            numbered: watch::Sender::new(0),
            milestone: watch::Sender::new(Milestone::Begun),
            is_accepted: false,
            tries: 0,
            is_settled: false,
            is_ahead: false,
        }
    }

    /// What it takes of memory, about.
    fn bytes_count(&self) -> usize {
        let log = |log: &evm::Log| LOG_BYTES + log.data.len();
        let outcome = |outcome: &Outcome| outcome.output.len() + outcome.logs.iter().map(log).sum::<usize>();
        let transaction = |transaction: &Signed| TRANSACTION_BYTES + transaction.bytes.len();
        LIFE_BYTES
            + self.transactions.iter().map(transaction).sum::<usize>()
            + self.outcomes.iter().map(outcome).sum::<usize>()
    }

    fn accept(&mut self) {
        self.is_accepted = true;
        self.pass_milestones();
    }

    /// Wakes whoever waits for what is so now, and nobody else.
    fn pass_milestones(&self) {
        let reached = if self.is_settled || self.has_ended() {
            Milestone::Settled
        } else if self.is_accepted {
            Milestone::Accepted
        } else {
            Milestone::Begun
        };
        self.milestone.send_if_modified(|milestone| {
            let is_passed = reached > *milestone;
            *milestone = reached.max(*milestone);
            is_passed
        });
    }

    /// Its transaction with this sender and nonce, if it is accepted and has not ended.
    fn under_way(&self, sender: Address, nonce: u64) -> Option<UnderWay> {
        let signed = self.transactions.iter().find(|signed| (signed.sender, signed.nonce) == (sender, nonce))?;
        let is_under_way = self.is_accepted && !self.has_ended();
        is_under_way.then(|| UnderWay { arrival: signed.arrival(), nonce, is_ahead: self.is_ahead })
    }

    /// The attempt that it waits for, if one is begun and not decided.
    fn standstill(&self) -> Option<Standstill> {
        let begun = self.events.iter().rev().find(|event| event.stage != LifeStage::Voted)?;
        let attempt = begun.attempt.filter(|_| begun.stage == LifeStage::Preparing)?;
        Some(Standstill {
            attempt,
            id: self.id,
            transaction: self.transactions.first().map(|signed| signed.hash),
            since: begun.time,
            participants: self.participants.clone(),
        })
    }

    /// Whether nothing follows.
    pub(crate) fn has_ended(&self) -> bool {
        self.events.last().is_some_and(|event| event.stage.is_final())
    }

    fn note(&mut self, reply: Reply) {
        self.is_ahead = matches!(reply.event, Event::AwaitsNonce { .. });
        match &reply.event {
            Event::Executed { .. } => self.is_accepted = true,
            Event::Queued { .. } | Event::AwaitsNonce { .. } => (self.is_accepted, self.is_settled) = (true, true),
            Event::SentLocally { .. } | Event::Preparing { .. } => {
                self.tries += 1;
                self.is_settled |= self.tries > TRIES_UNTOLD_COUNT_MAX;
            }
            // A decision is told with its end: a commit once it is applied, so that whoever hears of it reads it; an abort when
            // it is refused for good or tried again.
            Event::Accepted | Event::Voted { .. } | Event::Decided { .. } | Event::Committed(_) | Event::Refused(_) => {
            }
        }
        let (stage, attempt, shard, detail) = self.told(reply.event);
        let number = self.events.last().map_or(0, |event| event.number) + 1;
        if self.events.len() >= EVENTS_COUNT_MAX {
            self.events.remove(1);
        }
        self.events.push(LifeEvent { number, time: reply.time, stage, attempt, shard, detail });
        self.numbered.send_replace(number);
        self.pass_milestones();
    }

    /// What an event is called outside, after taking from it what is asked for later.
    fn told(&mut self, event: Event) -> (LifeStage, Option<AttemptId>, Option<ShardId>, String) {
        match event {
            Event::Accepted => (LifeStage::Accepted, None, None, String::new()),
            Event::Executed { participants } => {
                let named: Vec<String> = participants.iter().map(ToString::to_string).collect();
                let detail = format!("it touches shards {}", named.join(", "));
                self.participants = participants;
                (LifeStage::Executed, None, None, detail)
            }
            Event::Queued { key } => (LifeStage::Queued, None, None, format!("another submission needs {key}")),
            Event::AwaitsNonce { transaction, state } => {
                (LifeStage::Queued, None, None, format!("its nonce is {transaction}, its sender's next is {state}"))
            }
            Event::SentLocally { shard } => {
                (LifeStage::Preparing, None, Some(shard), "one shard executes it".to_owned())
            }
            Event::Preparing { attempt, number } => {
                (LifeStage::Preparing, Some(attempt), None, format!("attempt number {number}"))
            }
            Event::Voted { attempt, shard, verdict } => {
                let detail = match verdict {
                    commit::Verdict::Yes => "yes".to_owned(),
                    commit::Verdict::No(refusal) => format!("no: {refusal}"),
                };
                (LifeStage::Voted, Some(attempt), Some(shard), detail)
            }
            Event::Decided { attempt, decision, proof } => {
                self.proof = Some(proof);
                (LifeStage::Decided, Some(attempt), None, decision.name().to_owned())
            }
            Event::Committed(committed) => {
                let attempt = committed.attempt();
                self.participants = committed.participants;
                self.outcomes = committed.outcomes;
                (LifeStage::Committed, attempt, None, String::new())
            }
            Event::Refused(refusal) => {
                let detail = refusal.to_string();
                self.refusal = Some(*refusal);
                (LifeStage::Refused, None, None, detail)
            }
        }
    }
}

#[derive(Debug, Default)]
struct Registry {
    last: u64,
    tickets: BTreeMap<B256, Ticket>,
    lives: BTreeMap<Ticket, Life>,
    /// Those that have ended, the oldest first, and what each takes of memory.
    ended: VecDeque<(Ticket, usize)>,
    ended_bytes: usize,
    /// Signed transactions under way, by sender and nonce, which several may have.
    nonces: BTreeSet<(Address, u64, Ticket)>,
    /// Why accepted ones ended without a commit.
    refused: BTreeMap<B256, Ended>,
    refused_order: VecDeque<B256>,
}

/// All lives this process knows.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    registry: Mutex<Registry>,
    intake: Intake,
    hour: Hour,
    decisions: Decisions,
}

impl Lives {
    /// With the refusals that the machine remembers, oldest first.
    pub(crate) fn remembering(refused: &[Refused]) -> Self {
        let lives = Self::default();
        for refused in refused {
            let ended = Ended { time: refused.time, reason: refused.reason.clone() };
            refused.transactions().for_each(|hash| lives.lock().refuse(hash, ended.clone()));
        }
        lives
    }

    /// Begins a life, found by `id` and by each transaction's hash.
    ///
    /// # Errors
    /// Which of these is known already: under way or done. What was refused may be tried again.
    pub(crate) fn begin(&self, id: B256, transactions: Vec<Signed>) -> Result<Ticket, B256> {
        let mut registry = self.lock();
        let hashes = transactions.iter().map(|transaction| transaction.hash);
        if let Some(known) = hashes.chain([id]).find(|id| registry.is_known(*id)) {
            return Err(known);
        }
        registry.last += 1;
        let ticket = Ticket(registry.last);
        for transaction in &transactions {
            registry.tickets.insert(transaction.hash, ticket);
            registry.nonces.insert((transaction.sender, transaction.nonce, ticket));
        }
        registry.tickets.insert(id, ticket);
        registry.lives.insert(ticket, Life::new(id, transactions));
        Ok(ticket)
    }

    /// A life that goes on from before a restart: it was accepted then.
    pub(crate) fn accept(&self, ticket: Ticket) {
        if let Some(life) = self.lock().lives.get_mut(&ticket) {
            life.accept();
            self.tell(life);
        }
    }

    /// Tells those who follow what is pending of a life that was just accepted.
    fn tell(&self, life: &Life) {
        life.transactions.iter().map(Signed::arrival).for_each(|arrival| self.intake.note(arrival));
    }

    /// What became of submissions within the last hour.
    pub(crate) fn hour(&self) -> &Hour {
        &self.hour
    }

    /// The newest decisions, with their votes.
    pub(crate) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The attempts that are begun and not decided, the oldest first.
    pub(crate) fn undecided(&self) -> Vec<Standstill> {
        let registry = self.lock();
        let tickets: BTreeSet<Ticket> = registry.nonces.iter().map(|(_, _, ticket)| *ticket).collect();
        let lives = tickets.iter().filter_map(|ticket| registry.lives.get(ticket));
        let mut undecided: Vec<Standstill> = lives.filter_map(Life::standstill).collect();
        undecided.sort_by_key(|open| open.since);
        undecided
    }

    /// What is accepted, as it comes.
    pub(crate) fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Accepted transactions that have not ended, of one sender or of all, by sender and nonce.
    pub(crate) fn under_way(&self, sender: Option<Address>) -> Vec<UnderWay> {
        let registry = self.lock();
        let all = (Bound::Unbounded, Bound::Unbounded);
        let of_sender = |sender| (Bound::Included((sender, 0, Ticket(0))), Bound::Included((sender, u64::MAX, LAST)));
        let wanted = registry.nonces.range(sender.map_or(all, of_sender));
        wanted.filter_map(|(sender, nonce, ticket)| registry.lives.get(ticket)?.under_way(*sender, *nonce)).collect()
    }

    /// Forgets a life that the machine never heard of.
    pub(crate) fn forget(&self, ticket: Ticket) {
        self.lock().remove(ticket);
    }

    /// Forgets all that has ended, on a network with cheats that has gone back: what was done may be done again.
    pub(crate) fn forget_ended(&self) {
        let mut registry = self.lock();
        let ended = std::mem::take(&mut registry.ended);
        registry.ended_bytes = 0;
        for (ticket, _) in ended {
            registry.remove(ticket);
        }
        registry.refused.clear();
        registry.refused_order.clear();
    }

    /// Adds events to their lives; says which accepted ones ended without a commit.
    pub(crate) fn note(&self, replies: Vec<Reply>) -> Vec<Lost> {
        let (mut registry, mut lost) = (self.lock(), Vec::new());
        for reply in replies {
            let (ticket, time) = (reply.ticket, reply.time);
            let Some(life) = registry.lives.get_mut(&ticket) else { continue };
            let was_accepted = life.is_accepted;
            if let Event::Decided { proof, .. } = &reply.event {
                self.decisions.note(proof);
            }
            self.hour.note(&reply, life.events.first().map(|event| event.time));
            life.note(reply);
            if life.is_accepted && !was_accepted {
                self.tell(life);
            }
            if life.has_ended() {
                lost.extend(registry.end(ticket, time));
            }
        }
        lost
    }

    /// Why an accepted transaction ended without a commit, if that is what it did, and when.
    pub(crate) fn refusal(&self, hash: B256) -> Option<Ended> {
        self.lock().refused.get(&hash).cloned()
    }

    /// What `look` sees of the life found by `id`.
    pub(crate) fn look<T>(&self, id: B256, look: impl FnOnce(&Life) -> T) -> Option<T> {
        let registry = self.lock();
        registry.lives.get(registry.tickets.get(&id)?).map(look)
    }

    /// Waits until the newest event of the life found by `id` has a number above `number`, and says which. None when there
    /// is no such life, or no longer.
    pub(crate) async fn passed(&self, id: B256, number: u32) -> Option<u32> {
        let mut numbered = self.look(id, |life| life.numbered.subscribe())?;
        // A copy: what the wait itself ends with is a lock that `note` needs.
        numbered.wait_for(|newest| *newest > number).await.map(|newest| *newest).ok()
    }

    /// Waits until the life found by `id` has come so far, or is no more.
    pub(crate) async fn reached(&self, id: B256, milestone: Milestone) {
        let Some(mut reached) = self.look(id, |life| life.milestone.subscribe()) else { return };
        // What the wait ends with is a lock that `note` needs, or a sender that is gone: neither is kept.
        drop(reached.wait_for(|reached| *reached >= milestone).await.map(|reached| *reached));
    }

    /// The first nonce of `sender` from `nonce` on that no transaction under way has.
    pub(crate) fn next_nonce(&self, sender: Address, nonce: u64) -> u64 {
        let registry = self.lock();
        let is_free =
            |nonce: &u64| registry.nonces.range((sender, *nonce, Ticket(0))..=(sender, *nonce, LAST)).next().is_none();
        (nonce..u64::MAX).find(is_free).unwrap_or(nonce)
    }

    /// The map behind the lock is whole after every operation, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn is_known(&self, id: B256) -> bool {
        let life = self.tickets.get(&id).and_then(|ticket| self.lives.get(ticket));
        life.is_some_and(|life| life.refusal.is_none())
    }

    fn refuse(&mut self, hash: B256, ended: Ended) {
        if self.refused.insert(hash, ended).is_none() {
            self.refused_order.push_back(hash);
        }
        if self.refused_order.len() > REFUSALS_COUNT_MAX
            && let Some(oldest) = self.refused_order.pop_front()
        {
            self.refused.remove(&oldest);
        }
    }

    fn end(&mut self, ticket: Ticket, time: Time) -> Option<Lost> {
        let life = self.lives.get(&ticket)?;
        let (transactions, bytes) = (life.transactions.clone(), life.bytes_count());
        let refusal = life.refusal.as_ref().filter(|_| life.is_accepted);
        let lost = refusal.map(|refusal| Lost { transactions: transactions.clone(), reason: refusal.to_string() });
        self.free_nonces(ticket, &transactions);
        for (transaction, lost) in transactions.iter().zip(lost.iter().cycle()) {
            self.refuse(transaction.hash, Ended { time, reason: lost.reason.clone() });
        }
        self.ended.push_back((ticket, bytes));
        self.ended_bytes += bytes;
        self.forget_oldest();
        lost
    }

    /// Forgets the oldest that have ended while there is too much of them; the last one stays.
    fn forget_oldest(&mut self) {
        let is_too_much =
            |registry: &Self| registry.ended.len() > ENDED_COUNT_MAX || registry.ended_bytes > ENDED_BYTES_MAX;
        while is_too_much(self) && self.ended.len() > 1 {
            let Some((oldest, bytes)) = self.ended.pop_front() else { return };
            self.ended_bytes -= bytes;
            self.remove(oldest);
        }
    }

    fn remove(&mut self, ticket: Ticket) {
        let Some(life) = self.lives.remove(&ticket) else { return };
        let hashes = life.transactions.iter().map(|transaction| transaction.hash);
        for id in hashes.chain([life.id]) {
            if self.tickets.get(&id) == Some(&ticket) {
                self.tickets.remove(&id);
            }
        }
        self.free_nonces(ticket, &life.transactions);
    }

    fn free_nonces(&mut self, ticket: Ticket, transactions: &[Signed]) {
        for transaction in transactions {
            self.nonces.remove(&(transaction.sender, transaction.nonce, ticket));
        }
    }
}

#[cfg(test)]
mod tests;
