//! A closed loop: so many users, each with one transaction under way, for so long.

use crate::disk::Disk;
use crate::draw::{Choice, Random};
use crate::meter::Usage;
use crate::settings::Settings;
use alloy_primitives::Bytes;
use cluster::Cluster;
use cluster::client::{Client, Ended};
use eyre::{Result, eyre};
use fixtures::wallet::Wallet;
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Into how many windows a row's time is cut, so that a rate that falls is seen.
const WINDOWS_COUNT: u32 = 6;

/// What a load came to.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) name: String,
    /// From signing to hearing of the end, microseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) elapsed: Duration,
    /// Ends in each window of the time.
    pub(crate) windows: Vec<u64>,
    /// What it took.
    pub(crate) usage: Usage,
    pub(crate) refused: u64,
    /// What it left on the disks.
    pub(crate) disk: Option<Disk>,
}

impl Load {
    /// Committed per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.latency.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// Milliseconds that so large a part of them took at most.
    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// The rate in each window.
    pub(crate) fn windows_per_second(&self) -> impl Iterator<Item = f64> {
        let seconds = self.elapsed.as_secs_f64() / f64::from(WINDOWS_COUNT);
        self.windows.iter().map(move |count| *count as f64 / seconds)
    }
}

/// Ends as they are counted, by window.
#[derive(Debug)]
pub(crate) struct Windows {
    begun: Instant,
    duration: Duration,
    counts: Vec<AtomicU64>,
    all: AtomicU64,
}

impl Windows {
    /// From `begun` on, for `duration`.
    pub(crate) fn new(begun: Instant, duration: Duration) -> Self {
        Self {
            begun,
            duration,
            counts: (0..WINDOWS_COUNT).map(|_| AtomicU64::new(0)).collect(),
            all: AtomicU64::new(0),
        }
    }

    /// Counts `count` ends now, and says whether that is in one of the windows.
    pub(crate) fn note(&self, count: u64) -> bool {
        self.all.fetch_add(count, Ordering::Relaxed);
        let now = Instant::now();
        let window = now.checked_duration_since(self.begun).map(|since| since.as_nanos() / self.window().as_nanos());
        let place = window.and_then(|window| self.counts.get(usize::try_from(window).ok()?));
        place.map(|place| place.fetch_add(count, Ordering::Relaxed)).is_some()
    }

    /// Of ends that were at these times after the beginning.
    pub(crate) fn of(ends: impl Iterator<Item = Duration>, duration: Duration) -> Vec<u64> {
        let mut counts = vec![0; WINDOWS_COUNT as usize];
        let window = (duration / WINDOWS_COUNT).as_nanos().max(1);
        let places = ends.filter_map(|end| usize::try_from(end.as_nanos() / window).ok());
        for place in places {
            counts.get_mut(place).into_iter().for_each(|count| *count += 1);
        }
        counts
    }

    /// Ends at any time.
    pub(crate) fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    /// All of them.
    pub(crate) fn counts(&self) -> Vec<u64> {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    fn window(&self) -> Duration {
        self.duration / WINDOWS_COUNT
    }
}

/// One user: a wallet, and what it calls again and again.
#[derive(Debug)]
pub(crate) struct User {
    wallet: Wallet,
    choice: Arc<Choice>,
    random: Random,
}

impl User {
    /// Who calls one of these each time.
    pub(crate) fn new(wallet: Wallet, choice: Arc<Choice>) -> Self {
        let random = Random(wallet.address().iter().fold(0, |seed, byte| seed << 7 ^ u64::from(*byte)));
        Self { wallet, choice, random }
    }

    /// Its next transaction.
    pub(crate) fn sign(&mut self) -> Result<Bytes> {
        self.wallet.sign(self.choice.draw(&mut self.random))
    }
}

/// Lets all users work for a warm-up and then for as long as `settings` say, of which the latter counts; says also how many were committed
/// in all.
pub(crate) async fn closed(
    name: String,
    cluster: &Cluster,
    client: &Client,
    users: Vec<User>,
    settings: &Settings,
) -> Result<(Load, u64)> {
    let warm = Instant::now() + settings.warm;
    let until = warm + settings.duration;
    let refused = Arc::new(AtomicU64::new(0));
    let windows = Arc::new(Windows::new(warm, settings.duration));
    let work = users.into_iter().map(|user| {
        let (client, refused, windows) = (client.clone(), Arc::clone(&refused), Arc::clone(&windows));
        tokio::spawn(async move { one(&client, user, (warm, until), &windows, &refused).await })
    });
    let work: Vec<_> = work.collect();
    tokio::time::sleep_until(warm.into()).await;
    let before = Usage::now(cluster)?;
    tokio::time::sleep_until(until.into()).await;
    let usage = Usage::now(cluster)? - before;
    let mut latency = histogram()?;
    for user in work {
        latency.add(user.await??)?;
    }
    if latency.is_empty() {
        return Err(eyre!("{name}: nothing was committed"));
    }
    let (elapsed, refused) = (settings.duration, refused.load(Ordering::Relaxed));
    let load = Load { name, latency, elapsed, windows: windows.counts(), usage, refused, disk: None };
    Ok((load, windows.all()))
}

async fn one(
    client: &Client,
    mut user: User,
    (warm, until): (Instant, Instant),
    windows: &Windows,
    refused: &AtomicU64,
) -> Result<Histogram<u64>> {
    let mut latency = histogram()?;
    while Instant::now() < until {
        let begun = Instant::now();
        match client.submit(user.sign()?).await? {
            Ended::Committed(settled) => {
                if settled.first()?.status != evm::Status::Success {
                    return Err(eyre!("a benched transaction ended as {:?}", settled.first()?.status));
                }
                if windows.note(1) {
                    latency.record(u64::try_from(begun.elapsed().as_micros())?)?;
                }
            }
            Ended::Refused(_) => {
                refused.fetch_add(u64::from(begun >= warm), Ordering::Relaxed);
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
