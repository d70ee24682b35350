//! The one queue of everything to come, ordered by time and then by when it was said.

use crate::call::{CallId, Request, Response};
use crate::faults::Kind;
use crate::party::Party;
use primitives::{ShardId, Time};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Something to come.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A message comes to its end.
    Arrive(Envelope),
    /// A machine steps, if it still is in this life.
    Step(Party, u32),
    /// A machine's wake is due, if it still is in this life.
    Wake(Party, u32),
    /// A batch is on the disk, if the party still is in this life.
    Synced(Party, u32),
    /// A shard's state tree is advanced.
    Roots(ShardId, u32),
    /// A party comes up again, if nobody started it before.
    Restart(Party, u32),
    /// A party dies, if it still is in this life.
    Kill(Party, u32),
    /// A fault strikes.
    Strike(Kind),
}

impl Event {
    /// Whom it concerns.
    fn party(&self) -> Option<Party> {
        match self {
            Self::Arrive(envelope) => Some(envelope.to),
            Self::Step(party, _)
            | Self::Wake(party, _)
            | Self::Synced(party, _)
            | Self::Restart(party, _)
            | Self::Kill(party, _) => Some(*party),
            Self::Roots(shard, _) => Some(Party::Shard(*shard)),
            Self::Strike(_) => None,
        }
    }
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) from: Party,
    pub(crate) to: Party,
    pub(crate) parcel: Parcel,
}

/// What a message carries.
#[derive(Debug, Clone)]
pub(crate) enum Parcel {
    /// A call.
    Request(CallId, Box<Request>),
    /// Its answer.
    Response(CallId, Box<Response>),
    /// A shard has a new block.
    News(ShardId),
}

impl Parcel {
    /// Whether the network is not at rest while it is on its way.
    pub(crate) fn is_work(&self) -> bool {
        match self {
            Self::Request(_, request) => request.is_work(),
            Self::Response(..) | Self::News(_) => false,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Request(_, request) => request.name(),
            Self::Response(_, response) => match **response {
                Response::Failed => "failure",
                _ => "answer",
            },
            Self::News(_) => "news",
        }
    }
}

#[derive(Debug)]
struct Entry {
    time: Time,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest: a heap gives the greatest first.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time, other.number).cmp(&(self.time, self.number))
    }
}

/// Events in order.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    number: u64,
    /// Messages on their way that may change something.
    pub(crate) work: usize,
}

impl Queue {
    pub(crate) fn push(&mut self, time: Time, event: Event) {
        if let Event::Arrive(envelope) = &event {
            self.work += usize::from(envelope.parcel.is_work());
        }
        self.number += 1;
        self.heap.push(Entry { time, number: self.number, event });
    }

    /// Lets what waits for `party` until `from` happen at `to`.
    pub(crate) fn hasten(&mut self, party: Party, from: Time, to: Time) {
        let waits = |entry: &Entry| entry.time == from && entry.event.party() == Some(party);
        let entries = std::mem::take(&mut self.heap).into_iter();
        self.heap = entries.map(|entry| if waits(&entry) { Entry { time: to, ..entry } } else { entry }).collect();
    }

    /// When the next is.
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|entry| entry.time)
    }

    pub(crate) fn pop(&mut self) -> Option<(Time, u64, Event)> {
        let Entry { time, number, event } = self.heap.pop()?;
        if let Event::Arrive(envelope) = &event {
            self.work -= usize::from(envelope.parcel.is_work());
        }
        Some((time, number, event))
    }
}
