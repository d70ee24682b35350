//! In-process and real-process benches, each with its baseline in the same run.
//!
//! ```text
//! floor::…       what the machine can do at all: plain revm, signatures, recoveries, checks, hashes, syncs, synced batches
//! commit::…      payments and ERC-20 transfers through one shard and atomically over two, each beside the same with one payee for
//!                all (a hot key), and calls over four; and how long one takes at a quarter of the peak rate, in an open loop
//! message::…     messages from dispatch to acknowledgement, with receipts; a backlog that a relay finds; routes on which nothing is sent
//! inside::…      the machines alone, in this process: 2 to 64 shards, blocks of Ethereum over four beside plain revm, messages, and
//!                receipts from an outbox to an inbox
//! reads::…       receipts, logs and calls by JSON-RPC over a history, beside anvil's
//! baseline::…    the same atomic transfer over two servers of `PostgreSQL`, and messages by NATS JetStream, where they are installed
//! ```
//! sweep FOLDER   by that name alone: how all this changes with users, shards and skew, as a table and plots
//! soak           by that name alone: what is on the disks of shards that forget, over a million transactions
//!
//! Real processes, real RocksDB, sync always on, tonic over loopback TCP. A transaction counts once, when its decision is
//! known to its client with the votes that prove it. Each row is measured after a warm-up, in windows, so that a rate that falls
//! is seen. Absolute figures are this machine's; compare the ratios.

#![allow(clippy::cast_precision_loss, reason = "counts of seconds' work: far below 2^52")]

mod backlog;
mod disk;
mod draw;
mod exchange;
mod floors;
mod inbox;
mod inside;
mod load;
mod messages;
mod meter;
mod nats;
mod network;
mod open;
mod plot;
mod postgres;
mod reads;
mod report;
mod settings;
mod soak;
mod sweep;

use eyre::Result;
use report::Report;
use settings::Settings;
use std::time::Duration;

/// How long each floor is measured.
const FLOOR_DURATION: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::read()?;
    if let Some(folder) = settings.sweep() {
        return sweep::run(folder, &settings).await;
    }
    if settings.is_soak() {
        return soak::run(&settings).await;
    }
    let mut report = Report::begin();
    let plain = floors::plain_erc20(FLOOR_DURATION)?;
    report.rate("floor::revm/erc20 one thread, no signatures", plain, plain);
    if settings.has("floor::") {
        report.rate("floor::verify_strict/ed25519 one thread", floors::signature_checks(FLOOR_DURATION)?, plain);
        report.rate("floor::sign/secp256k1 one thread", floors::signatures(FLOOR_DURATION)?, plain);
        report.rate("floor::recover/secp256k1 one thread", floors::recoveries(FLOOR_DURATION)?, plain);
        report.rate("floor::hash/blake3 64 bytes, one thread", floors::hashes(FLOOR_DURATION)?, plain);
        report.rate("floor::sync/fdatasync of 4 KiB, one at a time", floors::syncs(FLOOR_DURATION)?, plain);
        report.rate("floor::sync/one RocksDB batch at a time", floors::synced_batches(FLOOR_DURATION)?, plain);
        report.rate("floor::traces/work that nobody traces", floors::untraced(FLOOR_DURATION)?, plain);
        report.rate("floor::traces/work below one span, told", floors::traced(FLOOR_DURATION)?, plain);
    }
    let mut peak = settings.peak;
    for workload in network::WORKLOADS {
        if settings.has(workload.name) {
            let load = network::run(workload, &settings).await?;
            report.load(&load, plain);
            if workload.name == network::LATENCY_OF.name {
                peak = peak.or(Some(load.per_second()));
            }
        }
    }
    if settings.has(network::LATENCY_NAME) {
        let peak = match peak {
            Some(peak) => peak,
            None => network::run(network::LATENCY_OF, &settings).await?.per_second(),
        };
        report.load(&network::latency(peak, &settings).await?, plain);
    }
    for workload in network::RINGS {
        if settings.has(workload.name) {
            report.load(&network::run(workload, &settings).await?, plain);
        }
    }
    if settings.has(messages::NAME) {
        report.load(&messages::run(&settings).await?, plain);
    }
    if settings.has(backlog::NAME) {
        report.backlog(&backlog::run(&settings).await?, nats::backlog(settings.backlog).await?);
    }
    if settings.has(backlog::IDLE_NAME) {
        report.idle(&backlog::idle(&settings).await?);
    }
    if settings.has(nats::NAME) {
        match nats::run(&settings).await? {
            Ok(load) => report.load(&load, plain),
            Err(reason) => report.skipped(nats::NAME, &reason),
        }
    }
    if settings.has(postgres::NAME) {
        match postgres::run(&settings)? {
            Ok(load) => report.load(&load, plain),
            Err(reason) => report.skipped(postgres::NAME, &reason),
        }
    }
    if settings.has(inside::RING_NAME) {
        let mut costs = Vec::new();
        for shards in inside::RING_SHARDS {
            costs.push((shards, inside::ring(shards)?));
        }
        report.costs(inside::RING_NAME, &costs);
    }
    if settings.has(inside::MAINNET_NAME) {
        match inside::mainnet()? {
            Ok(mainnet) => report.mainnet(&mainnet),
            Err(reason) => report.skipped(inside::MAINNET_NAME, &reason),
        }
    }
    if settings.has(exchange::NAME) {
        report.exchange(exchange::NAME, &exchange::run()?);
    }
    if settings.has(inbox::NAME) {
        report.inbox(&inbox::run()?, plain);
    }
    if settings.has(reads::NAME) {
        for history in &settings.histories {
            report.reads(&reads::run(&settings, *history).await?);
        }
    }
    report.end(settings.report.as_deref())
}
