//! What became of a message, as its destination says it to its origin.

use crate::{Fact, LeafKind, Message, MessageError, MessageId, domain_of};
use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{decode, encode};

/// How many bytes a delivery's detail may have.
pub const DELIVERY_DETAIL_BYTES_MAX: usize = 256;

/// Canonical bytes of a delivery without its detail, length included.
const CANONICAL_BYTES_MIN: usize = 32 + 4 + 32 + 4 + 1 + 4 + 8;

/// How a message ended. One of these, once, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum DeliveryStatus {
    /// The recipient ran to its end.
    Delivered = 1,
    /// The recipient was run and reverted, ran out of the message's gas, or left its shard.
    Failed = 2,
    /// The deadline had passed; the recipient was not run.
    Expired = 3,
}

/// The end of a message's way out: goes back to its origin, which settles its value.
///
/// Says nothing of the value: the origin knows that from its own ledger (Qubit, Meter, Allbridge).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Delivery {
    /// Which message.
    pub message: MessageId,
    /// The domain the message came from, where this goes.
    pub origin: u32,
    /// The contract that sent it.
    pub sender: B256,
    /// The domain the message went to, which says this.
    pub destination: u32,
    /// How it ended.
    pub status: DeliveryStatus,
    /// What the recipient returned or reverted with, cut to [`DELIVERY_DETAIL_BYTES_MAX`].
    pub detail: Vec<u8>,
    /// How much gas the recipient used.
    pub gas_used: u64,
}

impl Delivery {
    /// The delivery of `message` that ended so; `detail` is cut to its bound.
    pub fn of(message: &Message, status: DeliveryStatus, detail: &[u8], gas_used: u64) -> Self {
        Self::named(message.id(), message, status, detail, gas_used)
    }

    /// The same of a message whose id is known already, or is another than [`Message::id`]: that of a foreign chain is its v3 id.
    pub fn named(id: MessageId, message: &Message, status: DeliveryStatus, detail: &[u8], gas_used: u64) -> Self {
        Self {
            message: id,
            origin: message.origin,
            sender: message.sender,
            destination: message.destination,
            status,
            detail: detail[..detail.len().min(DELIVERY_DETAIL_BYTES_MAX)].to_vec(),
            gas_used,
        }
    }

    /// The canonical bytes: the body of a leaf of kind [`LeafKind::Delivery`].
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// The delivery with these canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        Ok(decode(bytes, CANONICAL_BYTES_MIN + DELIVERY_DETAIL_BYTES_MAX)?)
    }

    /// The delivery that `fact` reports.
    ///
    /// # Errors
    /// [`MessageError::Kind`]; [`MessageError::ForeignDomain`] if the message was not for the shard that reports on it;
    /// [`MessageError::Decode`].
    pub fn from_fact(fact: &Fact) -> Result<Self, MessageError> {
        if fact.leaf.kind != LeafKind::Delivery {
            return Err(MessageError::Kind { expected: LeafKind::Delivery, actual: fact.leaf.kind });
        }
        let delivery = Self::from_bytes(&fact.leaf.body)?;
        if delivery.destination == domain_of(fact.network, fact.shard) {
            Ok(delivery)
        } else {
            Err(MessageError::ForeignDomain { shard: fact.shard, domain: delivery.destination })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_long_detail_is_cut_to_its_bound() {
        let delivery = Delivery::of(&sample::message(), DeliveryStatus::Failed, &[1; 1000], 5);
        assert_eq!(delivery.detail.len(), DELIVERY_DETAIL_BYTES_MAX);
        assert_eq!(Delivery::from_bytes(&delivery.to_bytes()), Ok(delivery.clone()));
        assert_eq!(delivery.to_bytes().len(), CANONICAL_BYTES_MIN + DELIVERY_DETAIL_BYTES_MAX);
    }

    #[test]
    fn a_detail_above_its_bound_is_refused() {
        let mut delivery = Delivery::of(&sample::message(), DeliveryStatus::Failed, &[], 5);
        delivery.detail = vec![0; DELIVERY_DETAIL_BYTES_MAX + 1];
        assert!(matches!(Delivery::from_bytes(&delivery.to_bytes()), Err(MessageError::Decode(_))));
    }
}
