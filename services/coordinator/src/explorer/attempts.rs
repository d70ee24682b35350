//! One attempt: what each participant said of it, and in which blocks.
//!
//! ```text
//!  this node's decisions, else each participant: receipt of its vote ---> verdict, block, time
//!  of an attempt that is over and another node's: its participants' blocks of that time, which the index has of a commit, or
//!  the newest blocks of all shards                                                         (past_votes)
//!  this node's decisions: the blocks that applied a commit -------------> their times, from the shards
//! ```

use super::Explorer;
use super::answer::Problem;
use super::decisions::Decided;
use super::past_votes::Hint;
use crate::chain::unread;
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
        let told = self.attempt_at_hand(id).await?;
        if !votes_told(&told).is_empty() {
            return Ok(told);
        }
        let shards: Vec<ShardId> = self.node.shards.ids().take(ASKED_COUNT_MAX).collect();
        let told = self.attempt_on(AttemptId(Digest::new(id.0)), &shards, Some(Hint::New)).await;
        match (votes_told(&told).is_empty(), told["silent"].as_array().map_or(0, Vec::len)) {
            (false, _) => Ok(of_no_transaction(told)),
            (true, 0) => Err(Problem::unknown(format!(
                "this node did not decide attempt {id}, no block shows what it committed, and no shard has a vote on it at hand or in its newest \
                 blocks: an abort that is over everywhere is not found for long"
            ))),
            (true, silent) => {
                Err(Problem::silent(format!("no shard that answers knows attempt {id}; {silent} do not answer")))
            }
        }
    }

    /// The same, without a search of shards' newest blocks: no votes where there are none at hand.
    pub(super) async fn attempt_at_hand(&self, id: B256) -> Result<Value, Problem> {
        let attempt = AttemptId(Digest::new(id.0));
        let committed = self.node.blocks.index().committed_by(attempt).map_err(unread)?;
        let all = || self.node.shards.ids().take(ASKED_COUNT_MAX).collect();
        let shards: Vec<ShardId> = committed.as_ref().map_or_else(all, |record| record.participants.clone());
        let hint = committed.as_ref().map(|record| Hint::Applied(record.time));
        let mut told = self.attempt_on(attempt, &shards, hint).await;
        Ok(match committed {
            Some(record) => {
                told["decision"] = "commit".into();
                told["transaction"] = json!(record.transaction);
                told
            }
            None => of_no_transaction(told),
        })
    }

    /// What `shards` said of an attempt, and where they applied it as far as this node was told.
    /// `hint` is where the votes were that are at hand no more, if that is known.
    pub(super) async fn attempt_on(&self, attempt: AttemptId, shards: &[ShardId], hint: Option<Hint>) -> Value {
        let decided = self.node.lives.decisions().of(attempt);
        let votes = join_all(shards.iter().map(|shard| self.vote(attempt, *shard, (decided.as_ref(), hint))));
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
        (decided, hint): (Option<&Decided>, Option<Hint>),
    ) -> Result<Option<Value>, Rejection> {
        if let Some(receipt) = decided.and_then(|decided| decided.receipt(shard)) {
            return Ok(told(shard, &receipt));
        }
        // Of an attempt that this node decided every vote that counts is there.
        let hint = hint.filter(|_| decided.is_none());
        let peer = self.node.shards.sound(shard)?;
        let receipt = match peer.shard.receipt(LeafKind::Vote, B256::new(*attempt.0.as_bytes())).await {
            Ok(receipt) => receipt,
            Err(rejection) if matches!(rejection.reason, Reason::NotFound | Reason::Settled) => {
                let Some(hint) = hint else { return Ok(None) };
                let past = self.past_vote(attempt, shard, hint).await?;
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

/// The votes that are told of an attempt.
pub(super) fn votes_told(told: &Value) -> &[Value] {
    told["votes"].as_array().map_or(&[], Vec::as_slice)
}

/// An attempt of which no transaction is known: one no ends it, and without one it cannot be said to have committed.
fn of_no_transaction(mut told: Value) -> Value {
    let is_no = votes_told(&told).iter().any(|vote| vote["verdict"] == "no");
    told["decision"] = if is_no { "abort".into() } else { Value::Null };
    told["transaction"] = Value::Null;
    told
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
