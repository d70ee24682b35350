//! What every run is held to.
//!
//! ```text
//!   each batch ──> batches: one vote for ever (I2), one decision (I1), with the votes it needs (I3, I4), effects and
//!                           messages once (I5, I14)
//!   each answer ─> batches: a vote is on the disk before it is said (R2)
//!   the end ─────> end:     nothing held (I6, I7), votes and decisions still there (R7), messages ended (I14), wei kept (I8)
//!                  history, serializable: what was committed has an order (R6, I20)
//!                  logs:    what an index is told is what headers commit to (I22)
//!                  oracle:  one plain EVM comes to the same state, gas and logs (I9, I16)
//! ```
//!
//! Promise: the checks read stores, batches and answers, so that a machine cannot hide behind what it believes; of its memory
//! they take the time of a step (R5), and at the end what it believes to be open, beside what its disk says. A violation names
//! the rule and what contradicts it, and the first ends the run.

mod batches;
mod end;
mod history;
mod logs;
mod oracle;
pub mod serializable;
#[cfg(test)]
mod tests;

use alloy_primitives::B256;
use commit::{Decision, Descriptor};
use primitives::{AttemptId, ShardId, Time};
use shard::Cause;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A rule that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: &'static str,
    /// What contradicts it.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// What was seen on disks, whatever became of the machines.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    /// Yes or no, as it first was on the shard's disk.
    votes: BTreeMap<(ShardId, AttemptId), bool>,
    /// As the first shard that knew it had it on its disk.
    decisions: BTreeMap<AttemptId, (Decision, ShardId)>,
    descriptors: BTreeMap<AttemptId, Descriptor>,
    /// Of each no, the deadline of its attempt.
    deadlines: BTreeMap<(ShardId, AttemptId), Time>,
    /// Decided, and forgotten when it might be.
    forgotten: BTreeSet<(ShardId, AttemptId)>,
    applied: BTreeSet<(ShardId, Cause)>,
    consumed: BTreeSet<B256>,
    seen: history::Seen,
    pub(crate) violations: Vec<Violation>,
    pub(crate) tally: Tally,
}

impl Watcher {
    pub(crate) fn violation(&mut self, rule: &'static str, text: String) {
        self.violations.push(Violation { rule, text });
    }
}

/// What happened, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Attempts that committed.
    pub commits: u64,
    /// Parts that shards applied of attempts that several submissions shared.
    pub shared: u64,
    /// Attempts that committed with the vote of their last agent.
    pub last_agents: u64,
    /// Records of settled attempts that went.
    pub forgotten: u64,
    /// Records of consumed messages that went.
    pub messages_forgotten: u64,
    /// Attempts that aborted after a yes somewhere.
    pub aborts: u64,
    /// Payloads of one shard alone.
    pub locals: u64,
    /// Messages that ran or were refused at their destination.
    pub messages: u64,
    /// Messages whose end is known at their source.
    pub acknowledged: u64,
}

impl Tally {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.shared += other.shared;
        self.last_agents += other.last_agents;
        self.forgotten += other.forgotten;
        self.messages_forgotten += other.messages_forgotten;
        self.aborts += other.aborts;
        self.locals += other.locals;
        self.messages += other.messages;
        self.acknowledged += other.acknowledged;
    }
}
