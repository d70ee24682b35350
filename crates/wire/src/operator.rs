//! `OperatorService`: how messages stand that a node carries, what is put aside, and what an operator does about it. Relays, carriers
//! and attestors serve it; `dovetail bridge` calls it.

mod client;
mod convert;
mod server;

pub use client::OperatorClient;
pub use server::OperatorServer;

use crate::hops::Sight;
use crate::rejection::Rejection;
use alloy_primitives::B256;
use primitives::Millis;
use std::future::Future;

/// One direction that messages go, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Its name.
    pub name: String,
    /// Between which domains, for a person.
    pub ends: String,
    /// Why an operator paused it, if one did; the reason may be empty.
    pub paused: Option<String>,
    /// What waits or is under way.
    pub waiting_count: u64,
    /// For how long the oldest of it has waited.
    pub oldest: Millis,
    /// What came to its end.
    pub done_count: u64,
    /// How long ago something last moved.
    pub moved: Option<Millis>,
    /// What is for a person.
    pub letters_count: u64,
    /// What keeps it from going on, in words; empty if nothing does.
    pub trouble: String,
}

/// A message that is for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its id.
    pub id: B256,
    /// Its way.
    pub way: String,
    /// How often it was tried.
    pub tries_count: u32,
    /// The last refusal.
    pub why: String,
    /// Its bytes; empty in a list.
    pub message: Vec<u8>,
    /// What makes it believed where it goes; empty in a list.
    pub proof: Vec<u8>,
}

/// What an operator's node offers; a service implements it and [`OperatorServer`] serves it.
///
/// # Errors
/// A [`Rejection`] of the whole call, in words for a person.
pub trait OperatorApi: Send + Sync + 'static {
    /// Every way, by name.
    fn ways(&self) -> impl Future<Output = Result<Vec<Way>, Rejection>> + Send;

    /// Up to `count_max` letters with ids after `after`, in order of their ids, without their bytes.
    fn letters(
        &self,
        after: Option<B256>,
        count_max: usize,
    ) -> impl Future<Output = Result<Vec<Letter>, Rejection>> + Send;

    /// One with its bytes; [`crate::Reason::NotFound`] if there is none.
    fn letter(&self, id: B256) -> impl Future<Output = Result<Letter, Rejection>> + Send;

    /// Tries one again, with at least so much gas.
    fn retry(&self, id: B256, gas_min: u64) -> impl Future<Output = Result<(), Rejection>> + Send;

    /// Gives one back, if that can be done without paying twice.
    fn refund(&self, id: B256) -> impl Future<Output = Result<(), Rejection>> + Send;

    /// Gives one up. The reason is not empty.
    fn drop_letter(&self, id: B256, reason: String) -> impl Future<Output = Result<(), Rejection>> + Send;

    /// Brings nothing new on a way; [`crate::Reason::NoRoute`] if there is none of that name.
    fn pause(&self, way: String, reason: String) -> impl Future<Output = Result<(), Rejection>> + Send;

    /// Brings on it again.
    fn resume(&self, way: String) -> impl Future<Output = Result<(), Rejection>> + Send;

    /// Looks again at blocks, both ends included; the first is not after the last.
    fn rescan(&self, way: String, from: u64, to: u64) -> impl Future<Output = Result<(), Rejection>> + Send;

    /// What the node knows of a message; [`crate::Reason::NotFound`] if that is nothing.
    fn explain(&self, id: B256) -> impl Future<Output = Result<Sight, Rejection>> + Send;
}
