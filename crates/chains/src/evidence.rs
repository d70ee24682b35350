//! What shows, to whoever was not there, that endpoints told of two different blocks of one number.
//!
//! Promise: [`Disagreement::verify`] asks nobody: it hashes the headers that are in it. It proves that both were shown, if the file is
//! believed, and that they are two; which of them the chain has, a reader finds out elsewhere.

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable};
use serde::{Deserialize, Serialize};

/// One header as endpoints showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Who showed it, by host.
    pub by: Vec<String>,
    /// Its hash.
    pub hash: B256,
    /// The header in RLP.
    pub header: Bytes,
}

impl Shown {
    /// `header`, shown by these.
    pub fn new(header: &Header, by: Vec<String>) -> Self {
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        Self { by, hash: header.hash_slow(), header: bytes.into() }
    }
}

/// Two or more blocks of one number of one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The chain's id.
    pub chain_id: u64,
    /// The number.
    pub number: u64,
    /// The headers.
    pub shown: Vec<Shown>,
}

/// Why a file shows no disagreement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DisagreementError {
    /// A header's bytes are none.
    #[error("header {0} is not the RLP of a header")]
    Header(usize),
    /// A header is of another number or hash than the file says.
    #[error("header {0} is not the one that the file says it is")]
    Other(usize),
    /// There are not two.
    #[error("the headers are not two different ones")]
    Same,
}

impl Disagreement {
    /// Checks that there are different headers of this very number.
    pub fn verify(&self) -> Result<(), DisagreementError> {
        for (index, shown) in self.shown.iter().enumerate() {
            let mut bytes = &shown.header[..];
            let header = Header::decode(&mut bytes).map_err(|_| DisagreementError::Header(index))?;
            let is_said = header.number == self.number && header.hash_slow() == shown.hash && bytes.is_empty();
            if !is_said {
                return Err(DisagreementError::Other(index));
            }
        }
        let first = self.shown.first().map(|shown| shown.hash);
        if self.shown.iter().any(|shown| Some(shown.hash) != first) { Ok(()) } else { Err(DisagreementError::Same) }
    }
}
