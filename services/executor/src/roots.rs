//! The state tree and the past, beside the commit path: take over what the newest blocks changed, hand the roots to the machine.
//!
//! Promise: it ends with its process alone. A tree that cannot be read, or a panic, is its error, and ends the process: a
//! shard whose roots stand still refuses new work later, and nobody would know why.

use crate::node::Node;
use host::Class;
use shard::Advance;
use shard::Input;
use shard::state_tree::{self, StateTreeError};
use std::panic;
use std::sync::Arc;
use std::time::Duration;

/// Most blocks hashed in one go.
const BLOCKS_PER_ADVANCE_COUNT_MAX: usize = 256;

/// The pause after hashing: with it, blocks that come one by one are hashed together, and what all of them change is hashed once.
const PAUSE: Duration = Duration::from_millis(50);

/// Follows the store until the host ends.
///
/// # Errors
/// [`StateTreeError`]: the tree is damaged.
/// # Panics
/// If hashing does.
pub(crate) async fn follow(node: Arc<Node>) -> Result<(), StateTreeError> {
    let mut committed = node.handle.committed();
    let mut handed_in = None;
    loop {
        // The machine has to take one advance before the next can be computed from it.
        let is_taken = state_tree::newest_root(&node.handle.reader().snapshot()).map(|(height, _)| height) >= handed_in;
        let advance = if is_taken { next(&node).await? } else { None };
        if let Some(advance) = advance {
            handed_in = Some(advance.root.0);
            if node.handle.tell(Class::UnderWay, Input::StateRoots(advance)).await.is_err() {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        } else if committed.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// The next advance, computed on a thread that may block; `None` if there is nothing to do.
async fn next(node: &Node) -> Result<Option<Advance>, StateTreeError> {
    let reader = node.handle.reader();
    let slots_kept = node.slots_kept;
    let advance = move || shard::advance(&reader.snapshot(), BLOCKS_PER_ADVANCE_COUNT_MAX, slots_kept);
    match tokio::task::spawn_blocking(advance).await {
        Ok(advance) => advance,
        Err(failed) if failed.is_panic() => panic::resume_unwind(failed.into_panic()),
        Err(_) => Ok(None), // The process is ending, and takes no more work of this kind.
    }
}
