//! Foreign chains: their finalized messages read from several endpoints that must agree, deliveries submitted, and chains that misbehave for tests.
//!
//! ```text
//!   Chain: finalized, block, events       <-- EvmChain: k of n JSON-RPC endpoints
//!                                         <-- SimulatedChain: reorganises, halts; and serves endpoints that lie over real HTTP
//!   Submitter: deliveries under way, found again on the chain after a crash
//!   Pinned: the state of a chain at one block, value by value
//!   hyperlane: the bytes that Hyperlane's contracts take
//! ```
//!
//! Knows nothing of shards: what is read is bytes of messages, what is sent is bytes and metadata.

pub mod chain;
pub mod endpoint;
pub mod evidence;
pub mod evm;
pub mod hyperlane;
pub mod journal;
pub mod pinned;
pub mod simulated;
pub mod submitter;
