//! The explorer: what happened on the network, as a page and as JSON, on the port of JSON-RPC.
//!
//! ```text
//!  GET /explorer/…            -> the page, embedded in the program          (assets)
//!  GET /explorer/api/v1/…     -> question -> index, lives, shards, relays, bridges -> JSON    (openapi.json says what)
//!  GET /explorer/api/v1/events-> each new block as it is told, until the reader goes  (events)
//! ```
//!
//! Promise: nothing here changes anything on the network, and nothing on the page asks another machine. An answer says which
//! shards, relays and nodes of bridges did not, and is whole but for what only they know. Bounded: [`QUESTIONS_COUNT_MAX`] questions at once and
//! [`TRACES_COUNT_MAX`] traces,
//! pages of [`PAGE_COUNT_MAX`] entries. What is proven is proven on the reader's machine, from receipts that are passed on as
//! they are; what is told beside them is what the shards' nodes say.
//!
//! Knows nothing of connections. How it is shown is the page's, in `explorer/page`.

mod accounts;
mod answer;
mod assets;
mod attempts;
mod blocks;
mod bridges;
mod charts;
mod decisions;
mod events;
mod hour;
mod messages;
mod network;
mod past_votes;
mod query;
mod receipts;
mod records;
mod relays;
#[cfg(test)]
mod sample;
mod search;
mod transactions;
mod waiting;

pub(crate) use charts::{watch_blocks, watch_shards};
pub(crate) use decisions::Decisions;
pub(crate) use hour::Hour;
pub(crate) use transactions::DISPATCH;

use crate::api::Node;
use answer::{Problem, Reply};
use bridges::{Bridges, NotABridge};
use query::Query;
use relays::Relays;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use wire::client::ConnectError;
use wire::jsonrpc::{Inside, JsonRpcError, Look, Site, Telling};

/// Where it is.
pub(crate) const FOLDER: &str = "/explorer";

/// How many questions are answered at once; who comes then waits for [`TURN_WAIT_MAX`] and is told to come again.
const QUESTIONS_COUNT_MAX: usize = 32;

/// How long a question waits for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);

/// How many transactions are traced at once: others wait, so that traces leave turns to all that is soon answered.
const TRACES_COUNT_MAX: usize = 4;

/// Most entries of one page of anything.
const PAGE_COUNT_MAX: usize = 100;

/// Why the explorer does not begin.
#[derive(Debug, thiserror::Error)]
pub enum ExplorerError {
    /// A relay's endpoint is no endpoint.
    #[error("a relay's endpoint: {0}")]
    Relay(#[from] ConnectError),
    /// The address of a bridge's node is none.
    #[error(transparent)]
    Bridge(#[from] NotABridge),
    /// JSON-RPC's methods cannot be asked.
    #[error(transparent)]
    Methods(#[from] JsonRpcError),
}

/// Whether the explorer would begin with these relays and nodes of bridges.
///
/// # Errors
/// As [`Explorer::of`].
pub(crate) fn check(relays: &[String], bridges: &[String]) -> Result<(), ExplorerError> {
    Relays::check(relays)?;
    Ok(Bridges::check(bridges)?)
}

/// All that is asked, and of whom.
#[derive(Debug)]
pub(crate) struct Explorer {
    node: Arc<Node>,
    inside: Inside,
    relays: Relays,
    bridges: Bridges,
    turns: Semaphore,
    traces: Semaphore,
    searches: Semaphore,
    /// Readers of live events.
    readers: Arc<Semaphore>,
    now: tokio::sync::Mutex<Option<network::Told>>,
    stop: CancellationToken,
}

impl Explorer {
    /// Of what `node` and the relays and nodes of bridges at these endpoints know, until `stop`.
    ///
    /// # Errors
    /// [`ExplorerError`].
    pub(crate) fn of(
        node: Arc<Node>,
        (relays, bridges): (&[String], &[String]),
        stop: CancellationToken,
    ) -> Result<Self, ExplorerError> {
        Ok(Self {
            inside: Inside::of(Arc::clone(&node))?,
            relays: Relays::connect(relays)?,
            bridges: Bridges::at(bridges)?,
            node,
            turns: Semaphore::new(QUESTIONS_COUNT_MAX),
            traces: Semaphore::new(TRACES_COUNT_MAX),
            searches: Semaphore::new(past_votes::SEARCHES_COUNT_MAX),
            readers: Arc::new(Semaphore::new(events::READERS_COUNT_MAX)),
            now: tokio::sync::Mutex::default(),
            stop,
        })
    }

    async fn answered(self: Arc<Self>, look: Look) -> Reply {
        let path = look.path.strip_prefix(FOLDER).unwrap_or_default();
        let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
        let [first, rest @ ..] = &steps[..] else {
            return if path.is_empty() { Reply::moved(&format!("{FOLDER}/")) } else { assets::page(&look) };
        };
        match (*first, rest) {
            ("api", ["openapi.json"]) => assets::description(&look),
            ("api", ["v1", "events"]) => self.follow(look.since.as_deref()),
            ("api", ["v1", rest @ ..]) => self.in_turn(rest, &look.query).await.unwrap_or_else(Reply::from),
            ("api", _) => Problem::nowhere(&look.path).into(),
            ("assets", [name]) => assets::asset(name, &look),
            _ => assets::page(&look),
        }
    }

    async fn in_turn(&self, steps: &[&str], query: &str) -> Result<Reply, Problem> {
        let _turn = match steps {
            ["transactions", _, "trace"] => turn(&self.traces).await?,
            _ => turn(&self.turns).await?,
        };
        let query = Query::of(query);
        if let ["receipts", kind, id] = steps {
            return self.receipt(kind, id, &query).await;
        }
        self.question(steps, &query).await.map(|told| Reply::json(&told))
    }

    async fn question(&self, steps: &[&str], query: &Query) -> Result<Value, Problem> {
        match steps {
            ["network"] => Ok(self.network()),
            ["now"] => self.now().await,
            ["hour"] => Ok(self.charts()),
            ["search"] => self.search(query).await,
            ["blocks"] => self.blocks(query).await,
            ["blocks", number] => self.block(number, query).await,
            ["transactions", hash] => self.transaction(query::word(hash)?).await,
            ["transactions", hash, "trace"] => self.trace(query::word(hash)?).await,
            ["attempts", id] => self.attempt(query::word(id)?).await,
            ["messages", id] => self.message(query::word(id)?).await,
            ["dead-letters"] => self.dead_letters(query).await,
            ["addresses", address] => self.address(query::address(address)?, query).await,
            ["proofs", address] => self.proof(query::address(address)?, query).await,
            _ => Err(Problem::nowhere(&format!("{FOLDER}/api/v1/{}", steps.join("/")))),
        }
    }
}

/// One of `turns`, as soon as there is one.
async fn turn(turns: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    let turn = tokio::time::timeout(TURN_WAIT_MAX, turns.acquire()).await;
    turn.map_err(|_| Problem::busy())?.map_err(|_| Problem::busy())
}

impl Site for Explorer {
    fn folder(&self) -> &'static str {
        FOLDER
    }

    fn look(self: Arc<Self>, look: Look) -> Telling {
        Box::pin(async move { Some(self.answered(look).await.into()) })
    }
}
