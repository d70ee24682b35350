//! One order of all that was applied, which agrees with every shard's log and in which slots never decrease.
//!
//! ```text
//!   shard 0:  A5 B7       locks of A and B on one key conflict: A before B       A5 B7 C7 agrees with all;
//!   shard 1:  B7 C7       those of B and C too: B before C                       a cycle agrees with none
//!
//!   shard 2:  D7 E5       E ran at slot 5, after D of slot 7 on the same key: time ran backwards, and no order will do
//! ```
//!
//! Promise (I20): deterministic; of what may come first, that of the smallest slot does, then what was applied earliest. If
//! no record comes after one of a later slot that it conflicts with, slots never decrease in the order: of two that stand the
//! wrong way round the later one waited for something, which was no smaller than the first when that was taken.
//!
//! On a network that replays blocks of another chain a block's number, and then its second, stand for the slot. Messages
//! there run at slots of the network, which say nothing about those blocks: they come as early as their logs let them.

use crate::{Contents, OracleError};
use alloy_primitives::Address;
use evm::{Environment, Environments, LockMode, NetworkParams, Payload, StateKey};
use primitives::{ShardId, Time};
use shard::{Applied, Cause};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One thing that was applied, on all its shards together.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Why.
    pub cause: Cause,
    /// Where.
    pub shards: BTreeSet<ShardId>,
    /// What ran.
    pub payload: Option<Payload>,
    /// The earliest block time of those that applied it.
    pub time: Time,
    /// Where on the one chain it ran, if that says anything.
    pub moment: Option<Moment>,
}

/// A block of the one chain, as its transactions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment {
    /// NUMBER: the slot, or a replayed block's number.
    pub number: u64,
    /// TIMESTAMP, seconds.
    pub timestamp: u64,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} of second {}", self.number, self.timestamp)
    }
}

/// Two things of which the later one ran at an earlier block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backwards {
    /// What came first by the logs.
    pub earlier: Cause,
    /// When it ran.
    pub ran: Moment,
    /// What came after it.
    pub later: Cause,
    /// When that ran.
    pub behind: Moment,
}

impl fmt::Display for Backwards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { earlier, ran, later, behind } = self;
        write!(f, "{} ran at {behind} and comes after {}, which ran at {ran}", name(later), name(earlier))
    }
}

/// A cause in words.
pub(crate) fn name(cause: &Cause) -> String {
    match cause {
        Cause::Attempt(id) => format!("attempt {id}"),
        Cause::Local(digest) => format!("local payload {digest}"),
        Cause::Delivery(message) => format!("the delivery of message {message}"),
        Cause::Acknowledgement(message) => format!("the acknowledgement of message {message}"),
    }
}

/// Causes in words, one after the other.
pub(crate) fn names(causes: &[Cause]) -> String {
    causes.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// All that the shards applied, in one order that agrees with every log.
///
/// # Errors
/// [`OracleError::Cycle`] or [`OracleError::Backwards`] if there is none; [`OracleError::Twice`],
/// [`OracleError::OtherPayload`].
pub(crate) fn merge(params: &NetworkParams, contents: &BTreeMap<ShardId, Contents>) -> Result<Vec<Unit>, OracleError> {
    let mut units = Units::default();
    let mut graph = Graph::default();
    for (shard, contents) in contents {
        let mut keys: BTreeMap<StateKey, Held> = BTreeMap::new();
        for record in &contents.applied {
            let unit = units.add(*shard, record)?;
            graph.note_codes(record, unit);
            for (key, mode) in &record.locks {
                graph.touch(&mut keys, *key, *mode, unit);
            }
        }
    }
    graph.put_deployments_first();
    let mut units = units.units;
    for unit in &mut units {
        unit.moment = unit.payload.as_ref().and_then(|payload| moment(params, &payload.environment));
    }
    let order = graph.sort(&units)?;
    let mut units: Vec<Option<Unit>> = units.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|index| units.get_mut(index)?.take()).collect())
}

/// The block that an environment stands for, where the network's blocks follow each other.
fn moment(params: &NetworkParams, environment: &Environment) -> Option<Moment> {
    let follows = match environment {
        Environment::Slot(_) => params.environments == Environments::Slots,
        Environment::Block(_) => params.environments == Environments::Replay,
        Environment::Travelled { .. } => params.environments == Environments::Cheats,
    };
    let block = params.block(environment).ok().filter(|_| follows)?;
    Some(Moment { number: block.number, timestamp: block.timestamp })
}

#[derive(Default)]
struct Units {
    units: Vec<Unit>,
    places: BTreeMap<Cause, usize>,
}

impl Units {
    fn add(&mut self, shard: ShardId, record: &Applied) -> Result<usize, OracleError> {
        let Applied { cause, time, payload, .. } = record;
        check_digest(*cause, payload.as_ref())?;
        // Settling a message takes up to three records of its source alone, each of them a step by itself.
        let may_repeat = matches!(cause, Cause::Acknowledgement(_));
        let known = self.places.get(cause).filter(|_| !may_repeat).copied();
        let Some(place) = known else {
            let unit =
                Unit { cause: *cause, shards: [shard].into(), payload: payload.clone(), time: *time, moment: None };
            self.units.push(unit);
            self.places.insert(*cause, self.units.len() - 1);
            return Ok(self.units.len() - 1);
        };
        let unit = &mut self.units[place];
        if !unit.shards.insert(shard) {
            return Err(OracleError::Twice { shard, cause: *cause });
        }
        match (&unit.payload, payload) {
            (Some(one), Some(other)) if one != other => return Err(OracleError::OtherPayload { cause: *cause }),
            (None, Some(_)) => unit.payload.clone_from(payload),
            _ => {}
        }
        unit.time = unit.time.min(*time);
        Ok(place)
    }
}

fn check_digest(cause: Cause, payload: Option<&Payload>) -> Result<(), OracleError> {
    match (cause, payload) {
        (Cause::Local(digest), Some(payload)) if payload.digest() != digest => Err(OracleError::OtherPayload { cause }),
        _ => Ok(()),
    }
}

/// Who touched a key last, in compatible modes, and what all of them come after.
struct Held {
    mode: LockMode,
    holders: Vec<usize>,
    after: Option<usize>,
}

/// What comes before what. Beside the units there are barriers, so that many readers followed by many creditors cost
/// their sum and not their product.
#[derive(Default)]
struct Graph {
    edges: BTreeMap<Node, Vec<Node>>,
    barriers_count: usize,
    /// Who first gave an account its code.
    deployed: BTreeMap<Address, usize>,
    /// Who went by an account's code without a lock.
    lent: BTreeSet<(Address, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Barrier(usize),
    Unit(usize),
}

impl Graph {
    /// Notes that `unit` touches `key` after all that touched it before.
    fn touch(&mut self, keys: &mut BTreeMap<StateKey, Held>, key: StateKey, mode: LockMode, unit: usize) {
        let fresh = Held { mode, holders: vec![unit], after: None };
        let Some(held) = keys.get_mut(&key) else {
            keys.insert(key, fresh);
            return;
        };
        if held.mode.is_compatible(mode) {
            held.holders.push(unit);
        } else {
            let barrier = self.barriers_count;
            self.barriers_count += 1;
            for holder in &held.holders {
                self.edges.entry(Node::Unit(*holder)).or_default().push(Node::Barrier(barrier));
            }
            *held = Held { after: Some(barrier), ..fresh };
        }
        if let Some(barrier) = held.after {
            self.edges.entry(Node::Barrier(barrier)).or_default().push(Node::Unit(unit));
        }
    }

    fn note_codes(&mut self, record: &Applied, unit: usize) {
        for address in &record.deployed {
            self.deployed.entry(*address).or_insert(unit);
        }
        self.lent.extend(record.lent.iter().map(|address| (*address, unit)));
    }

    /// A code that never changes is gone by without a lock, but not before it was there.
    fn put_deployments_first(&mut self) {
        for (address, unit) in std::mem::take(&mut self.lent) {
            if let Some(deployment) = self.deployed.get(&address).filter(|deployment| **deployment != unit) {
                self.edges.entry(Node::Unit(*deployment)).or_default().push(Node::Unit(unit));
            }
        }
    }

    /// The units in order: Kahn's algorithm, the smallest block first.
    fn sort(&self, units: &[Unit]) -> Result<Vec<usize>, OracleError> {
        let mut waits: BTreeMap<Node, usize> = BTreeMap::new();
        for target in self.edges.values().flatten() {
            *waits.entry(*target).or_default() += 1;
        }
        let time = |node: Node| match node {
            Node::Barrier(_) => (None, Time(0)),
            Node::Unit(index) => (units[index].moment, units[index].time),
        };
        // Of all that comes before a node, what ran at the newest block.
        let mut newest: BTreeMap<Node, usize> = BTreeMap::new();
        let free = (0..units.len()).map(Node::Unit).filter(|node| !waits.contains_key(node));
        let mut ready: BTreeSet<((Option<Moment>, Time), Node)> = free.map(|node| (time(node), node)).collect();
        let mut order = Vec::with_capacity(units.len());
        while let Some((_, node)) = ready.pop_first() {
            let mut latest = newest.get(&node).copied();
            if let Node::Unit(index) = node {
                if let Some(backwards) = latest.and_then(|before| backwards(&units[before], &units[index])) {
                    return Err(OracleError::Backwards(Box::new(backwards)));
                }
                order.push(index);
                latest = if units[index].moment.is_some() { Some(index) } else { latest };
            }
            for target in self.edges.get(&node).into_iter().flatten() {
                if let Some(latest) = latest {
                    let known = newest.entry(*target).or_insert(latest);
                    *known = if units[latest].moment > units[*known].moment { latest } else { *known };
                }
                if let Some(count) = waits.get_mut(target) {
                    *count -= 1;
                    if *count == 0 {
                        waits.remove(target);
                        ready.insert((time(*target), *target));
                    }
                }
            }
        }
        if waits.is_empty() { Ok(order) } else { Err(OracleError::Cycle(self.cycle(&waits, units))) }
    }

    /// One cycle among the nodes that still wait, forwards.
    fn cycle(&self, waits: &BTreeMap<Node, usize>, units: &[Unit]) -> Vec<Cause> {
        let mut before: BTreeMap<Node, Node> = BTreeMap::new();
        for (node, targets) in self.edges.iter().filter(|(node, _)| waits.contains_key(node)) {
            before.extend(targets.iter().filter(|target| waits.contains_key(target)).map(|target| (*target, *node)));
        }
        // Each waiting node has one before it, so going back must come round.
        let mut path: Vec<Node> = Vec::new();
        let mut at = waits.keys().next().copied();
        while let Some(node) = at {
            if let Some(start) = path.iter().position(|seen| *seen == node) {
                path.drain(..start);
                break;
            }
            path.push(node);
            at = before.get(&node).copied();
        }
        let causes = path.iter().rev().filter_map(|node| match node {
            Node::Unit(index) => Some(units[*index].cause),
            Node::Barrier(_) => None,
        });
        causes.collect()
    }
}

/// That `after` ran at an earlier block than `before`, if it did.
fn backwards(before: &Unit, after: &Unit) -> Option<Backwards> {
    let (ran, behind) = (before.moment?, after.moment?);
    (ran > behind).then_some(Backwards { earlier: before.cause, ran, later: after.cause, behind })
}
