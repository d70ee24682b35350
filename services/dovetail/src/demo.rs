//! `dovetail demo`: the whole of dovetail on a fresh network of real processes, checked claim by claim.
//!
//! ```text
//! stage: 4 shards, a coordinator, 2 relays ── market ── blocks ── messages ── failures ── stop ── oracle
//!                                                every claim: what was seen, or why it does not hold ──> table, exit status
//! ```
//!
//! Promise: a row of the table says "holds" only if what it says was seen on the running network. Knows nothing of how.

mod blocks;
mod failures;
pub mod market;
mod messages;
mod orphans;
mod report;
mod stage;

use eyre::{Result, WrapErr};
use report::Report;
use stage::Stage;
use std::path::{Path, PathBuf};

/// Shows the whole of dovetail on a fresh network and checks the result against one plain EVM.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Keeps stores, keys and logs in this folder, which must be new or empty. Without it they go at the end.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// The folder that has `mainnet-blocks`. Without it: `../shared`, seen from here or from the folder above.
    #[arg(long, env = "DOVETAIL_DATA")]
    data: Option<PathBuf>,
}

/// Does it.
pub async fn run(arguments: Arguments) -> Result<()> {
    let temporary = tempfile::Builder::new().prefix("dovetail-demo-").tempdir()?;
    let dir = arguments.keep.as_deref().unwrap_or(temporary.path());
    refuse_a_used_folder(dir)?;
    let mut report = Report::new();
    report.section("A network of processes");
    let started = report.claim("4 shards, a coordinator and 2 relays run", async { Stage::start(dir) }).await;
    if let Some(mut stage) = started {
        market::show(&mut stage, &mut report).await;
        blocks::show(arguments.data.as_deref(), dir, &mut report).await;
        messages::show(&mut stage, &mut report).await;
        failures::show(&mut stage, &mut report).await;
        report.section("The oracle: one plain EVM");
        report.claim("every process drains on SIGTERM and ends well", async { stop(stage) }).await;
        let claim = "one EVM that runs slot after slot gives every state and outcome";
        if let Some(agreed) = report.claim(claim, async { compare(dir) }).await {
            report.claim("slots never decrease in its order", async { Ok((agreed.blocks.to_string(), ())) }).await;
        }
    }
    report.finish()
}

fn refuse_a_used_folder(dir: &Path) -> Result<()> {
    let used = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    eyre::ensure!(!used, "{} is not empty: the demo starts from nothing, so name a new folder", dir.display());
    Ok(())
}

fn stop(stage: Stage) -> Result<(String, ())> {
    stage.cluster.stop()?;
    Ok(("7 of 7".to_owned(), ()))
}

fn compare(dir: &Path) -> Result<(String, judge::Report)> {
    let network = host::network::Network::load(&dir.join("network.toml"))?;
    let agreed = judge::check(&network, &judge::stores(&network, dir)).wrap_err("the shards are not one chain")?;
    Ok((agreed.to_string(), agreed))
}
