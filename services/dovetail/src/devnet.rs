//! `dovetail devnet`: a network of real processes on loopback that stays up until it is stopped.

use alloy_primitives::Address;
use cluster::{Cluster, Node, Plan};
use evm::mailbox_address;
use eyre::{Result, WrapErr, eyre};
use fixtures::wallet::{ACCOUNTS_COUNT, Wallet};
use primitives::ShardId;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// How often the children are looked after.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Starts a network of real processes on loopback, prints its endpoints, and keeps it up until it is stopped.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many shards.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=i64::from(evm::SHARDS_COUNT_MAX)))]
    shards: u32,
    /// How many relays.
    #[arg(long, default_value_t = 2)]
    relays: u32,
    /// How many coordinators.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    coordinators: u32,
    /// Length of a slot, which is a block to wallets, in milliseconds.
    #[arg(long, default_value_t = 250)]
    slot_ms: u64,
    /// Keeps stores, keys and logs in this folder. Without it they are in a folder that goes when the network is stopped.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Leaves out the contracts that tools expect at the same address of every chain, such as Multicall3.
    #[arg(long)]
    no_usual_contracts: bool,
    /// Prints the endpoints as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Where everything is.
#[derive(Debug, Serialize)]
struct Endpoints {
    rpc: String,
    coordinator_grpc: String,
    network_file: PathBuf,
    accounts: Vec<Account>,
    shards: Vec<Shard>,
    relays: Vec<String>,
    mailboxes: Vec<Address>,
}

#[derive(Debug, Serialize)]
struct Account {
    address: Address,
    private_key: String,
}

#[derive(Debug, Serialize)]
struct Shard {
    shard: u32,
    grpc: String,
}

/// Does it.
pub async fn run(arguments: Arguments) -> Result<()> {
    // Before anything is started, so that a signal meanwhile stops it all in order too.
    let stop = host::shutdown::on_signal()?;
    let temporary = tempfile::Builder::new().prefix("dovetail-devnet-").tempdir()?;
    let dir = arguments.dir.as_deref().unwrap_or(temporary.path());
    let mut cluster = Cluster::start(plan(&arguments)?, dir)?;
    let endpoints = endpoints(&cluster, &arguments)?;
    if arguments.json {
        host::say!("{}", serde_json::to_string(&endpoints)?);
    } else {
        print(&endpoints);
    }
    let casualty = loop {
        tokio::select! {
            () = stop.cancelled() => break None,
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
        if let Some((node, status)) = cluster.casualty() {
            break Some(eyre!("{node} ended with {status}; its log ends with:\n{}", cluster.log_tail(node)));
        }
    };
    let stopped = cluster.stop().wrap_err("the network did not stop in order");
    casualty.map_or(stopped, Err)
}

fn plan(arguments: &Arguments) -> Result<Plan> {
    let plan = Plan {
        relays: arguments.relays,
        coordinators: arguments.coordinators,
        slot_ms: arguments.slot_ms,
        ..Plan::development(arguments.shards)?
    };
    if arguments.no_usual_contracts { Ok(plan) } else { plan.with_usual_contracts() }
}

fn endpoints(cluster: &Cluster, arguments: &Arguments) -> Result<Endpoints> {
    let network = cluster.network().params.network.0;
    let account = |number| -> Result<Account> {
        let wallet = Wallet::development(network, number)?;
        Ok(Account { address: wallet.address(), private_key: wallet.secret_key() })
    };
    let shard = |shard| Shard { shard, grpc: cluster.endpoint(Node::Executor(shard)) };
    Ok(Endpoints {
        rpc: cluster.rpc(0),
        coordinator_grpc: cluster.endpoint(Node::Coordinator(0)),
        network_file: cluster.network_path(),
        accounts: (0..ACCOUNTS_COUNT).map(account).collect::<Result<_>>()?,
        shards: (0..arguments.shards).map(shard).collect(),
        relays: (0..arguments.relays).map(|relay| cluster.endpoint(Node::Relay(relay))).collect(),
        mailboxes: (0..arguments.shards).map(|shard| mailbox_address(ShardId(shard))).collect(),
    })
}

fn print(endpoints: &Endpoints) {
    host::say!("Ethereum JSON-RPC   {}", endpoints.rpc);
    host::say!("coordinator gRPC    {}", endpoints.coordinator_grpc);
    for Shard { shard, grpc } in &endpoints.shards {
        host::say!("shard {shard} gRPC        {grpc}   mailbox {}", endpoints.mailboxes[*shard as usize]);
    }
    for (number, grpc) in endpoints.relays.iter().enumerate() {
        host::say!("relay {number} gRPC        {grpc}");
    }
    host::say!("network file        {}", endpoints.network_file.display());
    host::say!("accounts, a million ether each (keys are public knowledge: for development only)");
    for Account { address, private_key } in &endpoints.accounts {
        host::say!("  {address}   {private_key}");
    }
    host::say!("Ctrl-C stops the network.");
}
