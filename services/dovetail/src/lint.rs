//! `dovetail lint`: every unsafe setting of a route's attestors and carriers, before anything is started with it.
//!
//! Promise: the same rules as at the start, `bridge_service::lint` and what a network file's routes are checked by; asks nobody.

use bridge_service::{AttestorSettings, CarrierSettings};
use eyre::{Result, WrapErr, bail, eyre};
use host::network::Network;
use proof::Route;
use std::path::{Path, PathBuf};

/// Names every unsafe setting.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Attestors' TOML files.
    #[arg(long)]
    attestor: Vec<PathBuf>,
    /// Carriers' TOML files.
    #[arg(long)]
    carrier: Vec<PathBuf>,
}

/// Does it.
///
/// # Errors
/// If a file cannot be read, or a setting is unsafe.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut faults = Vec::new();
    for path in &arguments.attestor {
        let settings: AttestorSettings = read(path)?;
        let route = route(&settings.network, settings.domain)?;
        faults.extend(named(path, bridge_service::lint::attestor(&settings, &route)));
    }
    for path in &arguments.carrier {
        let settings: CarrierSettings = read(path)?;
        let route = route(&settings.network, settings.domain)?;
        faults.extend(named(path, bridge_service::lint::carrier(&settings, &route)));
    }
    for fault in &faults {
        host::say!("{fault}");
    }
    if faults.is_empty() { Ok(()) } else { bail!("{} unsafe settings", faults.len()) }
}

fn named(path: &Path, faults: Vec<String>) -> Vec<String> {
    faults.into_iter().map(|fault| format!("{}: {fault}", path.display())).collect()
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).wrap_err_with(|| format!("{} is not such settings", path.display()))
}

fn route(network: &Path, domain: u32) -> Result<Route> {
    let network = Network::load(network)?;
    network.route(domain).cloned().ok_or_else(|| eyre!("the network file has no route to domain {domain}"))
}
