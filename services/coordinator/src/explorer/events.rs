//! Live: each block as it is told, as server-sent events.
//!
//! ```text
//!   Last-Event-ID: 7, the head is 12        --> block 8, 9, 10, 11, 12, 13 …
//!   Last-Event-ID: 7, the head is 7,000,000 --> left out 8 to 6,999,968, block 6,999,969 …
//!   nothing                                 --> block 12, 13 …
//! ```
//!
//! Promise: a reader hears of every block after the one it had last, or of which it does not. A reader that does not read is cut off, the [`READERS_COUNT_MAX`]th and those after it are told to come again, and a
//! node that stops ends all streams.

use super::Explorer;
use super::answer::{Problem, Reply};
use crate::api::Node;
use bytes::Bytes;
use primitives::Slot;
use serde_json::json;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Most readers at once.
pub(super) const READERS_COUNT_MAX: usize = 64;

/// Most events that wait for one reader.
const UNREAD_COUNT_MAX: usize = 64;

/// Most blocks that are told at once to a reader who is behind: those before them are left out.
const CATCH_UP_COUNT_MAX: u64 = 32;

/// How often a stream on which nothing happens says that it is there.
const BEAT_INTERVAL: Duration = Duration::from_secs(10);

impl Explorer {
    /// A stream of the blocks after `since`, or of what is told from now on.
    pub(super) fn follow(&self, since: Option<&str>) -> Reply {
        let since = since.and_then(|id| id.parse().ok()).map(Slot);
        let Ok(seat) = Arc::clone(&self.readers).try_acquire_owned() else { return Problem::busy().into() };
        let (events, pieces) = mpsc::channel(UNREAD_COUNT_MAX);
        let (node, stop) = (Arc::clone(&self.node), self.stop.clone());
        tokio::spawn(async move {
            let _seat = seat;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tell(&node, &events, since) => {}
            }
        });
        Reply::events(pieces)
    }
}

async fn tell(node: &Node, events: &mpsc::Sender<Bytes>, since: Option<Slot>) {
    let mut heads = node.head.clone();
    let mut had = begin(since, *heads.borrow_and_update());
    loop {
        if let Some(newest) = *heads.borrow_and_update() {
            let (left_out, told) = after(had, newest);
            let gap = left_out.map(|slots| gap(&slots));
            let pieces = gap.into_iter().chain(told.map(|slot| event(node, Slot(slot))));
            for piece in pieces {
                if events.try_send(piece).is_err() {
                    return;
                }
            }
            had = had.max(Some(newest));
        }
        let goes_on = match tokio::time::timeout(BEAT_INTERVAL, heads.changed()).await {
            Ok(changed) => changed.is_ok() && !events.is_closed(),
            Err(_) => events.try_send(Bytes::from_static(b": here\n\n")).is_ok(),
        };
        if !goes_on {
            return;
        }
    }
}

/// The last block that a reader has who had `since` last, where the newest is `newest`: who comes anew begins with that one, and so does
/// who had what this network does not have yet.
fn begin(since: Option<Slot>, newest: Option<Slot>) -> Option<Slot> {
    let before = newest.and_then(|newest| newest.0.checked_sub(1)).map(Slot);
    let is_near = |since: &Slot| newest.is_none_or(|newest| since.0 <= newest.0.saturating_add(CATCH_UP_COUNT_MAX));
    since.filter(is_near).or(before)
}

/// The blocks after `had` up to `newest`: those that are left out, and those that are told.
fn after(had: Option<Slot>, newest: Slot) -> (Option<RangeInclusive<u64>>, RangeInclusive<u64>) {
    let first = had.map_or(0, |had| had.0.saturating_add(1));
    let told = first.max(newest.0.saturating_sub(CATCH_UP_COUNT_MAX - 1));
    ((first < told).then(|| first..=told - 1), told..=newest.0)
}

fn gap(slots: &RangeInclusive<u64>) -> Bytes {
    let data = json!({ "from": slots.start(), "to": slots.end() });
    format!("event: left-out\ndata: {data}\n\n").into()
}

fn event(node: &Node, slot: Slot) -> Bytes {
    let transactions = node.blocks.index().totals(slot).map_or(0, |totals| totals.count);
    let silent: Vec<u32> = node.blocks.silent(slot).iter().map(|shard| shard.0).collect();
    let data = json!({ "number": slot.0, "transactions": transactions, "silentShards": silent });
    format!("event: block\nid: {slot}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_hears_of_every_block_it_has_not_had() {
        let had = begin(Some(Slot(7)), Some(Slot(12)));
        assert_eq!(after(had, Slot(12)), (None, 8..=12));
        assert_eq!(after(Some(Slot(12)), Slot(12)), (None, RangeInclusive::new(13, 12)), "nothing twice");
        assert_eq!(after(Some(Slot(12)), Slot(14)), (None, 13..=14), "no block is passed over when two come at once");
    }

    #[test]
    fn what_is_too_much_is_left_out_and_said_to_be() {
        let (left_out, told) = after(begin(Some(Slot(7)), Some(Slot(7_000_000))), Slot(7_000_000));
        assert_eq!((left_out, told.clone()), (Some(8..=6_999_968), 6_999_969..=7_000_000));
        assert_eq!(told.count() as u64, CATCH_UP_COUNT_MAX);
        assert_eq!(gap(&(8..=9)), "event: left-out\ndata: {\"from\":8,\"to\":9}\n\n");
    }

    #[test]
    fn who_comes_anew_or_from_elsewhere_begins_with_the_newest() {
        for since in [None, Some(Slot(u64::MAX)), Some(Slot(1_000))] {
            assert_eq!(after(begin(since, Some(Slot(12))), Slot(12)), (None, 12..=12));
        }
        assert_eq!(begin(Some(Slot(14)), Some(Slot(12))), Some(Slot(14)), "another node may be a little further");
        assert_eq!(after(begin(None, Some(Slot(0))), Slot(0)), (None, 0..=0));
    }
}
