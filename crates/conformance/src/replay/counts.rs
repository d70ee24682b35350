//! What is counted while a block is replayed.

use evm::mainnet::Reproduced;
use evm::{Outcome, Payload, TransactionKind};
use eyre::{Result, eyre};
use std::ops::AddAssign;
use std::time::Duration;

/// How a payload was committed.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) participants: usize,
    /// Codes that were proven instead of asked about, where that is known.
    pub(crate) proven_codes: usize,
    /// Attempts, and submissions to one shard alone.
    pub(crate) tries: usize,
}

/// A block that was reproduced at one placement.
#[derive(Debug, Clone, Copy)]
pub struct BlockRun {
    /// Over how many shards.
    pub shards: u32,
    /// What was counted.
    pub counts: Counts,
    /// What was compared with the header.
    pub reproduced: Reproduced,
}

/// Sums over the payloads of blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Signed transactions.
    pub transactions: usize,
    /// Of these, how many had more than one participant.
    pub crossed: usize,
    /// Participants of all signed transactions together.
    pub participants: usize,
    /// The most that one signed transaction had.
    pub participants_most: usize,
    /// Signed transactions in which a code was proven instead of asked about.
    pub proven: usize,
    /// Tries beyond the first of a payload, over all payloads.
    pub retried: usize,
    /// From the first submission to the last commit.
    pub elapsed: Duration,
    /// How many attempts were in flight.
    pub flight: Flight,
}

/// How many attempts were in flight: begun, and not yet carried out by all their participants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flight {
    /// At one moment.
    pub most: usize,
    /// Summed over the milliseconds of the network's own time.
    pub attempt_millis: u64,
    /// Milliseconds of the network's own time in which there was any.
    pub millis: u64,
}

impl AddAssign for Flight {
    fn add_assign(&mut self, other: Self) {
        self.most = self.most.max(other.most);
        self.attempt_millis += other.attempt_millis;
        self.millis += other.millis;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.transactions += other.transactions;
        self.crossed += other.crossed;
        self.participants += other.participants;
        self.participants_most = self.participants_most.max(other.participants_most);
        self.proven += other.proven;
        self.retried += other.retried;
        self.elapsed += other.elapsed;
        self.flight += other.flight;
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts for people to read")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// So many of something in some time, per second.
#[allow(clippy::cast_precision_loss, reason = "counts for people to read")]
pub(crate) fn per_second(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(f64::EPSILON)
}

impl Flight {
    /// How many on average, while there was any.
    pub fn mean(&self) -> f64 {
        ratio(self.attempt_millis, self.millis)
    }
}

impl Counts {
    /// Of a hundred signed transactions, how many crossed shards.
    pub fn crossed_percent(&self) -> f64 {
        100.0 * ratio(self.crossed as u64, self.transactions as u64)
    }

    /// How many participants a signed transaction had on average.
    pub fn participants_mean(&self) -> f64 {
        ratio(self.participants as u64, self.transactions as u64)
    }

    /// Signed transactions per second.
    pub fn speed(&self) -> f64 {
        per_second(self.transactions, self.elapsed)
    }
}

/// The outcomes of a block's payloads, which may come in any order, and what is counted beside them.
#[derive(Debug)]
pub(crate) struct Tally {
    outcomes: Vec<Vec<Outcome>>,
    pub(crate) counts: Counts,
}

impl Tally {
    /// Of a block with so many payloads.
    pub(crate) fn new(payloads: usize) -> Self {
        Self { outcomes: vec![Vec::new(); payloads], counts: Counts::default() }
    }

    /// A payload was committed.
    ///
    /// # Errors
    /// If it has another number of outcomes than transactions.
    pub(crate) fn add(&mut self, index: usize, payload: &Payload, committed: Committed) -> Result<()> {
        let (expected, actual) = (payload.transactions.len(), committed.outcomes.len());
        if expected != actual {
            return Err(eyre!("payload {index} committed with {actual} outcomes where {expected} were due"));
        }
        let counts = &mut self.counts;
        if matches!(payload.transactions[..], [TransactionKind::Signed(_)]) {
            counts.transactions += 1;
            counts.crossed += usize::from(committed.participants > 1);
            counts.participants += committed.participants;
            counts.participants_most = counts.participants_most.max(committed.participants);
            counts.proven += usize::from(committed.proven_codes > 0);
        }
        counts.retried += committed.tries.saturating_sub(1);
        self.outcomes[index] = committed.outcomes;
        Ok(())
    }

    /// The outcomes in block order.
    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.iter().flatten().cloned().collect()
    }
}
