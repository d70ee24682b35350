//! Follows every shard's log as it closes one network block after another, and believes what is proven.
//!
//! ```text
//!  one task a shard, twice a slot:  the log from where I am, up to what you have closed --> reader --proven--> index, blocks --> head
//!                                                                                            '--- not -----> refused, asked again
//! ```
//!
//! Promise: one question asks for the clock and the content, and each block of a log is asked for once, from the first on where the
//! index is new. What a shard's validators did not certify does not come into the index ([`wire::shard::LogReader`]): a shard that
//! tells such a thing holds the head until it tells the truth, and the process is not ready meanwhile; nor is it where the shard's
//! node has forgotten what comes next here. An index that is new begins where the shards' nodes do. One that does not answer
//! for [`host::PEER_SILENT_MAX`] holds nobody up; when it is back, what it shows meanwhile is fetched first.

use crate::blocks::Blocks;
use crate::shards::Shards;
use evm::NetworkParams;
use host::network::Network;
use host::{Health, Instruments, Process, Standing};
use primitives::{Height, ShardId, Slot, Verified};
use proof::ReceiptVerifier;
use shard::limits::SLOT_AHEAD_MAX;
use std::sync::Arc;
use std::time::Duration;
use store::Fault;
use wire::shard::{LogPlace, LogReader, Tip, Untold};
use wire::{Reason, Rejection};

/// Follows all shards of `network`; ends when nobody listens to the head. An index that fails ends the process: it would be ready,
/// and tell no new blocks.
pub(crate) fn follow(
    process: &Process,
    network: &Network,
    verifier: ReceiptVerifier,
    shards: &Arc<Shards>,
    blocks: &Arc<Blocks>,
) {
    let pause = Duration::from_millis(network.params.slot_length.0.div_ceil(2));
    let verifier = Arc::new(verifier);
    for shard in shards.ids() {
        let reader = LogReader::new(network.params.clone(), shard, blocks.index().place(shard));
        let mut follower = Follower {
            shard,
            shards: Arc::clone(shards),
            blocks: Arc::clone(blocks),
            verifier: Arc::clone(&verifier),
            params: network.params.clone(),
            reader,
            refusals: Refusals::new(shard, process),
            gap: Gap { shard, health: process.health.clone(), is_open: false },
        };
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
    verifier: Arc<ReceiptVerifier>,
    params: NetworkParams,
    reader: LogReader,
    refusals: Refusals,
    gap: Gap,
}

impl Follower {
    async fn ask(&mut self) -> Result<(), Fault> {
        match self.take().await {
            Ok(()) => {
                self.refusals.end();
                self.gap.end();
            }
            Err(Untaken::Rejected(rejection)) if rejection.reason == Reason::Pruned => {
                self.refusals.end();
                self.pass_over(&rejection).await?;
            }
            Err(Untaken::Rejected(rejection)) => {
                tracing::debug!(shard = %self.shard, %rejection, "a shard's log was not followed");
            }
            Err(Untaken::Unproven(untold)) => self.refusals.refuse(&untold),
            Err(Untaken::Unkept(fault)) => return Err(fault),
        }
        let sound = self.shards.standings().filter(|(_, standing)| standing.is_sound());
        self.blocks.advance(sound.map(|(shard, _)| shard));
        Ok(())
    }

    /// The shard's node keeps no longer what comes next. An index that has nothing of the shard begins where it does; any other would
    /// have a gap.
    async fn pass_over(&mut self, rejection: &Rejection) -> Result<(), Fault> {
        let first = rejection.metadata.get("first").and_then(|first| first.parse().ok()).map(Height);
        let Some(first) = first.filter(|_| self.blocks.index().is_new_to(self.shard)) else {
            self.gap.open(rejection);
            return Ok(());
        };
        match self.begin_before(first).await {
            Ok(()) => Ok(()),
            Err(Untaken::Rejected(rejection)) => {
                tracing::debug!(shard = %self.shard, %rejection, "the first block that is kept was not found");
                Ok(())
            }
            Err(Untaken::Unproven(untold)) => {
                self.refusals.refuse(&untold);
                Ok(())
            }
            Err(Untaken::Unkept(fault)) => Err(fault),
        }
    }

    /// Goes on after the block before `first`, whose header the shard still has and its validators have certified. Blocks of the network
    /// in which something before it may be shown are none that this process has.
    async fn begin_before(&mut self, first: Height) -> Result<(), Untaken> {
        let last = Height(first.0.saturating_sub(1));
        let block = self.shards.header(self.shard, last).await?;
        let (height, certified) = (block.header.height, (block.header.clone(), block.certificate));
        Verified::by(&*self.verifier, certified).map_err(|source| Untold::Certificate { height, source })?;
        if block.header.shard != self.shard {
            return Err(Untold::Shard { actual: block.header.shard }.into());
        }
        if height != last {
            return Err(Untold::Height { expected: last, actual: height }.into());
        }
        let tip = Tip { height, digest: block.header.digest(), time: block.header.time };
        let whole = self.params.slot_at(tip.time.after(SLOT_AHEAD_MAX)).next();
        let blocks = Arc::clone(&self.blocks);
        // What did not end otherwise ended with its process.
        tokio::task::spawn_blocking(move || blocks.index().forget(whole)).await.unwrap_or(Ok(()))?;
        self.reader = LogReader::new(self.params.clone(), self.shard, LogPlace { tip, open: Slot(0) });
        tracing::info!(shard = %self.shard, %first, "the index begins where the shard's node begins: it keeps nothing before");
        Ok(())
    }

    /// Takes over everything that the shard has closed and this process has not.
    async fn take(&mut self) -> Result<(), Untaken> {
        // Who was away may be another now; and it may be the first that ever answers.
        let is_known = self.shards.standing(self.shard) == Standing::Answers;
        if !is_known {
            self.shards.look(self.shard).await?;
        }
        loop {
            let page = self.shards.log(self.shard, self.reader.wanted()).await?;
            let is_last = page.told.next.is_none();
            let outcomes = self.reader.read(&self.verifier, page.told)?;
            if is_last {
                self.reader.close(page.open);
            }
            self.blocks.keep(self.shard, outcomes, self.reader.at())?;
            if is_last {
                self.blocks.caught_up(self.shard);
                return Ok(());
            }
        }
    }
}

/// Says what was refused: each page in the metrics, and in the log and in what makes a process unready once for each reason.
#[derive(Debug)]
struct Refusals {
    shard: ShardId,
    health: Health,
    instruments: Instruments,
    /// Why the last page was refused, while no other was taken.
    why: Option<Untold>,
}

impl Refusals {
    fn new(shard: ShardId, process: &Process) -> Self {
        Self { shard, health: process.health.clone(), instruments: process.instruments.clone(), why: None }
    }

    fn refuse(&mut self, why: &Untold) {
        self.instruments.log_refused(self.shard);
        if self.why.as_ref() == Some(why) {
            return;
        }
        tracing::error!(
            shard = %self.shard, %why,
            "a shard's node told of its log what its validators did not certify: refused, and no newer block is told here"
        );
        self.health.stand_still(self.name(), Some(&why.to_string()));
        self.why = Some(why.clone());
    }

    fn end(&mut self) {
        if self.why.take().is_some() {
            tracing::info!(shard = %self.shard, "a shard's node tells of its log what is proven again");
            self.health.stand_still(self.name(), None);
        }
    }

    fn name(&self) -> String {
        format!("the index of shard {}", self.shard)
    }
}

/// Says that a shard's node keeps no longer what comes next here: once in the log, and in what makes a process unready while it is so.
#[derive(Debug)]
struct Gap {
    shard: ShardId,
    health: Health,
    is_open: bool,
}

impl Gap {
    fn open(&mut self, rejection: &Rejection) {
        if self.is_open {
            return;
        }
        let why = format!(
            "{rejection}. This coordinator's index ends before that. Give it a node of the shard that keeps all (`archive = true`), or stop it and \
             delete the folder `index` of its data: it begins anew where the shards' nodes do, and shows nothing older"
        );
        tracing::error!(shard = %self.shard, %why, "a shard's node has forgotten what comes next here: no newer block is told");
        self.health.stand_still(self.name(), Some(&why));
        self.is_open = true;
    }

    fn end(&mut self) {
        if self.is_open {
            tracing::info!(shard = %self.shard, "a shard's node tells what comes next here again");
            self.health.stand_still(self.name(), None);
            self.is_open = false;
        }
    }

    fn name(&self) -> String {
        format!("the end of the index of shard {}", self.shard)
    }
}

/// Why not everything was taken over.
#[derive(Debug)]
enum Untaken {
    /// The shard did not tell it: it is asked again.
    Rejected(Rejection),
    /// It is not what the shard certified: it is asked again.
    Unproven(Untold),
    /// The index did not take it.
    Unkept(Fault),
}

impl From<Rejection> for Untaken {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Untold> for Untaken {
    fn from(untold: Untold) -> Self {
        Self::Unproven(untold)
    }
}

impl From<Fault> for Untaken {
    fn from(fault: Fault) -> Self {
        Self::Unkept(fault)
    }
}
