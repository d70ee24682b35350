//! `eth_subscribe`: new heads and logs, over WebSocket. Each subscription is a cursor; a slow reader only slows itself.

use super::chain::Chain;
use super::error::invalid_params;
use super::logs;
use super::node::Node;
use super::view::BlockView;
use alloy_rpc_types_eth::Filter;
use alloy_rpc_types_eth::pubsub::{Params as Arguments, SubscriptionKind};
use jsonrpsee::core::SubscriptionError;
use jsonrpsee::server::{PendingSubscriptionSink, SubscriptionSink};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use primitives::Slot;
use std::sync::Arc;

/// What a subscription tells of.
#[derive(Debug)]
enum Topic {
    Heads,
    Logs(Box<Filter>),
}

/// Serves one `eth_subscribe` until its reader goes or its server stops.
pub(super) async fn subscribe<C: Chain>(
    node: Arc<Node<C>>,
    params: Params<'static>,
    pending: PendingSubscriptionSink,
) -> Result<(), SubscriptionError> {
    let start = async {
        let topic = topic(&params)?;
        Ok::<_, ErrorObjectOwned>((topic, node.chain.head().await?))
    };
    let (topic, head) = match start.await {
        Ok(start) => start,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    let sink = pending.accept().await?;
    let mut told = head;
    loop {
        let head = tokio::select! {
            () = sink.closed() => return Ok(()),
            head = node.chain.wait_head(told) => head.map_err(|rejection| SubscriptionError::from(rejection.to_string()))?,
        };
        while told < head {
            told = tell(&node, &topic, Slot(told.0 + 1), head, &sink).await?;
        }
    }
}

fn topic(params: &Params<'static>) -> Result<Topic, ErrorObjectOwned> {
    let mut params = params.sequence();
    let kind: SubscriptionKind = params.next()?;
    let arguments: Option<serde_json::Value> = params.optional_next()?;
    match kind {
        SubscriptionKind::NewHeads => Ok(Topic::Heads),
        SubscriptionKind::Logs => {
            let arguments = Arguments::from_json_value(arguments.unwrap_or_default());
            match arguments.map_err(|error| invalid_params(error.to_string()))? {
                Arguments::None => Ok(Topic::Logs(Box::default())),
                Arguments::Logs(filter) => {
                    logs::check(&filter)?;
                    Ok(Topic::Logs(filter))
                }
                Arguments::Bool(_) | Arguments::TransactionReceipts(_) => Err(invalid_params("a log filter is due")),
            }
        }
        SubscriptionKind::NewPendingTransactions
        | SubscriptionKind::Syncing
        | SubscriptionKind::TransactionReceipts => Err(invalid_params("subscriptions are to newHeads and logs")),
    }
}

/// Tells of slots from `from` on, `head` at most; says up to which.
async fn tell<C: Chain>(
    node: &Node<C>,
    topic: &Topic,
    from: Slot,
    head: Slot,
    sink: &SubscriptionSink,
) -> Result<Slot, SubscriptionError> {
    let refused = |error: ErrorObjectOwned| SubscriptionError::from(error.message().to_owned());
    match topic {
        Topic::Heads => {
            let block = node.chain.block(from).await.map_err(|rejection| refused(rejection.into()))?;
            let header = BlockView { params: node.chain.params(), block: &block }.header();
            sink.send(serde_json::value::to_raw_value(&header)?).await?;
            Ok(from)
        }
        Topic::Logs(filter) => {
            let page = node.log_page(filter, from, head).await.map_err(refused)?;
            for log in page.logs {
                sink.send(serde_json::value::to_raw_value(&log)?).await?;
            }
            Ok(Slot(page.next.0 - 1))
        }
    }
}
