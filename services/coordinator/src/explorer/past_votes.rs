//! Votes on an attempt that is over everywhere, out of shards' blocks: of a commit for as long as these are kept, of any attempt if they are new.
//!
//! ```text
//!  shards forget an attempt that is over (R7); the blocks that its votes are in they keep, as long as they keep any body of that age
//!
//!  when it was applied at home --> each shard's block of that time --> back through its votes: a second, then LOOK_BACK
//!  nothing but its id           --> back from each shard's newest block
//! ```
//!
//! Promise: bounded: [`PAGES_COUNT_MAX`] pages a shard, [`SEARCHES_COUNT_MAX`] shards at once. What is found is a receipt like any other, to be
//! checked by who reads it.

use super::Explorer;
use commit::{VOTE_BYTES_MAX, Vote};
use primitives::{AttemptId, Height, Millis, ShardId, Time, decode};
use proof::{LeafKind, Receipt};
use std::collections::BTreeSet;
use wire::limits::OUTBOX_COUNT_MAX;
use wire::shard::{OldLeaves, ShardClient};
use wire::state::LeafPlace;
use wire::{Reason, Rejection};

/// How many shards' blocks are looked through at once.
pub(super) const SEARCHES_COUNT_MAX: usize = 4;

/// How long before it was applied at home a vote may have been given: longer than an attempt lasts that ends well.
const LOOK_BACK: Millis = Millis(15_000);

/// Most votes are not that old.
const LOOK_BACK_FIRST: Millis = Millis(1_000);

/// By how much shards' times may differ.
const SKEW: Millis = Millis(1_000);

/// Most pages of one shard's votes that are read.
const PAGES_COUNT_MAX: usize = 24;

/// How many blocks back the next look goes where nothing is known of when: what one page looks at.
const BLOCKS_AT_ONCE_COUNT: u64 = 256;

/// Where to look: when the attempt was applied at a home, or the very block of the vote.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hint {
    /// About then.
    Applied(Time),
    /// In this block of the shard that is asked.
    Block(Height),
    /// Nothing is known: among the newest.
    New,
}

impl Explorer {
    /// The receipt of a shard's vote out of its blocks; none where it is not there, or not kept any more.
    pub(super) async fn past_vote(
        &self,
        attempt: AttemptId,
        shard: ShardId,
        hint: Hint,
    ) -> Result<Option<Receipt>, Rejection> {
        let stopped = |_| Rejection::new(Reason::Unavailable, "the process is stopping");
        let _turn = self.searches.acquire().await.map_err(stopped)?;
        let client = &self.node.shards.sound(shard)?.shard;
        let mut room = PAGES_COUNT_MAX;
        let (first, time) = match hint {
            Hint::Block(height) => return votes_in(client, attempt, (height, height.next()), &mut room).await,
            Hint::New => return newest_vote(client, attempt, &mut room).await,
            Hint::Applied(time) => (Time(time.0.saturating_sub(LOOK_BACK_FIRST.0)), time),
        };
        let (from, to) = (height_at(client, first).await?, height_at(client, time.after(SKEW)).await?);
        if let Some(found) = votes_in(client, attempt, (from, to), &mut room).await? {
            return Ok(Some(found));
        }
        let oldest = height_at(client, Time(time.0.saturating_sub(LOOK_BACK.0))).await?;
        votes_in(client, attempt, (oldest, from), &mut room).await
    }
}

/// The vote on `attempt` among the newest blocks, as far as `room` reaches.
async fn newest_vote(client: &ShardClient, attempt: AttemptId, room: &mut usize) -> Result<Option<Receipt>, Rejection> {
    let mut end = client.status().await?.head.next();
    while *room > 0 && end > Height(1) {
        let begin = Height(end.0.saturating_sub(BLOCKS_AT_ONCE_COUNT).max(1));
        if let Some(found) = votes_in(client, attempt, (begin, end), room).await? {
            return Ok(Some(found));
        }
        end = begin;
    }
    Ok(None)
}

/// The first block whose time is not before `time`; the one after the newest where there is none.
async fn height_at(client: &ShardClient, time: Time) -> Result<Height, Rejection> {
    let head = client.status().await?.head;
    let (mut low, mut high) = (1, head.0 + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let block = client.blocks(Height(middle), 1).await?.pop();
        match block {
            // One whose body is gone is told no more: what is kept is later.
            Some(block) if block.header.time >= time => high = middle,
            _ => low = middle + 1,
        }
    }
    Ok(Height(low))
}

/// The vote on `attempt` in the blocks of `range`, which ends before its second.
async fn votes_in(
    client: &ShardClient,
    attempt: AttemptId,
    range: (Height, Height),
    room: &mut usize,
) -> Result<Option<Receipt>, Rejection> {
    let mut next = LeafPlace { height: range.0, index: 0 };
    let count = u32::try_from(OUTBOX_COUNT_MAX).unwrap_or(u32::MAX);
    while next.height < range.1 && *room > 0 {
        *room -= 1;
        let page = client.outbox(next, count, &BTreeSet::from([LeafKind::Vote]), OldLeaves::Open).await?;
        let mut receipts = page.leaves.into_iter().map(|leaf| leaf.receipt);
        if let Some(found) = receipts.find(|receipt| is_on(receipt, attempt)) {
            return Ok(Some(found));
        }
        if page.next == next {
            break;
        }
        next = page.next;
    }
    Ok(None)
}

fn is_on(receipt: &Receipt, attempt: AttemptId) -> bool {
    decode::<Vote>(&receipt.leaf.body, VOTE_BYTES_MAX).is_ok_and(|vote| vote.attempt == attempt)
}
