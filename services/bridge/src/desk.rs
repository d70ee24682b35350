//! What an operator asks of a running node of a bridge, and what the node tells him: shared between the two.
//!
//! ```text
//!   operator --pause, resume--> flags, on the disk --read at each round--> the node
//!            --orders---------> queue --taken at each round--------------> the node
//!            <-----------------  what each half wrote last  <------------- the node
//! ```
//!
//! Promise: a pause outlives a restart; it stops what is new, and what is under way comes to its end.

use crate::letters::Direction;
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// How many orders may wait for a round.
const ORDERS_COUNT_MAX: usize = 256;

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// All letters.
    Letters,
    /// One letter.
    Letter(B256),
    /// Try a letter again, with at least this much gas there.
    Retry { id: B256, gas: u64 },
    /// Give a letter up.
    Drop { id: B256, reason: String },
    /// Hear again of these foreign blocks, or of these places in shards' trees, both included, which are `way`'s.
    Rescan { way: Direction, from: u64, to: u64 },
    /// Why has this message not arrived?
    Why(B256),
    /// Which transactions there are for it there?
    Hops(B256),
}

/// An order and where its answer goes.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) ask: Ask,
    pub(crate) answer: oneshot::Sender<serde_json::Value>,
}

/// How one direction of a route stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// What waits here.
    pub(crate) waiting: usize,
    /// For how long the oldest of it has, in seconds.
    pub(crate) oldest_s: u64,
    /// What came to its end since the start.
    pub(crate) done: u64,
    /// How long ago the last of it did, in seconds; none if nothing has yet.
    pub(crate) last_done_s: Option<u64>,
    /// What is for a person.
    pub(crate) letters: usize,
    /// What keeps it from going on, in words.
    pub(crate) trouble: Option<String>,
}

#[derive(Debug, Default)]
struct Inner {
    paused: BTreeMap<Direction, String>,
    standings: BTreeMap<Direction, Standing>,
    orders: BTreeMap<Direction, VecDeque<Order>>,
}

/// The desk between operator and node.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    path: PathBuf,
    inner: Arc<Mutex<Inner>>,
}

impl Desk {
    /// The desk whose pauses are in the file at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let paused = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let inner = Inner { paused, ..Inner::default() };
        Ok(Self { path: path.to_owned(), inner: Arc::new(Mutex::new(inner)) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing new is to be taken on in this direction, if that is so.
    pub(crate) fn paused(&self, direction: Direction) -> Option<String> {
        self.lock().paused.get(&direction).cloned()
    }

    /// Pauses a direction, or with none takes its pause away. It is on the disk before anybody hears that it is so.
    pub(crate) fn set_paused(&self, direction: Direction, reason: Option<String>) -> io::Result<()> {
        let mut inner = self.lock();
        let mut paused = inner.paused.clone();
        match reason {
            Some(reason) => drop(paused.insert(direction, reason)),
            None => drop(paused.remove(&direction)),
        }
        chains::journal::write_synced(&self.path, &serde_json::to_vec(&paused)?)?;
        inner.paused = paused;
        Ok(())
    }

    /// How a direction stands.
    pub(crate) fn standing(&self, direction: Direction) -> Standing {
        self.lock().standings.get(&direction).cloned().unwrap_or_default()
    }

    /// Says how it stands.
    pub(crate) fn set_standing(&self, direction: Direction, standing: Standing) {
        self.lock().standings.insert(direction, standing);
    }

    /// Hands an order to a half; what comes back is its answer, once it has had a round.
    pub(crate) fn order(&self, to: Direction, ask: Ask) -> Option<oneshot::Receiver<serde_json::Value>> {
        let (answer, heard) = oneshot::channel();
        let mut inner = self.lock();
        let orders = inner.orders.entry(to).or_default();
        if orders.len() >= ORDERS_COUNT_MAX {
            return None;
        }
        orders.push_back(Order { ask, answer });
        Some(heard)
    }

    /// The next order for this half.
    pub(crate) fn take_order(&self, of: Direction) -> Option<Order> {
        self.lock().orders.get_mut(&of)?.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_outlives_a_restart_and_is_of_one_direction() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("paused.json");
        Desk::open(&path).unwrap().set_paused(Direction::In, Some("a theft there".to_owned())).unwrap();
        let desk = Desk::open(&path).unwrap();
        assert_eq!(desk.paused(Direction::In).as_deref(), Some("a theft there"));
        assert_eq!(desk.paused(Direction::Out), None);
        desk.set_paused(Direction::In, None).unwrap();
        assert_eq!(Desk::open(&path).unwrap().paused(Direction::In), None);
    }
}
