//! `dovetail backup` and `dovetail restore`: copies of nodes' stores.

use crate::credentials::Credentials;
use crate::identity;
use eyre::{Result, WrapErr};
use host::network::Network;
use std::path::PathBuf;
use wire::node::NodeClient;

/// Has a running node copy its store.
#[derive(Debug, clap::Args)]
pub struct BackupArguments {
    /// The node's gRPC endpoint.
    endpoint: String,
    /// The copy's name: a folder in `backups` in the node's data.
    #[arg(long)]
    name: String,
    /// The network file.
    #[arg(long)]
    network: PathBuf,
    #[command(flatten)]
    credentials: Credentials,
}

/// Puts a copy of a shard's store back, unless somebody has seen more of the shard.
#[derive(Debug, clap::Args)]
pub struct RestoreArguments {
    /// The copy's folder.
    backup: PathBuf,
    /// The shard node's settings file, as it is started with; its `data` may not have a store.
    #[arg(long, env = "DOVETAIL_CONFIG")]
    config: PathBuf,
}

/// Makes a copy.
pub async fn back_up(arguments: BackupArguments) -> Result<()> {
    let network = Network::load(&arguments.network)?;
    let security = arguments.credentials.open(&network)?;
    let connection = security.connect(&arguments.endpoint)?;
    let no_copy = || format!("{} made no copy", arguments.endpoint);
    identity::check_node(&network, &connection).await.wrap_err_with(no_copy)?;
    let copy = NodeClient::new(connection).back_up(arguments.name).await.wrap_err_with(no_copy)?;
    host::say!("{}: {} batches, {} bytes", copy.path, copy.batches, copy.bytes);
    Ok(())
}

/// Puts one back.
pub async fn restore(arguments: RestoreArguments) -> Result<()> {
    let restored = executor_service::restore(&arguments.config, &arguments.backup).await;
    let restored = restored.wrap_err_with(|| format!("{} was not put back", arguments.backup.display()))?;
    for (shard, reason) in &restored.silent {
        host::say!("shard {shard} did not say what it has seen of this one ({reason}): the start asks it again");
    }
    host::say!(
        "{} of block {} was put back; start the node: it asks all others once more before it signs",
        restored.manifest.identity,
        restored.manifest.count
    );
    Ok(())
}
