//! What a contract says to a contract of another domain.
//!
//! ```text
//!   v3 part   version(1)=3 | nonce(4) | origin(4) | sender(32) | destination(4) | recipient(32) | body    big-endian
//!   terms     gas limit(8) | deadline in ms(8) | value(32)                                                big-endian
//!   id        keccak256(v3 part | terms)             v3 id = keccak256(v3 part)
//! ```
//!
//! The v3 part is Hyperlane's, byte for byte, and its id is kept beside ours for their contracts and tools. The terms
//! (what the destination may spend, until when, and what travels along) follow it at a fixed length of 48 bytes, so that
//! a relay cannot change them, and two messages of one id have one split into part and terms.
//! A mailbox computes the same id as `keccak256(abi.encodePacked(message, gasLimit, deadlineMs, value))`.
//!
//! Stored and put in outbox leaves as canonical bytes (borsh), not as packed ones.

use crate::{Fact, LeafKind};
use alloy_primitives::{B256, U256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{DecodeError, NetworkId, ShardId, Time, decode, encode};
use std::{fmt, str::FromStr};

/// The Hyperlane message version we speak.
pub const MESSAGE_VERSION: u8 = 3;

/// How many bytes a message's body may have.
pub const MESSAGE_BODY_BYTES_MAX: usize = 32 * 1024;

/// Bytes of a packed v3 message without its body.
const PACKED_BYTES_MIN: usize = 1 + 4 + 4 + 32 + 4 + 32;

/// Canonical bytes of a message without its body, length included.
const CANONICAL_BYTES_MIN: usize = 4 + 4 + 32 + 4 + 32 + 4 + 8 + 8 + 32;

/// Why bytes or a fact are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Fewer bytes than a message without a body has.
    #[error("{actual} bytes are too few for a message: {PACKED_BYTES_MIN} and its body")]
    TooShort {
        /// How many bytes came.
        actual: usize,
    },
    /// Another version.
    #[error("message version {actual} where {MESSAGE_VERSION} is known")]
    Version {
        /// What came.
        actual: u8,
    },
    /// More than [`MESSAGE_BODY_BYTES_MAX`].
    #[error("a message body of {actual} bytes where at most {MESSAGE_BODY_BYTES_MAX} are allowed")]
    BodyTooLong {
        /// How many bytes it has.
        actual: usize,
    },
    /// The recipient is zero.
    #[error("the recipient is the zero address")]
    ZeroRecipient,
    /// The canonical bytes are malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The fact is of another kind of leaf.
    #[error("a leaf of kind {actual:?} where {expected:?} is due")]
    Kind {
        /// What was looked for.
        expected: LeafKind,
        /// What the leaf is.
        actual: LeafKind,
    },
    /// The leaf speaks for a domain that is not the one of the shard that said it.
    #[error("shard {shard} speaks for domain {domain:#x}, which is not its own")]
    ForeignDomain {
        /// The shard that said it.
        shard: ShardId,
        /// The domain it claims.
        domain: u32,
    },
}

/// A message's id: keccak256 over its v3 part and its terms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct MessageId(pub B256);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message 0x{}…", hex::encode(&self.0[..4]))
    }
}

impl FromStr for MessageId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)?;
        Ok(Self(B256::new(bytes)))
    }
}

/// A message: the fields of Hyperlane v3 and the terms of its delivery.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Message {
    /// The origin mailbox's running number; never the same twice for one origin.
    pub nonce: u32,
    /// The domain it comes from.
    pub origin: u32,
    /// The contract that sent it, an address right-aligned in 32 bytes.
    pub sender: B256,
    /// The domain it goes to.
    pub destination: u32,
    /// The contract it is for, an address right-aligned in 32 bytes.
    pub recipient: B256,
    /// What is said: at most [`MESSAGE_BODY_BYTES_MAX`].
    pub body: Vec<u8>,
    /// How much gas the recipient is run with.
    pub gas_limit: u64,
    /// After this attested time of the destination the message is refused there, and refunded at its origin.
    pub deadline: Time,
    /// Wei that travel with it.
    pub value: U256,
}

impl Message {
    /// The v3 part, byte for byte as Hyperlane packs it.
    pub fn packed(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PACKED_BYTES_MIN + self.body.len());
        bytes.push(MESSAGE_VERSION);
        bytes.extend_from_slice(&self.nonce.to_be_bytes());
        bytes.extend_from_slice(&self.origin.to_be_bytes());
        bytes.extend_from_slice(self.sender.as_slice());
        bytes.extend_from_slice(&self.destination.to_be_bytes());
        bytes.extend_from_slice(self.recipient.as_slice());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The message with this v3 part and these terms, as a mailbox's `Dispatch` log gives them.
    ///
    /// # Errors
    /// [`MessageError::TooShort`], [`MessageError::Version`], and those of [`Message::check`].
    pub fn from_packed(packed: &[u8], gas_limit: u64, deadline: Time, value: U256) -> Result<Self, MessageError> {
        let too_short = MessageError::TooShort { actual: packed.len() };
        let (head, body) = packed.split_first_chunk::<PACKED_BYTES_MIN>().ok_or(too_short)?;
        if head[0] != MESSAGE_VERSION {
            return Err(MessageError::Version { actual: head[0] });
        }
        if body.len() > MESSAGE_BODY_BYTES_MAX {
            return Err(MessageError::BodyTooLong { actual: body.len() });
        }
        let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let message = Self {
            nonce: number(1),
            origin: number(5),
            sender: B256::from_slice(&head[9..41]),
            destination: number(41),
            recipient: B256::from_slice(&head[45..77]),
            body: body.to_vec(),
            gas_limit,
            deadline,
            value,
        };
        message.check().map(|()| message)
    }

    /// The id: of the v3 part and the terms.
    pub fn id(&self) -> MessageId {
        let mut bytes = self.packed();
        bytes.extend_from_slice(&self.gas_limit.to_be_bytes());
        bytes.extend_from_slice(&self.deadline.0.to_be_bytes());
        bytes.extend_from_slice(&self.value.to_be_bytes::<32>());
        MessageId(keccak256(bytes))
    }

    /// Hyperlane's id: of the v3 part alone.
    pub fn v3_id(&self) -> B256 {
        keccak256(self.packed())
    }

    /// Checks what holds of every message.
    pub fn check(&self) -> Result<(), MessageError> {
        if self.body.len() > MESSAGE_BODY_BYTES_MAX {
            return Err(MessageError::BodyTooLong { actual: self.body.len() });
        }
        if self.recipient.is_zero() {
            return Err(MessageError::ZeroRecipient);
        }
        Ok(())
    }

    /// The canonical bytes: the body of a leaf of kind [`LeafKind::Message`].
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// The message with these canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let message: Self = decode(bytes, CANONICAL_BYTES_MIN + MESSAGE_BODY_BYTES_MAX)?;
        message.check().map(|()| message)
    }

    /// The message that `fact` says was sent.
    ///
    /// # Errors
    /// [`MessageError::Kind`]; [`MessageError::ForeignDomain`] if its origin is not the shard that said it; those of
    /// [`Message::from_bytes`].
    pub fn from_fact(fact: &Fact) -> Result<Self, MessageError> {
        if fact.leaf.kind != LeafKind::Message {
            return Err(MessageError::Kind { expected: LeafKind::Message, actual: fact.leaf.kind });
        }
        let message = Self::from_bytes(&fact.leaf.body)?;
        if message.origin == domain_of(fact.network, fact.shard) {
            Ok(message)
        } else {
            Err(MessageError::ForeignDomain { shard: fact.shard, domain: message.origin })
        }
    }
}

/// Marks domains of this software among Hyperlane's.
const DOMAIN_MARK: u32 = 0xD000_0000;
const DOMAIN_NETWORK_MASK: u64 = 0xFFF;
const DOMAIN_SHARD_MASK: u32 = 0xFFFF;

/// The Hyperlane domain of `shard`: `0xD`, the network modulo 2^12, the shard in 16 bits.
///
/// # Panics
/// For a shard above 65,535: a placement never has one, and two shards of one domain would be one to a message.
pub fn domain_of(network: NetworkId, shard: ShardId) -> u32 {
    assert!(shard.0 <= DOMAIN_SHARD_MASK, "shard {shard} has no domain: there are at most 65,536 shards");
    DOMAIN_MARK | ((network.0 & DOMAIN_NETWORK_MASK) as u32) << 16 | shard.0
}

/// Whether `domain` is marked as a shard's, of whatever network: no foreign chain is routed under such a one.
pub fn is_own_domain(domain: u32) -> bool {
    domain & 0xF000_0000 == DOMAIN_MARK
}

/// The shard of `network` whose domain is `domain`, if it is one.
pub fn shard_of(network: NetworkId, domain: u32) -> Option<ShardId> {
    let shard = ShardId(domain & DOMAIN_SHARD_MASK);
    (domain_of(network, shard) == domain).then_some(shard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_message_survives_its_packed_bytes() {
        let message = sample::message();
        let Message { gas_limit, deadline, value, .. } = message;
        assert_eq!(Message::from_packed(&message.packed(), gas_limit, deadline, value), Ok(message));
    }

    #[test]
    fn a_message_survives_its_canonical_bytes() {
        let message = Message { body: vec![7; MESSAGE_BODY_BYTES_MAX], ..sample::message() };
        assert_eq!(Message::from_bytes(&message.to_bytes()), Ok(message.clone()));
        assert_eq!(message.to_bytes().len(), CANONICAL_BYTES_MIN + MESSAGE_BODY_BYTES_MAX);
    }

    #[test]
    fn a_body_above_its_bound_is_refused() {
        let message = Message { body: vec![0; MESSAGE_BODY_BYTES_MAX + 1], ..sample::message() };
        assert!(matches!(Message::from_bytes(&message.to_bytes()), Err(MessageError::Decode(_))));
        let packed = Message::from_packed(&message.packed(), 1, Time(1), U256::ZERO);
        assert!(matches!(packed, Err(MessageError::BodyTooLong { .. })));
    }

    #[test]
    fn short_bytes_and_other_versions_are_refused() {
        assert!(matches!(
            Message::from_packed(&[3; 76], 0, Time(0), U256::ZERO),
            Err(MessageError::TooShort { actual: 76 })
        ));
        assert_eq!(Message::from_packed(&[4; 77], 0, Time(0), U256::ZERO), Err(MessageError::Version { actual: 4 }));
    }

    #[test]
    fn the_zero_recipient_is_refused() {
        let message = Message { recipient: B256::ZERO, ..sample::message() };
        assert_eq!(Message::from_bytes(&message.to_bytes()), Err(MessageError::ZeroRecipient));
    }

    #[test]
    fn every_field_is_in_the_id() {
        let base = sample::message();
        let others = [
            Message { nonce: base.nonce + 1, ..base.clone() },
            Message { origin: base.origin + 1, ..base.clone() },
            Message { sender: B256::repeat_byte(0x77), ..base.clone() },
            Message { destination: base.destination + 1, ..base.clone() },
            Message { recipient: B256::repeat_byte(0x77), ..base.clone() },
            Message { body: vec![0x77], ..base.clone() },
            Message { gas_limit: base.gas_limit + 1, ..base.clone() },
            Message { deadline: Time(base.deadline.0 + 1), ..base.clone() },
            Message { value: base.value + U256::from(1), ..base.clone() },
        ];
        for other in others {
            assert_ne!(other.id(), base.id(), "{other:?}");
        }
    }

    #[test]
    fn a_domain_names_network_and_shard() {
        let network = NetworkId(0x1_0007);
        assert_eq!(domain_of(network, ShardId(2)), 0xD007_0002);
        assert_eq!(shard_of(network, 0xD007_0002), Some(ShardId(2)));
        assert_eq!(shard_of(NetworkId(8), 0xD007_0002), None);
        assert_eq!(shard_of(network, 0x1007_0002), None);
        assert_eq!(shard_of(network, 1), None);
    }
}
