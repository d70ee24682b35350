//! `eth_subscribe`: new heads and logs, over WebSocket. Each subscription is a cursor; a slow reader only slows itself, and one
//! that does not read is cut off.

use super::arguments::{Argument, read};
use super::chain::Chain;
use super::error::{error, invalid_params};
use super::node::Node;
use super::view::BlockView;
use super::{logs, meter};
use crate::server::Seat;
use alloy_rpc_types_eth::Filter;
use jsonrpsee::core::SubscriptionError;
use jsonrpsee::server::{PendingSubscriptionSink, SubscriptionSink};
use jsonrpsee::types::error::METHOD_NOT_FOUND_CODE;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use primitives::Slot;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// What a subscription tells of.
#[derive(Debug)]
enum Topic {
    Heads,
    Logs(Box<Filter>),
}

/// Who reads a subscription.
#[derive(Debug)]
struct Reader {
    sink: SubscriptionSink,
    seat: Option<Arc<Seat>>,
}

impl Reader {
    async fn tell(&self, news: &impl Serialize) -> Result<(), SubscriptionError> {
        let news = serde_json::value::to_raw_value(news)?;
        if let Some(seat) = &self.seat {
            if !meter::keeps_up(seat) {
                return Err(SubscriptionError::from("the subscriber does not read"));
            }
            meter::count(seat, news.get().len());
        }
        Ok(self.sink.send(news).await?)
    }
}

/// Serves one `eth_subscribe` until its reader goes or its server stops.
pub(super) async fn subscribe<C: Chain>(
    node: Arc<Node<C>>,
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    seat: Option<Arc<Seat>>,
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
    let reader = Reader { sink: pending.accept().await?, seat };
    let mut told = head;
    loop {
        let head = tokio::select! {
            () = reader.sink.closed() => return Ok(()),
            head = node.chain.wait_head(told) => head.map_err(|rejection| SubscriptionError::from(rejection.to_string()))?,
        };
        while told < head {
            told = tell(&node, &topic, Slot(told.0 + 1), head, &reader).await?;
        }
    }
}

fn topic(params: &Params<'static>) -> Result<Topic, ErrorObjectOwned> {
    let (kind, arguments): (String, Option<Value>) = read(params)?;
    match kind.as_str() {
        "newHeads" => Ok(Topic::Heads),
        "logs" => {
            let filter = arguments.as_ref().map_or_else(|| Ok(Filter::default()), Filter::read);
            let filter = filter.map_err(|misfit| invalid_params(format!("invalid argument 1: {misfit}")))?;
            logs::check(&filter)?;
            Ok(Topic::Logs(Box::new(filter)))
        }
        other => Err(error(METHOD_NOT_FOUND_CODE, format!("no {other:?} subscription in eth namespace"))),
    }
}

/// Tells of slots from `from` on, `head` at most; says up to which.
async fn tell<C: Chain>(
    node: &Node<C>,
    topic: &Topic,
    from: Slot,
    head: Slot,
    reader: &Reader,
) -> Result<Slot, SubscriptionError> {
    let refused = |error: ErrorObjectOwned| SubscriptionError::from(error.message().to_owned());
    match topic {
        Topic::Heads => {
            let block = node.chain.block(from).await.map_err(|rejection| refused(rejection.into()))?;
            let header = BlockView { params: node.chain.params(), block: &block }.header();
            reader.tell(&header).await?;
            Ok(from)
        }
        Topic::Logs(filter) => {
            let turn = node.heavy.patient_turn().await;
            let page = node.log_page(filter, from, head).await.map_err(refused)?;
            drop(turn);
            for log in page.logs {
                reader.tell(&log).await?;
            }
            Ok(Slot(page.next.0 - 1))
        }
    }
}
