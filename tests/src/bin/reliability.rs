//! Measures how long real processes take to recover, under load, and prints the table of docs/reliability.md.
//!
//! `cargo build -p dovetail && cargo run -p dovetail-tests --bin reliability [runs]`; about five minutes for five runs.

use dovetail_tests::audit::audit;
use dovetail_tests::chance::Chance;
use dovetail_tests::recovery::{AWAY, Arena, Blow, Kind, Recovery};
use dovetail_tests::testnet::{SHARDS_COUNT, Testnet, Ways};
use eyre::{Result, WrapErr};
use std::time::{Duration, Instant};

/// How often each blow falls where nobody says otherwise.
const RUNS_COUNT: u32 = 5;

/// Users at work; each waits for its transaction before it sends the next.
const USERS_COUNT: u32 = 12;

/// More than any user gets done.
const TRANSACTIONS_COUNT_MAX: usize = 1_000_000;

/// What is measured before anybody works.
const IDLE: [Blow; 4] = [
    Blow::OpenStore,
    Blow::IdleRestart(Kind::Shard),
    Blow::IdleRestart(Kind::Coordinator),
    Blow::IdleRestart(Kind::Relay),
];

/// What is measured under load.
const UNDER_LOAD: [Blow; 7] = [
    Blow::Kill(Kind::Shard),
    Blow::Kill(Kind::Coordinator),
    Blow::Leave,
    Blow::Kill(Kind::Relay),
    Blow::Stop(Kind::Shard),
    Blow::Stop(Kind::Coordinator),
    Blow::Cut,
];

#[tokio::main]
async fn main() -> Result<()> {
    let runs = std::env::args().nth(1).map_or(Ok(RUNS_COUNT), |runs| runs.parse()).wrap_err("how many runs")?;
    let chance = Chance::announced();
    let mut arena = Arena::new(Testnet::start_by(Ways::Lines, 2, USERS_COUNT).await?)?;
    let mut rows = Vec::new();
    for blow in IDLE {
        rows.push(struck(&mut arena, blow, runs).await?);
    }
    let begun = Instant::now();
    arena.work(TRANSACTIONS_COUNT_MAX, &chance)?;
    for blow in UNDER_LOAD {
        rows.push(struck(&mut arena, blow, runs).await?);
    }
    let (took, Arena { net, load, .. }) = (begun.elapsed(), arena);
    let diaries = match load {
        Some(load) => load.end().await?,
        None => Vec::new(),
    };
    let submissions: usize = diaries.iter().map(|diary| diary.entries.len()).sum();
    let longest = diaries.iter().flat_map(|diary| &diary.entries).map(|entry| entry.took).max().unwrap_or_default();
    // What is lost or doubled is an error here, and there is no table.
    let found = audit(net, &diaries).await?;
    print_table(&rows, runs);
    host::say!();
    host::say!(
        "{SHARDS_COUNT} shards, 2 coordinators, 2 relays, {USERS_COUNT} users; {submissions} submissions in {:.0} s with \
         {} blows: 0 lost, 0 doubled, 0 undecided at the end; the longest took {:.1} s. {}.",
        took.as_secs_f64(),
        runs as usize * UNDER_LOAD.len(),
        longest.as_secs_f64(),
        found.oracle
    );
    Ok(())
}

async fn struck(arena: &mut Arena, blow: Blow, runs: u32) -> Result<(Blow, Vec<Recovery>)> {
    let mut recoveries = Vec::new();
    for run in 0..runs {
        let recovery = arena.strike(blow, run).await?;
        eprintln!("{blow}: {recovery:?}");
        recoveries.push(recovery);
    }
    Ok((blow, recoveries))
}

fn print_table(rows: &[(Blow, Vec<Recovery>)], runs: u32) {
    host::say!("| what happened | runs | open attempts or messages | serving again | nothing undecided |");
    host::say!("|---|---|---|---|---|");
    for (blow, recoveries) in rows {
        let open = span(recoveries.iter().map(|recovery| recovery.open as u64), ToString::to_string);
        let serving = times(recoveries.iter().filter_map(|recovery| recovery.serving));
        let undecided = times(recoveries.iter().filter_map(|recovery| recovery.undecided));
        host::say!("| {blow} | {runs} | {open} | {serving} | {undecided} |");
    }
    host::say!();
    host::say!(
        "Median (least to most). A shard that is stopped or cut off is away for {} s, which *nothing undecided* includes.",
        AWAY.as_secs()
    );
}

fn times(times: impl Iterator<Item = Duration>) -> String {
    span(times.map(|time| time.as_millis() as u64), |millis| match millis {
        0..1_000 => format!("{millis} ms"),
        _ => format!("{:.1} s", Duration::from_millis(*millis).as_secs_f64()),
    })
}

fn span(values: impl Iterator<Item = u64>, show: impl Fn(&u64) -> String) -> String {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(least), Some(median), Some(most)) => format!("{} ({} to {})", show(median), show(least), show(most)),
        _ => "—".to_owned(),
    }
}
