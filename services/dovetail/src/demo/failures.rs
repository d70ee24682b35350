//! Nothing in the middle is trusted: the coordinator dies between votes and decision, a relay with messages on the way.

use super::messages::{self, Correspondents, DESTINATION, SOURCE};
use super::orphans;
use super::report::{Report, same};
use super::stage::Stage;
use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolValue};
use cluster::Node;
use cluster::client::until;
use eyre::Result;
use fixtures::contracts::{Ping, Pong};
use fixtures::wallet::Call;
use proof::domain_of;
use std::time::Duration;
use wire::relay::{RelayClient, RouteKey};

/// How many messages are on the way when the relay dies; one transaction may send at most 64.
const MESSAGES_COUNT: u64 = 60;

/// How long these messages have.
const MESSAGES_LIFE: Duration = Duration::from_mins(2);

pub(super) async fn show(stage: &mut Stage, report: &mut Report) {
    report.section("Nothing in the middle is trusted");
    orphans::show(stage, report).await;
    report.claim("a relay dies with 60 messages on the way, each arrives once", relay_killed(stage)).await;
}

/// The destination stands still while the relays take the messages and send them; then one relay is killed.
async fn relay_killed(stage: &mut Stage) -> Result<(String, ())> {
    let Correspondents { ping: sender, pong: recipient } = stage.correspondents;
    let mut user = stage.user_away_from(DESTINATION).await?;
    let received = stage.client.view(recipient, &Pong::receivedCountCall {}).await?;
    let delivered = stage.client.view(sender, &Ping::deliveredCountCall {}).await?;
    let victim = Node::Relay(0);
    let relay = stage.relay(victim)?;
    let network = stage.network().params.network;
    let call = Ping::sendManyCall {
        destination: domain_of(network, DESTINATION),
        recipient: recipient.into_word(),
        count: U256::from(MESSAGES_COUNT),
        gasLimit: messages::HANDLE_GAS,
        deadlineMs: messages::from_now(MESSAGES_LIFE)?.0,
    };
    let call = Call::to(sender, call.abi_encode()).with_gas_limit(15_000_000);
    stage.cluster.signal(Node::Executor(DESTINATION.0), "STOP")?;
    let sent = stage.client.succeed(&mut user, &call).await;
    let route = RouteKey { source: domain_of(network, SOURCE), destination: domain_of(network, DESTINATION) };
    let under_way = until("the relay to have the messages", || queued(&relay, route)).await;
    let killed = stage.cluster.kill(victim);
    // Whatever went wrong, the destination goes on.
    stage.cluster.signal(Node::Executor(DESTINATION.0), "CONT")?;
    let (_, under_way, ()) = (sent?, under_way?, killed?);
    arrived(stage, recipient, received).await?;
    stage.cluster.restart(victim)?;
    stage.cluster.wait_ready(victim)?;
    acknowledged(stage, sender, delivered).await?;
    for number in 0..MESSAGES_COUNT {
        let body = U256::from(number).abi_encode();
        same("how often a message arrived", &stage.count_of(&body).await?, &U256::ONE)?;
    }
    let total = stage.client.view(recipient, &Pong::receivedCountCall {}).await?;
    same("messages received", &total, &(received + U256::from(MESSAGES_COUNT)))?;
    Ok((
        format!(
            "killed with {under_way} on the way: {MESSAGES_COUNT} arrived once each, {MESSAGES_COUNT} acknowledged"
        ),
        (),
    ))
}

/// How many messages wait or are under way on a route, once all are.
async fn queued(relay: &RelayClient, route: RouteKey) -> Result<Option<u64>> {
    let routes = relay.routes().await?;
    let queued = routes.iter().find(|one| one.key == route).map_or(0, |one| one.queued_count);
    Ok((queued >= MESSAGES_COUNT).then_some(queued))
}

async fn arrived(stage: &Stage, recipient: Address, before: U256) -> Result<()> {
    until("all messages to arrive", || async {
        let count = stage.client.view(recipient, &Pong::receivedCountCall {}).await?;
        Ok((count >= before + U256::from(MESSAGES_COUNT)).then_some(()))
    })
    .await
}

async fn acknowledged(stage: &Stage, sender: Address, before: U256) -> Result<()> {
    until("all acknowledgements to return", || async {
        let count = stage.client.view(sender, &Ping::deliveredCountCall {}).await?;
        Ok((count >= before + U256::from(MESSAGES_COUNT)).then_some(()))
    })
    .await
}
