//! From the parts of protobuf messages to values, and back.
//!
//! Promise: bytes from outside become values only here and in the `TryFrom`s of the service modules; canonical bytes that
//! do not come out of an encoder as they went into the decoder are refused, since borsh alone forgives unordered maps.

use crate::limits::{ADDRESS_BYTES, DESCRIPTOR_BYTES_MAX, HEADER_BYTES_MAX, WORD_BYTES};
use crate::rejection::{Reason, Rejection};
use alloy_primitives::{Address, B256, U256};
use borsh::{BorshDeserialize, BorshSerialize};
use commit::Descriptor;
use primitives::{AttemptId, DecodeError, Digest};
use proof::{Certificate, Header, PublicKey};
use prost::bytes::Bytes;

/// Why a protobuf message is not a value of the project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A field that must be set is not.
    #[error("{field} is missing")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A byte string of another length than its kind has.
    #[error("{field} has {actual} bytes where {expected} are due")]
    Length {
        /// Which.
        field: &'static str,
        /// How many are due.
        expected: usize,
        /// How many came.
        actual: usize,
    },
    /// A digest, id or key of zeros.
    #[error("{field} is zero")]
    Zero {
        /// Which.
        field: &'static str,
    },
    /// Bytes that are no canonical encoding.
    #[error("{field}: {error}")]
    Canonical {
        /// Which.
        field: &'static str,
        /// What the decoder met.
        error: DecodeError,
    },
    /// Bytes that decode, to a value with other canonical bytes.
    #[error("{field} is not the canonical encoding of its value")]
    NotCanonical {
        /// Which.
        field: &'static str,
    },
    /// A number that names nothing.
    #[error("{field} is {value}, which names nothing")]
    Unknown {
        /// Which.
        field: &'static str,
        /// What came.
        value: i64,
    },
    /// A value that breaks a rule of its type.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// The rule, in its type's words.
        reason: String,
    },
}

impl From<ConvertError> for Rejection {
    fn from(error: ConvertError) -> Self {
        let (field, reason) = match &error {
            ConvertError::Missing { field }
            | ConvertError::Length { field, .. }
            | ConvertError::Canonical { field, .. }
            | ConvertError::NotCanonical { field }
            | ConvertError::Unknown { field, .. } => (*field, Reason::Malformed),
            ConvertError::Zero { field } | ConvertError::Invalid { field, .. } => (*field, Reason::InvalidArgument),
        };
        Self::new(reason, error.to_string()).with("field", field)
    }
}

/// The value whose canonical bytes are exactly `bytes`, at most `bytes_max` of them.
pub fn canonical<T>(field: &'static str, bytes: &[u8], bytes_max: usize) -> Result<T, ConvertError>
where
    T: BorshSerialize + BorshDeserialize,
{
    let value: T = primitives::decode(bytes, bytes_max).map_err(|error| ConvertError::Canonical { field, error })?;
    if primitives::encode(&value) == bytes { Ok(value) } else { Err(ConvertError::NotCanonical { field }) }
}

/// `part`, which must be set.
pub(crate) fn required<T>(field: &'static str, part: Option<T>) -> Result<T, ConvertError> {
    part.ok_or(ConvertError::Missing { field })
}

fn array<const BYTES: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; BYTES], ConvertError> {
    bytes.try_into().map_err(|_| ConvertError::Length { field, expected: BYTES, actual: bytes.len() })
}

/// 32 bytes, zero or not.
pub(crate) fn word(field: &'static str, bytes: &[u8]) -> Result<B256, ConvertError> {
    array::<WORD_BYTES>(field, bytes).map(B256::new)
}

/// 32 bytes that are not all zero: an id or a hash.
pub(crate) fn hash(field: &'static str, bytes: &[u8]) -> Result<B256, ConvertError> {
    let hash = word(field, bytes)?;
    if hash.is_zero() { Err(ConvertError::Zero { field }) } else { Ok(hash) }
}

/// A digest, which is never zero.
pub(crate) fn digest(field: &'static str, bytes: &[u8]) -> Result<Digest, ConvertError> {
    Digest::nonzero(array(field, bytes)?).map_err(|_| ConvertError::Zero { field })
}

/// An attempt's id.
pub(crate) fn attempt(field: &'static str, bytes: &[u8]) -> Result<AttemptId, ConvertError> {
    digest(field, bytes).map(AttemptId)
}

/// An attempt's id where empty means none.
pub(crate) fn optional_attempt(field: &'static str, bytes: &[u8]) -> Result<Option<AttemptId>, ConvertError> {
    if bytes.is_empty() { Ok(None) } else { attempt(field, bytes).map(Some) }
}

/// The bytes of an attempt's id, none for none.
pub(crate) fn optional_attempt_bytes(attempt: Option<AttemptId>) -> Bytes {
    attempt.map_or_else(Bytes::new, |attempt| bytes_of(attempt.0.as_bytes()))
}

/// An address.
pub(crate) fn address(field: &'static str, bytes: &[u8]) -> Result<Address, ConvertError> {
    array::<ADDRESS_BYTES>(field, bytes).map(Address::new)
}

/// A number of 32 bytes, big-endian.
pub(crate) fn number(field: &'static str, bytes: &[u8]) -> Result<U256, ConvertError> {
    array::<WORD_BYTES>(field, bytes).map(U256::from_be_bytes)
}

/// The 32 bytes of a number, big-endian.
pub(crate) fn number_bytes(number: U256) -> Bytes {
    bytes_of(&number.to_be_bytes::<WORD_BYTES>())
}

/// A copy of `bytes`, as protobuf messages hold them.
pub(crate) fn bytes_of(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The canonical bytes of `value`, as protobuf messages hold them.
pub(crate) fn encoded<T: BorshSerialize>(value: &T) -> Bytes {
    primitives::encode(value).into()
}

/// A validator's public key: canonical and not weak.
pub(crate) fn public_key(field: &'static str, bytes: &[u8]) -> Result<PublicKey, ConvertError> {
    PublicKey::try_from(array::<WORD_BYTES>(field, bytes)?)
        .map_err(|error| ConvertError::Invalid { field, reason: error.to_string() })
}

/// An attempt's descriptor, which describes an attempt.
pub(crate) fn descriptor(field: &'static str, bytes: &[u8]) -> Result<Descriptor, ConvertError> {
    let descriptor: Descriptor = canonical(field, bytes, DESCRIPTOR_BYTES_MAX)?;
    descriptor.check().map_err(|error| ConvertError::Invalid { field, reason: error.to_string() })?;
    Ok(descriptor)
}

/// A block's header.
pub(crate) fn header(field: &'static str, bytes: &[u8]) -> Result<Header, ConvertError> {
    canonical(field, bytes, HEADER_BYTES_MAX)
}

/// A header's certificate.
pub(crate) fn certificate(field: &'static str, bytes: &[u8]) -> Result<Certificate, ConvertError> {
    canonical(field, bytes, crate::limits::CERTIFICATE_BYTES_MAX)
}

/// How many a reader gets: what it asked for, at most `max`; 0 asks for `max`.
pub(crate) fn page(count_max: u32, max: usize) -> usize {
    match count_max as usize {
        0 => max,
        asked => asked.min(max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::{Epoch, NetworkId, ShardId, Time};
    use std::collections::{BTreeMap, BTreeSet};

    fn descriptor_of(participants: [u32; 2]) -> Descriptor {
        Descriptor {
            network: NetworkId(7),
            participants: participants.map(|shard| (ShardId(shard), Epoch(1))).into(),
            homes: BTreeSet::from([ShardId(participants[0])]),
            payload: Digest::new([9; 32]),
            number: 1,
            deadline: Time(1000),
        }
    }

    #[test]
    fn a_descriptor_survives_its_bytes() {
        let expected = descriptor_of([0, 1]);
        assert_eq!(descriptor("descriptor", &primitives::encode(&expected)), Ok(expected));
    }

    #[test]
    fn a_map_out_of_order_is_refused() {
        // The same participants, the second first: borsh takes it, the id would be another one.
        let fields = (
            NetworkId(7),
            vec![(ShardId(1), Epoch(1)), (ShardId(0), Epoch(1))],
            vec![ShardId(0)],
            Digest::new([9; 32]),
            1_u32,
            Time(1000),
        );
        let refused = descriptor("descriptor", &primitives::encode(&fields));
        assert!(
            matches!(refused, Err(ConvertError::NotCanonical { .. } | ConvertError::Canonical { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn an_attempt_with_no_participant_is_refused() {
        let empty = Descriptor { participants: BTreeMap::new(), ..descriptor_of([0, 1]) };
        assert!(matches!(descriptor("descriptor", &primitives::encode(&empty)), Err(ConvertError::Invalid { .. })));
    }

    #[test]
    fn a_zero_id_and_a_short_id_are_refused() {
        assert_eq!(digest("id", &[0; 32]), Err(ConvertError::Zero { field: "id" }));
        assert_eq!(digest("id", &[1; 31]), Err(ConvertError::Length { field: "id", expected: 32, actual: 31 }));
    }

    #[test]
    fn a_page_is_never_larger_than_its_bound() {
        assert_eq!((page(0, 10), page(3, 10), page(11, 10)), (10, 3, 10));
    }
}
