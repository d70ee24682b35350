//! How rate and latency change with one thing at a time: a table and a plot for each, written into a folder of the documentation.
//!
//! ```text
//!   users            two shards, ERC-20                      1 to 256
//!   cross-shard      two shards, payments                    none to all of them over both
//!   participants     calls to a counter on each other shard  1 to 8 shards
//!   skew             two shards, ERC-20, 1,000 holders       paid evenly to mostly the first
//! ```
//!
//! Each point is a network of its own, measured as a row is.

use crate::load::Load;
use crate::network::{self, Kind, Payee, Workload};
use crate::plot::{Panel, Scale, svg};
use crate::settings::Settings;
use eyre::{Result, WrapErr};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// What is asked for by its name alone: it takes some thirty times as long as a row.
pub(crate) const NAME: &str = "sweep";

/// The table's file.
const TABLE: &str = "sweep.md";

/// One thing that is changed.
struct Sweep {
    /// Also its plot's file.
    name: &'static str,
    title: &'static str,
    axis: &'static str,
    points: Vec<Point>,
}

struct Point {
    label: String,
    workload: Workload,
    users: Option<u32>,
}

fn sweeps() -> [Sweep; 4] {
    let point =
        |label: String, shards, kind, users| Point { label, workload: Workload { name: NAME, shards, kind }, users };
    let users = |users: u32| point(users.to_string(), 2, Kind::Transfer(Payee::Own), Some(users));
    let share = |percent: u32| point(format!("{percent} %"), 2, Kind::Mixed(f64::from(percent) / 100.0), None);
    let participants = |shards: u32| point(shards.to_string(), shards, Kind::Calls, None);
    let skew = |exponent: f64| point(format!("{exponent}"), 2, Kind::Skewed(exponent), None);
    [
        Sweep {
            name: "users",
            title: "ERC-20 over two shards",
            axis: "users, each with one transaction under way",
            points: [1, 2, 4, 8, 16, 32, 64, 128, 256].map(users).into(),
        },
        Sweep {
            name: "cross-shard",
            title: "Payments, some over two shards",
            axis: "part of them over two shards",
            points: [0, 10, 25, 50, 75, 100].map(share).into(),
        },
        Sweep {
            name: "participants",
            title: "Calls to a counter on every shard",
            axis: "participants of each",
            points: [1, 2, 3, 4, 6, 8].map(participants).into(),
        },
        Sweep {
            name: "skew",
            title: "ERC-20 over two shards to 1,000 holders",
            axis: "exponent of Zipf's law: 0 pays all alike",
            points: [0.0, 0.5, 0.8, 0.99, 1.2].map(skew).into(),
        },
    ]
}

/// Measures all points of those sweeps that `settings` ask for, and writes into `folder`.
pub(crate) async fn run(folder: &Path, settings: &Settings) -> Result<()> {
    fs::create_dir_all(folder).wrap_err_with(|| folder.display().to_string())?;
    let mut table = format!(
        "# Sweeps\n\nWritten by `dovetail-benches sweep {}`, {} s a point after {}, {} users where nothing else is said, on {}.\n",
        folder.display(),
        settings.duration.as_secs(),
        settings.warm.as_secs(),
        settings.users,
        crate::report::machine(),
    );
    for sweep in sweeps() {
        let mut loads = Vec::new();
        for point in &sweep.points {
            let settings = settings.with_users(point.users.unwrap_or(settings.users));
            let load = network::run(point.workload, &settings).await?;
            host::say!("{} {}: {:.0}/s, p50 {:.1} ms", sweep.name, point.label, load.per_second(), load.millis(0.5));
            loads.push(load);
        }
        fs::write(folder.join(format!("{}.svg", sweep.name)), plot(&sweep, &loads))?;
        table += &rows(&sweep, &loads);
        fs::write(folder.join(TABLE), &table)?;
    }
    Ok(())
}

fn plot(sweep: &Sweep, loads: &[Load]) -> String {
    let labels: Vec<String> = sweep.points.iter().map(|point| point.label.clone()).collect();
    let quantile = |quantile| loads.iter().map(|load| load.millis(quantile)).collect::<Vec<_>>();
    let panels = [
        Panel {
            label: "transactions a second",
            scale: Scale::Linear,
            lines: vec![("rate", loads.iter().map(Load::per_second).collect())],
        },
        Panel {
            label: "latency, ms",
            scale: Scale::Logarithmic,
            lines: vec![("p50", quantile(0.5)), ("p99", quantile(0.99))],
        },
    ];
    svg(sweep.title, sweep.axis, &labels, &panels)
}

fn rows(sweep: &Sweep, loads: &[Load]) -> String {
    let Sweep { name, title, axis, points } = sweep;
    let mut rows = format!(
        "\n## {title}\n\n![{title}]({name}.svg)\n\n| {axis} | a second | p50, ms | p99, ms | CPU each, µs | in an attempt | aborted |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for (Point { label, .. }, load) in points.iter().zip(loads) {
        let (network, count) = (load.usage.network(), load.latency.len().max(1) as f64);
        let _ = writeln!(
            rows,
            "| {label} | {:.0} | {:.1} | {:.1} | {:.0} + {:.0} | {:.1} | {:.1} % |",
            load.per_second(),
            load.millis(0.5),
            load.millis(0.99),
            network.cpu / count * 1e6,
            load.usage.clients / count * 1e6,
            network.decided / network.decisions.max(1.0),
            network.aborted / network.decided.max(1.0) * 100.0,
        );
    }
    rows
}
