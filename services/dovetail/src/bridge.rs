//! `dovetail bridge`: how a carrier's route stands, what is put aside, and what an operator does about it.
//!
//! Promise: exit status 0 means that what was asked for is so; what a carrier refuses is told in its words.
//! Knows nothing of routes: it asks the carrier whose `operator_listen` is at `--at`.

mod conserve;

use clap::{Args, Subcommand, ValueEnum};
use eyre::{Result, WrapErr, bail, eyre};
use reqwest::{Client, Method};
use serde_json::Value;
use std::time::Duration;

/// How long a carrier may take: a round, which may wait for endpoints.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// What is asked, and of whom.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The carrier's `operator_listen`.
    #[arg(long, default_value = "http://127.0.0.1:7412", env = "DOVETAIL_BRIDGE_AT", global = true)]
    at: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// How the route stands, in both directions.
    Routes,
    /// How much waits in each direction, and for how long the oldest has.
    Backlog,
    /// Messages that are for a person.
    #[command(subcommand)]
    DeadLetters(Letters),
    /// Takes nothing new on in a direction; what is under way comes to its end.
    Pause {
        /// Which.
        direction: Direction,
        /// Why, for whoever looks later.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Takes new messages on again.
    Resume {
        /// Which.
        direction: Direction,
    },
    /// Hears again what attestors said of these foreign blocks: `rescan 100..120`, both included.
    Rescan {
        /// First and last block.
        blocks: String,
    },
    /// Compares an asset's two ledgers; fails if either side is short.
    Conserve(conserve::Asset),
    /// Why has this message not arrived? In words.
    Why {
        /// Hyperlane's id of it, 32 bytes of hex.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum Letters {
    /// All of them.
    List,
    /// One, with its bytes and why it was put aside.
    Show {
        /// Its id.
        id: String,
    },
    /// Tries one again.
    Retry {
        /// Its id.
        id: String,
        /// With at least this much gas there.
        #[arg(long, default_value_t = 0)]
        gas: u64,
    },
    /// Gives one back to its sender, if that can be done without paying twice.
    Refund {
        /// Its id.
        id: String,
    },
    /// Gives one up.
    Drop {
        /// Its id.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Direction {
    /// From the foreign chain.
    In,
    /// To it.
    Out,
    /// Both.
    Both,
}

impl Direction {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::In => &["in"],
            Self::Out => &["out"],
            // What comes in goes out again last, so the way in stops first.
            Self::Both => &["in", "out"],
        }
    }
}

/// Asks.
pub async fn run(arguments: Arguments) -> Result<()> {
    let carrier =
        Carrier { at: arguments.at.trim_end_matches('/').to_owned(), http: Client::builder().no_proxy().build()? };
    match arguments.verb {
        Verb::Routes => say_routes(&carrier.get("routes").await?),
        Verb::Backlog => say_backlog(&carrier.get("routes").await?),
        Verb::DeadLetters(verb) => letters(&carrier, verb).await?,
        Verb::Pause { direction, reason } => {
            for name in direction.names() {
                carrier.post(&format!("pause/{name}"), &[("reason", reason.as_str())]).await?;
                host::say!("paused: nothing new is brought {name}; what is under way comes to its end");
            }
        }
        Verb::Resume { direction } => {
            for name in direction.names() {
                carrier.post(&format!("resume/{name}"), &[]).await?;
                host::say!("resumed: {name}");
            }
        }
        Verb::Rescan { blocks } => {
            let (from, to) = blocks.split_once("..").ok_or_else(|| eyre!("{blocks:?} is no range: FROM..TO"))?;
            carrier.post("rescan", &[("from", from), ("to", to)]).await?;
            host::say!("what attestors said from block {from} on is heard again, up to {to} and what follows");
        }
        Verb::Conserve(asset) => conserve::run(&asset).await?,
        Verb::Why { id } => host::say!("{}", text(&carrier.get(&format!("why/{id}")).await?)),
    }
    Ok(())
}

async fn letters(carrier: &Carrier, verb: Letters) -> Result<()> {
    match verb {
        Letters::List => {
            let all = carrier.get("dead-letters").await?;
            let all = all.as_array().cloned().unwrap_or_default();
            for letter in &all {
                let field = |name: &str| text(&letter[name]);
                let (id, direction, shard) = (field("id"), field("direction"), field("shard"));
                host::say!("{id}  {direction}  shard {shard}  {} tries: {}", field("tries"), field("why"));
            }
            host::say!("{} in all", all.len());
        }
        Letters::Show { id } => {
            let letter = carrier.get(&format!("dead-letters/{id}")).await?;
            host::say!("{}", serde_json::to_string_pretty(&letter)?);
        }
        Letters::Retry { id, gas } => {
            carrier.post(&format!("dead-letters/{id}/retry"), &[("gas", &gas.to_string())]).await?;
            host::say!("{id} is under way again; it is a letter until its end is known");
        }
        Letters::Refund { id } => {
            carrier.post(&format!("dead-letters/{id}/refund"), &[]).await?;
        }
        Letters::Drop { id, reason } => {
            carrier.post(&format!("dead-letters/{id}/drop"), &[("reason", reason.as_str())]).await?;
            host::say!("{id} was given up: {reason}");
        }
    }
    Ok(())
}

fn say_routes(route: &Value) {
    let field = |name: &str| text(&route[name]);
    host::say!("route to domain {} (chain {}, mailbox {})", field("domain"), field("chain_id"), field("mailbox"));
    for direction in ["in", "out"] {
        let way = &route[direction];
        let state = match (way["paused"].as_str(), way["complaint"].as_str()) {
            (Some(reason), _) => format!("paused: {reason}"),
            (None, Some(complaint)) => format!("in trouble: {complaint}"),
            (None, None) => "goes".to_owned(),
        };
        let standing = &way["standing"];
        let (done, letters) = (text(&standing["done"]), text(&standing["letters"]));
        host::say!(
            "  {direction:<3} {state}; {} wait, {done} settled since its start, {letters} letters",
            text(&standing["waiting"])
        );
    }
}

fn say_backlog(route: &Value) {
    for direction in ["in", "out"] {
        let standing = &route[direction]["standing"];
        let last = standing["last_done_s"].as_u64().map_or("none yet".to_owned(), |ago| format!("{ago} s ago"));
        let (waiting, oldest) = (text(&standing["waiting"]), text(&standing["oldest_s"]));
        host::say!("{direction:<3} {waiting} wait, the oldest for {oldest} s; the last was settled {last}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

struct Carrier {
    at: String,
    http: Client,
}

impl Carrier {
    async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, &[]).await
    }

    async fn post(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        self.ask(Method::POST, path, query).await
    }

    async fn ask(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let mut url: reqwest::Url = format!("{}/{path}", self.at).parse()?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let sent = self.http.request(method, url).timeout(ANSWER_TIMEOUT).send().await;
        let response = sent.wrap_err_with(|| format!("no carrier answers at {}", self.at))?;
        let status = response.status();
        let said = response.text().await?;
        if !status.is_success() {
            bail!("{}", said.trim_end());
        }
        Ok(if said.is_empty() { Value::Null } else { serde_json::from_str(&said)? })
    }
}
