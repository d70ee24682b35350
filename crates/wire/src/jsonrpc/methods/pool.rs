//! Transactions under way: what a node has taken in and not yet seen decided.
//!
//! Those of this node only: there is no pool that nodes share. `queued` is what waits for an earlier nonce.

use crate::jsonrpc::arguments::read;
use crate::jsonrpc::chain::{Chain, UnderWay};
use crate::jsonrpc::error::Answer;
use crate::jsonrpc::node::Node;
use crate::jsonrpc::view::{hex, summary};
use alloy_primitives::Address;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde_json::{Map, Value, json};

impl<C: Chain> Node<C> {
    pub(super) fn pending_transactions(&self, params: &Params<'_>) -> Answer<Vec<Value>> {
        read::<()>(params)?;
        self.chain.under_way(None).iter().map(|one| one.arrival.view()).collect()
    }

    pub(super) fn pool_status(&self, params: &Params<'_>) -> Answer<Value> {
        read::<()>(params)?;
        let (queued, pending): (Vec<_>, Vec<_>) = self.chain.under_way(None).into_iter().partition(|one| one.is_ahead);
        Ok(json!({ "pending": hex(pending.len() as u64), "queued": hex(queued.len() as u64) }))
    }

    pub(super) fn pool_content(&self, params: &Params<'_>) -> Answer<Value> {
        read::<()>(params)?;
        self.pool(None, |one| one.arrival.view())
    }

    pub(super) fn pool_inspect(&self, params: &Params<'_>) -> Answer<Value> {
        read::<()>(params)?;
        self.pool(None, |one| summary(&one.arrival.bytes).map(Value::String))
    }

    pub(super) fn pool_content_from(&self, params: &Params<'_>) -> Answer<Value> {
        let (sender,): (Address,) = read(params)?;
        let mut content = self.pool(Some(sender), |one| one.arrival.view())?;
        let mut of_sender = |kind: &str| {
            let by_sender = content[kind].as_object_mut().map(std::mem::take).unwrap_or_default();
            by_sender.into_iter().next().map_or_else(|| json!({}), |(_, by_nonce)| by_nonce)
        };
        Ok(json!({ "pending": of_sender("pending"), "queued": of_sender("queued") }))
    }

    /// What is under way by kind, sender and nonce, each as `shown`.
    fn pool(
        &self,
        sender: Option<Address>,
        shown: impl Fn(&UnderWay) -> Result<Value, ErrorObjectOwned>,
    ) -> Answer<Value> {
        let mut kinds = [Map::new(), Map::new()];
        for one in self.chain.under_way(sender) {
            let by_sender = kinds[usize::from(one.is_ahead)].entry(one.arrival.sender.to_string()).or_insert(json!({}));
            by_sender[one.nonce.to_string()] = shown(&one)?;
        }
        let [pending, queued] = kinds;
        Ok(json!({ "pending": pending, "queued": queued }))
    }
}
