//! A closed loop: so many users, each with one transaction under way, for so long.

use cluster::Cluster;
use cluster::client::{Client, Ended};
use eyre::{Result, eyre};
use fixtures::wallet::{Call, Wallet};
use hdrhistogram::Histogram;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Clock ticks per second in `/proc/<pid>/stat`: fixed in Linux's user interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a load came to.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) name: String,
    /// From signing to hearing of the end, microseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) elapsed: Duration,
    /// CPU time of all processes of the network together.
    pub(crate) cpu: Duration,
    pub(crate) refused: u64,
}

impl Load {
    /// Committed per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.latency.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// CPU time for each, microseconds.
    pub(crate) fn cpu_micros_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.latency.len().max(1) as f64
    }
}

/// One user: a wallet, and the call it makes again and again.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) wallet: Wallet,
    pub(crate) call: Call,
}

/// Lets all users work for a warm-up and then for `duration`, of which the latter counts.
pub(crate) async fn closed(
    name: String,
    cluster: &Cluster,
    client: &Client,
    users: Vec<User>,
    duration: Duration,
) -> Result<Load> {
    let warm = Instant::now() + duration / 5;
    let until = warm + duration;
    let refused = Arc::new(AtomicU64::new(0));
    let work = users.into_iter().map(|user| {
        let (client, refused) = (client.clone(), Arc::clone(&refused));
        tokio::spawn(async move { one(&client, user, warm, until, &refused).await })
    });
    let work: Vec<_> = work.collect();
    tokio::time::sleep_until(warm.into()).await;
    let cpu_before = cpu(cluster)?;
    tokio::time::sleep_until(until.into()).await;
    let cpu = cpu(cluster)?.saturating_sub(cpu_before);
    let mut latency = histogram()?;
    for user in work {
        latency.add(user.await??)?;
    }
    if latency.is_empty() {
        return Err(eyre!("{name}: nothing was committed"));
    }
    Ok(Load { name, latency, elapsed: duration, cpu, refused: refused.load(Ordering::Relaxed) })
}

async fn one(
    client: &Client,
    mut user: User,
    warm: Instant,
    until: Instant,
    refused: &AtomicU64,
) -> Result<Histogram<u64>> {
    let mut latency = histogram()?;
    while Instant::now() < until {
        let begun = Instant::now();
        match client.submit(user.wallet.sign(&user.call)?).await? {
            Ended::Committed(settled) => {
                let is_counted = begun >= warm && Instant::now() <= until;
                if settled.first()?.status != evm::Status::Success {
                    return Err(eyre!("a benched transaction ended as {:?}", settled.first()?.status));
                }
                if is_counted {
                    latency.record(u64::try_from(begun.elapsed().as_micros())?)?;
                }
            }
            Ended::Refused(_) => {
                refused.fetch_add(1, Ordering::Relaxed);
                user.wallet.set_nonce(user.wallet.nonce() - 1);
            }
        }
    }
    Ok(latency)
}

/// Microseconds to a minute, three digits.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// CPU time of the network's processes so far.
pub(crate) fn cpu(cluster: &Cluster) -> Result<Duration> {
    let mut ticks = 0_u64;
    for pid in cluster.pids() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field may have spaces; what follows its closing parenthesis has none inside fields.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        ticks += times.sum::<Result<u64, _>>()?;
    }
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}
