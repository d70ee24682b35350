//! `RelayService`: receipts handed in, lives of messages, and the operator's hand on routes and dead letters.

mod client;
mod convert;
mod server;

pub use client::RelayClient;
pub use server::RelayServer;

use crate::participant::Answers;
use crate::rejection::Rejection;
pub use crate::shard::Novelty;
use crate::state::LeafPlace;
use primitives::Time;
use proof::{Message, MessageId, Receipt};
use std::future::Future;

/// A receipt the relay has taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The message it is about.
    pub message: MessageId,
    /// Whether it is news.
    pub novelty: Novelty,
}

/// The stages of a message's life at a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TraceStage {
    /// Its receipt was read and verified.
    Accepted,
    /// It was handed to the destination.
    Sent,
    /// A try failed and another will follow.
    Retrying,
    /// The destination consumed it.
    Delivered,
    /// Its delivery's receipt was handed to the source.
    Acknowledging,
    /// The source took the acknowledgement.
    Acknowledged,
    /// Given up on.
    Dead,
    /// An operator put it back.
    Revived,
}

/// One event of a message's life at a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEvent {
    /// When, by the relay's clock.
    pub time: Time,
    /// What happened.
    pub stage: TraceStage,
    /// Which try to carry it this was, from 1; 0 when the event is not a try.
    pub attempt_number: u32,
    /// For a person: why, with what.
    pub detail: String,
}

/// A message's life at a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The message.
    pub message: Message,
    /// In the order they were recorded, the latest [`crate::limits::TRACE_EVENTS_COUNT_MAX`].
    pub events: Vec<TraceEvent>,
}

/// One direction between two domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// Source domain.
    pub source: u32,
    /// Destination domain.
    pub destination: u32,
}

/// A route and how it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which.
    pub key: RouteKey,
    /// Whether an operator paused it.
    pub paused: bool,
    /// The first leaf of the source's outbox not looked at yet.
    pub cursor: LeafPlace,
    /// Messages waiting or in flight.
    pub queued_count: u64,
    /// Dead letters.
    pub dead_count: u64,
    /// Messages acknowledged since the relay's store began.
    pub acknowledged_count: u64,
    /// Since when what waits longest has.
    pub oldest: Option<Time>,
    /// When something last moved on it.
    pub progress: Option<Time>,
    /// The last failure, for a person; empty without one.
    pub last_error: String,
}

/// A message that was given up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Which.
    pub message: MessageId,
    /// Its route.
    pub route: RouteKey,
    /// How often carrying it was tried.
    pub attempts_count: u32,
    /// The last failure, for a person.
    pub reason: String,
    /// When it was given up on.
    pub time: Time,
}

/// What a relay offers; a service implements it and [`RelayServer`] serves it.
///
/// # Errors
/// A [`Rejection`] of the whole call.
pub trait RelayApi: Send + Sync + 'static {
    /// Takes receipts in, unchecked.
    fn submit_receipts(&self, receipts: Vec<Receipt>)
    -> impl Future<Output = Result<Answers<Taken>, Rejection>> + Send;

    /// The life of a message; [`crate::Reason::NotFound`] if the relay never saw it.
    fn trace(&self, id: MessageId) -> impl Future<Output = Result<Trace, Rejection>> + Send;

    /// All routes, by source, then destination.
    fn routes(&self) -> impl Future<Output = Result<Vec<Route>, Rejection>> + Send;

    /// Up to `count_max` dead letters with ids after `after`, in order of their ids.
    fn dead_letters(
        &self,
        after: Option<MessageId>,
        count_max: usize,
    ) -> impl Future<Output = Result<Vec<DeadLetter>, Rejection>> + Send;

    /// Puts a dead letter back into its route's queue; [`crate::Reason::NotFound`] if it is none.
    fn retry_dead_letter(&self, id: MessageId) -> impl Future<Output = Result<(), Rejection>> + Send;

    /// Stops a route; [`crate::Reason::NoRoute`] if there is none.
    fn pause(&self, route: RouteKey) -> impl Future<Output = Result<(), Rejection>> + Send;

    /// Lets a route carry again; [`crate::Reason::NoRoute`] if there is none.
    fn resume(&self, route: RouteKey) -> impl Future<Output = Result<(), Rejection>> + Send;
}
