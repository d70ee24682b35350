//! A block's digest-only summary: all that a certificate signs.
//!
//! Promise: one canonical encoding, one digest, which names the network and the shard. Two headers with one digest are
//! one header.

use crate::{History, purpose};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Epoch, Height, NetworkId, ShardId, Time, encode};

/// The only header format there is.
pub const HEADER_VERSION: u16 = 3;

/// Why fields are not a header that a validator may sign or a verifier believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Another format.
    #[error("header version {actual} where {HEADER_VERSION} is known")]
    Version {
        /// What came.
        actual: u16,
    },
    /// A field that is never zero is zero (Nomad, 2022).
    #[error("the header's {field} is zero")]
    Zero {
        /// Which field.
        field: &'static str,
    },
    /// More leaves than an outbox may have.
    #[error("{actual} outbox leaves where at most {max} are allowed")]
    OutboxCount {
        /// What the header says.
        actual: u32,
        /// How many are allowed.
        max: u32,
    },
    /// A signer was asked to sign for another epoch than its own.
    #[error("a header of epoch {actual} for a signer of epoch {expected}")]
    Epoch {
        /// The header's epoch.
        actual: Epoch,
        /// The signer's epoch.
        expected: Epoch,
    },
    /// The state root is said to be of a block above this one.
    #[error("the state root is of height {state} in a header of height {height}")]
    StateAhead {
        /// The state root's height.
        state: Height,
        /// The header's height.
        height: Height,
    },
    /// The shard is said to be settled through a time that its block has not reached.
    #[error("settled through {settled_through} in a header of time {time}")]
    SettledAhead {
        /// Through which time.
        settled_through: Time,
        /// The block's time.
        time: Time,
    },
}

/// The summary of one block of one shard's log.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// [`HEADER_VERSION`].
    pub version: u16,
    /// The network.
    pub network: NetworkId,
    /// The shard whose log it is.
    pub shard: ShardId,
    /// The validator set that signs it.
    pub epoch: Epoch,
    /// The block's place in the log, from 1.
    pub height: Height,
    /// The digest of the header before it; at height 1 [`Header::genesis_parent`].
    pub parent: Digest,
    /// The block's attested time. Never decreases along the log. Deadlines are compared with it alone (R10).
    pub time: Time,
    /// No attempt with a deadline at or before this that the shard said yes to is undecided there, and it says yes to none any
    /// more (R7). Never decreases along the log.
    pub settled_through: Time,
    /// Every message with a lower nonce that the shard sent to a shard has ended, and its end is taken here: nobody has to bring it
    /// any more. Never decreases along the log.
    pub ended_before: u32,
    /// Root of the block's log entries.
    pub log_root: Digest,
    /// Root of the outcomes of the block's transactions.
    pub outcome_root: Digest,
    /// Root of the block's outbox.
    pub outbox_root: Digest,
    /// How many leaves the outbox has.
    pub outbox_count: u32,
    /// Root of the digests of all headers before this one ([`History`]).
    pub history_root: Digest,
    /// Root of the shard's state after the block at `state_height`.
    pub state_root: Digest,
    /// The block the state root is of: this one or one a bounded number of blocks before it; 0 is genesis.
    pub state_height: Height,
}

impl Header {
    /// The digest that stands for this header.
    pub fn digest(&self) -> Digest {
        purpose::HEADER.hash(&encode(self))
    }

    /// The `parent` of a shard's first block.
    pub fn genesis_parent(network: NetworkId, shard: ShardId) -> Digest {
        purpose::GENESIS.hash_of(&(network, shard))
    }

    /// The `history_root` of a shard's first block.
    pub fn genesis_history_root(network: NetworkId, shard: ShardId) -> Digest {
        History::new(network, shard).root()
    }

    /// Checks what holds of every header, whoever signed it.
    pub fn check(&self) -> Result<(), HeaderError> {
        if self.version != HEADER_VERSION {
            return Err(HeaderError::Version { actual: self.version });
        }
        if let Some((field, _)) = self.zeros().into_iter().find(|(_, zero)| *zero) {
            return Err(HeaderError::Zero { field });
        }
        let max = crate::OUTBOX_LEAVES_COUNT_MAX;
        if self.outbox_count > max {
            return Err(HeaderError::OutboxCount { actual: self.outbox_count, max });
        }
        if self.state_height > self.height {
            return Err(HeaderError::StateAhead { state: self.state_height, height: self.height });
        }
        if self.settled_through > self.time {
            return Err(HeaderError::SettledAhead { settled_through: self.settled_through, time: self.time });
        }
        Ok(())
    }

    fn zeros(&self) -> [(&'static str, bool); 9] {
        [
            ("network", self.network.0 == 0),
            ("epoch", self.epoch.0 == 0),
            ("height", self.height.0 == 0),
            ("parent", self.parent.is_zero()),
            ("log root", self.log_root.is_zero()),
            ("outcome root", self.outcome_root.is_zero()),
            ("outbox root", self.outbox_root.is_zero()),
            ("history root", self.history_root.is_zero()),
            ("state root", self.state_root.is_zero()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_sound_header_passes() {
        assert_eq!(sample::header(3).check(), Ok(()));
    }

    #[test]
    fn the_digest_names_network_and_shard() {
        let header = sample::header(3);
        assert_ne!(Header { network: NetworkId(8), ..header.clone() }.digest(), header.digest());
        assert_ne!(Header { shard: ShardId(9), ..header.clone() }.digest(), header.digest());
    }

    #[test]
    fn a_zero_root_is_refused() {
        let zero = Digest::new([0; 32]);
        let sound = sample::header(3);
        for header in [
            Header { outbox_root: zero, ..sound.clone() },
            Header { history_root: zero, ..sound.clone() },
            Header { parent: zero, ..sound.clone() },
            Header { state_root: zero, ..sound.clone() },
            Header { log_root: zero, ..sound.clone() },
            Header { outcome_root: zero, ..sound.clone() },
            Header { network: NetworkId(0), ..sound.clone() },
            Header { epoch: Epoch(0), ..sound.clone() },
            Header { height: Height(0), ..sound.clone() },
        ] {
            assert!(matches!(header.check(), Err(HeaderError::Zero { .. })), "{header:?}");
        }
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let header = Header { version: 2, ..sample::header(3) };
        assert_eq!(header.check(), Err(HeaderError::Version { actual: 2 }));
    }

    #[test]
    fn nothing_is_settled_before_its_time() {
        let sound = sample::header(3);
        let header = Header { settled_through: sound.time.after(primitives::Millis(1)), ..sound.clone() };
        assert!(matches!(header.check(), Err(HeaderError::SettledAhead { .. })));
        assert_eq!(Header { settled_through: sound.time, ..sound }.check(), Ok(()));
    }

    #[test]
    fn a_state_root_of_a_later_block_is_refused() {
        let header = Header { state_height: Height(4), ..sample::header(3) };
        assert!(matches!(header.check(), Err(HeaderError::StateAhead { .. })));
    }
}
