//! The settings that a running node takes anew: what it logs, and how much each may ask of it.
//!
//! Promise: a settings file in which anything else changed is refused whole, by words that say so; a node never runs by half of a file.

use crate::logging::Filter;
use crate::reload::{Apply, Part};
use crate::settings::load;
use crate::{Security, SettingsError};
use serde::de::DeserializeOwned;
use std::path::Path;
use wire::jsonrpc::ClientQuotas;
use wire::quota::Quota;

/// What may change while a node runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Live {
    /// What is logged, in [`crate::logging::LOG_VARIABLE`]'s place.
    pub log: Option<String>,
    /// How many calls each peer of gRPC may make.
    pub peer_quota: Option<Quota>,
    /// How many calls each client of JSON-RPC may make.
    pub client_quota: Option<Quota>,
}

/// Settings of which some may change while a node runs.
pub trait LiveSettings: Clone + PartialEq + DeserializeOwned + Send + Sync + 'static {
    /// What the environment variables begin with that override them.
    const PREFIX: &'static str;

    /// Takes out what may change; what is left may not.
    fn take_live(&mut self) -> Live;
}

/// Where they are put into use.
#[derive(Debug, Clone)]
pub(crate) struct Users {
    pub(crate) filter: Filter,
    pub(crate) security: Security,
    pub(crate) clients: ClientQuotas,
}

impl Users {
    /// Checks what is asked for, and gives what puts it into use.
    pub(crate) fn prepare(&self, live: &Live) -> Result<Apply, String> {
        let filter = self.filter.parse(live.log.as_deref()).map_err(|error| error.to_string())?;
        let (users, peer_quota, client_quota) = (self.clone(), live.peer_quota, live.client_quota);
        Ok(Box::new(move || {
            users.filter.set(filter);
            users.security.set_quota(peer_quota);
            users.clients.set(client_quota);
        }))
    }
}

/// The file at `path`, of which a node started with `settings`, as something that is exchanged while it runs.
pub(crate) fn part<T: LiveSettings>(path: &Path, settings: &T, users: Users) -> Part {
    let (path, mut known) = (path.to_owned(), settings.clone());
    known.take_live();
    let file = path.clone();
    Part::new("settings", vec![path], move || {
        let mut settings: T = load(&file, T::PREFIX).map_err(|error: SettingsError| error.to_string())?;
        let live = settings.take_live();
        if settings != known {
            return Err("what changed is neither log nor a quota, and needs a start".to_owned());
        }
        let told = told(&live);
        Ok((told, users.prepare(&live)?))
    })
}

fn told(live: &Live) -> String {
    let quota = |quota: Option<Quota>| quota.map_or_else(|| "none".to_owned(), |quota| quota.to_string());
    let log = live.log.as_deref().unwrap_or("as the environment says");
    format!("log {log}, quota of a peer {}, of a client {}", quota(live.peer_quota), quota(live.client_quota))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{EnvironmentSource, Genesis, Network, NetworkFile, ShardEntry};
    use serde::Deserialize;
    use std::fs;

    #[derive(Debug, Clone, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        data: String,
        #[serde(default)]
        peer_quota: Option<Quota>,
        #[serde(default)]
        log: Option<String>,
    }

    impl LiveSettings for Settings {
        const PREFIX: &'static str = "DOVETAIL_LIVETEST";

        fn take_live(&mut self) -> Live {
            Live { log: self.log.take(), peer_quota: self.peer_quota.take(), client_quota: None }
        }
    }

    fn users() -> Users {
        let validators = vec![proof::SecretKey::from_bytes(&[1; 32]).unwrap().public().to_string()];
        let shard = ShardEntry { shard: 0, endpoint: "http://127.0.0.1:1".to_owned(), epoch: 1, validators };
        let file = NetworkFile {
            network: 1,
            genesis_ms: 0,
            slot_ms: 250,
            base_fee_wei: 1,
            gas_limit: 30_000_000,
            beneficiary: alloy_primitives::Address::ZERO,
            fork: "osaka".to_owned(),
            environments: EnvironmentSource::Slots,
            allow_unprotected_transactions: false,
            placement_version: 1,
            genesis: None,
            genesis_digest: None,
            shards: vec![shard],
            pinned: std::collections::BTreeMap::new(),
            routes: Vec::new(),
            roles: std::collections::BTreeMap::new(),
        };
        let network = Network::new(&file, Genesis::default()).unwrap();
        let security = Security::open(None, false, &network).unwrap();
        Users { filter: Filter::unset(), security, clients: ClientQuotas::default() }
    }

    #[test]
    fn a_file_is_taken_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        fs::write(&path, "data = \"a\"\n").unwrap();
        let settings: Settings = load(&path, Settings::PREFIX).unwrap();
        let part = part(&path, &settings, users());
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            part.prepare().map(|(told, _)| told)
        };
        let told = read("data = \"a\"\nlog = \"warn\"\npeer_quota = { per_second = 5, burst = 9 }\n").unwrap();
        assert!(told.contains("log warn") && told.contains("5 calls a second with bursts of 9"), "{told}");
        let needs_a_start = read("data = \"b\"\nlog = \"warn\"\n").unwrap_err();
        assert!(needs_a_start.contains("needs a start"), "{needs_a_start}");
        let zero = read("data = \"a\"\npeer_quota = { per_second = 0, burst = 9 }\n").unwrap_err();
        assert!(zero.contains("line 2"), "{zero}");
        let no_filter = read("data = \"a\"\nlog = \"info,dovetail=loud\"\n").unwrap_err();
        assert!(no_filter.contains("no log filter"), "{no_filter}");
        assert!(read("data = \"a\"\nlgo = \"warn\"\n").unwrap_err().contains("lgo"));
    }
}
