//! `dovetail network`: the files that a new network begins with.
//!
//! ```text
//! DIR/network.toml         the same on every node        DIR/keys/shard-0.key …   each for its own shard's node alone
//! DIR/genesis.json         the state it starts from      DIR/kustomization.yaml   both for Kubernetes (k8s/README.md)
//!
//! with --tls: DIR/tls/authority.pem, authority.key; DIR/tls/shard-0/{certificate,key}.pem …, coordinator, relay, operator, observer
//!             DIR/certificates.yaml   the same as requests to cert-manager
//! ```

use crate::authority::Certificates;
use alloy_primitives::{Address, U256};
use eyre::{Result, WrapErr, ensure, eyre};
use fixtures::{genesis, usual};
use host::network::{EnvironmentSource, Genesis, GenesisAccount, Network, NetworkFile, ShardEntry};
use proof::SecretKey;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::UNIX_EPOCH;

/// Where an endpoint names its shard.
const SHARD_MARK: &str = "{shard}";

/// Makes the files of a network.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Writes a new network into a folder: network file, genesis, a key for each shard, and what Kubernetes is given of them.
    Init(Arguments),
    /// Makes new certificates for a network that was made with --tls, by its authority, in the places of the old ones.
    Renew {
        /// The network's folder.
        dir: PathBuf,
        /// For how many days they are valid.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
        tls_days: u32,
    },
}

/// What a new network is.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder to make; one that has a network is refused.
    dir: PathBuf,
    /// The EIP-155 chain id.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    chain_id: u64,
    /// How many shards.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=i64::from(evm::SHARDS_COUNT_MAX)))]
    shards: u32,
    /// Where shards are reached by gRPC, with `{shard}` for the number. The default is what k8s/ gives them, https:// with --tls.
    #[arg(long)]
    endpoint: Option<String>,
    /// Makes an authority, a certificate for each shard, a coordinator, a relay, an operator and an observer, and what asks
    /// cert-manager for them.
    #[arg(long)]
    tls: bool,
    /// For how many days these certificates are valid.
    #[arg(long, default_value_t = 90, requires = "tls", value_parser = clap::value_parser!(u32).range(1..=3650))]
    tls_days: u32,
    /// Length of a slot, which is a block to wallets, in milliseconds.
    #[arg(long, default_value_t = 250)]
    slot_ms: u64,
    /// Who receives priority fees.
    #[arg(long)]
    beneficiary: Address,
    /// An account with so much ether from the start, such as 0x1234…=1000; may be given again.
    #[arg(long = "fund", value_name = "ADDRESS=ETHER")]
    funds: Vec<Fund>,
    /// Leaves out the contracts that tools expect at the same address of every chain, such as Multicall3.
    #[arg(long)]
    no_usual_contracts: bool,
    /// Takes transactions that are bound to no chain (before EIP-155), for good: whoever saw one on another chain may send it here.
    #[arg(long)]
    allow_unprotected_txs: bool,
}

impl Arguments {
    fn endpoint(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        self.endpoint.clone().unwrap_or_else(|| format!("{scheme}://shard-{SHARD_MARK}.shard:9000"))
    }
}

/// The host of an endpoint.
fn host(endpoint: &str) -> String {
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// An account and its ether.
#[derive(Debug, Clone, Copy)]
struct Fund {
    address: Address,
    ether: u64,
}

impl FromStr for Fund {
    type Err = eyre::Report;

    fn from_str(text: &str) -> Result<Self> {
        let (address, ether) = text.split_once('=').ok_or_else(|| eyre!("ADDRESS=ETHER is expected"))?;
        Ok(Self { address: address.parse()?, ether: ether.parse()? })
    }
}

/// Does it.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Init(arguments) => {
            let path = init(arguments).wrap_err("no network was made")?;
            host::say!("{}", path.display());
        }
        Command::Renew { dir, tls_days } => {
            renew(dir, *tls_days).wrap_err("no certificates were made")?;
            host::say!("{}", dir.join("tls").display());
        }
    }
    Ok(())
}

fn renew(dir: &Path, days: u32) -> Result<()> {
    let network = Network::load(&dir.join("network.toml"))?;
    let key = dir.join("tls").join("authority.key");
    ensure!(key.exists(), "{} is not here: certificates are renewed where their authority's key is", key.display());
    let shards = network.endpoints.values().map(|endpoint| host(endpoint)).collect();
    Certificates { network: network.params.network.0, shards, days }.write(dir)
}

fn init(arguments: &Arguments) -> Result<PathBuf> {
    let dir = &arguments.dir;
    ensure!(
        arguments.shards == 1 || arguments.endpoint().contains(SHARD_MARK),
        "--endpoint {} does not name the shard: put {SHARD_MARK} where its number goes",
        arguments.endpoint()
    );
    ensure!(!dir.join("network.toml").exists(), "{} has a network already", dir.display());
    let state = state(arguments)?;
    check(arguments, &state)?;
    fs::create_dir_all(dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
    let shards = (0..arguments.shards).map(|shard| entry(arguments, shard)).collect::<Result<_>>()?;
    if arguments.tls {
        let hosts = (0..arguments.shards).map(|shard| host(&endpoint(arguments, shard)));
        let network = Certificates { network: arguments.chain_id, shards: hosts.collect(), days: arguments.tls_days };
        network.write(dir).wrap_err("no certificates were made")?;
    }
    fs::write(dir.join("kustomization.yaml"), kustomization(arguments.shards, arguments.tls)?)?;
    Ok(file(arguments, shards)?.write(&state, dir)?)
}

/// Whether it will be a network, before a key of it is on the disk: with a key that nobody uses in place of each.
fn check(arguments: &Arguments, state: &Genesis) -> Result<()> {
    let nobody = SecretKey::from_bytes(&[1; 32])?.public().to_string();
    let entry =
        |shard| ShardEntry { shard, endpoint: endpoint(arguments, shard), epoch: 1, validators: vec![nobody.clone()] };
    Network::new(&file(arguments, (0..arguments.shards).map(entry).collect())?, state.clone())?;
    Ok(())
}

fn file(arguments: &Arguments, shards: Vec<ShardEntry>) -> Result<NetworkFile> {
    Ok(NetworkFile {
        network: arguments.chain_id,
        genesis_ms: UNIX_EPOCH.elapsed().wrap_err("this machine's clock is before 1970")?.as_millis().try_into()?,
        slot_ms: arguments.slot_ms,
        base_fee_wei: 1_000_000_000,
        gas_limit: 60_000_000,
        beneficiary: arguments.beneficiary,
        fork: "osaka".to_owned(),
        environments: EnvironmentSource::Slots,
        allow_unprotected_transactions: arguments.allow_unprotected_txs,
        placement_version: 1,
        genesis: None,
        genesis_digest: None,
        shards,
        pinned: BTreeMap::new(),
        routes: Vec::new(),
        roles: BTreeMap::new(),
    })
}

fn endpoint(arguments: &Arguments, shard: u32) -> String {
    arguments.endpoint().replace(SHARD_MARK, &shard.to_string())
}

fn entry(arguments: &Arguments, shard: u32) -> Result<ShardEntry> {
    // One that an earlier try left is as good as a new one.
    let key = host::keys::read_or_generate(&arguments.dir.join(key_name(shard)))?;
    Ok(ShardEntry { shard, endpoint: endpoint(arguments, shard), epoch: 1, validators: vec![key.to_string()] })
}

fn key_name(shard: u32) -> String {
    format!("keys/shard-{shard}.key")
}

/// A mailbox on each shard, the contracts that tools expect, and what was funded.
fn state(arguments: &Arguments) -> Result<Genesis> {
    let mut state = genesis::with_accounts(arguments.chain_id, arguments.shards, 0)?;
    if !arguments.no_usual_contracts {
        state.accounts.extend(usual::accounts()?);
    }
    let wei = U256::from(10).pow(U256::from(18));
    for Fund { address, ether } in &arguments.funds {
        let account = GenesisAccount { balance: U256::from(*ether) * wei, ..GenesisAccount::default() };
        ensure!(state.accounts.insert(*address, account).is_none(), "{address} is in the genesis already");
    }
    Ok(state)
}

const RESOURCES: &str = "resources:\n  - certificates.yaml\n";

/// The secret of cert-manager's issuer; its name is told in certificates.yaml, so it gets no suffix.
const AUTHORITY: &str = "  - name: dovetail-authority
    type: kubernetes.io/tls
    options:
      disableNameSuffixHash: true
    files:
      - tls.crt=tls/authority.pem
      - tls.key=tls/authority.key
";

/// What k8s/ is made complete with: the files as a config map, the keys as a secret, and how many shards there are.
fn kustomization(shards: u32, tls: bool) -> Result<String> {
    let mut keys = String::new();
    for shard in 0..shards {
        writeln!(keys, "      - {}", key_name(shard))?;
    }
    let (resources, authority) = if tls { (RESOURCES, AUTHORITY) } else { ("", "") };
    Ok(format!(
        "# Written by `dovetail network init`: keep keys/ as secret as the money that they vouch for.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
{resources}configMapGenerator:
  - name: dovetail-network
    files:
      - network.toml
      - genesis.json
secretGenerator:
  - name: dovetail-keys
    files:
{keys}{authority}replicas:
  - name: shard
    count: {shards}
"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use primitives::ShardId;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    const BENEFICIARY: &str = "0x00000000000000000000000000000000000000fe";
    const RICH: &str = "0x00000000000000000000000000000000000000aa";

    fn made(dir: &Path, more: &[&str]) -> Result<PathBuf> {
        let line =
            ["init", &dir.display().to_string(), "--chain-id", "77", "--beneficiary", BENEFICIARY].map(str::to_owned);
        let more = more.iter().map(|word| (*word).to_owned());
        init(&Line::try_parse_from(line.into_iter().chain(more)).unwrap().arguments)
    }

    #[test]
    fn a_network_that_is_refused_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("network");
        let refusal = made(&dir, &["--slot-ms", "1"]).unwrap_err().to_string();
        assert!(refusal.contains("slot_ms is 1"), "{refusal}");
        assert!(!dir.exists(), "no folder, no keys");
    }

    #[test]
    fn a_new_network_is_one_that_nodes_start_on_and_each_shard_has_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let fund = format!("{RICH}=5");
        let path = made(dir.path(), &["--shards", "3", "--fund", &fund]).unwrap();
        let network = Network::load(&path).unwrap();
        assert_eq!(network.endpoints[&ShardId(2)], "http://shard-2.shard:9000");
        let rich = &network.genesis.accounts[&RICH.parse::<Address>().unwrap()];
        assert_eq!(rich.balance, U256::from(5_000_000_000_000_000_000_u64));
        for shard in 0..3 {
            let key = host::keys::read_file(&dir.path().join(key_name(shard))).unwrap();
            assert!(proof::Signer::new(key, network.validators(ShardId(shard)).unwrap()).is_ok());
        }
        let text = fs::read_to_string(dir.path().join("kustomization.yaml")).unwrap();
        assert!(text.contains("keys/shard-2.key") && text.contains("count: 3"), "{text}");
    }

    #[test]
    fn transactions_without_a_chain_are_taken_only_where_that_is_asked_for() {
        for more in [&[][..], &["--allow-unprotected-txs"]] {
            let dir = tempfile::tempdir().unwrap();
            let network = Network::load(&made(dir.path(), more).unwrap()).unwrap();
            assert_eq!(network.params.takes_unprotected, !more.is_empty());
        }
    }

    #[test]
    fn a_network_with_certificates_has_one_for_each_of_its_nodes_by_its_role() {
        let dir = tempfile::tempdir().unwrap();
        let path = made(dir.path(), &["--shards", "2", "--tls", "--endpoint", "https://127.0.0.1:90{shard}0"]).unwrap();
        let network = Network::load(&path).unwrap();
        assert_eq!(network.endpoints[&ShardId(1)], "https://127.0.0.1:9010");
        let tls = dir.path().join("tls");
        let roles = wire::tls::Roles::new(77, network.roles.clone());
        for (folder, role) in [
            ("shard-0", "shard"),
            ("shard-1", "shard"),
            ("coordinator", "coordinator"),
            ("relay", "relay"),
            ("operator", "operator"),
            ("observer", "observer"),
        ] {
            let settings = host::TlsSettings {
                certificate: tls.join(folder).join("certificate.pem"),
                key: tls.join(folder).join("key.pem"),
                authority: tls.join("authority.pem"),
            };
            assert!(host::Security::open(Some(&settings), false, &network).is_ok());
            let names = wire::tls::Tls::open((&settings).into()).unwrap().names();
            assert_eq!(roles.of(&names), [role.parse().unwrap()].into(), "{names}");
        }
        let requests = fs::read_to_string(dir.path().join("certificates.yaml")).unwrap();
        assert!(
            requests.contains("spiffe://dovetail-77/shard/0") && requests.contains("dovetail-tls-relay"),
            "{requests}"
        );
        let component = fs::read_to_string(dir.path().join("kustomization.yaml")).unwrap();
        assert!(component.contains("certificates.yaml") && component.contains("tls/authority.key"), "{component}");
    }

    #[test]
    fn a_network_is_never_written_over_another() {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path(), &[]).unwrap();
        let before = fs::read(dir.path().join("network.toml")).unwrap();
        let refusal = made(dir.path(), &[]).unwrap_err();
        assert!(refusal.to_string().contains("has a network already"), "{refusal}");
        assert_eq!(fs::read(dir.path().join("network.toml")).unwrap(), before);
    }

    #[test]
    fn shards_that_would_share_an_endpoint_and_accounts_named_twice_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = made(dir.path(), &["--endpoint", "http://one:9000"]).unwrap_err();
        assert!(refusal.to_string().contains("{shard}"), "{refusal}");
        let fund = format!("{RICH}=5");
        let refusal = made(dir.path(), &["--fund", &fund, "--fund", &fund]).unwrap_err();
        assert!(refusal.to_string().contains("already"), "{refusal}");
    }
}
