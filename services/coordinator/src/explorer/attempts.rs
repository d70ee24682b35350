//! One attempt: what each participant said of it, and in which blocks.
//!
//! ```text
//!  this node's decisions, else each participant: receipt of its vote ---> verdict, block, time
//!  of an attempt that is over and another node's: its participants' blocks of that time     (past_votes)
//!  this node's decisions: the blocks that applied a commit -------------> their times, from the shards
//! ```

use super::Explorer;
use super::answer::Problem;
use super::decisions::Decided;
use super::past_votes::Hint;
use alloy_primitives::B256;
use commit::{VOTE_BYTES_MAX, Verdict, Vote};
use futures_util::future::join_all;
use primitives::{AttemptId, Digest, Height, ShardId, Time, decode};
use proof::{LeafKind, Receipt};
use serde_json::{Value, json};
use wire::{Reason, Rejection};

/// Most shards that are asked about an attempt whose participants are not known.
const ASKED_COUNT_MAX: usize = 64;

/// A shard that did not say what it knows, and why.
fn silent(shard: ShardId, rejection: &Rejection) -> Value {
    json!({ "shard": shard.0, "reason": reason(shard, rejection) })
}

/// Why a shard did not say what it knows, without its name, which stands before it.
pub(super) fn reason(shard: ShardId, rejection: &Rejection) -> String {
    let named = format!("shard {shard} ");
    rejection.message.strip_prefix(&named).unwrap_or(&rejection.message).to_owned()
}

impl Explorer {
    /// An attempt by its id alone.
    pub(super) async fn attempt(&self, id: B256) -> Result<Value, Problem> {
        let attempt = AttemptId(Digest::new(id.0));
        let shards: Vec<ShardId> = self.node.shards.ids().take(ASKED_COUNT_MAX).collect();
        let told = self.attempt_on(attempt, &shards, None).await;
        let is_known = told["votes"].as_array().is_some_and(|votes| !votes.is_empty());
        match (is_known, told["silent"].as_array().map_or(0, Vec::len)) {
            (true, _) => Ok(told),
            (false, 0) => Err(Problem::unknown(format!(
                "no shard keeps a vote on attempt {id}, and this node did not decide it: votes are forgotten once an attempt is over"
            ))),
            (false, silent) => {
                Err(Problem::silent(format!("no shard that answers knows attempt {id}; {silent} do not answer")))
            }
        }
    }

    /// What `shards` said of an attempt, and where they applied it as far as this node was told.
    /// `applied` is when its home applied it, where it is known to have done so.
    pub(super) async fn attempt_on(&self, attempt: AttemptId, shards: &[ShardId], applied: Option<Time>) -> Value {
        let decided = self.node.lives.decisions().of(attempt);
        let votes = join_all(shards.iter().map(|shard| self.vote(attempt, *shard, (decided.as_ref(), applied))));
        let (votes, applied) = tokio::join!(votes, self.applied(decided.as_ref()));
        let (mut told, mut silences) = (Vec::new(), Vec::new());
        for (shard, vote) in shards.iter().zip(votes) {
            match vote {
                Ok(Some(vote)) => told.push(vote),
                Ok(None) => {}
                Err(rejection) => silences.push(silent(*shard, &rejection)),
            }
        }
        let applied: Vec<Value> = applied
            .into_iter()
            .map(|(shard, height, time)| json!({ "shard": shard.0, "height": height.0, "time": time.0 }))
            .collect();
        json!({ "id": attempt.0.to_string(), "votes": told, "applied": applied, "silent": silences })
    }

    /// A shard's vote, as its receipt has it; none where there is no such leaf any more.
    async fn vote(
        &self,
        attempt: AttemptId,
        shard: ShardId,
        (decided, applied): (Option<&Decided>, Option<Time>),
    ) -> Result<Option<Value>, Rejection> {
        if let Some(receipt) = decided.and_then(|decided| decided.receipt(shard)) {
            return Ok(told(shard, &receipt));
        }
        // Of an attempt that this node decided every vote that counts is there.
        let applied = applied.filter(|_| decided.is_none());
        let peer = self.node.shards.sound(shard)?;
        let receipt = match peer.shard.receipt(LeafKind::Vote, B256::new(*attempt.0.as_bytes())).await {
            Ok(receipt) => receipt,
            Err(rejection) if matches!(rejection.reason, Reason::NotFound | Reason::Settled) => {
                let Some(applied) = applied else { return Ok(None) };
                let past = self.past_vote(attempt, shard, Hint::Applied(applied)).await?;
                return Ok(past.and_then(|receipt| told(shard, &receipt)));
            }
            Err(rejection) => return Err(rejection),
        };
        Ok(told(shard, &receipt))
    }

    /// Where a commit was applied, by each shard that has said so and answers now.
    async fn applied(&self, decided: Option<&Decided>) -> Vec<(ShardId, Height, Time)> {
        let Some(decided) = decided else { return Vec::new() };
        // The last agent commits in the block of its vote.
        let last = decided.last_agent().and_then(|shard| Some((shard, decided.receipt(shard)?.header)));
        let last = last.map(|(shard, header)| (shard, header.height, header.time));
        let others = decided.applied.iter().filter(|(shard, _)| Some(**shard) != decided.last_agent());
        let others = join_all(others.map(|(shard, height)| self.block_time(*shard, *height))).await;
        let mut all: Vec<_> = others.into_iter().flatten().chain(last).collect();
        all.sort_unstable();
        all
    }

    async fn block_time(&self, shard: ShardId, height: Height) -> Option<(ShardId, Height, Time)> {
        let peer = self.node.shards.sound(shard).ok()?;
        let block = peer.shard.blocks(height, 1).await.ok()?.pop()?;
        Some((shard, height, block.header.time))
    }
}

fn told(shard: ShardId, receipt: &Receipt) -> Option<Value> {
    let vote: Vote = decode(&receipt.leaf.body, VOTE_BYTES_MAX).ok()?;
    let (verdict, reason, cause) = match &vote.verdict {
        Verdict::Yes => ("yes", String::new(), None),
        Verdict::No(refusal) => ("no", refusal.to_string(), Some(refusal.name())),
    };
    Some(json!({
        "shard": shard.0,
        "verdict": verdict,
        "reason": reason,
        "cause": cause,
        "height": receipt.header.height.0,
        "time": receipt.header.time.0,
        "leaf": receipt.index,
    }))
}
