//! The state tree and the past, beside the commit path: take over what the newest blocks changed, hand the roots to the machine.
//!
//! Promise: it ends with its process alone. A tree that cannot be read, or a panic, is its error, and ends the process: a
//! shard whose roots stand still refuses new work later, and nobody would know why.

use crate::node::Node;
use host::Class;
use shard::state_tree::{self, StateTreeError};
use shard::{Advance, Advances, Input};
use std::panic;
use std::sync::Arc;
use std::time::Duration;

/// Most blocks hashed in one go.
const BLOCKS_PER_ADVANCE_COUNT_MAX: usize = 256;

/// The pause after hashing: with it, blocks that come one by one are hashed together, and what all of them change is hashed once.
/// Twice as many share twice as much of their way through the tree, and a root that is younger serves nobody better.
const PAUSE: Duration = Duration::from_millis(200);

/// Follows the store until the host ends.
///
/// # Errors
/// [`StateTreeError`]: the tree is damaged.
/// # Panics
/// If hashing does.
pub(crate) async fn follow(node: Arc<Node>) -> Result<(), StateTreeError> {
    let mut committed = node.handle.committed();
    let (mut advances, mut handed_in) = (Advances::default(), None);
    loop {
        // The machine has to take one advance before the next can be computed from it.
        let is_taken = state_tree::newest_root(&node.handle.reader().snapshot()).map(|(height, _)| height) >= handed_in;
        let advance;
        (advance, advances) = if is_taken { next(&node, advances).await? } else { (None, advances) };
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
async fn next(node: &Node, mut advances: Advances) -> Result<(Option<Advance>, Advances), StateTreeError> {
    let reader = node.handle.reader();
    let slots_kept = node.slots_kept;
    let advance = move || {
        let advance = advances.next(&reader.snapshot(), BLOCKS_PER_ADVANCE_COUNT_MAX, slots_kept);
        advance.map(|advance| (advance, advances))
    };
    match tokio::task::spawn_blocking(advance).await {
        Ok(advance) => advance,
        Err(failed) if failed.is_panic() => panic::resume_unwind(failed.into_panic()),
        Err(_) => Ok((None, Advances::default())), // The process is ending, and takes no more work of this kind.
    }
}
