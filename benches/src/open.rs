//! An open loop: transactions begin at times that were set before, whether those before them have ended or not.
//!
//! ```text
//!   pacer (a thread) ── at each intended time ──> one of the users in turn ── sign, submit, hear of the end
//!                                                      latency = end - intended time
//! ```
//!
//! Promise: no coordinated omission. A transaction that begins late because its user still waits for the one before it counts from when
//! it should have begun. Times between beginnings are drawn from an exponential distribution, as those of many users who know nothing
//! of each other, by a fixed seed. Source: Tene, "How NOT to measure latency", 2013.

use crate::draw::Random;
use crate::load::{Load, User, Windows, histogram};
use crate::meter::Usage;
use crate::settings::Settings;
use cluster::Cluster;
use cluster::client::{Client, Ended};
use eyre::{Result, WrapErr, eyre};
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What the times between beginnings are drawn with.
const SEED: u64 = 0x0d0e_7a11;

/// How long before a beginning the pacer stops sleeping: a sleep ends some 60 µs late.
const AWAKE_BEFORE: Duration = Duration::from_micros(60);

/// Lets the users begin `per_second` transactions a second, in turn, for a warm-up and then for as long as `settings` say; those that
/// should have begun in the latter time count. Says also how many were committed in all.
pub(crate) async fn open(
    name: String,
    cluster: &Cluster,
    client: &Client,
    users: Vec<User>,
    (per_second, settings): (f64, &Settings),
) -> Result<(Load, u64)> {
    let warm = Instant::now() + settings.warm;
    let until = warm + settings.duration;
    let windows = Arc::new(Windows::new(warm, settings.duration));
    let refused = Arc::new(AtomicU64::new(0));
    let (mut begins, mut work) = (Vec::new(), Vec::new());
    for user in users {
        let (begin, intended) = mpsc::unbounded_channel();
        let (client, windows, refused) = (client.clone(), Arc::clone(&windows), Arc::clone(&refused));
        begins.push(begin);
        work.push(tokio::spawn(async move { one(&client, user, intended, (warm, &windows), &refused).await }));
    }
    let pacer = thread::spawn(move || pace(&begins, per_second, until));
    tokio::time::sleep_until(warm.into()).await;
    let before = Usage::now(cluster)?;
    tokio::time::sleep_until(until.into()).await;
    let usage = Usage::now(cluster)? - before;
    let mut latency = histogram()?;
    for user in work {
        latency.add(user.await??)?;
    }
    pacer.join().map_err(|_| eyre!("{name}: the pacer panicked"))?;
    let (elapsed, refused) = (settings.duration, refused.load(Ordering::Relaxed));
    let load = Load { name, latency, elapsed, windows: windows.counts(), usage, refused, disk: None };
    Ok((load, windows.all()))
}

/// Tells each user in turn when to begin, until it is late enough.
fn pace(users: &[mpsc::UnboundedSender<Instant>], per_second: f64, until: Instant) {
    let (mut random, mut next) = (Random(SEED), Instant::now());
    for user in users.iter().cycle() {
        next += Duration::from_secs_f64(random.exponential() / per_second);
        if next >= until {
            break;
        }
        thread::sleep(next.saturating_duration_since(Instant::now()).saturating_sub(AWAKE_BEFORE));
        while Instant::now() < next {
            std::hint::spin_loop();
        }
        // A user that failed is told of when its task is awaited.
        let _ = user.send(next);
    }
}

async fn one(
    client: &Client,
    mut user: User,
    mut begins: mpsc::UnboundedReceiver<Instant>,
    (warm, windows): (Instant, &Windows),
    refused: &AtomicU64,
) -> Result<Histogram<u64>> {
    let mut latency = histogram()?;
    while let Some(intended) = begins.recv().await {
        let transaction = user.sign()?;
        loop {
            match client.submit(transaction.clone()).await? {
                Ended::Committed(_) => break,
                Ended::Refused(_) => refused.fetch_add(u64::from(intended >= warm), Ordering::Relaxed),
            };
        }
        windows.note(1);
        if intended >= warm {
            latency.record(u64::try_from(intended.elapsed().as_micros())?).wrap_err("longer than a minute")?;
        }
    }
    Ok(latency)
}
