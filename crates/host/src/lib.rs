//! Runs a machine: loop, timers, health, metrics, drain.
//!
//! ```text
//! callers            queue (bounded)        the host's thread                                      callers, senders
//! call(input) ------> | | | | |  --drain--> step(now, inputs) --> commit, synced --> hand out --> replies, sends
//!                                              ^ timer (wake)   ^ crash point 1   ^ crash point 2
//! ```
//!
//! Promise (R2): nothing leaves a step before its batch is on the disk, because what hands out takes only a
//! `Committed` step, and committing is the only way to make one. A store that fails stops the host before anything is
//! handed out. The wall clock is read here and nowhere below (I18), and what it says never decreases.
//! Knows nothing of what its machine decides, nor of how bytes travel.

mod clock;
mod crash;
mod environment;
pub mod evidence;
mod handle;
mod health;
mod http;
pub mod keys;
mod live;
pub mod logging;
mod metrics;
pub mod network;
mod node;
mod offset;
pub mod output;
mod panics;
mod ports;
mod process;
pub mod reload;
mod runner;
mod security;
mod seen;
mod settings;
pub mod shutdown;
mod stderr;
mod step;
mod tasks;
mod traces;

pub use clock::{Clock, OtherClocks, wall};
pub use crash::{CRASH_VARIABLE, CrashPoint, CrashPointError};
pub use environment::NotUnicode;
pub use handle::{CallError, Class, Handle, Handout, Ticket};
pub use health::{Health, Needs, PEER_SILENT_MAX, Peer, Readiness, Standing, State};
pub use http::serve as serve_http;
pub use live::{Live, LiveSettings};
pub use metrics::Instruments;
pub use node::Node;
pub use offset::{OffsetError, TimeOffset};
pub use ports::check as check_ports;
pub use process::{Process, ProcessError};
pub use runner::{Bounds, Host, HostError, Lifeline, Running};
pub use security::{Security, SecurityError, TlsSettings};
pub use seen::Seen;
pub use settings::{SettingsError, load as load_settings};
pub use tasks::{TaskFailed, Tasks};
pub use traces::{NoRatio, Ratio, TracesSettings};
