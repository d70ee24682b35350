//! A message's life as its source and its destination keep it, and where its value is.
//!
//!   source                                      destination
//!   Dispatch: value held by the mailbox         |
//!       | ---- message leaf ------------------> | run once: value minted for the recipient, or nothing (I14)
//!       | <--- delivery leaf ------------------ |
//!   delivered: held value burnt                 |
//!   failed, expired: held value to the sender   |     of another shard: with a message of the mailbox's own ([`crate::returns`])
//!
//! Promise (I8): what is minted there is burnt here, once each; in between it is in flight and counted.
//! Knows nothing of how recipients run.

use crate::blocks::LeafPlace;
use alloy_primitives::U256;
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Height, Time};
use proof::{Delivery, Message, MessageId};

/// What a source keeps of a message it sent: until it has ended, and as long as bodies of blocks are kept ([`crate::Kept`]).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SentRecord {
    /// The message.
    pub message: Message,
    /// Its leaf.
    pub leaf: LeafPlace,
    /// When it was sent.
    pub time: Time,
    /// How it ended, once that is known.
    pub end: Option<Acknowledgement>,
}

/// How an own message ended.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Acknowledgement {
    /// What its destination said.
    pub delivery: Delivery,
    /// The block here that took it.
    pub height: Height,
    /// That block's attested time.
    pub time: Time,
    /// Whether the sender's handler ran to its end.
    pub handler: HandlerEnd,
}

/// What became of the call that tells a sender how its message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum HandlerEnd {
    /// It ran, and took a refund if there was one.
    Ran,
    /// It reverted, ran out of gas or left the shard; a refund was put into its account without asking it.
    Failed,
    /// The sender has no code, or is the mailbox itself: there is nothing to run.
    NoCode,
    /// The sender is on another shard, where this one runs nothing.
    Elsewhere,
    /// The same, and its refund went there with this message, which tells it.
    Returned(MessageId),
}

/// What a destination keeps of a message it consumed: until its origin has certified that it knows the end (I13), and as long as bodies
/// of blocks are kept ([`crate::Kept`]).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ConsumedRecord {
    /// The message.
    pub message: Message,
    /// How it ended.
    pub delivery: Delivery,
    /// The delivery's leaf.
    pub leaf: LeafPlace,
    /// When.
    pub time: Time,
}

/// Wei of messages, over this shard's whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct ValueTotals {
    /// Came into being here with delivered messages.
    pub minted: U256,
    /// Ceased to be here, because it came into being elsewhere.
    pub burnt: U256,
    /// Held by the mailbox for messages whose end is not known here.
    pub in_flight: U256,
}

impl ValueTotals {
    /// A message leaves with `value`.
    pub(crate) fn send(&mut self, value: U256) {
        self.in_flight = self.in_flight.saturating_add(value);
    }

    /// A message of another shard brought `value`.
    pub(crate) fn mint(&mut self, value: U256) {
        self.minted = self.minted.saturating_add(value);
    }

    /// An own message took its `value` with it.
    pub(crate) fn burn(&mut self, value: U256) {
        self.in_flight = self.in_flight.saturating_sub(value);
        self.burnt = self.burnt.saturating_add(value);
    }

    /// An own message's `value` went back to its sender, or is sent there.
    pub(crate) fn refund(&mut self, value: U256) {
        self.in_flight = self.in_flight.saturating_sub(value);
    }
}
