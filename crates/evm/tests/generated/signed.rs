//! A drawn transaction made into what revm runs and into what a user signs.

use super::assembler;
use super::case::{Authorization, Case, Destination, Kind, Target, Transaction, authority, contract, key, stranger};
use super::plain::{Block, Plain};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization as Unsigned, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_signer::SignerSync;
use revm::context::TxEnv;
use revm::context_interface::either::Either;
use std::collections::BTreeSet;

/// A transaction with everything filled in but the gas limit.
#[derive(Debug, Clone)]
pub(crate) struct Filled {
    sender: u8,
    kind: Kind,
    nonce: u64,
    to: TxKind,
    value: U256,
    input: Bytes,
    price: u128,
    tip: u128,
    access: AccessList,
    authorizations: Vec<SignedAuthorization>,
    gas: u64,
}

/// Fills in a payload's transactions, with the nonces that follow from `plain`.
pub(crate) fn fill(case: &Case, payload: &[Transaction], plain: &Plain) -> Vec<Filled> {
    let mut sent = Vec::new();
    let mut filled = Vec::new();
    for transaction in payload {
        let sender = authority(Case::sender(transaction));
        let nonce = |address| plain.nonce(address) + sent.iter().filter(|sent| **sent == address).count() as u64;
        let authorize = |authorization: &Authorization| {
            let address = authority(authorization.authority);
            // The transaction's own nonce is taken first.
            signed(case, *authorization, nonce(address) + u64::from(address == sender))
        };
        let kind = case.kind(transaction);
        let authorizations =
            transaction.authorizations.iter().filter(|_| kind == Kind::SetCode).map(authorize).collect();
        let (to, input) = destination(case, transaction, plain);
        filled.push(Filled {
            sender: Case::sender(transaction),
            kind,
            nonce: nonce(sender),
            to,
            value: U256::from(transaction.value),
            input,
            price: u128::from(base_fee(case)) + 2,
            tip: u128::from(transaction.tip),
            access: access_list(case, transaction),
            authorizations,
            gas: u64::from(transaction.gas),
        });
        sent.push(sender);
    }
    filled
}

fn base_fee(case: &Case) -> u64 {
    Block { fork: case.fork, coinbase: Address::ZERO }.base_fee()
}

fn signed(case: &Case, authorization: Authorization, nonce: u64) -> SignedAuthorization {
    let address = authorization.target.map_or(Address::ZERO, |to| case.layout().address(Target::Contract(to)));
    let nonce = nonce + u64::from(authorization.nonce_off);
    let unsigned = Unsigned { chain_id: U256::from(Block::CHAIN), address, nonce };
    let signature = key(authorization.authority).sign_hash_sync(&unsigned.signature_hash()).expect("signs");
    unsigned.into_signed(signature)
}

fn destination(case: &Case, transaction: &Transaction, plain: &Plain) -> (TxKind, Bytes) {
    let depth = U256::from(transaction.depth).to_be_bytes_vec().into();
    match transaction.to {
        Destination::Contract(index) => (TxKind::Call(case.layout().address(Target::Contract(index))), depth),
        Destination::Authority(index) => (TxKind::Call(authority(index)), depth),
        Destination::Stranger(index) => (TxKind::Call(stranger(index)), depth),
        Destination::LastCreated => (TxKind::Call(plain.last_created.unwrap_or(contract(0))), depth),
        Destination::Create(index) => {
            let index = usize::from(index) % case.inits.len();
            (TxKind::Create, assembler::init(index, transaction.depth, &case.layout()).into())
        }
    }
}

fn access_list(case: &Case, transaction: &Transaction) -> AccessList {
    let item = |(target, slots): &(Target, Vec<u8>)| {
        let address = match target {
            Target::Coinbase => case.coinbase(),
            Target::Own | Target::Caller | Target::Origin | Target::Created => contract(0),
            target => case.layout().address(*target),
        };
        let storage_keys = slots.iter().map(|slot| B256::from(U256::from(*slot))).collect();
        AccessListItem { address, storage_keys }
    };
    AccessList(transaction.access.iter().map(item).collect())
}

impl Filled {
    /// The same with another gas limit.
    pub(crate) fn with_gas(&self, gas: u64) -> Self {
        Self { gas, ..self.clone() }
    }

    /// The slots its access list names, if it has one.
    pub(crate) fn listed(&self) -> BTreeSet<(Address, U256)> {
        let items = self.access.0.iter().filter(|_| self.kind != Kind::Legacy);
        items.flat_map(|item| item.storage_keys.iter().map(|slot| (item.address, (*slot).into()))).collect()
    }

    /// As revm runs it.
    pub(crate) fn env(&self) -> TxEnv {
        let dynamic = matches!(self.kind, Kind::DynamicFee | Kind::SetCode);
        TxEnv {
            tx_type: [0, 1, 2, 4][self.kind as usize],
            caller: authority(self.sender),
            gas_limit: self.gas,
            gas_price: self.price,
            gas_priority_fee: dynamic.then_some(self.tip),
            kind: self.to,
            value: self.value,
            data: self.input.clone(),
            nonce: self.nonce,
            chain_id: Some(Block::CHAIN),
            access_list: if self.kind == Kind::Legacy { AccessList::default() } else { self.access.clone() },
            authorization_list: self.authorizations.iter().cloned().map(Either::Left).collect(),
            ..TxEnv::default()
        }
    }

    /// As its sender signs it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (chain_id, nonce, gas_limit, value) = (Block::CHAIN, self.nonce, self.gas, self.value);
        let (to, input, access_list) = (self.to, self.input.clone(), self.access.clone());
        let (max_fee_per_gas, max_priority_fee_per_gas) = (self.price, self.tip);
        let envelope: TxEnvelope = match self.kind {
            Kind::Legacy => {
                let chain_id = Some(chain_id);
                self.sign(TxLegacy { chain_id, nonce, gas_price: self.price, gas_limit, to, value, input }).into()
            }
            Kind::AccessList => {
                let gas_price = self.price;
                self.sign(TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input }).into()
            }
            Kind::DynamicFee => self
                .sign(TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list,
                    input,
                })
                .into(),
            Kind::SetCode => self
                .sign(TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to: to.to().copied().expect("a set-code transaction calls"),
                    value,
                    access_list,
                    authorization_list: self.authorizations.clone(),
                    input,
                })
                .into(),
        };
        envelope.encoded_2718()
    }

    fn sign<T: SignableTransaction<Signature>>(&self, transaction: T) -> alloy_consensus::Signed<T> {
        let signature = key(self.sender).sign_hash_sync(&transaction.signature_hash()).expect("signs");
        transaction.into_signed(signature)
    }
}
