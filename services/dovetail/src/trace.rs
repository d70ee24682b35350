//! `dovetail trace`: a message's life, with times.
//!
//! ```text
//!  every shard: GetMessage ──┐
//!                            ├──> events in time order, and what comes next
//!  relays: Trace ────────────┘
//!  bridges: ExplainMessage ───> transactions on a foreign chain, by Hyperlane's id
//! ```
//!
//! Shards are asked because they know; relays because they know why it takes long; carriers and attestors because no shard knows a
//! foreign chain's transactions. None of it is proof: that is what `dovetail receipt` is for.

mod life;

pub(crate) use life::date;
pub use life::{Event, Life, Place, RelaySight};

use crate::credentials::Credentials;
use crate::identity;
use alloy_primitives::{B256, hex};
use eyre::{Result, WrapErr, eyre};
use futures_util::future::join_all;
use host::network::Network;
use host::{Security, SecurityError};
use proof::MessageId;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use wire::hops::{Hop, Sight, Standing, Step};
use wire::operator::OperatorClient;
use wire::relay::RelayClient;
use wire::shard::ShardClient;
use wire::{Reason, Rejection};

/// Tells the life of a message.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The message's id: 0x and 64 hex digits, as the mailbox's `Dispatch` event has it.
    id: String,
    /// The network file.
    #[arg(long)]
    network: PathBuf,
    /// A relay's gRPC endpoint; may be given more than once. Without any, what relays do is not told.
    #[arg(long = "relay")]
    relays: Vec<String>,
    /// The `operator_listen` of a carrier or an attestor; may be given more than once. Without any, what was done on a foreign chain is
    /// not told.
    #[arg(long = "bridge")]
    bridges: Vec<String>,
    #[command(flatten)]
    credentials: Credentials,
}

/// Prints the life of the message.
pub async fn run(arguments: Arguments) -> Result<()> {
    let id = parse(&arguments.id)?;
    let network = Network::load(&arguments.network)?;
    let security = arguments.credentials.open(&network)?;
    identity::check_shards(&network, &security).await?;
    let life = life(&network, &security, &arguments.relays, id).await;
    let is_known = life.is_ok();
    let (foreign_id, told) = match &life {
        Ok(life) => (life.foreign_id(), life.told(host::wall())),
        // What an account of a foreign chain sent has no life here before it arrives.
        Err(unknown) => (id.0, format!("{unknown}\n")),
    };
    let heard = hear(&security, &arguments.bridges, foreign_id).await?;
    if !is_known && !heard.iter().any(Heard::is_known) {
        return life.map(drop);
    }
    host::output::write(format_args!("{told}{}", there(foreign_id, &heard)));
    Ok(())
}

/// What a node of a bridge said.
struct Heard<'a> {
    endpoint: &'a str,
    said: Result<Sight, Rejection>,
}

impl Heard<'_> {
    fn is_known(&self) -> bool {
        self.said.is_ok()
    }
}

/// Asks each of a bridge's nodes what it saw of the message with this id of Hyperlane's.
async fn hear<'a>(security: &Security, bridges: &'a [String], id: B256) -> Result<Vec<Heard<'a>>> {
    let ask = |endpoint: &'a String| {
        let connection = security.connect(endpoint);
        async move {
            let said = OperatorClient::new(&connection?).explain(id).await;
            Ok::<_, SecurityError>(Heard { endpoint, said })
        }
    };
    Ok(join_all(bridges.iter().map(ask)).await.into_iter().collect::<Result<_, _>>()?)
}

/// What was done on the foreign chain, each transaction with whoever tells it.
fn there(id: B256, heard: &[Heard<'_>]) -> String {
    let mut text = String::new();
    let mut lines: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for Heard { endpoint, said } in heard {
        match said {
            Ok(sight) => {
                for told in &sight.hops {
                    lines.entry(hop(sight.chain_id, told)).or_default().push(endpoint);
                }
                if let Some(why) = &sight.why {
                    let _ = writeln!(text, "  {endpoint}: {why}");
                }
            }
            Err(rejection) if rejection.reason == Reason::NotFound => {
                let _ = writeln!(text, "  {endpoint} knows nothing of it");
            }
            Err(rejection) => {
                let _ = writeln!(text, "  {endpoint} does not answer: {}", self::said(rejection));
            }
        }
    }
    for (line, by) in lines {
        let _ = writeln!(text, "  {line}, told by {}", by.join(", "));
    }
    if heard.is_empty() { text } else { format!("on the foreign chain, as {id}\n{text}") }
}

/// One transaction of a foreign chain, in words.
pub(crate) fn hop(chain_id: u64, hop: &Hop) -> String {
    let step = match hop.step {
        Step::Dispatched => "sent there",
        Step::Processed => "delivered there",
        Step::Answered => "its sender there was told its end",
    };
    let state = match hop.state {
        Standing::UnderWay => "in no block yet",
        Standing::Mined => "in a block that may still go",
        Standing::Reverted => "reverted, at its payer's cost",
        Standing::Final => "final",
    };
    let transaction = hop
        .transaction
        .map_or("a transaction whose hash was not kept".to_owned(), |hash| format!("transaction {hash}"));
    let block = hop.block.map_or(String::new(), |number| format!(" of block {number}"));
    let hash = hop.block_hash.map_or(String::new(), |hash| format!(" ({hash})"));
    format!("{step} on chain {chain_id}: {state}: {transaction}{block}{hash}")
}

/// The message id in `text`.
pub fn parse(text: &str) -> Result<MessageId> {
    text.parse().wrap_err_with(|| format!("{text:?} is no message id, which is 0x and 64 hex digits"))
}

/// What shards and relays know of a message.
///
/// # Errors
/// If no shard knows it. A shard or a relay that does not answer is part of the life.
pub async fn life(network: &Network, security: &Security, relays: &[String], id: MessageId) -> Result<Life> {
    let mut life = Life::new(id, network.params.network);
    let of_shard = |endpoint: &String| {
        let connection = security.connect(endpoint);
        async move { Ok::<_, SecurityError>(ShardClient::new(connection?).message(id).await) }
    };
    let of_relay = |endpoint: &String| {
        let connection = security.connect(endpoint);
        async move { Ok::<_, SecurityError>(RelayClient::new(connection?).trace(id).await) }
    };
    // All at once: one that does not answer costs its deadline, not everybody's.
    let shards = join_all(network.endpoints.values().map(of_shard));
    let (shards, relays) = tokio::join!(shards, join_all(relays.iter().map(of_relay)));
    for (shard, known) in network.endpoints.keys().zip(shards) {
        match known? {
            Ok(known) => life.add_shard(*shard, known),
            Err(rejection) if rejection.reason == Reason::NotFound => {
                if rejection.metadata.contains_key("first") {
                    life.add_forgetful(*shard);
                }
            }
            Err(rejection) => life.add_silent(format!("shard {shard}"), said(&rejection)),
        }
    }
    for (number, trace) in relays.into_iter().enumerate() {
        let name = format!("relay-{number}");
        match trace? {
            Ok(trace) => life.add_relay(name, trace),
            Err(rejection) if rejection.reason == Reason::NotFound => life.add_unseen(name),
            Err(rejection) => life.add_silent(name, said(&rejection)),
        }
    }
    if life.is_known() { Ok(life) } else { Err(unknown(&life)) }
}

fn unknown(life: &Life) -> eyre::Report {
    let silent = life.silent().map(|(name, why)| format!("{name} does not answer ({why})")).collect::<Vec<_>>();
    if silent.is_empty() {
        eyre!("no shard of this network knows message {}: check the id and the network file", life.id())
    } else {
        eyre!("no shard that answers knows message {}; {}", life.id(), silent.join(", "))
    }
}

fn said(rejection: &Rejection) -> String {
    rejection.to_string()
}

/// Bytes a person may read: text where it is text, hex otherwise.
pub(crate) fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(|letter| !letter.is_control()) => format!("{text:?}"),
        _ => hex::encode_prefixed(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_none_is_refused_with_what_it_should_be() {
        let error = parse("0x12").unwrap_err().to_string();
        assert!(error.contains("64 hex digits"), "{error}");
        assert!(parse(&format!("0x{}", "ab".repeat(32))).is_ok());
    }

    #[test]
    fn transactions_of_a_foreign_chain_are_told_once_with_all_who_tell_them() {
        let hash = B256::repeat_byte(7);
        let hop = Hop {
            step: Step::Processed,
            state: Standing::Final,
            transaction: Some(hash),
            block: Some(12),
            block_hash: Some(hash),
        };
        let sight = |why: Option<&str>| Sight { chain_id: 5, hops: vec![hop.clone()], why: why.map(str::to_owned) };
        let unseen = Rejection::new(Reason::NotFound, "no");
        let heard = [
            Heard { endpoint: "http://a", said: Ok(sight(None)) },
            Heard { endpoint: "http://b", said: Ok(sight(Some("it is signed"))) },
            Heard { endpoint: "http://c", said: Err(unseen) },
        ];
        let told = there(B256::ZERO, &heard);
        let expected = format!(
            "delivered there on chain 5: final: transaction {hash} of block 12 ({hash}), told by http://a, http://b"
        );
        assert!(told.contains(&expected), "{told}");
        assert!(told.contains("http://b: it is signed") && told.contains("http://c knows nothing"), "{told}");
        assert_eq!(there(B256::ZERO, &[]), "");
    }

    #[test]
    fn text_is_shown_as_text_and_the_rest_as_hex() {
        assert_eq!(readable(b"out of gas"), "\"out of gas\"");
        assert_eq!(readable(&[0, 1]), "0x0001");
        assert_eq!(readable(&[]), "0x");
    }
}
