//! Forgets what old blocks show, where the operator wants only so much of it.
//!
//! ```text
//!   first ─────────────── head - kept ──────────────── head
//!     '── an eighth of `kept` or more: forgotten, and the disk given back ──> first moves
//! ```
//!
//! Promise: nothing within what is kept is ever forgotten; what is forgotten is said to be, never told as nothing. Forgetting goes
//! on where a killed process left it.
//! Knows nothing of who reads.

use crate::blocks::Blocks;
use host::Process;
use primitives::Slot;
use std::sync::Arc;
use std::time::Duration;
use store::Fault;

/// How often it is looked whether there is enough to forget.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// The part of what is kept that is forgotten at a time, at least: each time the index is written anew, to give the disk back.
const SHARE: u64 = 8;

/// Keeps the last `slots_kept` slots, and up to an eighth more. An index that fails ends the process.
pub(crate) fn prune(process: &Process, slots_kept: u64, blocks: &Arc<Blocks>) {
    let blocks = Arc::clone(blocks);
    process.tasks.try_spawn("pruning the chain index", async move {
        while !blocks.is_unheard() {
            tokio::time::sleep(LOOK_PAUSE).await;
            let Some(first) = due(blocks.known_to(), blocks.index().first(), slots_kept) else { continue };
            let pruned = Arc::clone(&blocks);
            match tokio::task::spawn_blocking(move || pruned.index().forget(first)).await {
                Ok(forgotten) => forgotten?,
                Err(_) => return Ok(()), // The process is ending.
            }
            tracing::info!(%first, "old blocks forgotten");
        }
        Ok::<_, Fault>(())
    });
}

/// The first slot to keep from now on, when enough lies before it.
fn due(known_to: Slot, first: Slot, slots_kept: u64) -> Option<Slot> {
    let wanted = known_to.0.checked_sub(slots_kept)?;
    (wanted >= first.0.saturating_add((slots_kept / SHARE).max(1))).then_some(Slot(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_never_due_and_the_rest_an_eighth_at_a_time() {
        assert_eq!(due(Slot(100), Slot(0), 128), None, "all of it is kept");
        assert_eq!(due(Slot(143), Slot(0), 128), None, "not enough yet");
        assert_eq!(due(Slot(144), Slot(0), 128), Some(Slot(16)));
        assert_eq!(due(Slot(144), Slot(16), 128), None);
        assert_eq!(due(Slot(u64::MAX), Slot(0), 1), Some(Slot(u64::MAX - 1)));
    }
}
