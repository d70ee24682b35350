//! One order of all that was applied, which agrees with every shard's log.
//!
//! ```text
//!   shard 0:  A  B        locks of A and B on one key conflict: A before B
//!   shard 1:  B  C        those of B and C too: B before C              A B C agrees with all; a cycle agrees with none
//! ```
//!
//! Promise: deterministic; of what may come first, what was applied earliest does.

use crate::{Contents, OracleError};
use evm::{LockMode, Payload, StateKey};
use primitives::{ShardId, Time};
use shard::{Applied, Cause};
use std::collections::{BTreeMap, BTreeSet};

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
/// [`OracleError::Cycle`] if there is none; [`OracleError::Twice`], [`OracleError::OtherPayload`].
pub(crate) fn merge(contents: &BTreeMap<ShardId, Contents>) -> Result<Vec<Unit>, OracleError> {
    let mut units = Units::default();
    let mut graph = Graph::default();
    for (shard, contents) in contents {
        let mut keys: BTreeMap<StateKey, Held> = BTreeMap::new();
        for record in &contents.applied {
            let unit = units.add(*shard, record)?;
            for (key, mode) in &record.locks {
                graph.touch(&mut keys, *key, *mode, unit);
            }
        }
    }
    let order = graph.sort(&units.units).map_err(OracleError::Cycle)?;
    let mut units: Vec<Option<Unit>> = units.units.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|index| units.get_mut(index)?.take()).collect())
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
            let unit = Unit { cause: *cause, shards: [shard].into(), payload: payload.clone(), time: *time };
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

    /// The units in order, or those of one cycle.
    fn sort(&self, units: &[Unit]) -> Result<Vec<usize>, Vec<Cause>> {
        let mut waits: BTreeMap<Node, usize> = BTreeMap::new();
        for target in self.edges.values().flatten() {
            *waits.entry(*target).or_default() += 1;
        }
        let time = |node: Node| match node {
            Node::Barrier(_) => Time(0),
            Node::Unit(index) => units[index].time,
        };
        let free = (0..units.len()).map(Node::Unit).filter(|node| !waits.contains_key(node));
        let mut ready: BTreeSet<(Time, Node)> = free.map(|node| (time(node), node)).collect();
        let mut order = Vec::with_capacity(units.len());
        while let Some((_, node)) = ready.pop_first() {
            if let Node::Unit(index) = node {
                order.push(index);
            }
            for target in self.edges.get(&node).into_iter().flatten() {
                if let Some(count) = waits.get_mut(target) {
                    *count -= 1;
                    if *count == 0 {
                        waits.remove(target);
                        ready.insert((time(*target), *target));
                    }
                }
            }
        }
        if waits.is_empty() { Ok(order) } else { Err(self.cycle(&waits, units)) }
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
