//! What a prepare carries to a participant: the payload and the witness to run it under.

use crate::{Data, Payload, Witness};
use alloy_primitives::Address;
use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeMap;

/// The bytes of a prepare, opaque to `commit`; [`crate::Replayer`] runs them, and the attempt's payload digest is that of
/// the run ([`crate::Executed::digest`]), so effects need not travel.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Prepared {
    /// The transactions and their environment.
    pub payload: Payload,
    /// Every value that the run reads, of all shards.
    pub witness: Witness,
    /// For each fixed code of the witness, what proves that it is where it is said to be; opaque here, and bound by nothing:
    /// any proof of the same will do.
    pub proofs: BTreeMap<Address, Data>,
}
