//! RocksDB as ordered spaces: one synced batch in, snapshot reads out.
//!
//! ```text
//! commit(writes) --> [ writes | link n: previous, digest ] --one batch--> log, synced --> guard: n --> mark: n
//!                                                                         ^ crash point
//! open: owner lock -> guard -> RocksDB -> format -> identity -> links 1 by 1 -> link n against the guard, and the mark
//! ```
//!
//! Promise (I12): after kill -9 anywhere the state is that of the last synced batch, whole; a store that lost a synced
//! batch, changed hands, or was written by a newer version does not open, and says why and what to do. A copy of a store's
//! folder is no backup of one that signs: what was signed since would be signed again, so with a mark it does not open (R14).
//! Knows nothing of what the bytes mean, of shards' rules, clocks or networks.
//!
//! This is the only crate that links RocksDB. `options.rs` says why each setting is as it is.

pub mod backup;
mod error;
mod extent;
mod guard;
mod identity;
mod link;
mod mark;
mod options;
mod reader;
mod room;
mod store;

pub use error::{Fault, StoreError};
pub use extent::{Extent, settled_extents};
pub use identity::{FORMAT, Identity};
pub use mark::{Count, Found, MARK_LATE_BATCHES_MAX, Mark, Marking, mark_beside, marked_batch};
pub use options::{Durability, Settings};
pub use reader::{Reader, Snapshot};
pub use room::Room;
pub use store::{SPACES_COUNT_MAX, Store, check_folder};
