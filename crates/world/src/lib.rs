//! The whole network in one thread under a seed: the machines that serve, one event queue, virtual time, a disk, and faults.
//!
//! ```text
//!            submit ──> coordinator ──calls──> shard <──calls── relay          every arrow is an event of one queue,
//!                            ^ <──answers──────┘ │ └──answers────> ^           ordered by (virtual time, number)
//!                            └── inputs          └─ questions to shards
//!
//!   each party:   inbox ─> one step ─> batch on its disk ─> sends, replies ─> network ─> somebody's inbox
//!                                   ^ crash points        ^
//! ```
//!
//! ```ignore
//! let mut world = World::start(Plan::new(params, placement, genesis))?;      // some 0.1 ms for each shard
//! let ticket = world.submit(0, payload)?;                                    // to coordinator 0
//! assert!(world.run_quiet(world.now().after(Millis(60_000))));               // until nothing is undecided
//! let end = world.end(ticket);                                               // Some(Ok(committed)) | Some(Err(refusal))
//! let state = world.state();                                                 // all shards' states as one
//! ```
//!
//! Promise: the machines are those that serve, and claims reach them through the same checks; what a World leaves out is
//! gRPC, threads and RocksDB. One seed has one run: [`World::digest`] hashes every event and every write.
//! Reads no clock, draws no randomness but its seed's, touches no file.
//!
//! Faults ([`faults`]) are drawn per seed and counted; checks run after each batch and at the end ([`World::violations`],
//! [`World::check_end`]). `world run`, `world twice` and `world crashes` run [`scenario`]s under seeds (`make world`).
//!
//! Map: `world` is the loop; `shards`, `coordinators`, `relays` are the nodes around the machines, `call` what they say to
//! each other, `claims` how it is checked, `refusal` which refusals may be tried again; `node` is a machine with its store,
//! `disk` what a disk may do to it, `restored` an old copy in its place, `life` how processes die and come up; `queue` orders events, `network` decides what
//! becomes of messages, `chaos` strikes now and then, `hands` by hand; `check` is what must hold; `story` tells.

pub mod byzantine;
mod call;
mod chaos;
mod check;
mod claims;
mod closed;
mod coordinators;
mod dice;
mod disk;
pub mod faults;
mod hands;
mod keys;
mod life;
mod network;
mod node;
mod party;
mod plan;
mod queue;
mod refusal;
mod relays;
mod restored;
pub mod scenario;
mod shards;
mod state;
mod story;
mod world;

pub use call::{AbortClaim, CallId, DecisionClaim, Done, PrepareClaim, Rejection, Remedy, Request, Response};
pub use check::{Tally, Violation, serializable};
pub use coordinator::Ticket;
pub use coordinators::CoordinatorParty;
pub use dice::Dice;
pub use disk::Durability;
pub use faults::Faults;
pub use keys::{SHARDS_COUNT_MAX, secret, validators};
pub use party::Party;
pub use plan::{Plan, Roots, START, Span, Story, Watch};
pub use relays::RelayParty;
pub use shards::ShardParty;
pub use state::state_of;
pub use world::{End, StartError, World};
