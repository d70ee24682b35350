//! `eth_subscribe`: new heads, logs and pending transactions, over WebSocket. Each subscription is a cursor; a slow reader only slows itself, and one
//! that does not read is cut off.

use super::arguments::{Argument, read};
use super::chain::Chain;
use super::error::{error, invalid_params};
use super::filters::Shown;
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

/// What a subscription is to.
#[derive(Debug)]
enum Topic {
    Heads,
    Logs(Box<Filter>),
    Pending(Shown),
    Syncing,
}

/// What it tells of as the head moves.
#[derive(Debug)]
enum Following {
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
        Ok::<_, ErrorObjectOwned>((topic, node.chain.head().await?, node.chain.intake().next()))
    };
    let (topic, head, arrival) = match start.await {
        Ok(start) => start,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    let reader = Reader { sink: pending.accept().await?, seat };
    match topic {
        Topic::Heads => follow_head(&node, &Following::Heads, head, &reader).await,
        Topic::Logs(filter) => follow_head(&node, &Following::Logs(filter), head, &reader).await,
        Topic::Pending(shown) => follow_arrivals(&node, shown, arrival, &reader).await,
        // It is never behind itself, so there is never anything to tell.
        Topic::Syncing => {
            reader.sink.closed().await;
            Ok(())
        }
    }
}

/// Tells of what is in each slot after `told` as it is closed.
async fn follow_head<C: Chain>(
    node: &Node<C>,
    following: &Following,
    mut told: Slot,
    reader: &Reader,
) -> Result<(), SubscriptionError> {
    loop {
        let head = tokio::select! {
            () = reader.sink.closed() => return Ok(()),
            head = node.chain.wait_head(told) => head.map_err(|rejection| SubscriptionError::from(rejection.to_string()))?,
        };
        while told < head {
            told = tell(node, following, Slot(told.0 + 1), head, reader).await?;
        }
    }
}

/// Tells of transactions as they are taken in, from number `next` on.
async fn follow_arrivals<C: Chain>(
    node: &Node<C>,
    shown: Shown,
    mut next: u64,
    reader: &Reader,
) -> Result<(), SubscriptionError> {
    loop {
        tokio::select! {
            () = reader.sink.closed() => return Ok(()),
            () = node.chain.intake().wait(next) => {}
        }
        let page = node.chain.intake().page(next);
        for arrival in page.arrivals {
            match shown {
                Shown::Hash => reader.tell(&arrival.hash).await?,
                Shown::Full => reader.tell(&arrival.view().map_err(|error| refused(&error))?).await?,
            }
        }
        next = page.next;
    }
}

fn refused(error: &ErrorObjectOwned) -> SubscriptionError {
    SubscriptionError::from(error.message().to_owned())
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
        "newPendingTransactions" => {
            let full = arguments.as_ref().map_or(Ok(false), bool::read);
            let full = full.map_err(|misfit| invalid_params(format!("invalid argument 1: {misfit}")))?;
            Ok(Topic::Pending(if full { Shown::Full } else { Shown::Hash }))
        }
        "syncing" => Ok(Topic::Syncing),
        other => Err(error(METHOD_NOT_FOUND_CODE, format!("no {other:?} subscription in eth namespace"))),
    }
}

/// Tells of slots from `from` on, `head` at most; says up to which.
async fn tell<C: Chain>(
    node: &Node<C>,
    following: &Following,
    from: Slot,
    head: Slot,
    reader: &Reader,
) -> Result<Slot, SubscriptionError> {
    match following {
        Following::Heads => {
            let block = node.chain.block(from).await.map_err(|rejection| refused(&rejection.into()))?;
            let time = node.chain.time_of(from);
            let header = BlockView { params: node.chain.params(), block: &block, time }.header();
            reader.tell(&header).await?;
            Ok(from)
        }
        Following::Logs(filter) => {
            let turn = node.heavy.patient_turn().await;
            let page = node.log_page(filter, from, head).await.map_err(|error| refused(&error))?;
            drop(turn);
            for log in page.logs {
                reader.tell(&log).await?;
            }
            Ok(Slot(page.next.0 - 1))
        }
    }
}
