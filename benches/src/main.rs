//! In-process and real-process benches, each with its baseline in the same run.
//!
//! ```text
//! floor::…       what the machine can do at all: plain revm, one signature check, one synced batch
//! commit::…      ERC-20 transfers through one shard, and atomic commits over two and four
//! message::…     messages from dispatch to acknowledgement, with receipts
//! ```
//!
//! Real processes, real RocksDB, sync always on, tonic over loopback TCP. A transaction counts once, when its decision is
//! known to its client with the votes that prove it. Absolute figures are this machine's; compare the ratios.

#![allow(clippy::cast_precision_loss, reason = "counts of seconds' work: far below 2^52")]

mod floors;
mod load;
mod messages;
mod network;
mod report;

use eyre::Result;
use report::Report;
use std::time::Duration;

/// How long each load runs, after a warm-up of a fifth of it. `DOVETAIL_BENCH_SECONDS` overrides it.
const SECONDS: u64 = 10;

/// Users at work at once, each with one transaction under way. `DOVETAIL_BENCH_USERS` overrides it.
const USERS_COUNT: u32 = 128;

#[tokio::main]
async fn main() -> Result<()> {
    let duration = Duration::from_secs(setting("DOVETAIL_BENCH_SECONDS")?.unwrap_or(SECONDS));
    let users = u32::try_from(setting("DOVETAIL_BENCH_USERS")?.unwrap_or(u64::from(USERS_COUNT)))?;
    let mut report = Report::begin();
    let plain = floors::plain_erc20(duration)?;
    report.rate("floor::revm/erc20 one thread, no signatures", plain, plain);
    report.rate("floor::verify_strict/ed25519 one thread", floors::signature_checks(duration)?, plain);
    report.rate("floor::sync/one RocksDB batch at a time", floors::synced_batches(duration)?, plain);
    for workload in network::WORKLOADS {
        let load = network::run(workload, users, duration).await?;
        report.load(&load, plain);
    }
    report.load(&messages::run(duration).await?, plain);
    report.end();
    Ok(())
}

fn setting(name: &str) -> Result<Option<u64>> {
    Ok(std::env::var(name).ok().map(|text| text.parse()).transpose()?)
}
