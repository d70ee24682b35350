//! In-process and real-process benches, each with its baseline in the same run.
//!
//! ```text
//! floor::…       what the machine can do at all: plain revm, one signature check, one synced batch
//! commit::…      payments and ERC-20 transfers through one shard and atomically over two, each beside the same with one payee for
//!                all (a hot key), and calls over four
//! message::…     messages from dispatch to acknowledgement, with receipts
//! reads::…       receipts, logs and calls by JSON-RPC over a history, beside anvil's
//! baseline::…    the same atomic transfer over two servers of `PostgreSQL`, where they are installed
//! ```
//!
//! Real processes, real RocksDB, sync always on, tonic over loopback TCP. A transaction counts once, when its decision is
//! known to its client with the votes that prove it. Each row is measured after a warm-up, in windows, so that a rate that falls
//! is seen. Absolute figures are this machine's; compare the ratios.

#![allow(clippy::cast_precision_loss, reason = "counts of seconds' work: far below 2^52")]

mod floors;
mod load;
mod messages;
mod meter;
mod network;
mod postgres;
mod reads;
mod report;
mod settings;

use eyre::Result;
use report::Report;
use settings::Settings;
use std::time::Duration;

/// How long each floor is measured.
const FLOOR_DURATION: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::read()?;
    let mut report = Report::begin();
    let plain = floors::plain_erc20(FLOOR_DURATION)?;
    report.rate("floor::revm/erc20 one thread, no signatures", plain, plain);
    if settings.has("floor::") {
        report.rate("floor::verify_strict/ed25519 one thread", floors::signature_checks(FLOOR_DURATION)?, plain);
        report.rate("floor::sync/one RocksDB batch at a time", floors::synced_batches(FLOOR_DURATION)?, plain);
    }
    for workload in network::WORKLOADS {
        if settings.has(workload.name) {
            report.load(&network::run(workload, &settings).await?, plain);
        }
    }
    if settings.has(messages::NAME) {
        report.load(&messages::run(&settings).await?, plain);
    }
    if settings.has(postgres::NAME) {
        match postgres::run(&settings)? {
            Ok(load) => report.load(&load, plain),
            Err(reason) => report.skipped(postgres::NAME, &reason),
        }
    }
    if settings.has(reads::NAME) {
        for history in &settings.histories {
            report.reads(&reads::run(&settings, *history).await?);
        }
    }
    report.end();
    Ok(())
}
