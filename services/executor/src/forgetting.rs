//! Takes away what old blocks did, beside the commit path, and gives the disk back.
//!
//! ```text
//!   tip's time - `bodies_s` --> what may go, from a snapshot --> one input, synced with its step --> an eighth of it gone: tables anew
//! ```
//!
//! Promise: it ends with its process alone. A step takes some 2,048 rows of it at most; it comes again at once while there is more, and
//! otherwise after a pause. It goes by the newest block's time, so a shard that makes no blocks forgets nothing.

use crate::node::{Node, unexpected};
use host::Class;
use primitives::{Height, Millis, Time};
use shard::spaces::{APPLIED, ENTRIES, LEAVES, OUTCOMES, OUTCOMES_BY_SLOT, SENT};
use shard::{Answer, Forgetting, Forgettings, Input, queries};
use std::panic;
use std::sync::Arc;
use std::time::Duration;
use store::Fault;

/// The pause before it is looked again whether something may go.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two steps that take something away: others' steps come between.
const STEP_PAUSE: Duration = Duration::from_millis(50);

/// The part of the blocks that are kept which is forgotten before the tables are written anew to give the disk back.
const SHARE: u64 = 8;

/// The fewest blocks for which that is done.
const BLOCKS_RECLAIMED_COUNT_MIN: u64 = 1_024;

/// Follows the store until the host ends.
///
/// # Errors
/// [`Fault`]: the store has failed.
/// # Panics
/// If what is computed does.
pub(crate) async fn follow(node: Arc<Node>, kept: Millis) -> Result<(), Fault> {
    let (mut forgettings, mut reclaimed) = (Forgettings::default(), None);
    loop {
        let next;
        (next, forgettings) = compute(&node, forgettings, kept).await;
        let Some(forgetting) = next else {
            tokio::time::sleep(LOOK_PAUSE).await;
            continue;
        };
        let first = forgetting.first;
        let input = |ticket| Input::Forget { ticket, forgetting: Box::new(forgetting) };
        match node.ask(Class::UnderWay, input).await {
            Ok(Answer::Forgot) => {}
            Ok(other) => tracing::error!(rejection = %unexpected(&other), "what is old was not taken away"),
            Err(rejection) => {
                // The process is ending, or its disk is full: it is computed again.
                tracing::debug!(%rejection, "what is old was not taken away");
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        }
        let since = *reclaimed.get_or_insert(first);
        if is_due(&node, since, first) {
            reclaim(&node, first).await?;
            reclaimed = Some(first);
        }
        tokio::time::sleep(STEP_PAUSE).await;
    }
}

/// What may go now, computed on a thread that may block.
async fn compute(node: &Node, mut forgettings: Forgettings, kept: Millis) -> (Option<Forgetting>, Forgettings) {
    let reader = node.handle.reader();
    let computed = tokio::task::spawn_blocking(move || {
        let snapshot = reader.snapshot();
        let newest = queries::status(&snapshot).map_or(Time(0), |status| status.tip.time);
        let next = forgettings.next(&snapshot, Time(newest.0.saturating_sub(kept.0)));
        (next, forgettings)
    });
    match computed.await {
        Ok(computed) => computed,
        Err(failed) if failed.is_panic() => panic::resume_unwind(failed.into_panic()),
        Err(_) => (None, Forgettings::default()), // The process is ending, and takes no more work of this kind.
    }
}

/// Whether so much was forgotten since block `since` was the first that it is worth it to write what is kept anew.
fn is_due(node: &Node, since: Height, first: Height) -> bool {
    let tip = queries::status(&node.handle.reader().snapshot()).map_or(first, |status| status.tip.height);
    let kept_count = tip.0.saturating_sub(first.0);
    first.0.saturating_sub(since.0) >= (kept_count / SHARE).max(BLOCKS_RECLAIMED_COUNT_MIN)
}

/// Gives the disk back that took what was forgotten.
async fn reclaim(node: &Node, first: Height) -> Result<(), Fault> {
    let reader = node.handle.reader();
    let spaces = [ENTRIES, LEAVES, APPLIED, OUTCOMES, OUTCOMES_BY_SLOT, SENT];
    let reclaimed = tokio::task::spawn_blocking(move || spaces.into_iter().try_for_each(|space| reader.reclaim(space)));
    tracing::info!(%first, "what older blocks did is forgotten, and its disk is given back");
    // What ended otherwise ended with its process.
    reclaimed.await.unwrap_or(Ok(()))
}
