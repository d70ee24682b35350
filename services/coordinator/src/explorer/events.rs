//! Live: each block as it is told, as server-sent events.
//!
//! Promise: a reader that does not read is cut off, the [`READERS_COUNT_MAX`]th and those after it are told to come again, and a
//! node that stops ends all streams.

use super::Explorer;
use super::answer::{Problem, Reply};
use crate::api::Node;
use bytes::Bytes;
use primitives::Slot;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Most readers at once.
pub(super) const READERS_COUNT_MAX: usize = 64;

/// Most events that wait for one reader.
const UNREAD_COUNT_MAX: usize = 64;

/// How often a stream on which nothing happens says that it is there.
const BEAT_INTERVAL: Duration = Duration::from_secs(10);

impl Explorer {
    /// A stream of what is told from now on.
    pub(super) fn follow(&self) -> Reply {
        let Ok(seat) = Arc::clone(&self.readers).try_acquire_owned() else { return Problem::busy().into() };
        let (events, pieces) = mpsc::channel(UNREAD_COUNT_MAX);
        let (node, stop) = (Arc::clone(&self.node), self.stop.clone());
        tokio::spawn(async move {
            let _seat = seat;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tell(&node, &events) => {}
            }
        });
        Reply::events(pieces)
    }
}

async fn tell(node: &Node, events: &mpsc::Sender<Bytes>) {
    let mut head = node.head.clone();
    let mut told = head.borrow_and_update().map(|slot| Slot(slot.0.saturating_sub(1)));
    loop {
        let newest = *head.borrow_and_update();
        let is_heard = match (told, newest) {
            (told, Some(newest)) if told < Some(newest) => events.try_send(event(node, newest)).is_ok(),
            _ => true,
        };
        if !is_heard {
            return;
        }
        told = told.max(newest);
        let goes_on = match tokio::time::timeout(BEAT_INTERVAL, head.changed()).await {
            Ok(changed) => changed.is_ok() && !events.is_closed(),
            Err(_) => events.try_send(Bytes::from_static(b": here\n\n")).is_ok(),
        };
        if !goes_on {
            return;
        }
    }
}

fn event(node: &Node, slot: Slot) -> Bytes {
    let block = node.blocks.block(slot).ok();
    let outcomes = block.as_ref().map_or(0, |block| block.outcomes.len());
    let silent = block.map(|block| block.silent.iter().map(|shard| shard.0).collect::<Vec<_>>());
    let data = json!({ "number": slot.0, "transactions": outcomes, "silentShards": silent.unwrap_or_default() });
    format!("event: block\nid: {slot}\ndata: {data}\n\n").into()
}
