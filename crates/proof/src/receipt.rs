//! A receipt: all that makes one leaf of one shard's outbox believable elsewhere, in bytes that anyone can keep.

use crate::{Certificate, Certified, Header, Leaf};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{DecodeError, Digest, Epoch, Height, NetworkId, ShardId, Time, decode, encode};

/// How many bytes a receipt may have: the largest body, paths, headers and 256 signatures, and some room.
pub const RECEIPT_BYTES_MAX: usize = 96 * 1024;

/// A later header of the same shard, and the path of the receipt's header in its history.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ancestry {
    /// The later header, which is the one certified.
    pub header: Header,
    /// The siblings of the earlier header's digest, from leaf to top.
    pub path: Vec<Digest>,
}

/// Outbox leaf, Merkle path, header and certificate: a claim until a [`crate::ReceiptVerifier`] has checked it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// What is claimed.
    pub leaf: Leaf,
    /// Its place in the outbox.
    pub index: u32,
    /// Its siblings from leaf to top; their number follows from `index` and the header's count.
    pub path: Vec<Digest>,
    /// The header of the block that said it.
    pub header: Header,
    /// A quorum over `header`, or over the header in `ancestry` if there is one.
    pub certificate: Certificate,
    /// Set when the proof goes through a later block's certificate.
    pub ancestry: Option<Ancestry>,
}

impl Receipt {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// The receipt with these canonical bytes; at most [`RECEIPT_BYTES_MAX`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, RECEIPT_BYTES_MAX)
    }

    /// The header that the certificate is over.
    pub fn certified(&self) -> &Header {
        self.ancestry.as_ref().map_or(&self.header, |ancestry| &ancestry.header)
    }

    /// That header with its certificate.
    pub fn seal(&self) -> Certified {
        Certified { header: self.certified().clone(), certificate: self.certificate.clone() }
    }
}

/// What a checked receipt amounts to: this shard said this, in this block, at this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The network.
    pub network: NetworkId,
    /// The shard that said it.
    pub shard: ShardId,
    /// The epoch of the block that said it.
    pub epoch: Epoch,
    /// The block that said it.
    pub height: Height,
    /// The block's attested time.
    pub time: Time,
    /// The leaf's place in the block's outbox.
    pub index: u32,
    /// What was said.
    pub leaf: Leaf,
    /// The digest of the block's header.
    pub header_digest: Digest,
    /// The certified header that proves it: the block's own, or a later one's.
    pub seal: Certified,
}
