//! A backlog: messages that nobody carried, and a relay that comes; and what routes cost on which nothing is sent.
//!
//! ```text
//!   no relay ── so many messages are sent ──> a relay with an empty folder starts ──> a message that is sent now is acknowledged
//!                                                                              └────> all of them are
//! ```

use crate::messages::{MESSAGES_PER_TRANSACTION_COUNT, SENDERS_COUNT, Sender, network, sender};
use crate::meter::Usage;
use crate::network::program;
use crate::settings::Settings;
use alloy_primitives::{U256, keccak256};
use cluster::client::Client;
use cluster::{Cluster, Node, Plan};
use eyre::{Result, ensure, eyre};
use fixtures::contracts::Ping;
use primitives::ShardId;
use proof::MessageId;
use std::fs;
use std::time::{Duration, Instant};

/// What the row of a backlog is called.
pub(crate) const NAME: &str = "message::backlog";

/// What the row of idle routes is called.
pub(crate) const IDLE_NAME: &str = "message::idle";

/// Between two looks at whether all are acknowledged.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// How long nothing may be acknowledged before the backlog counts as stuck.
const STUCK_AFTER: Duration = Duration::from_mins(2);

/// How a relay came through a backlog.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Messages that waited for it.
    pub(crate) waiting: u64,
    /// How long they took to be sent.
    pub(crate) sent: Duration,
    /// From the relay's start until it said that it was ready.
    pub(crate) ready: Duration,
    /// From its start until a message that was sent then was acknowledged, with those before it still under way.
    pub(crate) newest: Duration,
    /// How many had been acknowledged by then.
    pub(crate) before_newest: u64,
    /// From its start until all were.
    pub(crate) all: Duration,
    /// CPU of the network meanwhile.
    pub(crate) cpu: f64,
}

/// Sends as many messages as `settings` say to a network without a relay, and starts one.
pub(crate) async fn run(settings: &Settings) -> Result<Backlog> {
    let dir = tempfile::tempdir()?;
    let (plan, wallets) = network(SENDERS_COUNT + 1)?;
    let mut cluster = Cluster::start(plan, dir.path())?;
    let client = cluster.client(0)?;
    let relay = Node::Relay(0);
    cluster.terminate(relay)?;
    fs::remove_dir_all(dir.path().join(relay.to_string()))?;
    let mut senders = Vec::new();
    for wallet in wallets {
        senders.push(sender(&client, wallet, &cluster).await?);
    }
    let mut last = senders.pop().ok_or_else(|| eyre!("no sender"))?;
    let begun = Instant::now();
    let (senders, waiting) = send(&client, senders, settings.backlog).await?;
    let sent = begun.elapsed();

    let before = Usage::now(&cluster)?;
    let begun = Instant::now();
    cluster.restart(relay)?;
    cluster.wait_ready(relay)?;
    let ready = begun.elapsed();
    let newest = message(&client, &mut last).await?;
    client.acknowledged(ShardId(0), newest).await?;
    let newest = begun.elapsed();
    let before_newest = acknowledged(&client, &senders).await?;
    let (mut seen, mut moved) = (before_newest, Instant::now());
    while seen < waiting {
        tokio::time::sleep(LOOK_PAUSE).await;
        let now = acknowledged(&client, &senders).await?;
        if now > seen {
            (seen, moved) = (now, Instant::now());
        }
        ensure!(moved.elapsed() < STUCK_AFTER, "{seen} of {waiting} messages were acknowledged, and then none");
    }
    let all = begun.elapsed();
    let cpu = (Usage::now(&cluster)? - before).network().cpu;
    cluster.stop()?;
    Ok(Backlog { waiting, sent, ready, newest, before_newest, all, cpu })
}

/// All senders at once, until there are `count` messages.
async fn send(client: &Client, senders: Vec<Sender>, count: u64) -> Result<(Vec<Sender>, u64)> {
    let each = count.div_ceil(MESSAGES_PER_TRANSACTION_COUNT * senders.len() as u64);
    let work = senders.into_iter().map(|mut sender| {
        let client = client.clone();
        tokio::spawn(async move {
            for _ in 0..each {
                client.succeed(&mut sender.wallet, &sender.call).await?;
            }
            Ok::<_, eyre::Report>(sender)
        })
    });
    let work: Vec<_> = work.collect();
    let mut senders = Vec::new();
    for sender in work {
        senders.push(sender.await??);
    }
    let waiting = each * MESSAGES_PER_TRANSACTION_COUNT * senders.len() as u64;
    Ok((senders, waiting))
}

/// Sends once more; the id of the first message of it.
async fn message(client: &Client, sender: &mut Sender) -> Result<MessageId> {
    let settled = client.succeed(&mut sender.wallet, &sender.call).await?;
    let dispatch = keccak256("Dispatch(bytes32,bytes,uint64,uint64,uint256)");
    let mut logs = settled.first()?.logs.iter().filter(|log| log.topics.first() == Some(&dispatch));
    let id = logs.next().and_then(|log| log.topics.get(1)).ok_or_else(|| eyre!("no message was sent"))?;
    Ok(MessageId(*id))
}

/// How many messages of these senders have ended.
async fn acknowledged(client: &Client, senders: &[Sender]) -> Result<u64> {
    let mut sum = U256::ZERO;
    for sender in senders {
        sum += client.view(sender.ping, &Ping::deliveredCountCall {}).await?;
    }
    Ok(u64::try_from(sum)?)
}

/// What a network without work takes of the machine.
#[derive(Debug)]
pub(crate) struct Idle {
    /// How many routes there were.
    pub(crate) routes: u32,
    /// How long it was looked at.
    pub(crate) elapsed: Duration,
    /// With its relays.
    pub(crate) with: Cost,
    /// Without any.
    pub(crate) without: Cost,
}

/// Of shards and relays, while nothing is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Batches that were written.
    pub(crate) batches: f64,
    /// Bytes that reached the disk.
    pub(crate) disk_bytes: u64,
    /// CPU seconds.
    pub(crate) cpu: f64,
}

/// Four shards and two relays without a message, beside the same without relays.
pub(crate) async fn idle(settings: &Settings) -> Result<Idle> {
    let shards = 4;
    let with = idle_cost(shards, 2, settings).await?;
    let without = idle_cost(shards, 0, settings).await?;
    Ok(Idle { routes: shards * (shards - 1), elapsed: settings.duration, with, without })
}

async fn idle_cost(shards: u32, relays: u32, settings: &Settings) -> Result<Cost> {
    let dir = tempfile::tempdir()?;
    let plan = Plan { relays, coordinators: 0, program: program()?, ..Plan::development(shards)? };
    let cluster = Cluster::start(plan, dir.path())?;
    tokio::time::sleep(settings.warm).await;
    let (before, bytes) = (Usage::now(&cluster)?, disk_bytes(&cluster)?);
    tokio::time::sleep(settings.duration).await;
    let (usage, bytes) = (Usage::now(&cluster)? - before, disk_bytes(&cluster)? - bytes);
    cluster.stop()?;
    let network = usage.network();
    Ok(Cost { batches: network.syncs, disk_bytes: bytes, cpu: network.cpu })
}

/// What all nodes together have had written to disks.
fn disk_bytes(cluster: &Cluster) -> Result<u64> {
    let each = cluster.nodes().map(|(_, pid)| {
        let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse::<u64>().ok());
        written.ok_or_else(|| eyre!("process {pid} does not say what it wrote"))
    });
    each.sum()
}
