//! `dovetail config`: whether a node would start on its files, without starting it.

use eyre::{Result, WrapErr};
use host::network::Network;
use std::path::{Path, PathBuf};

/// Looks at a node's files.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Reads everything that a start would, before its store: the settings with the environment over them, the network file with
    /// its genesis, the key. Opens no store and no port. Ends non-zero at the first that is wrong, and names it.
    Check {
        /// What the files are for.
        #[arg(value_enum)]
        kind: Kind,
        /// The settings files, or network files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// What a file is for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Kind {
    /// The description of a network.
    Network,
    /// A shard node.
    Executor,
    /// A coordinator.
    Coordinator,
    /// A relay.
    Relay,
}

/// Does it.
pub fn run(command: &Command) -> Result<()> {
    let Command::Check { kind, files } = command;
    for file in files {
        check(*kind, file).wrap_err_with(|| format!("{} is not well", file.display()))?;
        host::say!("{} is well", file.display());
    }
    Ok(())
}

fn check(kind: Kind, file: &Path) -> Result<()> {
    match kind {
        Kind::Network => drop(Network::load(file)?),
        Kind::Executor => executor_service::check(file)?,
        Kind::Coordinator => coordinator_service::check(file)?,
        Kind::Relay => relay_service::check(file)?,
    }
    Ok(())
}
