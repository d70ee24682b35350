//! Canonical bytes: the one encoding of all that is hashed, signed or stored.
//!
//! Borsh, because it has exactly one encoding per value. Protobuf is for gRPC alone: it decodes different bytes to equal
//! values, so it is never hashed and never signed.

use borsh::{BorshDeserialize, BorshSerialize};

/// Why bytes from outside are not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than the type may have; nothing was decoded.
    #[error("{actual} bytes where at most {max} are allowed")]
    TooLong {
        /// How many bytes came.
        actual: usize,
        /// How many were allowed.
        max: usize,
    },
    /// The bytes are not the canonical encoding of any value of the type.
    #[error("malformed canonical bytes: {reason}")]
    Malformed {
        /// What the decoder met.
        reason: String,
    },
}

/// The canonical bytes of `value`.
///
/// # Panics
/// Never for types that derive `BorshSerialize`: writing to memory does not fail.
#[allow(clippy::expect_used, reason = "writing borsh to memory cannot fail")]
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory does not fail")
}

/// The value whose canonical bytes are exactly `bytes`, none left over.
///
/// # Errors
/// [`DecodeError::TooLong`] above `bytes_max`, before anything is decoded; [`DecodeError::Malformed`] otherwise.
pub fn decode<T: BorshDeserialize>(bytes: &[u8], bytes_max: usize) -> Result<T, DecodeError> {
    if bytes.len() > bytes_max {
        return Err(DecodeError::TooLong { actual: bytes.len(), max: bytes_max });
    }
    T::try_from_slice(bytes).map_err(|error| DecodeError::Malformed { reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_its_bytes() {
        assert_eq!(decode::<(u32, Vec<u8>)>(&encode(&(7_u32, vec![1_u8, 2])), 64), Ok((7, vec![1, 2])));
    }

    #[test]
    fn a_trailing_byte_is_refused() {
        let mut bytes = encode(&7_u32);
        bytes.push(0);
        assert!(matches!(decode::<u32>(&bytes, 64), Err(DecodeError::Malformed { .. })));
    }

    #[test]
    fn too_many_bytes_are_refused_before_decoding() {
        assert_eq!(decode::<u32>(&[0; 65], 64), Err(DecodeError::TooLong { actual: 65, max: 64 }));
    }
}
