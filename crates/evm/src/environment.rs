//! What a transaction can see of the world besides state: block, network, fork.
//!
//! Ordinary networks derive the whole block environment from a slot, so that every shard has the same one without asking
//! another. A replay network is given it in full, because real blocks have real ones.

use crate::precompiles::is_precompile;
use alloy_primitives::{Address, B256, U256};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Domain, Millis, NetworkId, Slot, Time};
use revm::context::{BlockEnv, CfgEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE;
use revm::primitives::eip7825::TX_GAS_LIMIT_CAP;
use revm::primitives::hardfork::SpecId;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use std::str::FromStr;
use std::sync::LazyLock;

static HASH: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 slot hash"));
static RANDOM: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 slot randomness"));

/// A fork's name that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown fork {name:?}; known are {}", Spec::NAMES.map(|(name, _)| name).join(", "))]
pub struct UnknownSpec {
    /// The name given.
    pub name: String,
}

/// An Ethereum fork: which rules the EVM follows. Its canonical bytes are its name, so they outlive revm's numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Spec(SpecId);

impl Spec {
    const NAMES: [(&'static str, SpecId); 15] = [
        ("frontier", SpecId::FRONTIER),
        ("homestead", SpecId::HOMESTEAD),
        ("tangerine", SpecId::TANGERINE),
        ("spurious_dragon", SpecId::SPURIOUS_DRAGON),
        ("byzantium", SpecId::BYZANTIUM),
        ("petersburg", SpecId::PETERSBURG),
        ("istanbul", SpecId::ISTANBUL),
        ("berlin", SpecId::BERLIN),
        ("london", SpecId::LONDON),
        ("merge", SpecId::MERGE),
        ("shanghai", SpecId::SHANGHAI),
        ("cancun", SpecId::CANCUN),
        ("prague", SpecId::PRAGUE),
        ("osaka", SpecId::OSAKA),
        ("amsterdam", SpecId::AMSTERDAM),
    ];

    /// The fork as revm names it.
    pub const fn id(self) -> SpecId {
        self.0
    }

    /// The fork's name in lower case.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, id)| *id == self.0).map_or("osaka", |(name, _)| name)
    }

    /// Whether the rules of `other` hold.
    pub fn includes(self, other: SpecId) -> bool {
        self.0.is_enabled_in(other)
    }

    /// Whether a contract that was there before a transaction is there after it: from EIP-6780 on, and as far as the rules are settled.
    pub fn keeps_contracts(self) -> bool {
        self.includes(SpecId::CANCUN) && !self.includes(SpecId::AMSTERDAM)
    }
}

impl From<SpecId> for Spec {
    fn from(id: SpecId) -> Self {
        Self(id)
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Spec {
    type Err = UnknownSpec;

    fn from_str(name: &str) -> Result<Self, UnknownSpec> {
        let lower = name.to_ascii_lowercase();
        let known = Self::NAMES.iter().find(|(known, _)| *known == lower);
        known.map(|(_, id)| Self(*id)).ok_or_else(|| UnknownSpec { name: name.to_owned() })
    }
}

impl BorshSerialize for Spec {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.name().serialize(writer)
    }
}

impl BorshDeserialize for Spec {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let name = String::deserialize_reader(reader)?;
        let spec: Self = name.parse().map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        // One value, one encoding: parsing forgives case, bytes do not.
        if spec.name() == name { Ok(spec) } else { Err(Error::new(ErrorKind::InvalidData, "fork not in lower case")) }
    }
}

/// Which environments a network takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Environments {
    /// Slots only: an ordinary network.
    Slots,
    /// Whole blocks and system transactions too: a network that replays a real chain and holds nothing of value.
    Replay,
    /// Slots whose TIMESTAMP whoever submits says, transactions that nobody signed, and state that is set: a network to try things
    /// on, which holds nothing of value either.
    Cheats,
}

impl Environments {
    /// Whether what runs has a slot: all but replays.
    pub fn has_slots(self) -> bool {
        self != Self::Replay
    }

    /// Whether state may be set, time moved and a sender named.
    pub fn has_cheats(self) -> bool {
        self == Self::Cheats
    }
}

/// What all shards of a network agree on before they start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkParams {
    /// The network, which is its EIP-155 chain id.
    pub network: NetworkId,
    /// When slot 0 began: slots, and so `block.number`, count from here.
    pub genesis: Time,
    /// How long a slot lasts; never zero.
    pub slot_length: Millis,
    /// Wei per gas that every transaction burns.
    pub base_fee: u64,
    /// The most gas a transaction may ask for.
    pub gas_limit: u64,
    /// Who is paid the priority fees. To change it, first settle the fragments of the old one.
    pub beneficiary: Address,
    /// The fork.
    pub spec: Spec,
    /// Which environments are taken.
    pub environments: Environments,
    /// Whether transactions are taken that are bound to no chain, as all were before EIP-155: whoever saw one on another chain may send
    /// it here. Where blocks are replayed they are in any case.
    pub takes_unprotected: bool,
}

/// Stands beside what environments are taken, in its byte: a network that takes no transaction without a chain has the bytes, and so the
/// digest, that it had before there was a choice.
const UNPROTECTED_BIT: u8 = 0x80;

impl BorshSerialize for NetworkParams {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        let Self { network, genesis, slot_length, base_fee, gas_limit, beneficiary, spec, .. } = self;
        (network, genesis, slot_length, base_fee, gas_limit, beneficiary, spec).serialize(writer)?;
        let bit = if self.takes_unprotected { UNPROTECTED_BIT } else { 0 };
        (self.environments as u8 | bit).serialize(writer)
    }
}

impl BorshDeserialize for NetworkParams {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let (network, genesis, slot_length, base_fee, gas_limit, beneficiary, spec) =
            BorshDeserialize::deserialize_reader(reader)?;
        let last = u8::deserialize_reader(reader)?;
        let environments = Environments::try_from_slice(&[last & !UNPROTECTED_BIT])?;
        let takes_unprotected = last & UNPROTECTED_BIT != 0;
        Ok(Self {
            network,
            genesis,
            slot_length,
            base_fee,
            gas_limit,
            beneficiary,
            spec,
            environments,
            takes_unprotected,
        })
    }
}

impl NetworkParams {
    /// Whether its fork has a precompile at `address`.
    pub fn has_precompile(&self, address: Address) -> bool {
        is_precompile(self.spec.id(), address)
    }

    /// The slot that `time` is in; the first for all time before it.
    pub fn slot_at(&self, time: Time) -> Slot {
        Slot(time.0.saturating_sub(self.genesis.0) / self.slot_length.0.max(1))
    }

    /// When `slot` begins.
    pub fn start_of(&self, slot: Slot) -> Time {
        self.genesis.after(Millis(slot.0.saturating_mul(self.slot_length.0)))
    }

    /// When `slot` is over.
    pub fn end_of(&self, slot: Slot) -> Time {
        self.start_of(slot.next())
    }

    /// When what runs in `environment` is over. A replayed block knows no slots: it comes after everything.
    pub fn end_of_environment(&self, environment: &Environment) -> Time {
        match environment {
            Environment::Slot(slot) | Environment::Travelled { slot, .. } => self.end_of(*slot),
            Environment::Block(_) => Time(u64::MAX),
        }
    }

    /// The hash that BLOCKHASH and the JSON-RPC give for the block of a slot. It does not depend on content, since no
    /// shard knows what the others hold.
    pub fn block_hash(&self, number: u64) -> B256 {
        B256::new(*HASH.hash_of(&(self.network, number)).as_bytes())
    }

    /// The most gas that a transaction can have: the limit, under the fork's cap (EIP-7825).
    pub fn transaction_gas_max(&self) -> u64 {
        let cap = if self.spec.includes(SpecId::OSAKA) { TX_GAS_LIMIT_CAP } else { u64::MAX };
        self.gas_limit.min(cap)
    }

    /// The block that a slot stands for.
    pub fn block_of(&self, slot: Slot) -> BlockEnvironment {
        let spec = self.spec;
        let random = RANDOM.hash_of(&(self.network, slot));
        BlockEnvironment {
            spec,
            number: slot.0,
            timestamp: self.start_of(slot).seconds(),
            beneficiary: self.beneficiary,
            gas_limit: self.gas_limit,
            base_fee: if spec.includes(SpecId::LONDON) { self.base_fee } else { 0 },
            difficulty: U256::ZERO,
            randomness: spec.includes(SpecId::MERGE).then(|| B256::new(*random.as_bytes())),
            blob: spec
                .includes(SpecId::CANCUN)
                .then_some(BlobEnvironment { excess_gas: 0, update_fraction: BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE }),
            hashes: BTreeMap::new(),
        }
    }

    /// From Cancun on code stays where it is, and shards go by that (EIP-6780): once there, a network does not go back.
    fn replayed(&self, block: &BlockEnvironment) -> Result<BlockEnvironment, EnvironmentError> {
        if self.spec.includes(SpecId::CANCUN) && !block.spec.includes(SpecId::CANCUN) {
            return Err(EnvironmentError::ForkRefused { fork: block.spec, network: self.spec });
        }
        Ok(block.clone())
    }

    /// The block that `environment` stands for, if this network takes it.
    pub fn block(&self, environment: &Environment) -> Result<BlockEnvironment, EnvironmentError> {
        match (environment, self.environments) {
            (Environment::Slot(slot), _) => Ok(self.block_of(*slot)),
            (Environment::Travelled { slot, timestamp }, Environments::Cheats) => {
                Ok(BlockEnvironment { timestamp: *timestamp, ..self.block_of(*slot) })
            }
            (Environment::Travelled { .. }, _) => Err(EnvironmentError::TravelRefused),
            (Environment::Block(block), Environments::Replay) => self.replayed(block),
            (Environment::Block(_), _) => Err(EnvironmentError::BlockRefused),
        }
    }
}

/// Why a network does not take an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// An explicit block on a network that only has slots.
    #[error("this network takes slots only; explicit block environments are for replay networks")]
    BlockRefused,
    /// A TIMESTAMP of its own on a network whose slots say what it is.
    #[error("this network's slots say what time it is; only a network with cheats takes a time of its own")]
    TravelRefused,
    /// A block of a fork before Cancun on a network of Cancun or later.
    #[error("a block of {fork} on a network of {network}, where code stays for ever: that is so from Cancun on alone")]
    ForkRefused {
        /// The block's fork.
        fork: Spec,
        /// The network's.
        network: Spec,
    },
}

/// What fees for blobs are computed from (EIP-4844, EIP-7892).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlobEnvironment {
    /// The header's excess blob gas.
    pub excess_gas: u64,
    /// By how much the blob base fee follows it; differs between blob schedules.
    pub update_fraction: u64,
}

/// A block environment in full.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlockEnvironment {
    /// The fork.
    pub spec: Spec,
    /// NUMBER.
    pub number: u64,
    /// TIMESTAMP, seconds.
    pub timestamp: u64,
    /// COINBASE: who is paid the fees.
    pub beneficiary: Address,
    /// GASLIMIT.
    pub gas_limit: u64,
    /// BASEFEE, wei per gas; zero before London.
    pub base_fee: u64,
    /// DIFFICULTY before the merge.
    pub difficulty: U256,
    /// PREVRANDAO from the merge on.
    pub randomness: Option<B256>,
    /// Blob fees, from Cancun on.
    pub blob: Option<BlobEnvironment>,
    /// BLOCKHASH by number, as far as it is known.
    pub hashes: BTreeMap<u64, B256>,
}

impl BlockEnvironment {
    /// As revm takes it.
    pub(crate) fn block_env(&self) -> BlockEnv {
        let blob = self.blob.map(|blob| BlobExcessGasAndPrice::new(blob.excess_gas, blob.update_fraction));
        BlockEnv {
            number: U256::from(self.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee,
            difficulty: self.difficulty,
            prevrandao: self.randomness,
            blob_excess_gas_and_price: blob,
            slot_num: self.number,
        }
    }

    /// The most blobs a transaction may name (EIP-4844, EIP-7691, EIP-7594).
    pub fn blobs_count_max(&self) -> u64 {
        if self.spec.id() == SpecId::PRAGUE { 9 } else { 6 }
    }

    /// The fork and network, as revm takes them.
    pub(crate) fn cfg_env(&self, network: NetworkId) -> CfgEnv {
        let mut cfg = CfgEnv::new_with_spec(self.spec.id()).with_chain_id(network.0);
        cfg.set_spec_and_mainnet_gas_params(self.spec.id());
        cfg.max_blobs_per_tx = Some(self.blobs_count_max());
        cfg
    }
}

/// Where in time a payload runs.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Environment {
    /// A slot of the network; everything else follows from the network's parameters.
    Slot(Slot),
    /// A block in full, on replay networks.
    Block(BlockEnvironment),
    /// A slot with a TIMESTAMP of its own, on networks with cheats.
    Travelled {
        /// The slot: everything but the time follows from it.
        slot: Slot,
        /// TIMESTAMP, seconds.
        timestamp: u64,
    },
}

impl Environment {
    /// The slot that it is of; none for a replayed block.
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Self::Slot(slot) | Self::Travelled { slot, .. } => Some(*slot),
            Self::Block(_) => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn params() -> NetworkParams {
        NetworkParams {
            network: NetworkId(1337),
            genesis: Time(0),
            slot_length: Millis(500),
            base_fee: 7,
            gas_limit: 30_000_000,
            beneficiary: Address::repeat_byte(0xfe),
            spec: Spec::default(),
            environments: Environments::Slots,
            takes_unprotected: false,
        }
    }

    #[test]
    fn a_slot_gives_every_shard_the_same_block() {
        let block = params().block_of(Slot(2001));
        assert_eq!((block.number, block.timestamp, block.base_fee), (2001, 1000, 7));
        assert_eq!(block, params().block_of(Slot(2001)));
        assert_ne!(block.randomness, params().block_of(Slot(2002)).randomness);
        assert_eq!(params().slot_at(Time(1_000_500)), Slot(2001));
    }

    #[test]
    fn a_block_environment_is_refused_outside_replay_networks() {
        let block = Environment::Block(params().block_of(Slot(1)));
        assert_eq!(params().block(&block), Err(EnvironmentError::BlockRefused));
        let replay = NetworkParams { environments: Environments::Replay, ..params() };
        assert_eq!(replay.block(&block), Ok(params().block_of(Slot(1))));
    }

    #[test]
    fn a_time_of_its_own_is_taken_only_where_there_are_cheats() {
        let travelled = Environment::Travelled { slot: Slot(9), timestamp: 5 };
        assert_eq!(params().block(&travelled), Err(EnvironmentError::TravelRefused));
        let cheats = NetworkParams { environments: Environments::Cheats, ..params() };
        let block = cheats.block(&travelled).unwrap();
        assert_eq!((block.number, block.timestamp), (9, 5));
        assert_eq!(travelled.slot(), Some(Slot(9)));
    }

    #[test]
    fn parameters_have_the_bytes_that_they_had_before_a_network_could_take_transactions_without_a_chain() {
        let all = [Environments::Slots, Environments::Replay, Environments::Cheats];
        for (environments, number) in all.into_iter().zip(0_u8..) {
            let of = |takes_unprotected| NetworkParams { environments, takes_unprotected, ..params() };
            let before = (1337_u64, 0_u64, 500_u64, 7_u64, 30_000_000_u64, Address::repeat_byte(0xfe), "osaka", number);
            let bytes = primitives::encode(&before);
            assert_eq!(primitives::encode(&of(false)), bytes);
            assert_eq!(primitives::decode(&bytes, 1024), Ok(of(false)));
            let unprotected = primitives::encode(&of(true));
            assert_ne!(unprotected, bytes);
            assert_eq!(primitives::decode(&unprotected, 1024), Ok(of(true)));
        }
        let bytes = [primitives::encode(&params()), vec![0]].concat();
        assert!(primitives::decode::<NetworkParams>(&bytes, 1024).is_err());
    }

    #[test]
    fn a_fork_survives_its_name() {
        for (name, id) in Spec::NAMES {
            assert_eq!(name.parse(), Ok(Spec(id)));
            let bytes = primitives::encode(&Spec(id));
            assert_eq!(primitives::decode::<Spec>(&bytes, 64), Ok(Spec(id)));
        }
        assert!("shangri-la".parse::<Spec>().is_err());
        assert!(primitives::decode::<Spec>(&primitives::encode("Osaka"), 64).is_err());
    }
}
