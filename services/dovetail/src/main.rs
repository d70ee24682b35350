//! The command line: devnet, demo, replay, trace, verify, and the services themselves.

use clap::{Parser, Subcommand};
use dovetail::{
    backup, bridge, config, conformance, demo, demo_bridge, devnet, evidence, keys, lint, network, receipt, replay,
    roles, status, trace,
};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Many EVM shards that behave as one chain.
#[derive(Debug, Parser)]
#[command(name = "dovetail", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a shard node.
    Executor(Config),
    /// Runs a coordinator node.
    Coordinator(Config),
    /// Runs a relay node.
    Relay(Config),
    /// Runs an attestor of a route to a foreign chain.
    Attestor(Config),
    /// Runs a carrier of a route to a foreign chain.
    Carrier(Config),
    /// Starts a network of real processes on loopback, prints its endpoints, and keeps it up until it is stopped.
    Devnet(devnet::Arguments),
    /// Shows the whole of dovetail on a fresh network and checks the result against one plain EVM.
    Demo(demo::Arguments),
    /// Asks a carrier how its route stands, and tells it what to do.
    Bridge(bridge::Arguments),
    /// Locks a token on an anvil, mints its twin on a shard, uses it, returns it, and compares both ledgers.
    DemoBridge,
    /// Runs real Ethereum blocks through coordinator and shards and compares them with their headers.
    Replay(replay::Arguments),
    /// Runs Ethereum state tests over many shards and compares with the files and with one plain EVM.
    Conformance(conformance::Arguments),
    /// Tells the life of a message, with times.
    Trace(trace::Arguments),
    /// Exports Merkle receipts and checks them offline.
    #[command(subcommand)]
    Receipt(receipt::Command),
    /// Lists and checks, offline, evidence that a shard certified two blocks of one height.
    Evidence(evidence::Arguments),
    /// Names every unsafe setting of attestors and carriers; fails if there is one.
    Lint(lint::Arguments),
    /// Makes and shows validators' keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Makes the files of a new network.
    #[command(subcommand)]
    Network(network::Command),
    /// Has a running node copy its store.
    Backup(backup::BackupArguments),
    /// Puts a copy of a shard's store back, unless somebody has seen more of the shard.
    Restore(backup::RestoreArguments),
    /// Shows how a network is, on one screen; ends non-zero if something is wrong.
    Status(status::Arguments),
    /// Prints who may call what.
    Roles,
    /// Looks at a node's files without starting it.
    #[command(subcommand)]
    Config(config::Command),
}

/// What a service is started with.
#[derive(Debug, clap::Args)]
struct Config {
    /// The service's TOML file; docs/configuration.md documents every field.
    #[arg(long, env = "DOVETAIL_CONFIG")]
    config: PathBuf,
}

/// How long the end of the process waits for threads that still work for nobody.
const STRAGGLERS_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&eyre::Report::new(error)),
    };
    let ended = runtime.block_on(run(arguments.command));
    // A thread that does not come back from what it was given must not keep the process.
    runtime.shutdown_timeout(STRAGGLERS_TIMEOUT);
    match ended.and_then(|()| Ok(host::output::check()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> eyre::Result<()> {
    match command {
        Command::Executor(config) => Ok(executor_service::run(&config.config).await?),
        Command::Coordinator(config) => Ok(coordinator_service::run(&config.config).await?),
        Command::Relay(config) => Ok(relay_service::run(&config.config).await?),
        Command::Attestor(config) => Ok(bridge_service::run_attestor(&config.config).await?),
        Command::Carrier(config) => Ok(Box::pin(bridge_service::run_carrier(&config.config)).await?),
        Command::Devnet(arguments) => devnet::run(arguments).await,
        Command::Demo(arguments) => Box::pin(demo::run(arguments)).await,
        Command::Bridge(arguments) => bridge::run(arguments).await,
        Command::DemoBridge => Box::pin(demo_bridge::run()).await,
        Command::Replay(arguments) => replay::run(arguments).await,
        Command::Conformance(arguments) => conformance::run(arguments).await,
        Command::Trace(arguments) => trace::run(arguments).await,
        Command::Receipt(command) => receipt::run(command).await,
        Command::Evidence(arguments) => evidence::run(&arguments),
        Command::Keys(command) => keys::run(&command),
        Command::Network(command) => network::run(&command),
        Command::Backup(arguments) => backup::back_up(arguments).await,
        Command::Restore(arguments) => Box::pin(backup::restore(arguments)).await,
        Command::Status(arguments) => Box::pin(status::run(arguments)).await,
        Command::Roles => {
            roles::run();
            Ok(())
        }
        Command::Config(command) => config::run(&command),
        Command::Lint(arguments) => lint::run(&arguments),
    }
}

fn fail(error: &eyre::Report) -> ExitCode {
    host::output::warn(format_args!("dovetail: {error}\n"));
    for cause in error.chain().skip(1) {
        host::output::warn(format_args!("  because: {cause}\n"));
    }
    ExitCode::FAILURE
}
