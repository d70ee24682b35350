//! Messages from dispatch to acknowledgement: outbox, relay, inbox, and back, with receipts all the way.

use crate::disk::Disk;
use crate::load::{Load, Windows, histogram};
use crate::meter::Usage;
use crate::network::program;
use crate::settings::Settings;
use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolConstructor};
use cluster::client::{Client, PATIENCE};
use cluster::{Cluster, Plan};
use evm::mailbox_address;
use eyre::{Result, eyre};
use fixtures::contracts::{Artifact, Ping, Pong};
use fixtures::wallet::{Call, Wallet};
use hdrhistogram::Histogram;
use primitives::ShardId;
use proof::domain_of;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the row is called.
pub(crate) const NAME: &str = "message::acknowledged";

/// Where messages come from and where they go.
const SHARDS_COUNT: u32 = 2;

/// Messages of one transaction.
pub(crate) const MESSAGES_PER_TRANSACTION_COUNT: u64 = 50;

/// Senders at work at once, each with one transaction's messages under way.
pub(crate) const SENDERS_COUNT: u32 = 8;

/// Gas for each recipient.
const MESSAGE_GAS: u64 = 300_000;

/// Between two looks at whether all messages of a transaction are acknowledged: looks are calls, and share the cores.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A sender with its own contract on shard 0.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) wallet: Wallet,
    pub(crate) ping: Address,
    pub(crate) call: Call,
}

/// Senders on shard 0, their recipients on shard 1, one relay; batch after batch for as long as `settings` say.
pub(crate) async fn run(settings: &Settings) -> Result<Load> {
    let dir = tempfile::tempdir()?;
    let (plan, wallets) = network(SENDERS_COUNT)?;
    let cluster = Cluster::start(plan, dir.path())?;
    let client = cluster.client(0)?;
    let mut senders = Vec::new();
    for wallet in wallets {
        senders.push(sender(&client, wallet, &cluster).await?);
    }
    let load = measured(&cluster, &client, senders, settings).await;
    cluster.stop()?;
    let (load, acknowledged) = load?;
    Ok(Load { disk: Some(Disk::of(dir.path(), SHARDS_COUNT, acknowledged)?), ..load })
}

/// Two shards, one relay, and so many senders, whose accounts and contracts are where they belong.
pub(crate) fn network(senders: u32) -> Result<(Plan, Vec<Wallet>)> {
    let mut plan = Plan { relays: 1, program: program()?, ..Plan::development(SHARDS_COUNT)? };
    let wallets = (0..senders).map(|number| Wallet::development(plan.network, number));
    let wallets = wallets.collect::<Result<Vec<_>>>()?;
    for wallet in &wallets {
        let address = wallet.address();
        plan.pinned.extend([(address, 0), (address.create(0), 0), (address.create(1), 1)]);
    }
    Ok((plan, wallets))
}

async fn measured(
    cluster: &Cluster,
    client: &Client,
    senders: Vec<Sender>,
    settings: &Settings,
) -> Result<(Load, u64)> {
    let warm = Instant::now() + settings.warm;
    let until = warm + settings.duration;
    let windows = Arc::new(Windows::new(warm, settings.duration));
    let work = senders.into_iter().map(|sender| {
        let (client, windows) = (client.clone(), Arc::clone(&windows));
        tokio::spawn(async move { send(&client, sender, until, &windows).await })
    });
    let work: Vec<_> = work.collect();
    tokio::time::sleep_until(warm.into()).await;
    let before = Usage::now(cluster)?;
    tokio::time::sleep_until(until.into()).await;
    let usage = Usage::now(cluster)? - before;
    let mut latency = histogram()?;
    for sender in work {
        latency.add(sender.await??)?;
    }
    let name = format!("{NAME}/batches of {MESSAGES_PER_TRANSACTION_COUNT} senders={SENDERS_COUNT} relays=1");
    let (elapsed, counts) = (settings.duration, windows.counts());
    Ok((Load { name, latency, elapsed, windows: counts, usage, refused: 0, disk: None }, windows.all()))
}

/// Deploys what a sender needs.
pub(crate) async fn sender(client: &Client, mut wallet: Wallet, cluster: &Cluster) -> Result<Sender> {
    let destination = domain_of(cluster.network().params.network, ShardId(1));
    let (ping, target) = (wallet.address().create(0), wallet.address().create(1));
    let mailbox = |shard| mailbox_address(ShardId(shard));
    let arguments = Ping::constructorCall { mailbox: mailbox(0) }.abi_encode();
    client.succeed(&mut wallet, &Call::create(Artifact::PING.init_code(&arguments)?)).await?;
    let arguments = Pong::constructorCall { mailbox: mailbox(1) }.abi_encode();
    client.succeed(&mut wallet, &Call::create(Artifact::PONG.init_code(&arguments)?)).await?;
    let call = Ping::sendManyCall {
        destination,
        recipient: target.into_word(),
        count: U256::from(MESSAGES_PER_TRANSACTION_COUNT),
        gasLimit: MESSAGE_GAS,
        deadlineMs: u64::MAX,
    };
    let call = Call::to(ping, call.abi_encode()).with_gas_limit(16_000_000);
    Ok(Sender { wallet, ping, call })
}

async fn send(client: &Client, mut sender: Sender, until: Instant, windows: &Windows) -> Result<Histogram<u64>> {
    let (mut latency, mut sent) = (histogram()?, 0);
    while Instant::now() < until {
        let dispatched = Instant::now();
        client.succeed(&mut sender.wallet, &sender.call).await?;
        sent += MESSAGES_PER_TRANSACTION_COUNT;
        while client.view(sender.ping, &Ping::deliveredCountCall {}).await? != U256::from(sent) {
            if dispatched.elapsed() > PATIENCE {
                return Err(eyre!("messages were not acknowledged within {PATIENCE:?}"));
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        if windows.note(MESSAGES_PER_TRANSACTION_COUNT) {
            latency.record_n(u64::try_from(dispatched.elapsed().as_micros())?, MESSAGES_PER_TRANSACTION_COUNT)?;
        }
    }
    Ok(latency)
}
