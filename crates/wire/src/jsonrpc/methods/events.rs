//! Logs, and filters that tell of them and of blocks.

use crate::jsonrpc::arguments::read;
use crate::jsonrpc::chain::Chain;
use crate::jsonrpc::error::Answer;
use crate::jsonrpc::filters::{Changes, Kind, Shown};
use crate::jsonrpc::logs;
use crate::jsonrpc::node::Node;
use crate::server::Client;
use alloy_primitives::U256;
use alloy_rpc_types_eth::{Filter, Log};
use jsonrpsee::types::Params;

impl<C: Chain> Node<C> {
    pub(super) async fn get_logs(&self, params: Params<'static>) -> Answer<Vec<Log>> {
        let (filter,): (Filter,) = read(&params)?;
        self.logs(&filter).await
    }

    pub(super) async fn new_filter(&self, params: Params<'static>, client: Client) -> Answer<U256> {
        let (filter,): (Filter,) = read(&params)?;
        logs::check(&filter)?;
        let head = self.chain.head().await?;
        Ok(self.filters.install(client, Kind::Logs(Box::new(filter)), head.0 + 1))
    }

    pub(super) async fn new_block_filter(&self, params: Params<'static>, client: Client) -> Answer<U256> {
        read::<()>(&params)?;
        let head = self.chain.head().await?;
        Ok(self.filters.install(client, Kind::Blocks, head.0 + 1))
    }

    pub(super) fn new_pending_filter(&self, params: &Params<'_>, client: Client) -> Answer<U256> {
        let (full,): (Option<bool>,) = read(params)?;
        let shown = if full == Some(true) { Shown::Full } else { Shown::Hash };
        Ok(self.filters.install(client, Kind::Pending(shown), self.chain.intake().next()))
    }

    pub(super) async fn get_filter_changes(&self, params: Params<'static>) -> Answer<Changes> {
        let (id,): (U256,) = read(&params)?;
        self.filter_changes(id).await
    }

    pub(super) async fn get_filter_logs(&self, params: Params<'static>) -> Answer<Vec<Log>> {
        let (id,): (U256,) = read(&params)?;
        self.filter_logs(id).await
    }
}
