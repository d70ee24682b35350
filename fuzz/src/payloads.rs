//! Signed transactions and witnesses: nobody signs but the signer, and a witness is exactly what was read.

use crate::choice::Choice;
use crate::sample;
use alloy_primitives::{Address, TxKind, U256};
use evm::{
    AccountState, CodeCache, Effects, Executed, NetworkParams, Payload, PayloadVerifier, Placement, Prepared,
    RecoveredPayload, Replay, Replayer, State, Witness, execute,
};
use primitives::{ShardId, Verified, Verifier};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

/// Runtime code: adds its input to slot 0 and pays what it was sent to the address in slot 1.
const CODE: &[u8] = &[
    0x5f, 0x35, 0x5f, 0x54, 0x01, 0x5f, 0x55, // sstore(0, sload(0) + calldata)
    0x5f, 0x5f, 0x5f, 0x5f, 0x34, 0x60, 0x01, 0x54, 0x5a, 0xf1, 0x00, // call(gas, sload(1), callvalue)
];

const CONTRACT: Address = Address::repeat_byte(0xcc);

struct Genuine {
    params: NetworkParams,
    placement: Placement,
    replayer: Replayer,
    /// Signed transactions with who signed.
    signed: Vec<(Vec<u8>, Address)>,
    prepared: Vec<Prepared>,
    effects: Vec<Effects>,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let params = sample::params();
    let pins =
        [(sample::user(1).address(), ShardId(0)), (CONTRACT, ShardId(1)), (sample::user(2).address(), ShardId(2))];
    let placement = Placement::new(1, 3, pins.into()).expect("shards that there are");
    let signed: Vec<_> = sample::transactions().into_iter().map(|bytes| (bytes, sample::user(1).address())).collect();
    let state = state();
    let payloads: Vec<Verified<RecoveredPayload>> =
        payloads().into_iter().map(|payload| recovered(&params, payload)).collect();
    let executed: Vec<Executed> =
        payloads.iter().map(|payload| execute(&params, &placement, payload, &state).expect("it runs")).collect();
    let prepared = payloads.iter().zip(&executed);
    let prepared = prepared.map(|(payload, executed)| Prepared {
        payload: payload.payload().clone(),
        witness: executed.witness.clone(),
        proofs: BTreeMap::new(),
    });
    Genuine {
        replayer: Replayer::new(params.clone(), placement.clone(), Arc::new(CodeCache::default())),
        prepared: prepared.collect(),
        effects: executed.into_iter().map(|executed| executed.effects).collect(),
        params,
        placement,
        signed,
    }
});

fn recovered(params: &NetworkParams, payload: Payload) -> Verified<RecoveredPayload> {
    Verified::by(&PayloadVerifier::new(params.clone()), payload).expect("well signed")
}

/// Two users with an ether each, and a contract that pays the second.
fn state() -> State {
    let mut state = State::default();
    for seed in [1, 2] {
        state.accounts.insert(sample::user(seed).address(), AccountState::with_balance(sample::ETHER));
    }
    let code_hash = alloy_primitives::keccak256(CODE);
    state.add_code(code_hash, &CODE.to_vec().into()).expect("its own hash");
    state.accounts.insert(CONTRACT, AccountState { nonce: 1, balance: U256::ZERO, code_hash });
    state.set_slot(CONTRACT, U256::from(1), U256::from_be_slice(sample::user(2).address().as_slice()));
    state
}

fn payloads() -> Vec<Payload> {
    let (from, to) = (sample::user(1), sample::user(2).address());
    let call = |nonce, wei| {
        let what = (TxKind::Call(CONTRACT), U256::from(wei), vec![3; 32]);
        sample::transaction(&from, nonce, 100_000, what)
    };
    let transfer = sample::transaction(&from, 0, 21_000, (TxKind::Call(to), U256::from(5), Vec::new()));
    vec![sample::payload([transfer]), sample::payload([call(0, 7)]), sample::payload([call(0, 7), call(1, 8)])]
}

pub(crate) fn prepared() -> Prepared {
    GENUINE.prepared[1].clone()
}

pub(crate) fn effects() -> Effects {
    GENUINE.effects[1].clone()
}

/// Bytes that claim to be a signed transaction: the input as it is, and a genuine one changed.
pub fn payload(data: &[u8]) {
    check_transaction(data);
    if let Ok(payload) = primitives::decode::<Payload>(data, evm::PAYLOAD_BYTES_MAX) {
        let _ = PayloadVerifier::new(GENUINE.params.clone()).verify(payload);
    }
    let mut choice = Choice::new(data);
    let (base, signer) = choice.of(&GENUINE.signed);
    let edited = choice.edited(base);
    if let Some(sender) = check_transaction(&edited) {
        assert!(sender != *signer || edited == *base, "a second transaction of one signature, or second bytes of one");
    }
}

/// Who signed, if these bytes are a transaction.
fn check_transaction(bytes: &[u8]) -> Option<Address> {
    let payload = sample::payload([bytes.to_vec()]);
    let recovered = PayloadVerifier::new(GENUINE.params.clone()).verify(payload).ok()?;
    let transaction = recovered.signed().next().expect("one transaction");
    assert_eq!(transaction.hash(), alloy_primitives::keccak256(bytes));
    assert_eq!(&transaction.bytes()[..], bytes);
    // Bounds that others add up without looking.
    let _ = (transaction.cost_max(), transaction.gas_limit(), transaction.to());
    Some(transaction.sender())
}

/// Bytes that claim to be a payload with its witness: as they come, and a genuine one changed.
pub fn witness(data: &[u8]) {
    check_prepared(data);
    let mut choice = Choice::new(data);
    let prepared = choice.of(&GENUINE.prepared).clone();
    let edited = choice.edited(&primitives::encode(&prepared));
    check_prepared(&edited);
    let witness = edited_witness(prepared.witness.clone(), &mut choice);
    let is_whole = prepared.witness.keys().all(|key| witness.keys().any(|kept| kept == key));
    let genuine = prepared.witness.clone();
    let verdict = check_replay(Prepared { witness, ..prepared });
    assert!(is_whole || verdict.is_none_or(|executed| executed.witness != genuine));
}

/// Other values, missing values, values that nobody reads.
fn edited_witness(mut witness: Witness, choice: &mut Choice<'_>) -> Witness {
    let number = U256::from(choice.number());
    let huge = if choice.once_in(2) { U256::MAX - number } else { number };
    let nth = choice.below(8);
    match choice.below(8) {
        0 => witness.accounts.values_mut().flatten().skip(nth).take(1).for_each(|account| account.balance = huge),
        1 => witness
            .accounts
            .values_mut()
            .flatten()
            .skip(nth)
            .take(1)
            .for_each(|account| account.nonce = choice.number()),
        2 => witness.slots.values_mut().skip(nth).take(1).for_each(|value| *value = huge),
        3 => drop(witness.accounts.pop_first()),
        4 => drop(witness.slots.pop_last()),
        5 => drop(witness.accounts.insert(Address::repeat_byte(nth as u8), None)),
        6 => drop(witness.codes.pop_first()),
        _ => witness.accounts.values_mut().skip(nth).take(1).for_each(|account| *account = None),
    }
    witness
}

fn check_prepared(bytes: &[u8]) {
    let Ok(prepared) = primitives::decode::<Prepared>(bytes, commit::PAYLOAD_BYTES_MAX) else { return };
    assert_eq!(primitives::encode(&prepared), bytes, "a prepared payload has one encoding");
    check_replay(prepared);
}

/// Replays; what is believed is the same each time, reads exactly the witness, and splits into its shards' parts.
fn check_replay(prepared: Prepared) -> Option<Executed> {
    let payload = PayloadVerifier::new(GENUINE.params.clone()).verify(prepared.payload).ok()?;
    let replay = Replay { payload, witness: prepared.witness.clone() };
    let executed = GENUINE.replayer.verify(replay.clone()).ok()?;
    assert_eq!(executed.witness, prepared.witness, "a witness is what was read, no more and no less");
    assert_eq!(GENUINE.replayer.verify(replay).as_ref(), Ok(&executed), "I11: the same again");
    check_slices(&executed, &GENUINE.placement);
    Some(executed)
}

/// The shards' parts are the whole, without overlap, and each locks what it reads and writes.
pub(crate) fn check_slices(executed: &Executed, placement: &Placement) {
    let mut keys = BTreeMap::new();
    for shard in placement.shards() {
        let slice = executed.slice(shard, placement);
        assert!(
            executed.participants.contains(&shard) || slice.locks.is_empty(),
            "shard {shard} is touched and not named"
        );
        let read: BTreeSet<_> = slice.witness.keys().chain(slice.changes.keys().map(|(key, _)| key)).collect();
        assert!(read.iter().eq(slice.locks.keys()), "shard {shard} locks what it reads and writes");
        for key in read {
            assert_eq!(placement.owner(key), shard);
            assert_eq!(keys.insert(key, shard), None, "{key} has two owners");
        }
    }
    let whole: BTreeSet<_> =
        executed.witness.keys().chain(executed.effects.changes.keys().map(|(key, _)| key)).collect();
    assert!(whole.iter().eq(keys.keys()), "nothing is lost between shards");
}

pub(crate) fn payload_seeds() -> Vec<Vec<u8>> {
    GENUINE.signed.iter().map(|(bytes, _)| bytes.clone()).collect()
}

pub(crate) fn witness_seeds() -> Vec<Vec<u8>> {
    GENUINE.prepared.iter().map(primitives::encode).collect()
}
