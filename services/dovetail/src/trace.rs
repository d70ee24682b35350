//! `dovetail trace`: a message's life, with times.
//!
//! ```text
//!  every shard: GetMessage ──┐
//!                            ├──> events in time order, and what comes next
//!  relays: Trace ────────────┘
//! ```
//!
//! Shards are asked because they know; relays because they know why it takes long. Neither is proof: that is what
//! `dovetail receipt` is for.

mod life;

pub(crate) use life::date;
pub use life::{Event, Life, Place, RelaySight};

use crate::credentials::Credentials;
use crate::identity;
use alloy_primitives::hex;
use eyre::{Result, WrapErr, eyre};
use futures_util::future::join_all;
use host::network::Network;
use host::{Security, SecurityError};
use primitives::Time;
use proof::MessageId;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
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
    #[command(flatten)]
    credentials: Credentials,
}

/// Prints the life of the message.
pub async fn run(arguments: Arguments) -> Result<()> {
    let id = parse(&arguments.id)?;
    let network = Network::load(&arguments.network)?;
    let security = arguments.credentials.open(&network)?;
    identity::check_shards(&network, &security).await?;
    let life = life(&network, &security, &arguments.relays, id).await?;
    host::output::write(format_args!("{}", life.told(now())));
    Ok(())
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

/// The time of this machine's clock, to say how long ago something was.
fn now() -> Time {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
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
    fn text_is_shown_as_text_and_the_rest_as_hex() {
        assert_eq!(readable(b"out of gas"), "\"out of gas\"");
        assert_eq!(readable(&[0, 1]), "0x0001");
        assert_eq!(readable(&[]), "0x");
    }
}
