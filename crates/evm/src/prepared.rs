//! What a prepare carries to a participant: the payload and the witness to run it under.

use crate::{Payload, Witness};
use borsh::{BorshDeserialize, BorshSerialize};

/// The bytes of a prepare, opaque to `commit`; [`crate::Replayer`] runs them, and the attempt's payload digest is that of
/// the run ([`crate::Executed::digest`]), so effects need not travel.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Prepared {
    /// The transactions and their environment.
    pub payload: Payload,
    /// Every value that the run reads, of all shards.
    pub witness: Witness,
}
