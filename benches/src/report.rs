//! The table: rates beside their ratio to plain revm, latencies, CPU time.

use crate::load::Load;
use std::fs;

/// Prints as it goes.
#[derive(Debug)]
pub(crate) struct Report {
    lines: Vec<String>,
}

impl Report {
    /// Says what it runs on.
    pub(crate) fn begin() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("").trim_matches([' ', '\t', ':']);
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        host::say!("machine: {cores} cores, {model}; load and network share them");
        let profile = if cfg!(debug_assertions) { "debug assertions on: not for quoting" } else { "release" };
        host::say!("build: {profile}");
        Self { lines: Vec::new() }
    }

    /// A rate, and its ratio to plain revm.
    pub(crate) fn rate(&mut self, name: &str, per_second: f64, plain: f64) {
        self.line(format!("{name:<58} {per_second:>10.0}/s  x{:<9.5}", per_second / plain));
    }

    /// A load's goodput, latencies and CPU time.
    pub(crate) fn load(&mut self, load: &Load, plain: f64) {
        let ms = |quantile| load.latency.value_at_quantile(quantile) as f64 / 1000.0;
        self.line(format!(
            "{:<58} {:>10.0}/s  x{:<9.5} p50 {:>7.1} ms  p90 {:>7.1}  p99 {:>7.1}  max {:>7.1}  cpu {:>6.0} µs each  refused {}",
            load.name,
            load.per_second(),
            load.per_second() / plain,
            ms(0.5),
            ms(0.9),
            ms(0.99),
            load.latency.max() as f64 / 1000.0,
            load.cpu_micros_each(),
            load.refused,
        ));
    }

    fn line(&mut self, line: String) {
        host::say!("{line}");
        self.lines.push(line);
    }

    /// All of it once more, together.
    pub(crate) fn end(self) {
        host::say!("\n{}", self.lines.join("\n"));
    }
}
