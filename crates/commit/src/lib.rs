//! Two-phase commit between shards, decided by votes alone.
//!
//! ```text
//!   coordinator          home a            shard b
//!       | -- Prepare -----> |                 |
//!       | <---- Vote(Yes) - * locked          |          * = one synced write, before the arrow under it
//!       | -- Prepare + a's certified yes ---> |
//!       | <---------------------- Vote(Yes) - * locked
//!       * decision          |                 |
//!       | -- Decide ------> * applied         |
//!       | -- Decide ------------------------> * applied
//!       |                   |                 |
//!       x  (dead)           | -- RequestAbort --> |       late: anyone asks, and answers are votes
//! ```
//!
//! Promise (I1): two shards never end one attempt differently, whatever the coordinator does and whatever the network
//! loses, doubles or reorders. Held by `tests/agreement.rs`, which explores every order of the real transitions.
//!
//! A decision is a pure function of votes ([`decide`]), so whoever holds the votes can deliver it; the coordinator is
//! merely the one who usually does. It needs no trust and no replication.
//!
//! Knows nothing of EVM, proofs, gRPC, disks or clocks: payloads are opaque bytes, evidence is opaque bytes, and a vote
//! enters only as [`primitives::Verified`].
//! Source: Gray & Lamport, "Consensus on Transaction Commit", 2006; the rules R1-R12 are in docs/protocol.md.

pub mod coordinator;
mod decision;
mod descriptor;
pub mod participant;
mod refusal;
#[cfg(feature = "twins")]
mod twin;
mod vote;

pub use coordinator::Coordinator;
pub use decision::{Decision, DecisionProof, Undecided, counts, decide};
pub use descriptor::{Descriptor, DescriptorError, PARTICIPANTS_COUNT_MAX, PAYLOAD_BYTES_MAX};
pub use participant::Participant;
pub use refusal::{DETAIL_BYTES_MAX, Refusal, Rejection};
#[cfg(feature = "twins")]
pub use twin::Twin;
pub use vote::{EVIDENCE_BYTES_MAX, VOTE_BYTES_MAX, Verdict, Vote, VoteProof};
