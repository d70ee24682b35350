//! One box: what a text may be, and where it leads.

use super::answer::Problem;
use super::attempts::votes_told;
use super::query::Query;
use super::{Explorer, query};
use alloy_primitives::B256;
use serde_json::{Value, json};
use wire::jsonrpc::Chain;

/// Longest text that is looked for.
const TEXT_BYTES_MAX: usize = 256;

impl Explorer {
    /// All that `q` is, each with its kind and id; empty where it is nothing.
    pub(super) async fn search(&self, query: &Query) -> Result<Value, Problem> {
        let text = query.text("q").unwrap_or_default().trim();
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return Err(Problem::malformed(format!("q is 1 to {TEXT_BYTES_MAX} bytes of text")));
        }
        let found = match text.len() {
            42 | 40 => query::address(text).ok().map(|address| vec![hit("address", address.to_string())]),
            66 | 64 => self.word(text).await?,
            _ => match query::block_name(text) {
                Some(name) => Some(vec![hit("block", self.numbered(name).await?.0)]),
                None => None,
            },
        };
        Ok(json!({ "q": text, "found": found.unwrap_or_default(), "silent": self.silent_shards() }))
    }

    async fn word(&self, text: &str) -> Result<Option<Vec<Value>>, Problem> {
        let Ok(word) = query::word(text) else { return Ok(None) };
        let (transaction, message, attempt, block) = tokio::join!(
            self.is_transaction(word),
            async { self.message(word).await.is_ok() },
            async { self.attempt_at_hand(word).await.is_ok_and(|told| !votes_told(&told).is_empty()) },
            async { Chain::slot_of_hash(&*self.node, word).await.ok().flatten() },
        );
        // What has a name elsewhere is not looked for in every shard's blocks.
        let is_known = transaction || message || attempt || block.is_some();
        let attempt = attempt || !is_known && self.attempt(word).await.is_ok();
        let mut found = Vec::new();
        found.extend(transaction.then(|| hit("transaction", word.to_string())));
        found.extend(message.then(|| hit("message", word.to_string())));
        found.extend(attempt.then(|| hit("attempt", word.to_string())));
        found.extend(block.map(|slot| hit("block", slot.0)));
        Ok(Some(found))
    }

    async fn is_transaction(&self, hash: B256) -> bool {
        let node = &*self.node;
        node.lives.look(hash, |_| ()).is_some()
            || node.lives.refusal(hash).is_some()
            || matches!(Chain::transaction(node, hash).await, Ok(Some(_)))
    }
}

fn hit(kind: &str, id: impl Into<Value>) -> Value {
    let id = id.into();
    json!({ "kind": kind, "id": id })
}
