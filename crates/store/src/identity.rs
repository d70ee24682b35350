//! Whose store it is, and in which format.

use borsh::{BorshDeserialize, BorshSerialize};
use primitives::NetworkId;
use std::fmt;

/// The format of stores this version writes. It changes when an old version would misread a new store.
pub const FORMAT: u32 = 1;

/// Whose store it is. It is written when the store is made and compared at every opening.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Identity {
    /// What kind of process: "executor", "coordinator", "relay".
    pub kind: String,
    /// Which network.
    pub network: NetworkId,
    /// Which of its kind: "shard 3", "relay a".
    pub name: String,
    /// The public key it signs with, if it signs.
    pub key: Option<[u8; 32]>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of network {}", self.kind, self.name, self.network)?;
        match self.key {
            None => Ok(()),
            Some(key) => {
                f.write_str(" with key ")?;
                key.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("…")
            }
        }
    }
}
