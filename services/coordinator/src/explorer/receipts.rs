//! What proves: receipts and state proofs, passed on as the shards give them.
//!
//! Nothing is checked here: who asks has no reason to believe this node, and checks on its own machine.

use super::Explorer;
use super::answer::{Problem, Reply};
use super::past_votes::Hint;
use super::query::{Query, word};
use alloy_primitives::{Address, B256, hex};
use futures_util::future::join_all;
use primitives::{AttemptId, Digest, Height, ShardId, encode};
use proof::LeafKind;
use serde_json::{Value, json};
use wire::Reason;
use wire::limits::PROOF_SLOTS_COUNT_MAX;

impl Explorer {
    /// The canonical bytes of the receipt of a leaf: of `shard`, or of the first that has one. `dovetail receipt verify` takes them.
    pub(super) async fn receipt(&self, kind: &str, id: &str, query: &Query) -> Result<Reply, Problem> {
        let (leaf, id) = (leaf_kind(kind)?, word(id)?);
        let shards: Vec<ShardId> = match query.number("shard")? {
            Some(shard) => vec![ShardId(shard)],
            None => self.node.shards.ids().take(64).collect(),
        };
        let block = query.number("block")?.map(Height);
        let asked = join_all(shards.iter().map(|shard| self.receipt_of((leaf, id), *shard, block))).await;
        let mut silent = Vec::new();
        for answer in asked {
            match answer {
                Ok(bytes) => {
                    let name = format!("attachment; filename=\"{kind}-{id}.receipt\"");
                    let reply = Reply::bytes("application/octet-stream", bytes);
                    let reply = reply.with("access-control-allow-origin", "*".to_owned());
                    return Ok(reply.with("content-disposition", name));
                }
                Err(problem) if problem.is_unknown() => {}
                Err(problem) => silent.push(problem),
            }
        }
        match silent.pop() {
            Some(problem) => Err(problem),
            None => Err(Problem::unknown(format!("no shard that was asked has a {kind} leaf about {id}"))),
        }
    }

    async fn receipt_of(
        &self,
        (kind, id): (LeafKind, B256),
        shard: ShardId,
        block: Option<Height>,
    ) -> Result<Vec<u8>, Problem> {
        let attempt = AttemptId(Digest::new(id.0));
        let decided = (kind == LeafKind::Vote).then(|| self.node.lives.decisions().of(attempt));
        if let Some(receipt) = decided.flatten().and_then(|decided| decided.receipt(shard)) {
            return Ok(receipt.to_bytes());
        }
        let mut receipt = self.node.shards.sound(shard)?.shard.receipt(kind, id).await;
        let is_forgotten = receipt.as_ref().is_err_and(|no| matches!(no.reason, Reason::NotFound | Reason::Settled));
        if let (LeafKind::Vote, true, Some(block)) = (kind, is_forgotten, block)
            && let Some(past) = self.past_vote(attempt, shard, Hint::Block(block)).await?
        {
            receipt = Ok(past);
        }
        receipt.map(|receipt| receipt.to_bytes()).map_err(|rejection| match rejection.reason {
            Reason::NotFound | Reason::Settled => Problem::unknown(rejection.message),
            _ => crate::shards::named(shard, rejection).into(),
        })
    }

    /// An account and storage slots of it, with their paths to a certified state root; bytes in hex.
    pub(super) async fn proof(&self, address: Address, query: &Query) -> Result<Value, Problem> {
        let slots = query.slots(PROOF_SLOTS_COUNT_MAX)?;
        let shard = self.node.network.placement.shard_of(address);
        let proofs = self.node.shards.sound(shard)?.shard.prove_state(address, &slots).await?;
        let told = proofs.proofs.iter().map(
            |proof| json!({ "value": hex::encode_prefixed(&proof.value), "proof": hex::encode_prefixed(&proof.proof) }),
        );
        Ok(json!({
            "address": address,
            "slots": slots.iter().map(|slot| format!("{slot:#x}")).collect::<Vec<_>>(),
            "shard": shard.0,
            "header": hex::encode_prefixed(encode(&proofs.header)),
            "certificate": hex::encode_prefixed(encode(&proofs.certificate)),
            "proofs": told.collect::<Vec<_>>(),
        }))
    }
}

fn leaf_kind(text: &str) -> Result<LeafKind, Problem> {
    match text {
        "vote" => Ok(LeafKind::Vote),
        "message" => Ok(LeafKind::Message),
        "delivery" => Ok(LeafKind::Delivery),
        "outcome" => Ok(LeafKind::Outcome),
        other => Err(Problem::malformed(format!("{other:?} is no kind of leaf: vote, message, delivery or outcome"))),
    }
}
