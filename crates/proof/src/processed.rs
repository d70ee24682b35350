//! That a message of this network was processed on a foreign chain, as a leaf of that chain's attested block.
//!
//! ```text
//!   tag(1)=0xd7 | chain's domain(4) | origin(4) | v3 id(32)        big-endian; no v3 message is as short
//! ```
//!
//! Promise: no bytes are both this and a message. Says that the recipient ran to its end there, because Hyperlane's mailbox undoes
//! everything, its own mark included, where it does not.
//! Source: hyperlane-monorepo, `solidity/contracts/Mailbox.sol`, events `Process` and `ProcessId`.

use alloy_primitives::B256;

/// What such a leaf begins with; a v3 message begins with 3.
const TAG: u8 = 0xd7;

/// Bytes of such a leaf.
const LEAF_BYTES: usize = 1 + 4 + 4 + 32;

/// The end of a message that left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Processed {
    /// The Hyperlane domain of the chain that processed it.
    pub domain: u32,
    /// The domain it came from.
    pub origin: u32,
    /// Hyperlane's id of it.
    pub id: B256,
}

impl Processed {
    /// The leaf.
    pub fn to_bytes(self) -> Vec<u8> {
        [&[TAG][..], &self.domain.to_be_bytes(), &self.origin.to_be_bytes(), &self.id[..]].concat()
    }

    /// What the leaf says, if it is one of these.
    pub fn from_bytes(leaf: &[u8]) -> Option<Self> {
        let leaf: &[u8; LEAF_BYTES] = leaf.try_into().ok()?;
        let [TAG, d0, d1, d2, d3, o0, o1, o2, o3, id @ ..] = leaf else { return None };
        let (domain, origin) = (u32::from_be_bytes([*d0, *d1, *d2, *d3]), u32::from_be_bytes([*o0, *o1, *o2, *o3]));
        Some(Self { domain, origin, id: B256::new(*id) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, sample};
    use alloy_primitives::U256;
    use primitives::Time;

    #[test]
    fn an_end_survives_its_bytes_and_is_no_message() {
        let processed = Processed { domain: 31_337, origin: 0xd007_0001, id: B256::repeat_byte(9) };
        let leaf = processed.to_bytes();
        assert_eq!(Processed::from_bytes(&leaf), Some(processed));
        assert!(Message::from_packed(&leaf, 0, Time(0), U256::ZERO).is_err());
        assert_eq!(Processed::from_bytes(&leaf[..40]), None);
        assert_eq!(Processed::from_bytes(&[&leaf[..], &[0]].concat()), None);
    }

    #[test]
    fn a_message_is_no_end() {
        assert_eq!(Processed::from_bytes(&sample::message().packed()), None);
        assert_eq!(Processed::from_bytes(&[3; LEAF_BYTES]), None);
    }
}
