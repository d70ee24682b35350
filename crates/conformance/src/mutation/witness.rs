//! Lies about state: values of the witness changed, left out, or put in.

use crate::mutation::claim::{Claim, Honest};
use crate::mutation::kind::{Entry, Kind, Told, Value};
use crate::mutation::mutations::{Mutated, Teller};
use alloy_primitives::{Address, B256, U256, keccak256};
use evm::{AccountState, Data, FeesKey, Prepared, State, StateKey, Witness};
use primitives::ShardId;
use std::collections::BTreeMap;

/// What a contract is made into whose code is lied about: it stops at once.
const OTHER_CODE: [u8; 1] = [0];

/// A lie about one key.
#[derive(Debug, Clone, Copy)]
enum Lie {
    Account(Address, Option<AccountState>),
    Slot(Address, U256, U256),
    Fees(FeesKey, U256),
}

impl Lie {
    fn tell(self, witness: &mut Witness) {
        match self {
            Self::Account(address, account) => drop(witness.accounts.insert(address, account)),
            Self::Slot(address, slot, value) => drop(witness.slots.insert((address, slot), value)),
            Self::Fees(key, wei) => drop(witness.fees.insert(key, wei)),
        }
        let other = Data::from(OTHER_CODE.to_vec());
        if matches!(self, Self::Account(_, Some(account)) if account.code_hash == other_hash()) {
            witness.codes.insert(other_hash(), other);
        }
    }

    fn make_true(self, state: &mut State) {
        match self {
            Self::Account(address, Some(account)) => drop(state.accounts.insert(address, account)),
            Self::Account(address, None) => drop(state.accounts.remove(&address)),
            Self::Slot(address, slot, value) => state.set_slot(address, slot, value),
            Self::Fees(key, wei) => drop(state.fees.insert(key, wei)),
        }
        let added = state.add_code(other_hash(), &Data::from(OTHER_CODE.to_vec()));
        debug_assert!(added.is_ok(), "it is the code of its own hash");
    }
}

fn other_hash() -> B256 {
    keccak256(OTHER_CODE)
}

/// Every way to lie about a value of the witness: of each kind, one for each shard that owns some.
pub(crate) fn mutations(teller: &Teller<'_>) -> Vec<Mutated> {
    let mut mutated = Vec::new();
    for (value, lie) in lies(teller) {
        mutated.push(alone(teller.honest, value, lie));
        mutated.push(consistently(teller, value, lie));
    }
    mutated.extend(other_code_bytes(teller));
    mutated.extend(entries(teller));
    mutated
}

fn alone(honest: &Honest, value: Value, lie: Lie) -> Mutated {
    let mut prepared = honest.prepared.clone();
    lie.tell(&mut prepared.witness);
    Mutated::new(Kind::Value(value), Told::Alone, honest.claim_of(honest.descriptor.clone(), &prepared))
}

/// The coordinator runs the transaction in a world where the lie is true.
fn consistently(teller: &Teller<'_>, value: Value, lie: Lie) -> Mutated {
    let mut state = teller.scene.state.clone();
    lie.make_true(&mut state);
    let mut fallback = teller.honest.prepared.witness.clone();
    lie.tell(&mut fallback);
    let claim = teller.run_again(teller.honest.prepared.payload.clone(), &state, fallback);
    Mutated::new(Kind::Value(value), Told::Consistently, claim)
}

fn lies(teller: &Teller<'_>) -> Vec<(Value, Lie)> {
    let witness = &teller.honest.prepared.witness;
    let owner = |key| teller.scene.placement.owner(key);
    let mut lies = Vec::new();
    for (address, account) in by_shard(witness.accounts.iter(), |(at, _)| owner(StateKey::Account(**at)), teller.draw) {
        lies.extend(account_lies(*address, *account));
    }
    for ((address, slot), value) in
        by_shard(witness.slots.iter(), |((at, _), _)| owner(StateKey::Account(*at)), teller.draw)
    {
        lies.push((Value::Slot, Lie::Slot(*address, *slot, value.wrapping_add(U256::from(1)))));
    }
    for (key, wei) in by_shard(witness.fees.iter(), |(key, _)| key.shard, teller.draw) {
        lies.push((Value::Fees, Lie::Fees(*key, wei.wrapping_add(U256::from(1)))));
    }
    lies
}

fn account_lies(address: Address, account: Option<AccountState>) -> Vec<(Value, Lie)> {
    let lie = |account| Lie::Account(address, account);
    let Some(account) = account else {
        let found = AccountState::with_balance(U256::from(1));
        return vec![(Value::Existence, lie(Some(found)))];
    };
    let nonce = AccountState { nonce: account.nonce.wrapping_add(1), ..account };
    let balance = AccountState { balance: account.balance.wrapping_add(U256::from(1)), ..account };
    let hash = if account.has_code() { AccountState::EMPTY.code_hash } else { other_hash() };
    let code = AccountState { code_hash: hash, ..account };
    vec![
        (Value::Nonce, lie(Some(nonce))),
        (Value::Balance, lie(Some(balance))),
        (Value::CodeHash, lie(Some(code))),
        (Value::Existence, lie(None)),
    ]
}

/// One of the items of each shard.
fn by_shard<T>(items: impl Iterator<Item = T>, owner: impl Fn(&T) -> ShardId, draw: usize) -> Vec<T> {
    let mut shards: BTreeMap<ShardId, Vec<T>> = BTreeMap::new();
    for item in items {
        shards.entry(owner(&item)).or_default().push(item);
    }
    shards.into_values().map(|mut items| items.swap_remove(draw % items.len())).collect()
}

/// Bytes of a code that do not have its hash. Its hash stands for them in the digest, so all else fits.
fn other_code_bytes(teller: &Teller<'_>) -> Option<Mutated> {
    let mut prepared = teller.honest.prepared.clone();
    let code = prepared.witness.codes.values_mut().find(|code| !code.is_empty())?;
    let mut bytes = code.0.to_vec();
    bytes[0] ^= 1;
    *code = bytes.into();
    let claim = teller.honest.claim_of(teller.honest.descriptor.clone(), &prepared);
    Some(Mutated::new(Kind::Value(Value::CodeBytes), Told::Consistently, claim))
}

fn entries(teller: &Teller<'_>) -> Vec<Mutated> {
    let mut mutated = Vec::new();
    for entry in [Entry::Account, Entry::Slot, Entry::Fees, Entry::Code] {
        let mut less = teller.honest.prepared.clone();
        if leave_out(&mut less.witness, entry, teller.draw) {
            mutated.extend(both(teller, Kind::Removed(entry), &less));
        }
        let mut more = teller.honest.prepared.clone();
        put_in(&mut more.witness, entry);
        mutated.extend(both(teller, Kind::Added(entry), &more));
    }
    mutated
}

/// Under the old digest, and under that of the changed witness.
fn both(teller: &Teller<'_>, kind: Kind, prepared: &Prepared) -> [Mutated; 2] {
    let honest = teller.honest;
    let redone = teller.bind(&prepared.payload, &prepared.witness);
    let claim = |descriptor| -> Claim { honest.claim_of(descriptor, prepared) };
    [
        Mutated::new(kind, Told::Alone, claim(honest.descriptor.clone())),
        Mutated::new(kind, Told::Consistently, claim(redone)),
    ]
}

fn leave_out(witness: &mut Witness, entry: Entry, draw: usize) -> bool {
    fn one<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, draw: usize) -> bool {
        let key = map.keys().nth(draw % map.len().max(1)).cloned();
        key.is_some_and(|key| map.remove(&key).is_some())
    }
    match entry {
        Entry::Account => one(&mut witness.accounts, draw),
        Entry::Slot => one(&mut witness.slots, draw),
        Entry::Fees => one(&mut witness.fees, draw),
        Entry::Code => one(&mut witness.codes, draw),
    }
}

/// Something that no transaction of the corpora reads.
fn put_in(witness: &mut Witness, entry: Entry) {
    let stranger = Address::from_word(keccak256("a stranger"));
    let unread = U256::from_be_bytes(keccak256("an unread slot").0);
    match entry {
        Entry::Account => drop(witness.accounts.insert(stranger, None)),
        Entry::Slot => {
            let address = witness.accounts.keys().next().copied().unwrap_or(stranger);
            witness.slots.insert((address, unread), U256::ZERO);
        }
        Entry::Fees => drop(witness.fees.insert(FeesKey { shard: ShardId(0), beneficiary: stranger }, U256::ZERO)),
        Entry::Code => {
            let code = b"a code that nobody runs".to_vec();
            witness.codes.insert(keccak256(&code), code.into());
        }
    }
}
