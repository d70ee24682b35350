//! Messages from dispatch to acknowledgement: outbox, relay, inbox, and back, with receipts all the way.

use crate::load::{Load, cpu, histogram};
use crate::network::program;
use alloy_primitives::U256;
use alloy_sol_types::{SolCall, SolConstructor};
use cluster::client::until;
use cluster::{Cluster, Plan};
use evm::mailbox_address;
use eyre::Result;
use fixtures::contracts::{Artifact, Ping, Pong};
use fixtures::wallet::{Call, Wallet};
use primitives::ShardId;
use proof::domain_of;
use std::time::{Duration, Instant};

/// Messages of one transaction.
const MESSAGES_PER_TRANSACTION_COUNT: u64 = 50;

/// Gas for each recipient.
const MESSAGE_GAS: u64 = 300_000;

/// One sender on shard 0, one recipient on shard 1, one relay; batch after batch for `duration`.
pub(crate) async fn run(duration: Duration) -> Result<Load> {
    let dir = tempfile::tempdir()?;
    let mut plan = Plan { relays: 1, program: program()?, ..Plan::development(2)? };
    let mut sender = Wallet::development(plan.network, 0)?;
    let (ping, target) = (sender.address().create(0), sender.address().create(1));
    plan.pinned.extend([(sender.address(), 0), (ping, 0), (target, 1)]);
    let cluster = Cluster::start(plan, dir.path())?;
    let client = cluster.client(0)?;
    let mailbox = |shard| mailbox_address(ShardId(shard));
    let arguments = Ping::constructorCall { mailbox: mailbox(0) }.abi_encode();
    client.succeed(&mut sender, &Call::create(Artifact::PING.init_code(&arguments)?)).await?;
    let arguments = Pong::constructorCall { mailbox: mailbox(1) }.abi_encode();
    client.succeed(&mut sender, &Call::create(Artifact::PONG.init_code(&arguments)?)).await?;

    let call = Ping::sendManyCall {
        destination: domain_of(cluster.network().params.network, ShardId(1)),
        recipient: target.into_word(),
        count: U256::from(MESSAGES_PER_TRANSACTION_COUNT),
        gasLimit: MESSAGE_GAS,
        deadlineMs: u64::MAX,
    };
    let call = Call::to(ping, call.abi_encode()).with_gas_limit(16_000_000);
    let (begun, cpu_before) = (Instant::now(), cpu(&cluster)?);
    let (mut latency, mut sent) = (histogram()?, 0);
    while begun.elapsed() < duration {
        let dispatched = Instant::now();
        client.succeed(&mut sender, &call).await?;
        sent += MESSAGES_PER_TRANSACTION_COUNT;
        until("all messages to be acknowledged", || async {
            let acknowledged = client.view(ping, &Ping::deliveredCountCall {}).await?;
            Ok((acknowledged == U256::from(sent)).then_some(()))
        })
        .await?;
        latency.record_n(u64::try_from(dispatched.elapsed().as_micros())?, MESSAGES_PER_TRANSACTION_COUNT)?;
    }
    let (elapsed, cpu) = (begun.elapsed(), cpu(&cluster)?.saturating_sub(cpu_before));
    cluster.stop()?;
    let name = format!("message::acknowledged/batches of {MESSAGES_PER_TRANSACTION_COUNT} relays=1");
    Ok(Load { name, latency, elapsed, cpu, refused: 0 })
}
