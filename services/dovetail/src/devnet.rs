//! `dovetail devnet`: a network of real processes on loopback that stays up until it is stopped.

mod fork;
mod progress;

use alloy_primitives::Address;
use cluster::{Cluster, Node, Plan};
use evm::{NetworkParams, mailbox_address};
use eyre::{Result, WrapErr, ensure, eyre};
use fixtures::usual;
use fixtures::wallet::{ACCOUNTS_COUNT, Wallet};
use fork::{Fork, ForkArguments};
use host::network::{EnvironmentSource, Forked, Genesis, Network};
use primitives::ShardId;
use progress::Line;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the children are looked after.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// The chain id: of its own, for tools take anvil's and hardhat's 31337 for a chain that has those two's methods.
const CHAIN_ID: u64 = 0xd07e;

/// How many shards a network has where nothing is said.
const SHARDS_COUNT: u32 = 4;

/// What a chain with cheats says of itself.
const CHEATS_WARNING: &str = "WITH CHEATS: whoever reaches JSON-RPC moves time, sets balances, code and storage, sends from any account\n\
                              and takes the chain back to a snapshot. For tests, and for nothing else.";

/// Most funded accounts.
const ACCOUNTS_COUNT_MAX: u32 = 1_000;

/// Starts a network of real processes on loopback, prints its endpoints, and keeps it up until it is stopped.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Arguments {
    /// How many shards. Without it, as many as the network in `--dir` has, or 4.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(evm::SHARDS_COUNT_MAX)))]
    shards: Option<u32>,
    /// How many relays.
    #[arg(long, default_value_t = 2)]
    relays: u32,
    /// How many coordinators.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    coordinators: u32,
    /// Length of a slot, which is a block to wallets, in milliseconds. Without it, that which the network in `--dir` has, or 250.
    #[arg(long)]
    slot_ms: Option<u64>,
    /// Keeps stores, keys and logs in this folder. Without it they are in a folder that goes when the network is stopped.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The port of Ethereum JSON-RPC. Without it, that which the network in `--dir` had, or a free one.
    #[arg(long)]
    port: Option<u16>,
    /// The address that Ethereum JSON-RPC listens on. Without it, that which the network in `--dir` had, or loopback.
    #[arg(long)]
    host: Option<IpAddr>,
    /// The EIP-155 chain id. Without it, that which the network in `--dir` has, or 53374.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    chain_id: Option<u64>,
    /// How many funded accounts. Without it, as many as the network in `--dir` has, or 10.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(ACCOUNTS_COUNT_MAX)))]
    accounts: Option<u32>,
    /// Leaves out the contracts that tools expect at the same address of every chain, such as Multicall3. A network in `--dir` that
    /// began without them has none either way, and a forked network has those of the other chain.
    #[arg(long)]
    no_usual_contracts: bool,
    #[command(flatten)]
    fork: ForkArguments,
    /// Takes transactions that are bound to no chain (before EIP-155): whoever saw one on another chain may send it here. A network that
    /// began with it goes on with it, and no other ever takes them.
    #[arg(long)]
    allow_unprotected_txs: bool,
    /// Lets whoever reaches JSON-RPC move time, set state, send from any account and go back to snapshots: the `anvil_*`, `hardhat_*`
    /// and `evm_*` methods of test suites. A network that began with it goes on with it, and no other ever has it.
    #[arg(long)]
    cheats: bool,
    /// Prints the endpoints as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Where everything is.
#[derive(Debug, Serialize)]
struct Endpoints {
    chain_id: u64,
    cheats: bool,
    rpc: String,
    /// Of every coordinator, the first one's first.
    rpcs: Vec<String>,
    explorer: String,
    coordinator_grpc: String,
    network_file: PathBuf,
    accounts: Vec<Account>,
    shards: Vec<Shard>,
    relays: Vec<String>,
    mailboxes: Vec<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forked: Option<ForkedFrom>,
}

#[derive(Debug, Serialize)]
struct ForkedFrom {
    endpoint: String,
    #[serde(flatten)]
    block: Forked,
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

/// What a network begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    shards: u32,
    accounts: u32,
    has_usual_contracts: bool,
    has_cheats: bool,
    takes_unprotected: bool,
}

impl Shape {
    /// As it is asked for, where it is, else as the network in the folder began, if there is one.
    fn of(arguments: &Arguments, began: Option<Self>) -> Self {
        let began = began.unwrap_or(Self {
            shards: SHARDS_COUNT,
            accounts: ACCOUNTS_COUNT,
            has_usual_contracts: true,
            has_cheats: false,
            takes_unprotected: false,
        });
        Self {
            shards: arguments.shards.unwrap_or(began.shards),
            accounts: arguments.accounts.unwrap_or(began.accounts),
            has_usual_contracts: began.has_usual_contracts && !arguments.no_usual_contracts,
            has_cheats: began.has_cheats || arguments.cheats,
            takes_unprotected: began.takes_unprotected || arguments.allow_unprotected_txs,
        }
    }

    /// As a network of `shards` with this genesis began.
    fn began(network: u64, shards: u32, genesis: &Genesis) -> Result<Self> {
        let has = |address| genesis.accounts.contains_key(&address);
        let mut accounts = 0;
        while accounts < ACCOUNTS_COUNT_MAX && has(Wallet::development(network, accounts)?.address()) {
            accounts += 1;
        }
        // One of them is enough: a network that began before another was among them goes on without that one.
        let has_usual_contracts = usual::accounts()?.into_iter().any(|(address, _)| has(address));
        Ok(Self { shards, accounts, has_usual_contracts, has_cheats: false, takes_unprotected: false })
    }

    /// As this network began.
    fn of_network(network: &Network) -> Result<Self> {
        let (params, shards) = (&network.params, network.endpoints.len() as u32);
        let began = Self::began(params.network.0, shards, &network.genesis)?;
        let NetworkParams { environments, takes_unprotected, .. } = network.params;
        Ok(Self { has_cheats: environments.has_cheats(), takes_unprotected, ..began })
    }
}

/// Does it.
pub async fn run(arguments: Arguments) -> Result<()> {
    // Before anything is started, so that a signal meanwhile stops it all in order too.
    let stop = host::shutdown::on_signal()?;
    let temporary = tempfile::Builder::new().prefix("dovetail-devnet-").tempdir()?;
    let dir = arguments.dir.as_deref().unwrap_or(temporary.path());
    let kept = Cluster::kept_network(dir)?;
    let began = kept.as_ref().map(Shape::of_network);
    let shape = Shape::of(&arguments, began.transpose()?);
    let mut line = Line::new();
    let fork = arguments.fork.fork(dir, kept.as_ref(), &mut line).await?;
    let plan = plan(&arguments, shape, (kept, fork.as_ref()), dir)?;
    let mut cluster = Cluster::start_watched(plan, dir, |progress| line.show(progress))?;
    drop(line);
    let endpoints = endpoints(&cluster, &arguments, shape, fork.as_ref())?;
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

fn plan(
    arguments: &Arguments,
    shape: Shape,
    (kept, fork): (Option<Network>, Option<&Fork>),
    dir: &Path,
) -> Result<Plan> {
    ensure!(
        !shape.has_cheats || arguments.coordinators == 1,
        "with --cheats there is one coordinator: another would not know what time it is for contracts"
    );
    let before = kept.as_ref().map(|network| &network.params);
    let development = Plan::new(shape.shards)?;
    let plan = Plan {
        network: arguments.chain_id.or(before.map(|params| params.network.0)).unwrap_or(CHAIN_ID),
        relays: arguments.relays,
        coordinators: arguments.coordinators,
        slot_ms: arguments.slot_ms.or(before.map(|params| params.slot_length.0)).unwrap_or(development.slot_ms),
        genesis_ms: before.map(|params| params.genesis.0),
        fork_url: fork.map(|fork| fork.url.clone()),
        rpc: Some(rpc_address(arguments, Cluster::kept_rpc(dir)?)),
        ..development
    };
    let plan = plan.with_accounts(shape.accounts)?;
    let mut plan = Plan { takes_unprotected: shape.takes_unprotected, ..plan };
    if shape.has_usual_contracts && fork.is_none() {
        let began_with =
            |address: &Address| kept.as_ref().is_none_or(|kept| kept.genesis.accounts.contains_key(address));
        plan.genesis.accounts.extend(usual::accounts()?.into_iter().filter(|(address, _)| began_with(address)));
    }
    plan.genesis.forked = fork.map(|fork| fork.forked);
    let plan = if shape.has_cheats { plan.with_cheats() } else { plan };
    ensure!(
        kept.is_none_or(|network| is_of(&network, &plan)),
        "the network in {} began otherwise: leave out --shards, --slot-ms, --chain-id, --accounts, --no-usual-contracts, \
         --allow-unprotected-txs and --cheats, then they are as it began, or give another --dir",
        dir.display()
    );
    Ok(plan)
}

/// Whether `network` began as `plan` would have it begin.
fn is_of(network: &Network, plan: &Plan) -> bool {
    network.params.network.0 == plan.network
        && network.params.slot_length.0 == plan.slot_ms
        && network.endpoints.len() == plan.shards as usize
        && network.genesis == plan.genesis
        && network.params.environments.has_cheats() == (plan.environments == EnvironmentSource::Cheats)
        && network.params.takes_unprotected == plan.takes_unprotected
}

/// Where JSON-RPC is asked for, or else where it was `before`, so that a wallet keeps its URL.
fn rpc_address(arguments: &Arguments, before: Option<SocketAddr>) -> SocketAddr {
    let host = arguments.host.or(before.map(|address| address.ip())).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let port = arguments.port.or(before.map(|address| address.port())).unwrap_or_default();
    SocketAddr::new(host, port)
}

fn endpoints(cluster: &Cluster, arguments: &Arguments, shape: Shape, fork: Option<&Fork>) -> Result<Endpoints> {
    let network = cluster.network().params.network.0;
    let account = |number| -> Result<Account> {
        let wallet = Wallet::development(network, number)?;
        Ok(Account { address: wallet.address(), private_key: wallet.secret_key() })
    };
    let shard = |shard| Shard { shard, grpc: cluster.endpoint(Node::Executor(shard)) };
    Ok(Endpoints {
        chain_id: network,
        cheats: shape.has_cheats,
        rpc: cluster.rpc(0),
        rpcs: (0..arguments.coordinators).map(|coordinator| cluster.rpc(coordinator)).collect(),
        explorer: format!("{}/explorer/", cluster.rpc(0)),
        coordinator_grpc: cluster.endpoint(Node::Coordinator(0)),
        network_file: cluster.network_path(),
        accounts: (0..shape.accounts).map(account).collect::<Result<_>>()?,
        shards: (0..shape.shards).map(shard).collect(),
        relays: (0..arguments.relays).map(|relay| cluster.endpoint(Node::Relay(relay))).collect(),
        forked: fork.map(|fork| ForkedFrom { endpoint: fork.name(), block: fork.forked }),
        mailboxes: (0..shape.shards).map(|shard| mailbox_address(ShardId(shard))).collect(),
    })
}

fn print(endpoints: &Endpoints) {
    print_accounts(&endpoints.accounts);
    host::say!("Chain Id\n==================\n{}\n", endpoints.chain_id);
    if let Some(ForkedFrom { endpoint, block }) = &endpoints.forked {
        host::say!("Fork\n==================\nEndpoint:       {endpoint}\nBlock number:   {}", block.block);
        host::say!("Block hash:     {}\nChain ID:       {}\n", block.hash, block.chain_id);
    }
    if endpoints.cheats {
        host::say!("{CHEATS_WARNING}\n");
    }
    for rpc in &endpoints.rpcs {
        host::say!("Ethereum JSON-RPC   {rpc}");
    }
    host::say!("explorer            {}", endpoints.explorer);
    host::say!("coordinator gRPC    {}", endpoints.coordinator_grpc);
    for Shard { shard, grpc } in &endpoints.shards {
        host::say!("shard {shard} gRPC        {grpc}   mailbox {}", endpoints.mailboxes[*shard as usize]);
    }
    for (number, grpc) in endpoints.relays.iter().enumerate() {
        host::say!("relay {number} gRPC        {grpc}");
    }
    host::say!("network file        {}", endpoints.network_file.display());
    host::say!("Ctrl-C stops the network.");
}

/// As anvil and hardhat show them.
fn print_accounts(accounts: &[Account]) {
    host::say!("Available Accounts\n==================");
    for (number, Account { address, .. }) in accounts.iter().enumerate() {
        host::say!("({number}) {address} (1000000 ETH)");
    }
    host::say!("\nPrivate Keys, which are public knowledge: for development only\n==================");
    for (number, Account { private_key, .. }) in accounts.iter().enumerate() {
        host::say!("({number}) {private_key}");
    }
    host::say!("");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn address(line: &[&str], before: Option<&str>) -> String {
        let line = Line::try_parse_from([&["devnet"], line].concat()).unwrap();
        rpc_address(&line.arguments, before.map(|address| address.parse().unwrap())).to_string()
    }

    #[test]
    fn a_folder_keeps_its_shape_unless_another_is_asked_for() {
        let shape = |line: &[&str], began| {
            Shape::of(&Line::try_parse_from([&["devnet"], line].concat()).unwrap().arguments, began)
        };
        let usual =
            Shape { shards: 4, accounts: 10, has_usual_contracts: true, has_cheats: false, takes_unprotected: false };
        assert_eq!(shape(&[], None), usual);
        let plan = Plan::new(3).unwrap().with_accounts(12).unwrap();
        let began = Shape::began(plan.network, 3, &plan.genesis).unwrap();
        assert_eq!(began, Shape { shards: 3, accounts: 12, has_usual_contracts: false, ..usual });
        assert_eq!(shape(&[], Some(began)), began);
        assert_eq!(
            shape(&["--shards", "2", "--accounts", "5"], Some(began)),
            Shape { shards: 2, accounts: 5, ..began }
        );
        let plan = plan.with_usual_contracts().unwrap();
        assert!(Shape::began(plan.network, 3, &plan.genesis).unwrap().has_usual_contracts);
        assert!(!shape(&["--no-usual-contracts"], Some(usual)).has_usual_contracts);
        let unprotected = Shape { takes_unprotected: true, ..usual };
        assert_eq!(shape(&["--allow-unprotected-txs"], None), unprotected);
        assert_eq!(shape(&[], Some(unprotected)), unprotected);
    }

    #[test]
    fn a_network_that_began_before_a_contract_was_usual_goes_on_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let begin = |left_out: Option<Address>| {
            let mut plan = Plan::development(2).unwrap().with_usual_contracts().unwrap();
            plan.genesis.accounts.retain(|address, _| Some(*address) != left_out);
            let cluster = Cluster::lay_out(plan, dir.path()).unwrap();
            cluster.network().clone()
        };
        let arguments = Line::try_parse_from(["devnet", "--chain-id", "31337"]).unwrap().arguments;
        for left_out in [None, Some(evm::HISTORY_ADDRESS)] {
            let network = begin(left_out);
            let shape = Shape::of(&arguments, Some(Shape::of_network(&network).unwrap()));
            let plan = plan(&arguments, shape, (Some(network.clone()), None), dir.path()).unwrap();
            assert_eq!(plan.genesis.accounts.contains_key(&evm::HISTORY_ADDRESS), left_out.is_none());
            assert_eq!(plan.genesis, network.genesis);
        }
    }

    #[test]
    fn a_folder_keeps_its_url_unless_another_is_asked_for() {
        let before = Some("127.0.0.1:40123");
        assert_eq!(address(&[], None), "127.0.0.1:0");
        assert_eq!(address(&[], before), "127.0.0.1:40123");
        assert_eq!(address(&["--port", "8545"], before), "127.0.0.1:8545");
        assert_eq!(address(&["--host", "0.0.0.0"], before), "0.0.0.0:40123");
        assert_eq!(address(&["--host", "::1", "--port", "8545"], None), "[::1]:8545");
    }
}
