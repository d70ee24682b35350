//! The state tree, beside the commit path: hash what the newest blocks changed, hand the roots to the machine.

use crate::node::Node;
use host::Class;
use shard::{Input, state_tree};
use std::sync::Arc;
use std::time::Duration;

/// Most blocks hashed in one go.
const BLOCKS_PER_ADVANCE_COUNT_MAX: usize = 64;

/// The pause after hashing: with it, blocks that come one by one are hashed together.
const PAUSE: Duration = Duration::from_millis(20);

/// Follows the store until the host ends.
pub(crate) async fn follow(node: Arc<Node>) {
    let mut committed = node.handle.committed();
    let mut handed_in = None;
    loop {
        let reader = node.handle.reader();
        // The machine has to take one advance before the next can be computed from it.
        let is_taken = state_tree::newest_root(&reader.snapshot()).map(|(height, _)| height) >= handed_in;
        if is_taken {
            let advance = move || state_tree::advance(&reader.snapshot(), BLOCKS_PER_ADVANCE_COUNT_MAX);
            match tokio::task::spawn_blocking(advance).await {
                Ok(Ok(Some(advance))) => {
                    handed_in = advance.roots.last().map(|(height, _)| *height);
                    if node.handle.tell(Class::UnderWay, Input::StateRoots(advance)).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "the state tree is damaged; the shard refuses new work once it lags too far");
                    return;
                }
                Err(_) => return,
            }
        }
        if committed.changed().await.is_err() {
            return;
        }
    }
}
