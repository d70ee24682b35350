//! `dovetail bridge`: how messages stand at a relay, a carrier or an attestor, what is put aside, and what an operator does about it.
//!
//! Promise: exit status 0 means that what was asked for is so; what a node refuses is told in its words.
//! Knows nothing of routes: it asks the `OperatorService` of the node at `--at`.

mod conserve;

use crate::credentials::Credentials;
use crate::trace;
use alloy_primitives::{B256, hex};
use clap::{Args, Subcommand};
use eyre::{Result, WrapErr, eyre};
use primitives::Millis;
use proof::Message;
use wire::operator::{Letter, OperatorClient, Way};

/// What is asked, and of whom.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The node's gRPC: a relay's `listen`, a carrier's or an attestor's `operator_listen`.
    #[arg(long, default_value = "http://127.0.0.1:7412", env = "DOVETAIL_BRIDGE_AT", global = true)]
    at: String,
    #[command(flatten)]
    credentials: Credentials,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// How every way stands.
    Routes,
    /// How much waits on each way, and for how long the oldest has.
    Backlog,
    /// Messages that are for a person.
    #[command(subcommand)]
    DeadLetters(Letters),
    /// Brings nothing new on a way; what is under way comes to its end.
    Pause {
        /// Which, as `routes` names it: `in`, `out` or `both` of a bridge's node, `0-1` of a relay.
        way: String,
        /// Why, for whoever looks later.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Brings on it again.
    Resume {
        /// Which.
        way: String,
    },
    /// Looks once more at these blocks, both included: `rescan 100..120`.
    Rescan {
        /// First and last: blocks of the foreign chain, of the first shard of a relay's way, or of `out` places in shards' trees.
        blocks: String,
        /// Whose.
        #[arg(long, default_value = "in")]
        way: String,
    },
    /// Compares an asset's two ledgers; fails if either side is short.
    Conserve(conserve::Asset),
    /// Why has this message not arrived? In words, with its transactions on the foreign chain.
    Why {
        /// Its id, 32 bytes of hex: Hyperlane's where a foreign chain is at one end.
        #[arg(value_parser = id)]
        id: B256,
    },
}

#[derive(Debug, Subcommand)]
enum Letters {
    /// All of them.
    List,
    /// One, with its bytes and why it was put aside.
    Show {
        /// Its id.
        #[arg(value_parser = id)]
        id: B256,
    },
    /// Tries one again.
    Retry {
        /// Its id.
        #[arg(value_parser = id)]
        id: B256,
        /// With at least this much gas on the foreign chain.
        #[arg(long, default_value_t = 0)]
        gas: u64,
    },
    /// Gives one back to its sender, if that can be done without paying twice.
    Refund {
        /// Its id.
        #[arg(value_parser = id)]
        id: B256,
    },
    /// Gives one up.
    Drop {
        /// Its id.
        #[arg(value_parser = id)]
        id: B256,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// Asks.
pub async fn run(arguments: Arguments) -> Result<()> {
    let connection = arguments.credentials.of_caller()?.connect(&arguments.at)?;
    let node = OperatorClient::new(&connection);
    let refused = || format!("{} did not do it", arguments.at);
    match arguments.verb {
        Verb::Routes => node.ways().await.wrap_err_with(refused)?.iter().for_each(say_way),
        Verb::Backlog => node.ways().await.wrap_err_with(refused)?.iter().for_each(say_backlog),
        Verb::DeadLetters(verb) => letters(&node, verb).await.wrap_err_with(refused)?,
        Verb::Pause { way, reason } => {
            for way in ways(&way) {
                node.pause(way.clone(), reason.clone()).await.wrap_err_with(refused)?;
                host::say!("paused: nothing new is brought {way}; what is under way comes to its end");
            }
        }
        Verb::Resume { way } => {
            for way in ways(&way) {
                node.resume(way.clone()).await.wrap_err_with(refused)?;
                host::say!("resumed: {way}");
            }
        }
        Verb::Rescan { blocks, way } => {
            let (from, to) = range(&blocks)?;
            node.rescan(way.clone(), from, to).await.wrap_err_with(refused)?;
            host::say!("{way}: what is from {from} to {to} is looked at again; what was brought is not brought twice");
        }
        Verb::Conserve(asset) => conserve::run(&asset).await?,
        Verb::Why { id } => {
            let sight = node.explain(id).await.wrap_err_with(refused)?;
            host::say!("{}", sight.why.as_deref().unwrap_or("nothing keeps it here"));
            for hop in &sight.hops {
                host::say!("  {}", trace::hop(sight.chain_id, hop));
            }
        }
    }
    Ok(())
}

/// What comes in goes out again last, so the way in stops first.
fn ways(text: &str) -> Vec<String> {
    if text == "both" { ["in", "out"].map(str::to_owned).into() } else { vec![text.to_owned()] }
}

fn id(text: &str) -> Result<B256> {
    Ok(trace::parse(text)?.0)
}

fn range(text: &str) -> Result<(u64, u64)> {
    let ends = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    ends.ok_or_else(|| eyre!("{text:?} is no range: FROM..TO, two numbers"))
}

async fn letters(node: &OperatorClient, verb: Letters) -> Result<()> {
    match verb {
        Letters::List => {
            let all = node.letters().await?;
            for Letter { id, way, tries_count, why, .. } in &all {
                host::say!("{id}  {way}  {tries_count} tries: {why}");
            }
            host::say!("{} in all", all.len());
        }
        Letters::Show { id } => say_letter(&node.letter(id).await?),
        Letters::Retry { id, gas } => {
            node.retry(id, gas).await?;
            host::say!("{id} is under way again; it is a letter until its end is known");
        }
        Letters::Refund { id } => {
            node.refund(id).await?;
            host::say!(
                "{id} is handed in as what cannot be delivered any more; its sender has its value back once its shard has taken that"
            );
        }
        Letters::Drop { id, reason } => {
            node.drop_letter(id, reason.clone()).await?;
            host::say!("{id} was given up: {reason}");
        }
    }
    Ok(())
}

fn say_letter(letter: &Letter) {
    let Letter { id, way, tries_count, why, message, proof } = letter;
    host::say!("message {id}, on the way {way}, put aside after {tries_count} tries\n  {why}");
    let packed = || Message::from_packed(message, 0, primitives::Time(0), alloy_primitives::U256::ZERO).ok();
    if let Some(Message { nonce, origin, sender, destination, recipient, body, .. }) =
        Message::from_bytes(message).ok().or_else(packed)
    {
        host::say!("  nonce {nonce}, from {sender} on domain {origin} to {recipient} on domain {destination}");
        host::say!("  body of {} bytes: {}", body.len(), hex::encode_prefixed(&body));
    }
    host::say!("  message {}", hex::encode_prefixed(message));
    host::say!("  proof {}", hex::encode_prefixed(proof));
}

fn say_way(way: &Way) {
    let state = match &way.paused {
        Some(reason) => format!("paused: {}", if reason.is_empty() { "no reason was given" } else { reason }),
        None if way.trouble.is_empty() => "goes".to_owned(),
        None if way.waiting_count == 0 => format!("goes; said last: {}", way.trouble),
        None => format!("in trouble: {}", way.trouble),
    };
    let Way { name, ends, waiting_count, done_count, letters_count, .. } = way;
    host::say!("{name:<4} {state}; {waiting_count} wait, {done_count} settled, {letters_count} letters  ({ends})");
}

fn say_backlog(way: &Way) {
    let last =
        way.moved.map_or("nothing has moved yet".to_owned(), |ago| format!("something moved {} ago", seconds(ago)));
    host::say!("{:<4} {} wait, the oldest for {}; {last}", way.name, way.waiting_count, seconds(way.oldest));
}

fn seconds(Millis(ms): Millis) -> String {
    format!("{} s", ms / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_or_an_id_that_is_none_is_refused_in_words() {
        assert_eq!(range("5..7").unwrap(), (5, 7));
        for text in ["5", "5..", "a..b", "5..7..9"] {
            assert!(range(text).unwrap_err().to_string().contains("is no range"), "{text}");
        }
        assert!(id("0x11").unwrap_err().to_string().contains("64 hex digits") && id(&B256::ZERO.to_string()).is_ok());
    }
}
