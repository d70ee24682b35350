//! The description of a network: what all its nodes and the command line must agree on.
//!
//! One TOML file, the same bytes on every node: parameters, shards with their endpoints and validators, placement, and the
//! name of the genesis file beside it. Nothing in it is secret.
//!
//! Promise: a node that starts has checked all of it; an unknown field, a key that is no key or a pin to a shard that does
//! not exist stops it with the file's name and what is wrong.

use alloy_primitives::{Address, B256, Bytes, U256};
use evm::{Environments, NetworkParams, Placement, PlacementError, Spec, UnknownSpec};
use primitives::{Digest, Domain, Epoch, Millis, NetworkId, ShardId, Time};
use proof::{ForeignVerifier, KeyError, PublicKey, Route, RouteError, RouteTerms, ValidatorSet, ValidatorSetError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use wire::roles::Role;
use wire::shard::Terms;

/// The shortest slot: below it, clocks of ordinary machines differ by more than a slot.
pub const SLOT_MS_MIN: u64 = 50;

/// The longest slot.
pub const SLOT_MS_MAX: u64 = 60_000;

static TERMS: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 network terms"));
static GENESIS: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 network genesis"));
static PLACEMENT: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 network placement"));

/// Why a network file describes no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML of this shape, or not JSON for a genesis file. The text names line and field.
    #[error("{path} is malformed: {reason}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// Network id zero.
    #[error("network id 0 is never valid")]
    ZeroNetwork,
    /// A slot length out of bounds.
    #[error("slot_ms is {actual}, allowed are {SLOT_MS_MIN} to {SLOT_MS_MAX}")]
    SlotLength {
        /// What the file says.
        actual: u64,
    },
    /// Shards are not numbered 0, 1, 2, … in order.
    #[error("shard number {actual} stands where {expected} is expected: shards are numbered from 0 without gaps")]
    ShardNumber {
        /// What the file says.
        actual: u32,
        /// What comes next.
        expected: u32,
    },
    /// A fork nobody knows.
    #[error(transparent)]
    Fork(#[from] UnknownSpec),
    /// A placement that cannot be.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// A validator's key is no key.
    #[error("shard {shard}, validator {index}: {source}")]
    Key {
        /// Whose.
        shard: u32,
        /// Its place in the list.
        index: usize,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The validators are no set.
    #[error("shard {shard}: {source}")]
    Validators {
        /// Whose.
        shard: u32,
        /// What is wrong.
        source: ValidatorSetError,
    },
    /// An account at genesis has a code's hash and may not.
    #[error(
        "account {account} has code_hash, which only a network with environments = \"replay\" may name, and only instead of code"
    )]
    CodeHash {
        /// Which.
        account: Address,
    },
    /// A forked network by rules that let a contract go.
    #[error(
        "a network that is forked from another chain follows slots and the rules of cancun or later: spec {spec}, {environments:?}"
    )]
    ForkedBefore {
        /// Its fork.
        spec: Spec,
        /// Where its environments come from.
        environments: Environments,
    },
    /// The file names another genesis than it leads to.
    #[error(
        "genesis_digest is {stated}, but parameters, placement and genesis file come to {actual}: a file was changed"
    )]
    GenesisDigest {
        /// What the file says.
        stated: String,
        /// What it is.
        actual: Digest,
    },
    /// A shard that the network does not have.
    #[error("shard {shard} is not in the network, which has shards 0 to {last}")]
    UnknownShard {
        /// Which.
        shard: ShardId,
        /// The last there is.
        last: u32,
    },
    /// An attestor's key is none.
    #[error("attestor {index} of the route from domain {domain}: {source}")]
    AttestorKey {
        /// The route's.
        domain: u32,
        /// Which, from 0.
        index: usize,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A route that is not safe to start with.
    #[error("the route from domain {domain}: {source}")]
    Route {
        /// The route's.
        domain: u32,
        /// What is wrong with it.
        source: RouteError,
    },
    /// A route whose messages would ask for more gas than a transaction may.
    #[error("the route of domain {domain} gives a message {actual} gas, and gas_limit is {max}")]
    RouteGas {
        /// Which.
        domain: u32,
        /// What the file says.
        actual: u64,
        /// The most there is.
        max: u64,
    },
    /// Two routes of one domain: which one's attestors count is not for a guess.
    #[error("domain {domain} has two routes")]
    TwoRoutes {
        /// Which.
        domain: u32,
    },
}

/// Where block environments come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentSource {
    /// From slots: an ordinary network.
    Slots,
    /// From the payloads: a network that replays another chain's blocks. It takes system transactions from anyone, so it
    /// is for replays alone.
    Replay,
    /// From slots, but for the time, which payloads name; state may be set and senders named without a signature. For devnets to
    /// try things on, and for nothing else.
    Cheats,
}

/// One shard of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// Its number.
    pub shard: u32,
    /// Its gRPC endpoint, `http://host:port` or `https://host:port`.
    pub endpoint: String,
    /// The epoch of its validators, from 1.
    pub epoch: u64,
    /// Its validators' ed25519 public keys, 32 bytes of hex each.
    pub validators: Vec<String>,
}

/// A route from and to a foreign chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// The Hyperlane domain of the foreign chain.
    pub domain: u32,
    /// Its EIP-155 chain id.
    pub chain_id: u64,
    /// The Hyperlane mailbox there.
    pub mailbox: Address,
    /// How much gas the handler of each message from there is run with.
    pub gas_limit: u64,
    /// For how long after the time of its foreign block a message from there may be delivered, in milliseconds.
    pub window_ms: u64,
    /// The attestors' ed25519 public keys, 32 bytes of hex each.
    pub attestors: Vec<String>,
    /// How many of them have to say the same: more than half.
    pub threshold: usize,
}

impl RouteEntry {
    /// The route that it describes.
    pub fn route(&self) -> Result<Route, NetworkError> {
        let key = |(index, text): (usize, &String)| {
            let wrong = |source| NetworkError::AttestorKey { domain: self.domain, index, source };
            text.parse::<PublicKey>().map_err(wrong)
        };
        let terms = RouteTerms {
            domain: self.domain,
            chain_id: self.chain_id,
            mailbox: self.mailbox,
            gas_limit: self.gas_limit,
            window: Millis(self.window_ms),
            attestors: self.attestors.iter().enumerate().map(key).collect::<Result<_, _>>()?,
            threshold: self.threshold,
        };
        Route::new(terms).map_err(|source| NetworkError::Route { domain: self.domain, source })
    }
}

/// The file as it is written; [`Network`] is what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// EIP-155 chain id.
    pub network: u64,
    /// When slot 0 began, in milliseconds since 1970: block numbers count from here.
    pub genesis_ms: u64,
    /// Length of a slot in milliseconds.
    pub slot_ms: u64,
    /// Base fee in wei per gas, constant.
    pub base_fee_wei: u64,
    /// Most gas one transaction may ask for.
    pub gas_limit: u64,
    /// Who receives priority fees.
    pub beneficiary: Address,
    /// The fork's name, such as `osaka`.
    pub fork: String,
    /// Where block environments come from.
    pub environments: EnvironmentSource,
    /// Whether transactions are taken that are bound to no chain (before EIP-155): whoever saw one on another chain may send it here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_unprotected_transactions: bool,
    /// The placement's version, from 1.
    pub placement_version: u64,
    /// The genesis file, relative to this one. None: an empty state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesis: Option<PathBuf>,
    /// The digest of all that the network begins with, parameters, placement and genesis: every certificate is bound to it. None: it
    /// is not compared with what it comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis_digest: Option<String>,
    /// The shards, in order.
    pub shards: Vec<ShardEntry>,
    /// Addresses that are not where their hash puts them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned: BTreeMap<Address, u32>,
    /// Foreign chains that messages come from and go to. No part of what the network began with: each shard believes the attestors that
    /// its own file names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteEntry>,
    /// Roles of certificates that do not say theirs themselves, by URI, DNS name or common name. As routes, no part of what the network
    /// began with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Role>,
}

/// Names of the two files of a network, side by side.
const NETWORK_FILE: &str = "network.toml";
const GENESIS_FILE: &str = "genesis.json";

impl NetworkFile {
    /// Writes the network and the state that it starts from into `folder`, bound to each other; gives the network file's path.
    ///
    /// # Errors
    /// [`NetworkError`] if they describe no network, or cannot be written.
    pub fn write(mut self, genesis: &Genesis, folder: &Path) -> Result<PathBuf, NetworkError> {
        self.genesis = Some(PathBuf::from(GENESIS_FILE));
        self.genesis_digest = None;
        self.genesis_digest = Some(Network::new(&self, genesis.clone())?.genesis_digest.to_string());
        let path = folder.join(NETWORK_FILE);
        let text = toml::to_string(&self).map_err(|error| malformed(&path, &error))?;
        write(&folder.join(GENESIS_FILE), &serde_json::to_vec(genesis).map_err(|error| malformed(&path, &error))?)?;
        write(&path, text.as_bytes())?;
        Ok(path)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), NetworkError> {
    std::fs::write(path, bytes).map_err(|source| NetworkError::Unwritable { path: path.to_owned(), source })
}

/// An account at genesis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenesisAccount {
    /// Wei.
    pub balance: U256,
    /// Transactions sent.
    pub nonce: u64,
    /// Code; empty for an ordinary account.
    #[serde(skip_serializing_if = "is_no_code")]
    pub code: Bytes,
    /// keccak256 of its code where nobody has the code itself: the account can be looked at and paid, and a transaction that
    /// would run its code never can be. Only where environments are replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_hash: Option<B256>,
    /// Storage slots that are not zero.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub storage: BTreeMap<U256, U256>,
}

/// The state a network starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Genesis {
    /// Every account that exists.
    pub accounts: BTreeMap<Address, GenesisAccount>,
    /// Further codes, known by hash without an account of their own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub codes: BTreeMap<B256, Bytes>,
    /// Whose block has all the rest. None: there is no rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forked: Option<Forked>,
}

/// The block of another chain that a network was forked from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forked {
    /// That chain's EIP-155 id.
    pub chain_id: u64,
    /// The block's number.
    pub block: u64,
    /// The block's hash.
    pub hash: B256,
}

impl fmt::Display for Forked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} ({}) of chain {}", self.block, self.hash, self.chain_id)
    }
}

impl Genesis {
    /// The digest of a network that begins with these parameters, this placement and this state.
    pub fn digest(&self, params: &NetworkParams, placement: &Placement) -> Digest {
        TERMS.hash_of(&(params, placement, self.own_digest()))
    }

    fn own_digest(&self) -> Digest {
        GENESIS.hash(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A network, checked.
#[derive(Debug, Clone)]
pub struct Network {
    /// What every transaction sees.
    pub params: NetworkParams,
    /// Which shard owns what.
    pub placement: Placement,
    /// Each shard's endpoint.
    pub endpoints: BTreeMap<ShardId, String>,
    /// Each shard's validators.
    pub validators: BTreeMap<ShardId, ValidatorSet>,
    /// The state it starts from.
    pub genesis: Genesis,
    /// The digest of all that it begins with: parameters, placement and that state. Its validators' certificates are bound to it.
    pub genesis_digest: Digest,
    /// The foreign chains that messages come from and go to.
    pub routes: Vec<Route>,
    /// Roles of certificates that do not say theirs themselves.
    pub roles: BTreeMap<String, Role>,
}

impl Network {
    /// The network that the file at `path` describes, with the genesis file it names.
    pub fn load(path: &Path) -> Result<Self, NetworkError> {
        let text = read(path)?;
        let file: NetworkFile = toml::from_str(&text).map_err(|error| malformed(path, &error))?;
        let genesis = match &file.genesis {
            Some(name) => load_genesis(&path.parent().unwrap_or(Path::new(".")).join(name))?,
            None => Genesis::default(),
        };
        Self::new(&file, genesis)
    }

    /// The network that `file` and `genesis` describe.
    pub fn new(file: &NetworkFile, genesis: Genesis) -> Result<Self, NetworkError> {
        if file.network == 0 {
            return Err(NetworkError::ZeroNetwork);
        }
        if !(SLOT_MS_MIN..=SLOT_MS_MAX).contains(&file.slot_ms) {
            return Err(NetworkError::SlotLength { actual: file.slot_ms });
        }
        check_code_hashes(file.environments, &genesis)?;
        let mut endpoints = BTreeMap::new();
        let mut validators = BTreeMap::new();
        for (expected, entry) in (0..).zip(&file.shards) {
            if entry.shard != expected {
                return Err(NetworkError::ShardNumber { actual: entry.shard, expected });
            }
            endpoints.insert(ShardId(entry.shard), entry.endpoint.clone());
            validators.insert(ShardId(entry.shard), validator_set(entry)?);
        }
        let pinned = file.pinned.iter().map(|(address, shard)| (*address, ShardId(*shard))).collect();
        let placement = Placement::new(file.placement_version, endpoints.len() as u32, pinned)?;
        let params = params(file)?;
        check_forked(&params, &genesis)?;
        let genesis_digest = genesis.digest(&params, &placement);
        if let Some(stated) = file.genesis_digest.as_ref().filter(|stated| stated.parse() != Ok(genesis_digest)) {
            return Err(NetworkError::GenesisDigest { stated: stated.clone(), actual: genesis_digest });
        }
        let bound = |(shard, set): (ShardId, ValidatorSet)| (shard, set.bound_to(genesis_digest));
        let validators = validators.into_iter().map(bound).collect();
        let routes = routes(&file.routes, params.gas_limit)?;
        Ok(Self {
            params,
            placement,
            endpoints,
            validators,
            genesis,
            genesis_digest,
            routes,
            roles: file.roles.clone(),
        })
    }

    /// Whoever believes what the attestors of this network's routes say.
    pub fn foreign_verifier(&self) -> ForeignVerifier {
        ForeignVerifier::new(self.params.network, Some(&self.genesis_digest), &self.routes)
    }

    /// That `other`, read later, differs in nothing but in roles.
    ///
    /// # Errors
    /// In words, what differs: that needs a start.
    pub(crate) fn check_same(&self, other: &Self) -> Result<(), String> {
        let differs =
            |what: &str| Err(format!("{what} of the network file changed, which needs a start of every node"));
        if self.genesis_digest != other.genesis_digest {
            return differs("parameters, placement or genesis");
        }
        if self.endpoints != other.endpoints {
            return differs("endpoints");
        }
        if self.validators != other.validators {
            return differs("validators");
        }
        if self.routes == other.routes { Ok(()) } else { differs("routes") }
    }

    /// The route to the foreign chain with this domain.
    pub fn route(&self, domain: u32) -> Option<&Route> {
        self.routes.iter().find(|route| route.terms().domain == domain)
    }

    /// What its nodes have to agree on.
    pub fn terms(&self) -> Terms {
        let genesis = self.genesis.own_digest();
        let forked = self.genesis.forked.map(|forked| format!(", forked from {forked}")).unwrap_or_default();
        let (params, placement) = (&self.params, &self.placement);
        let unprotected = if params.takes_unprotected { " and transactions bound to no chain" } else { "" };
        let text = format!(
            "network {}, slots of {} from {}, base fee {} wei, gas limit {}, beneficiary {}, fork {}, {:?}{unprotected}, placement {} of {} \
             shards {:?}, genesis {genesis:?}{forked}",
            params.network,
            params.slot_length,
            params.genesis,
            params.base_fee,
            params.gas_limit,
            params.beneficiary,
            params.spec,
            params.environments,
            placement.version(),
            placement.shards_count(),
            PLACEMENT.hash_of(placement),
        );
        Terms { digest: self.genesis_digest, text }
    }

    /// The epoch of the validators that certify for `shard` now.
    pub fn epoch(&self, shard: ShardId) -> Result<Epoch, NetworkError> {
        self.validators(shard).map(ValidatorSet::epoch)
    }

    /// The validators of `shard`.
    pub fn validators(&self, shard: ShardId) -> Result<&ValidatorSet, NetworkError> {
        let last = self.placement.shards_count() - 1;
        self.validators.get(&shard).ok_or(NetworkError::UnknownShard { shard, last })
    }
}

/// A code that nobody has is for replays of blocks alone: they are known not to run it.
fn check_code_hashes(environments: EnvironmentSource, genesis: &Genesis) -> Result<(), NetworkError> {
    let is_replay = matches!(environments, EnvironmentSource::Replay);
    let mut named = genesis.accounts.iter().filter(|(_, account)| account.code_hash.is_some());
    match named.find(|(_, account)| !is_replay || !account.code.is_empty()) {
        Some((account, _)) => Err(NetworkError::CodeHash { account: *account }),
        None => Ok(()),
    }
}

/// What was read of another chain stays: no rule may empty a storage of which only a part was read.
fn check_forked(params: &NetworkParams, genesis: &Genesis) -> Result<(), NetworkError> {
    let NetworkParams { spec, environments, .. } = *params;
    let keeps = spec.keeps_contracts() && environments.has_slots();
    if genesis.forked.is_none() || keeps { Ok(()) } else { Err(NetworkError::ForkedBefore { spec, environments }) }
}

fn params(file: &NetworkFile) -> Result<NetworkParams, NetworkError> {
    Ok(NetworkParams {
        network: NetworkId(file.network),
        genesis: Time(file.genesis_ms),
        slot_length: Millis(file.slot_ms),
        base_fee: file.base_fee_wei,
        gas_limit: file.gas_limit,
        beneficiary: file.beneficiary,
        spec: file.fork.parse::<Spec>()?,
        environments: match file.environments {
            EnvironmentSource::Slots => Environments::Slots,
            EnvironmentSource::Replay => Environments::Replay,
            EnvironmentSource::Cheats => Environments::Cheats,
        },
        takes_unprotected: file.allow_unprotected_transactions,
    })
}

fn routes(entries: &[RouteEntry], gas_limit: u64) -> Result<Vec<Route>, NetworkError> {
    if let Some(RouteEntry { domain, gas_limit: actual, .. }) = entries.iter().find(|entry| entry.gas_limit > gas_limit)
    {
        return Err(NetworkError::RouteGas { domain: *domain, actual: *actual, max: gas_limit });
    }
    let mut domains = BTreeSet::new();
    match entries.iter().find(|entry| !domains.insert(entry.domain)) {
        Some(entry) => Err(NetworkError::TwoRoutes { domain: entry.domain }),
        None => entries.iter().map(RouteEntry::route).collect(),
    }
}

fn validator_set(entry: &ShardEntry) -> Result<ValidatorSet, NetworkError> {
    let key = |(index, text): (usize, &String)| {
        text.parse::<PublicKey>().map_err(|source| NetworkError::Key { shard: entry.shard, index, source })
    };
    let keys = entry.validators.iter().enumerate().map(key).collect::<Result<_, _>>()?;
    ValidatorSet::new(Epoch(entry.epoch), keys)
        .map_err(|source| NetworkError::Validators { shard: entry.shard, source })
}

fn is_no_code(code: &Bytes) -> bool {
    code.0.is_empty()
}

fn load_genesis(path: &Path) -> Result<Genesis, NetworkError> {
    serde_json::from_str(&read(path)?).map_err(|error| malformed(path, &error))
}

fn read(path: &Path) -> Result<String, NetworkError> {
    std::fs::read_to_string(path).map_err(|source| NetworkError::Unreadable { path: path.to_owned(), source })
}

fn malformed(path: &Path, error: &dyn std::fmt::Display) -> NetworkError {
    NetworkError::Malformed { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(environments: EnvironmentSource) -> NetworkFile {
        NetworkFile {
            network: 1,
            genesis_ms: 0,
            slot_ms: SLOT_MS_MIN,
            base_fee_wei: 0,
            gas_limit: 30_000_000,
            beneficiary: Address::ZERO,
            fork: "osaka".to_owned(),
            environments,
            allow_unprotected_transactions: false,
            placement_version: 1,
            genesis: None,
            genesis_digest: None,
            shards: Vec::new(),
            pinned: BTreeMap::new(),
            routes: Vec::new(),
            roles: BTreeMap::new(),
        }
    }

    fn genesis(account: GenesisAccount) -> Genesis {
        Genesis { accounts: [(Address::repeat_byte(1), account)].into(), ..Genesis::default() }
    }

    #[test]
    fn a_route_that_gives_a_message_more_gas_than_there_is_is_refused_with_both_numbers() {
        let route = |gas_limit| RouteEntry {
            domain: 1,
            chain_id: 1,
            mailbox: Address::repeat_byte(2),
            gas_limit,
            window_ms: 1_000,
            attestors: Vec::new(),
            threshold: 1,
        };
        assert!(!matches!(routes(&[route(30_000_000)], 30_000_000), Err(NetworkError::RouteGas { .. })));
        let refusal = routes(&[route(30_000_001)], 30_000_000).unwrap_err().to_string();
        assert!(refusal.contains("30000001") && refusal.contains("30000000"), "{refusal}");
    }

    #[test]
    fn a_forked_network_is_another_than_one_that_is_not_and_than_one_of_another_block() {
        let key = proof::SecretKey::from_bytes(&[7; 32]).unwrap().public().to_string();
        let shard = ShardEntry { shard: 0, endpoint: String::new(), epoch: 1, validators: vec![key] };
        let file = NetworkFile { shards: vec![shard], ..file(EnvironmentSource::Slots) };
        let of = |block| Forked { chain_id: 1, block, hash: B256::repeat_byte(3) };
        let network = |forked| Network::new(&file, Genesis { forked, ..Genesis::default() }).unwrap();
        let [none, first, second] = [None, Some(of(1)), Some(of(2))].map(network);
        assert!(none.genesis_digest != first.genesis_digest && first.genesis_digest != second.genesis_digest);
        assert!(first.terms().text.contains("forked from block 1 ("), "{}", first.terms().text);
        let written = serde_json::to_string(&Genesis::default()).unwrap();
        assert!(!written.contains("forked"), "a genesis without it is written as ever: {written}");
        let old = NetworkFile { fork: "shanghai".to_owned(), ..file };
        let refused = Network::new(&old, Genesis { forked: Some(of(1)), ..Genesis::default() }).unwrap_err();
        assert!(matches!(refused, NetworkError::ForkedBefore { .. }), "{refused}");
    }

    fn is_refused(environments: EnvironmentSource, account: GenesisAccount) -> bool {
        matches!(Network::new(&file(environments), genesis(account)), Err(NetworkError::CodeHash { .. }))
    }

    #[test]
    fn a_network_that_begins_with_something_else_has_another_digest() {
        let (first, second) =
            (genesis(GenesisAccount::default()), genesis(GenesisAccount { nonce: 1, ..Default::default() }));
        let key = proof::SecretKey::from_bytes(&[7; 32]).unwrap().public().to_string();
        let shard = ShardEntry { shard: 0, endpoint: String::new(), epoch: 1, validators: vec![key] };
        let file = NetworkFile { shards: vec![shard], ..file(EnvironmentSource::Slots) };
        let network = Network::new(&file, first.clone()).unwrap();
        let stated = NetworkFile { genesis_digest: Some(network.genesis_digest.to_string()), ..file.clone() };
        assert_eq!(network.validators(ShardId(0)).unwrap().genesis(), Some(&network.genesis_digest));
        assert!(Network::new(&stated, first).is_ok());
        assert!(matches!(Network::new(&stated, second.clone()), Err(NetworkError::GenesisDigest { .. })));
        assert_ne!(Network::new(&file, second).unwrap().genesis_digest, network.genesis_digest);
        let faster = NetworkFile { slot_ms: file.slot_ms + 1, ..stated };
        assert!(Network::new(&faster, genesis(GenesisAccount::default())).is_err());
    }

    #[test]
    fn a_file_that_says_nothing_of_transactions_without_a_chain_takes_none_and_is_written_as_ever() {
        let key = proof::SecretKey::from_bytes(&[7; 32]).unwrap().public().to_string();
        let shard = ShardEntry { shard: 0, endpoint: String::new(), epoch: 1, validators: vec![key] };
        let file = NetworkFile { shards: vec![shard], ..file(EnvironmentSource::Slots) };
        let text = toml::to_string(&file).unwrap();
        assert!(!text.contains("unprotected"), "{text}");
        let params = |text: &str| Network::new(&toml::from_str(text).unwrap(), Genesis::default()).unwrap().params;
        assert!(!params(&text).takes_unprotected);
        let allowed = toml::to_string(&NetworkFile { allow_unprotected_transactions: true, ..file }).unwrap();
        assert!(params(&allowed).takes_unprotected, "{allowed}");
    }

    #[test]
    fn only_a_replay_may_start_with_a_code_that_nobody_has() {
        let unknown = GenesisAccount { code_hash: Some(B256::repeat_byte(7)), ..GenesisAccount::default() };
        let both = GenesisAccount { code: Bytes::from_static(&[0]), ..unknown.clone() };
        assert!(is_refused(EnvironmentSource::Slots, unknown.clone()));
        assert!(!is_refused(EnvironmentSource::Replay, unknown));
        assert!(is_refused(EnvironmentSource::Replay, both));
        assert!(!is_refused(EnvironmentSource::Slots, GenesisAccount::default()));
    }

    #[test]
    fn every_term_of_a_network_is_in_its_digest() {
        let shards = vec![ShardEntry {
            shard: 0,
            endpoint: "http://here".to_owned(),
            epoch: 1,
            validators: vec![proof::SecretKey::from_bytes(&[7; 32]).unwrap().public().to_string()],
        }];
        let ours = NetworkFile { shards, ..file(EnvironmentSource::Slots) };
        let terms = |file: &NetworkFile, genesis: Genesis| Network::new(file, genesis).unwrap().terms();
        let here = terms(&ours, Genesis::default());
        let others = [
            NetworkFile { network: 2, ..ours.clone() },
            NetworkFile { slot_ms: 500, ..ours.clone() },
            NetworkFile { base_fee_wei: 7, ..ours.clone() },
            NetworkFile { gas_limit: 1, ..ours.clone() },
            NetworkFile { beneficiary: Address::repeat_byte(9), ..ours.clone() },
            NetworkFile { fork: "prague".to_owned(), ..ours.clone() },
            NetworkFile { environments: EnvironmentSource::Replay, ..ours.clone() },
            NetworkFile { allow_unprotected_transactions: true, ..ours.clone() },
            NetworkFile { placement_version: 2, ..ours.clone() },
            NetworkFile { pinned: [(Address::ZERO, 0)].into(), ..ours.clone() },
        ];
        for other in &others {
            let there = terms(other, Genesis::default());
            let refused = here.check(&there).unwrap_err().to_string();
            assert!(refused.contains(&here.text) && refused.contains(&there.text), "both sides are named: {refused}");
            assert_ne!(here.text, there.text, "a person sees the difference");
        }
        let rich = genesis(GenesisAccount { balance: U256::from(1), ..GenesisAccount::default() });
        assert!(here.check(&terms(&ours, rich)).is_err());
        let elsewhere = vec![ShardEntry { endpoint: "http://there".to_owned(), ..ours.shards[0].clone() }];
        assert_eq!(here.check(&terms(&NetworkFile { shards: elsewhere, ..ours }, Genesis::default())), Ok(()));
    }
}
