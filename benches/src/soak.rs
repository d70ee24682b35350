//! Many transactions over two shards whose nodes keep seconds of what their blocks did: what is on the disks as it goes on.
//!
//! ```text
//!   a tenth of the transactions --> bytes of each shard's folder --> the next tenth ...   then stopped, compacted, by space
//! ```
//!
//! Runs by its name alone: a million take a quarter of an hour. Each transaction is a payment to somebody on the other shard.

use crate::disk::Disk;
use crate::network::{self, WORKLOADS, Workload};
use crate::reads;
use crate::settings::Settings;
use alloy_primitives::{Address, U256, keccak256};
use cluster::client::Client;
use cluster::{Cluster, Node};
use evm::Status;
use eyre::{Result, ensure};
use fixtures::wallet::{Call, Wallet};
use futures_util::future::try_join_all;
use std::path::Path;
use std::time::Instant;

/// The argument that asks for it.
pub(crate) const NAME: &str = "soak";

/// What is done: payments over two shards.
const WORKLOAD: Workload = WORKLOADS[4];

/// Transactions where nothing else is said.
const TRANSACTIONS_COUNT: u64 = 1_000_000;

/// How often the disks are looked at.
const LOOKS_COUNT: u64 = 10;

/// For how many seconds shards keep what their blocks did, and the state after each.
const KEPT_S: u64 = 10;

/// Transactions of one user that are submitted together.
const BUNDLE_COUNT: u64 = 16;

/// Users at work at once.
const USERS_COUNT: u32 = 64;

/// A user, and its payment.
type User = (Wallet, Call);

/// Runs it, and prints a line for each look.
pub(crate) async fn run(settings: &Settings) -> Result<()> {
    let total = settings.histories.last().copied().filter(|_| settings.says_history).unwrap_or(TRANSACTIONS_COUNT);
    let dir = tempfile::tempdir()?;
    let mut plan = network::plan(WORKLOAD, USERS_COUNT)?;
    for field in ["BODIES_S", "HISTORY_S"] {
        plan.environment.push((format!("DOVETAIL_EXECUTOR_{field}"), KEPT_S.to_string()));
    }
    let mut users = (0..USERS_COUNT).map(|number| user(plan.network, number)).collect::<Result<Vec<_>>>()?;
    let cluster = Cluster::start(plan, dir.path())?;
    let client = cluster.client(0)?;
    println!(
        "{total} payments over two shards that keep {KEPT_S} s; bytes of their folders, and of each transaction so far"
    );
    let (begun, each) = (Instant::now(), total.div_ceil(LOOKS_COUNT * u64::from(USERS_COUNT)));
    for look in 1..=LOOKS_COUNT {
        users = pay(&client, users, each).await?;
        let done = look * each * u64::from(USERS_COUNT);
        tell(dir.path(), done, done as f64 / begun.elapsed().as_secs_f64())?;
    }
    cluster.stop()?;
    tell_spaces(&Disk::of(dir.path(), WORKLOAD.shards, LOOKS_COUNT * each * u64::from(USERS_COUNT))?);
    Ok(())
}

fn user(network: u64, number: u32) -> Result<User> {
    let wallet = network::user(network, number)?;
    let payee = Address::from_slice(&keccak256(wallet.address())[..20]);
    Ok((wallet, Call::to(payee, Vec::new()).with_value(U256::ONE)))
}

/// Has each user pay so often.
async fn pay(client: &Client, users: Vec<User>, each: u64) -> Result<Vec<User>> {
    let paying = users.into_iter().map(|(mut wallet, call)| {
        let client = client.clone();
        tokio::spawn(async move {
            for first in (0..each).step_by(BUNDLE_COUNT as usize) {
                let count = BUNDLE_COUNT.min(each - first);
                let signed = (0..count).map(|_| wallet.sign(&call)).collect::<Result<Vec<_>>>()?;
                let settled = client.submit_bundle(signed).await?.committed()?;
                let is_success = settled.outcomes.iter().all(|outcome| outcome.status == Status::Success);
                ensure!(is_success, "a payment failed");
            }
            Ok::<_, eyre::Report>((wallet, call))
        })
    });
    try_join_all(paying).await?.into_iter().collect()
}

fn tell(dir: &Path, done: u64, rate: f64) -> Result<()> {
    print!("{done:>9} at {rate:.0} a second:");
    for shard in 0..WORKLOAD.shards {
        let bytes = reads::bytes(&dir.join(Node::Executor(shard).to_string()))?;
        print!("  shard {shard} {:>7.1} MB, {:.0} each", bytes as f64 / 1e6, bytes as f64 / done as f64);
    }
    println!();
    Ok(())
}

/// What is left when all is compacted, by space.
fn tell_spaces(disk: &Disk) {
    for (shard, bytes) in disk.shards.iter().enumerate() {
        println!("shard {shard}, compacted: {:.1} MB, {:.1} a transaction", *bytes as f64 / 1e6, disk.each(*bytes));
    }
    for (space, (bytes, rows)) in &disk.spaces {
        println!("  {space:<24} {bytes:>11} bytes {rows:>9} rows, {:.1} a transaction", disk.each(*bytes));
    }
}
