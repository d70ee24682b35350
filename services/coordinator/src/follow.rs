//! Follows every shard's outcomes as it closes one network block after another.
//!
//! ```text
//!  one task a shard, twice a slot:  everything shown from where I am, up to what you have closed --> blocks --> head
//! ```
//!
//! Promise: one question asks for the clock and the content, and each outcome is asked for once. A shard that does not
//! answer for [`host::PEER_SILENT_MAX`] holds nobody up; when it is back, what it shows meanwhile is fetched first.

use crate::blocks::Blocks;
use crate::shards::Shards;
use host::network::Network;
use host::{Process, Standing};
use primitives::{ShardId, Slot};
use std::sync::Arc;
use std::time::Duration;
use wire::Rejection;
use wire::limits::OUTCOMES_COUNT_MAX;
use wire::shard::OutcomeQuery;

/// Follows all shards of `network`; ends when nobody listens to the head.
pub(crate) fn follow(process: &Process, network: &Network, shards: &Arc<Shards>, blocks: &Arc<Blocks>) {
    let pause = Duration::from_millis(network.params.slot_length.0.div_ceil(2));
    for shard in shards.ids() {
        let follower = Follower { shard, shards: Arc::clone(shards), blocks: Arc::clone(blocks) };
        process.tasks.spawn("the follower of a shard", async move {
            while !follower.blocks.is_unheard() {
                follower.ask().await;
                tokio::time::sleep(pause).await;
            }
        });
    }
}

/// What follows one shard.
#[derive(Debug)]
struct Follower {
    shard: ShardId,
    shards: Arc<Shards>,
    blocks: Arc<Blocks>,
}

impl Follower {
    async fn ask(&self) {
        if let Err(rejection) = self.take().await {
            tracing::debug!(shard = %self.shard, %rejection, "a shard's outcomes were not followed");
        }
        let sound = self.shards.standings().filter(|(_, standing)| standing.is_sound());
        self.blocks.advance(sound.map(|(shard, _)| shard));
    }

    /// Takes over everything that the shard has closed and this process has not.
    async fn take(&self) -> Result<(), Rejection> {
        // Who was away may be another now; and it may be the first that ever answers.
        let is_known = self.shards.standing(self.shard) == Standing::Answers;
        let from = if let Some(from) = self.blocks.wanted(self.shard).filter(|_| is_known) {
            from
        } else {
            self.blocks.begin(self.shards.look(self.shard).await?.open);
            self.blocks.wanted(self.shard).unwrap_or(Slot(0))
        };
        let mut query = OutcomeQuery { from, to: None, cursor: None, count_max: OUTCOMES_COUNT_MAX };
        loop {
            let page = self.shards.outcomes(self.shard, query).await?;
            // What is closed while pages are turned is for the next time.
            let open = *query.to.get_or_insert(page.open);
            self.blocks.keep(self.shard, page.outcomes);
            let Some(next) = page.next else {
                self.blocks.close(self.shard, open);
                return Ok(());
            };
            query.cursor = Some(next);
        }
    }
}
