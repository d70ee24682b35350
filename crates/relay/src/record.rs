//! A message's life as this relay saw it, and the dead letter it may become.

use borsh::{BorshDeserialize, BorshSerialize};
use primitives::Time;
use proof::{DeliveryStatus, MessageId};

/// How many events a life keeps: the first, and the latest.
pub const EVENTS_COUNT_MAX: usize = 32;

/// How many bytes the text of an event or of a dead letter may have.
pub const DETAIL_BYTES_MAX: usize = 256;

/// Which way a parcel goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Leg {
    /// A message to its destination.
    Out = 1,
    /// Its delivery to its origin.
    Back = 2,
}

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Stage {
    /// Its receipt was read and believed.
    Accepted = 1,
    /// It was handed to the destination.
    Sent = 2,
    /// A try came to nothing, or to no proof; another follows.
    Retrying = 3,
    /// The destination's delivery leaf was read and believed.
    Delivered = 4,
    /// The delivery was handed to the origin.
    Acknowledging = 5,
    /// The origin has taken the delivery: the life is over.
    Acknowledged = 6,
    /// It was given up on.
    Dead = 7,
    /// An operator put it back.
    Revived = 8,
}

/// One event of a message's life.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Event {
    /// When, by the relay's clock.
    pub time: Time,
    /// What.
    pub stage: Stage,
    /// Which try, from 1; 0 for an event that is no try.
    pub attempt: u32,
    /// For a person; at most [`DETAIL_BYTES_MAX`].
    pub detail: String,
}

/// Where a message is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Life {
    /// Waiting for its destination, or under way to it.
    Out = 1,
    /// Delivered, failed or expired there; its origin is to be told.
    Back = 2,
    /// Its origin was told.
    Ended = 3,
    /// Given up on while going out.
    DeadOut = 4,
    /// Given up on while coming back.
    DeadBack = 5,
    /// No route leads to its destination.
    Unroutable = 6,
}

/// A message's life: its state and its story, written in one batch with whatever changed it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Record {
    /// The domain it comes from.
    pub(crate) source: u32,
    /// The domain it goes to.
    pub(crate) destination: u32,
    pub(crate) life: Life,
    /// How it ended at its destination, once that is proven.
    pub(crate) status: Option<DeliveryStatus>,
    /// Its number among the ended, the last time it ended.
    pub(crate) ended: Option<u64>,
    pub(crate) events: Vec<Event>,
}

impl Record {
    pub(crate) fn new(source: u32, destination: u32, life: Life) -> Self {
        Self { source, destination, life, status: None, ended: None, events: Vec::new() }
    }

    /// Adds to the story. Past the bound the oldest event but the first goes.
    pub(crate) fn tell(&mut self, time: Time, stage: Stage, attempt: u32, detail: &str) {
        if self.events.len() >= EVENTS_COUNT_MAX {
            self.events.remove(1);
        }
        self.events.push(Event { time, stage, attempt, detail: shortened(detail) });
    }
}

/// `text` cut to [`DETAIL_BYTES_MAX`], at the end of a character.
pub(crate) fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(DETAIL_BYTES_MAX)].to_owned()
}

/// A message that was given up on, with its receipt kept.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DeadLetter {
    /// Which message.
    pub message: MessageId,
    /// The domain it comes from.
    pub source: u32,
    /// The domain it goes to.
    pub destination: u32,
    /// Which way it went.
    pub leg: Leg,
    /// How often it was refused.
    pub refusals: u32,
    /// The last refusal, for a person.
    pub reason: String,
    /// When it was given up on, by the relay's clock.
    pub time: Time,
    /// How many bytes its receipt has.
    pub(crate) bytes: u32,
    /// Its place among all that this relay took in or gave up on.
    pub(crate) number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_life_keeps_its_first_and_its_latest_events() {
        let mut record = Record::new(1, 2, Life::Out);
        for time in 0..100 {
            record.tell(Time(time), Stage::Sent, 1, "");
        }
        assert_eq!(record.events.len(), EVENTS_COUNT_MAX);
        assert_eq!(record.events[0].time, Time(0));
        assert_eq!(record.events[1].time, Time(100 - EVENTS_COUNT_MAX as u64 + 1));
        assert_eq!(record.events[EVENTS_COUNT_MAX - 1].time, Time(99));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ü".repeat(DETAIL_BYTES_MAX);
        assert_eq!(shortened(&text).len(), DETAIL_BYTES_MAX);
        assert_eq!(shortened(&format!("a{text}")).len(), DETAIL_BYTES_MAX - 1);
    }
}
