//! One generated case: contracts on shards, transactions that call them, and how both are listed.
//!
//! Its `Debug` is a listing of every program, account and transaction, so that what a failure shrinks to can be read.

use super::assembler;
use super::program::{Init, Op};
use alloy_primitives::{Address, B256, hex};
use alloy_signer_local::PrivateKeySigner;
use dovetail_evm::Placement;
use primitives::ShardId;
use revm::primitives::hardfork::SpecId;
use std::collections::BTreeMap;
use std::fmt;

/// How many keys there are; all but the last hold ether and send.
pub(crate) const AUTHORITIES_COUNT: usize = 4;
/// How many keys send transactions.
pub(crate) const SENDERS_COUNT: usize = 3;
pub(crate) const CONTRACTS_COUNT_MAX: usize = 8;
pub(crate) const STRANGERS_COUNT: u8 = 2;
/// Contracts, keys, strangers and the beneficiary: all that has an address before anything runs.
pub(crate) const PLACED_COUNT: usize = CONTRACTS_COUNT_MAX + AUTHORITIES_COUNT + STRANGERS_COUNT as usize + 1;

/// Whom an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Contract(u8),
    Authority(u8),
    Stranger(u8),
    Precompile(u8),
    Own,
    Caller,
    Origin,
    Coinbase,
    /// The last contract that this frame created.
    Created,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contract(index) => write!(f, "contract {index}"),
            Self::Authority(index) => write!(f, "authority {index}"),
            Self::Stranger(index) => write!(f, "stranger {index}"),
            Self::Precompile(number) => write!(f, "precompile {number}"),
            Self::Own => f.write_str("itself"),
            Self::Caller => f.write_str("its caller"),
            Self::Origin => f.write_str("the origin"),
            Self::Coinbase => f.write_str("the coinbase"),
            Self::Created => f.write_str("what it created"),
        }
    }
}

/// Who is paid the fees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coinbase {
    Nobody,
    Contract(u8),
    Authority(u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contract {
    pub(crate) ops: Vec<Op>,
    pub(crate) balance: u8,
    pub(crate) slots: BTreeMap<u8, u8>,
}

/// Where a transaction goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Contract(u8),
    Create(u8),
    Authority(u8),
    Stranger(u8),
    /// The contract that was created last, by whomever.
    LastCreated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Legacy,
    AccessList,
    DynamicFee,
    SetCode,
}

/// That a key lets a contract's code stand for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub(crate) authority: u8,
    /// Nobody takes the delegation back.
    pub(crate) target: Option<u8>,
    /// How far the nonce is off.
    pub(crate) nonce_off: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) sender: u8,
    pub(crate) to: Destination,
    pub(crate) kind: Kind,
    pub(crate) value: u8,
    pub(crate) depth: u8,
    pub(crate) gas: u32,
    pub(crate) tip: u8,
    pub(crate) access: Vec<(Target, Vec<u8>)>,
    pub(crate) authorizations: Vec<Authorization>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) fork: SpecId,
    pub(crate) shards_count: u32,
    pub(crate) homes: Vec<u32>,
    pub(crate) coinbase: Coinbase,
    pub(crate) contracts: Vec<Contract>,
    pub(crate) inits: Vec<Init>,
    /// Payloads: one transaction, or a bundle.
    pub(crate) payloads: Vec<Vec<Transaction>>,
    /// Which payload is also run with every gas limit of a ladder, if it is a single one.
    pub(crate) swept: u8,
}

/// What programs need to know to become code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub(crate) contracts_count: usize,
    pub(crate) inits: &'a [Init],
}

impl Layout<'_> {
    /// The address of a target that has one before anything runs.
    pub(crate) fn address(&self, target: Target) -> Address {
        match target {
            Target::Contract(index) => contract(usize::from(index) % self.contracts_count),
            Target::Authority(index) => authority(index),
            Target::Stranger(index) => stranger(index),
            Target::Precompile(number) => Address::with_last_byte(number),
            _ => Address::ZERO,
        }
    }
}

pub(crate) fn contract(index: usize) -> Address {
    Address::repeat_byte(0xc0 + u8::try_from(index).expect("few contracts"))
}

pub(crate) fn stranger(index: u8) -> Address {
    Address::repeat_byte(0xd0 + index % STRANGERS_COUNT)
}

pub(crate) fn key(index: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(1 + index % AUTHORITIES_COUNT as u8)).expect("a key")
}

thread_local! {
    /// Deriving an address from a key costs as much as a signature.
    static AUTHORITIES: Vec<Address> = (0..AUTHORITIES_COUNT as u8).map(|index| key(index).address()).collect();
}

pub(crate) fn authority(index: u8) -> Address {
    AUTHORITIES.with(|all| all[usize::from(index) % AUTHORITIES_COUNT])
}

impl Case {
    pub(crate) fn layout(&self) -> Layout<'_> {
        Layout { contracts_count: self.contracts.len(), inits: &self.inits }
    }

    pub(crate) fn code(&self, index: usize) -> Vec<u8> {
        assembler::runtime(&self.contracts[index].ops, &self.layout())
    }

    pub(crate) fn coinbase(&self) -> Address {
        match self.coinbase {
            Coinbase::Nobody => Address::repeat_byte(0xfe),
            Coinbase::Contract(index) => self.layout().address(Target::Contract(index)),
            Coinbase::Authority(index) => authority(index),
        }
    }

    /// Everything with a known address where it was drawn to be, what is created by hash.
    pub(crate) fn placement(&self) -> Placement {
        let contracts = (0..CONTRACTS_COUNT_MAX).map(contract);
        let authorities = (0..AUTHORITIES_COUNT as u8).map(authority);
        let strangers = (0..STRANGERS_COUNT).map(stranger);
        let placed = contracts.chain(authorities).chain(strangers).chain([Address::repeat_byte(0xfe)]);
        let homes = self.homes.iter().map(|home| ShardId(home % self.shards_count));
        Placement::new(1, self.shards_count, placed.zip(homes).collect()).expect("homes are shards")
    }

    pub(crate) fn sender(transaction: &Transaction) -> u8 {
        transaction.sender % SENDERS_COUNT as u8
    }

    /// The kind, as far as the fork knows it.
    pub(crate) fn kind(&self, transaction: &Transaction) -> Kind {
        match transaction.kind {
            Kind::DynamicFee if self.fork < SpecId::LONDON => Kind::Legacy,
            // Without an authorization, or without somebody to call, it would be malformed.
            Kind::SetCode if self.fork < SpecId::PRAGUE || transaction.authorizations.is_empty() => Kind::AccessList,
            Kind::SetCode if matches!(transaction.to, Destination::Create(_)) => Kind::AccessList,
            kind => kind,
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let placement = self.placement();
        let shard = |address| placement.shard_of(address).0;
        let coinbase = self.coinbase();
        writeln!(f, "{:?}, {} shards, coinbase {coinbase} on {}", self.fork, self.shards_count, shard(coinbase))?;
        for index in 0..AUTHORITIES_COUNT as u8 {
            writeln!(f, "authority {index} {} on {}", authority(index), shard(authority(index)))?;
        }
        for (index, init) in self.inits.iter().enumerate() {
            writeln!(f, "init {index}, deploys {:?}", init.deploys)?;
            listing(f, &init.ops)?;
        }
        for (index, Contract { ops, balance, slots }) in self.contracts.iter().enumerate() {
            let address = contract(index);
            writeln!(f, "contract {index} {address} on {}, {balance} wei, slots {slots:?}", shard(address))?;
            listing(f, ops)?;
            writeln!(f, "    code 0x{}", hex::encode(self.code(index)))?;
        }
        for (index, payload) in self.payloads.iter().enumerate() {
            let sweep = usize::from(self.swept) % self.payloads.len() == index && payload.len() == 1;
            let bundle = if payload.len() > 1 { ", a bundle" } else { "" };
            writeln!(f, "payload {index}{bundle}{}", if sweep { ", with every gas limit" } else { "" })?;
            payload.iter().try_for_each(|transaction| self.line(f, transaction))?;
        }
        Ok(())
    }
}

impl Case {
    fn line(&self, f: &mut fmt::Formatter<'_>, transaction: &Transaction) -> fmt::Result {
        let Transaction { to, value, depth, gas, tip, access, authorizations, .. } = transaction;
        let (kind, sender) = (self.kind(transaction), Self::sender(transaction));
        write!(f, "    {kind:?} from authority {sender} to {to:?}, {value} wei, depth {depth}, gas {gas}, tip {tip}")?;
        for (target, slots) in access {
            write!(f, ", access {target} {slots:?}")?;
        }
        if kind == Kind::SetCode {
            write!(f, ", {authorizations:?}")?;
        }
        writeln!(f)
    }
}

fn listing(f: &mut fmt::Formatter<'_>, ops: &[Op]) -> fmt::Result {
    ops.iter().enumerate().try_for_each(|(index, op)| writeln!(f, "    {index}  {op}"))
}
