//! What a scenario may do to a network and see of it, whether it is a World or real processes.
//!
//! ```text
//!            scenario: users, a stranger, faults, conditions
//!                             │ Cluster
//!            ┌────────────────┴─────────────────┐
//!   Simulated: one thread, virtual time    Processes: gRPC, RocksDB, kill -9, SIGSTOP, TCP proxies
//! ```
//!
//! Promise: every method means the same on both; what passes on one and fails on the other is a defect of the network, of
//! the World, or of these few lines. A scenario waits for conditions, each with a bound in the network's own time.
//!
//! Knows nothing of what scenarios do.

use alloy_primitives::{B256, Bytes};
use coordinator::StateValue;
use evm::{Data, NetworkParams, Outcome, Placement, StateKey};
use eyre::{Result, bail, ensure, eyre};
use judge::Report;
use primitives::{AttemptId, Millis, ShardId, Time};
use shard::OutcomeRecord;
use std::collections::BTreeSet;
use std::fmt;
use world::{Party, Request, Response};

/// A submission to a coordinator, by the number the cluster gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Submission(pub usize);

/// How a submission ended, as its user was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// On all its shards.
    Committed(Committed),
    /// Nowhere; in the coordinator's words.
    Refused(String),
    /// Its coordinator is gone: nobody will tell. The shards know.
    Lost,
}

/// What a committed submission did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// One for each of its transactions.
    pub outcomes: Vec<Outcome>,
    /// Its shards.
    pub participants: BTreeSet<ShardId>,
    /// The attempt that committed it; none if it concerned one shard.
    pub attempt: Option<AttemptId>,
}

/// A value as its shard has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// As of the last decision.
    pub value: StateValue,
    /// The undecided attempt that may change it.
    pub holder: Option<AttemptId>,
}

/// Where a process is to die: at one of its steps that write, counted from 1 in each life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// With the step's batch not yet written.
    BeforeWrite(u64),
    /// With the batch on the disk and nothing said.
    AfterWrite(u64),
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeWrite(step) => write!(f, "before_commit:{step}"),
            Self::AfterWrite(step) => write!(f, "after_commit:{step}"),
        }
    }
}

/// Which way of a connection: calls go one way, their answers the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the caller to the shard.
    Calls,
    /// From the shard to the caller.
    Answers,
    /// Both.
    Both,
}

/// A network under test.
pub trait Cluster {
    /// What all its shards agree on.
    fn params(&self) -> &NetworkParams;

    /// Which shard owns what.
    fn placement(&self) -> &Placement;

    /// How many coordinators and relays it has.
    fn middle(&self) -> (usize, usize);

    /// The network's time: virtual, or this machine's.
    fn now(&self) -> Time;

    /// Lets a few milliseconds pass.
    fn pass(&mut self);

    /// Hands signed transactions to a coordinator: one, or a bundle. Does not wait.
    fn submit(&mut self, coordinator: usize, transactions: &[Bytes]) -> Result<Submission>;

    /// How a submission ended; none while it goes on.
    fn end(&mut self, submission: Submission) -> Option<End>;

    /// A value as its owner has it; none while the owner does not answer.
    fn look(&mut self, key: StateKey) -> Option<Seen>;

    /// A code that a shard has, by its hash.
    fn code(&mut self, shard: ShardId, hash: B256) -> Option<Data>;

    /// What a shard recorded of a transaction.
    fn outcome(&mut self, shard: ShardId, transaction: B256) -> Option<OutcomeRecord>;

    /// A call of a stranger's, who is nobody in this network, and its answer.
    fn call(&mut self, shard: ShardId, request: Request) -> Response;

    /// Kills a party at once, as `kill -9` does.
    fn kill(&mut self, party: Party) -> Result<()>;

    /// Starts a party that is down, and waits until it serves.
    fn restart(&mut self, party: Party) -> Result<()>;

    /// Starts a party that is down and lets it die at `point`.
    fn restart_to_die(&mut self, party: Party, point: CrashPoint) -> Result<()>;

    /// Whether a party runs.
    fn is_up(&mut self, party: Party) -> bool;

    /// Stops a party for a while, as SIGSTOP does: it keeps its connections and answers nobody.
    fn pause(&mut self, party: Party) -> Result<()>;

    /// Lets it go on.
    fn resume(&mut self, party: Party) -> Result<()>;

    /// Breaks what a party says to a shard: connections are reset and new ones refused.
    fn cut(&mut self, caller: Party, shard: ShardId) -> Result<()>;

    /// Nothing passes any more that way between a party and a shard, and nobody is told.
    fn silence(&mut self, caller: Party, shard: ShardId, way: Way) -> Result<()>;

    /// Heals everything that was cut or silenced.
    fn heal(&mut self) -> Result<()>;

    /// From now on keeps a copy of all that parties ask of shards and that may change something.
    fn record(&mut self) -> Result<()>;

    /// How many calls were recorded.
    fn recorded_count(&mut self) -> usize;

    /// Makes all recorded calls again, as a stranger, in their order; how many were answered.
    fn replay(&mut self) -> Result<usize>;

    /// Looks at everything once nothing goes on any more: stops the network, and compares its stores with one plain EVM.
    ///
    /// # Errors
    /// What is open, lost, doubled or different.
    fn audit(self) -> Result<Report>
    where
        Self: Sized;
}

/// Lets time pass until `look` sees something.
///
/// # Errors
/// That it saw nothing `within` this time of the network; `what` names it.
pub fn until<C: Cluster, T>(
    cluster: &mut C,
    what: &str,
    within: Millis,
    mut look: impl FnMut(&mut C) -> Option<T>,
) -> Result<T> {
    let give_up = cluster.now().after(within);
    loop {
        if let Some(seen) = look(cluster) {
            return Ok(seen);
        }
        ensure!(cluster.now() < give_up, "after {} ms there is no {what}", within.0);
        cluster.pass();
    }
}

/// The end of a submission, which its coordinator has to tell `within` this time.
pub fn ended<C: Cluster>(cluster: &mut C, submission: Submission, within: Millis) -> Result<End> {
    until(cluster, "end of a submission", within, |cluster| cluster.end(submission))
}

/// What a submission did, which has to commit `within` this time.
pub fn committed<C: Cluster>(cluster: &mut C, submission: Submission, within: Millis) -> Result<Committed> {
    match ended(cluster, submission, within)? {
        End::Committed(committed) => Ok(committed),
        End::Refused(why) => bail!("a transaction that should commit was refused: {why}"),
        End::Lost => bail!("the coordinator of a transaction that should commit is gone"),
    }
}

/// A value of a shard that is up.
pub fn look<C: Cluster>(cluster: &mut C, key: StateKey) -> Result<Seen> {
    cluster.look(key).ok_or_else(|| eyre!("the owner of {key} does not answer"))
}
