//! Follows every shard's outcomes as it closes one network block after another.
//!
//! ```text
//!  one task a shard, twice a slot:  everything shown from where I am, up to what you have closed --> index, blocks --> head
//! ```
//!
//! Promise: one question asks for the clock and the content, and each outcome is asked for once, from the first block of the
//! network on where the index is new. A shard that does not answer for [`host::PEER_SILENT_MAX`] holds nobody up; when it is
//! back, what it shows meanwhile is fetched first.

use crate::blocks::Blocks;
use crate::shards::Shards;
use host::network::Network;
use host::{Process, Standing};
use primitives::ShardId;
use std::sync::Arc;
use std::time::Duration;
use store::Fault;
use wire::Rejection;
use wire::limits::OUTCOMES_COUNT_MAX;
use wire::shard::OutcomeQuery;

/// Follows all shards of `network`; ends when nobody listens to the head. An index that fails ends the process: it would be ready,
/// and tell no new blocks.
pub(crate) fn follow(process: &Process, network: &Network, shards: &Arc<Shards>, blocks: &Arc<Blocks>) {
    let pause = Duration::from_millis(network.params.slot_length.0.div_ceil(2));
    for shard in shards.ids() {
        let follower = Follower { shard, shards: Arc::clone(shards), blocks: Arc::clone(blocks) };
        process.tasks.try_spawn("the follower of a shard", async move {
            let mut hurries = follower.blocks.hurries();
            while !follower.blocks.is_unheard() {
                hurries.mark_unchanged();
                follower.ask().await?;
                // Who hurries is as good as the time being up.
                let _ = tokio::time::timeout(pause, hurries.changed()).await;
            }
            Ok::<_, Fault>(())
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
    async fn ask(&self) -> Result<(), Fault> {
        match self.take().await {
            Ok(()) => {}
            Err(Untaken::Refused(rejection)) => {
                tracing::debug!(shard = %self.shard, %rejection, "a shard's outcomes were not followed");
            }
            Err(Untaken::Unkept(fault)) => return Err(fault),
        }
        let sound = self.shards.standings().filter(|(_, standing)| standing.is_sound());
        self.blocks.advance(sound.map(|(shard, _)| shard));
        Ok(())
    }

    /// Takes over everything that the shard has closed and this process has not.
    async fn take(&self) -> Result<(), Untaken> {
        // Who was away may be another now; and it may be the first that ever answers.
        let is_known = self.shards.standing(self.shard) == Standing::Answers;
        if !is_known {
            self.shards.look(self.shard).await?;
        }
        let from = self.blocks.wanted(self.shard);
        let mut query = OutcomeQuery { from, to: None, cursor: None, count_max: OUTCOMES_COUNT_MAX };
        loop {
            let page = self.shards.outcomes(self.shard, query).await?;
            // What is closed while pages are turned is for the next time.
            let open = *query.to.get_or_insert(page.open);
            // A page ends within a block, which is not whole then.
            let whole = page.next.map_or(open, |next| next.shown);
            self.blocks.keep(self.shard, page.outcomes, whole)?;
            let Some(next) = page.next else {
                self.blocks.caught_up(self.shard);
                return Ok(());
            };
            query.cursor = Some(next);
        }
    }
}

/// Why not everything was taken over.
#[derive(Debug)]
enum Untaken {
    /// The shard did not tell it: it is asked again.
    Refused(Rejection),
    /// The index did not take it.
    Unkept(Fault),
}

impl From<Rejection> for Untaken {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

impl From<Fault> for Untaken {
    fn from(fault: Fault) -> Self {
        Self::Unkept(fault)
    }
}
