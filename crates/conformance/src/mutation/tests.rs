//! That lies are found out, and that a network which does not look is found out too.

use super::check::Check;
use super::judge::{Harmless, Judgement, judge, objections};
use super::kind::{Field, Kind, Proof, Told, Value};
use super::mutations::{Mutated, all};
use super::network::{NOW, Network, StartError};
use super::scene::{Scene, genesis};
use super::tally::{Origin, Tally};
use super::{honest, play};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U256, hex, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use evm::{AccountState, Data, Environment, Environments, NetworkParams, Payload, Placement, State};
use primitives::{Millis, NetworkId, ShardId, Time};
use std::collections::BTreeSet;

const CALLER: Address = Address::repeat_byte(0xc0);
const CALLEE: Address = Address::repeat_byte(0xc1);
const BENEFICIARY: Address = Address::repeat_byte(0xfe);

fn signer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(1)).expect("a key")
}

fn params(environments: Environments) -> NetworkParams {
    NetworkParams {
        network: NetworkId(1337),
        genesis: Time(0),
        slot_length: Millis(1000),
        base_fee: 7,
        gas_limit: 30_000_000,
        beneficiary: BENEFICIARY,
        spec: "osaka".parse().expect("a fork"),
        environments,
        takes_unprotected: false,
    }
}

/// Counts in a slot, asks what the beneficiary has, pays a wei to the callee, logs, returns.
fn caller_code() -> String {
    let callee = hex::encode(CALLEE);
    format!("600054600101600055{}6000600060006000600173{callee}5af15060006000a060206000f3", "413150")
}

fn contract(state: &mut State, address: Address, code: &str, balance: u64) {
    let code: Data = hex::decode(code).expect("hex").into();
    let code_hash = keccak256(&code.0);
    state.add_code(code_hash, &code).expect("its own hash");
    state.accounts.insert(address, AccountState { nonce: 1, balance: U256::from(balance), code_hash });
    state.set_slot(address, U256::ZERO, U256::from(5));
}

/// A sender, a contract that it calls, and one that this calls: each on a shard of its own, beside one that is idle.
fn scene(environments: Environments) -> Scene {
    let params = params(environments);
    let sender = signer().address();
    let pinned = [(sender, ShardId(0)), (CALLER, ShardId(1)), (CALLEE, ShardId(2)), (BENEFICIARY, ShardId(2))];
    let placement = Placement::new(1, 4, pinned.into()).expect("a placement");
    let mut state = State::default();
    state.accounts.insert(sender, AccountState::with_balance(U256::from(10).pow(U256::from(18))));
    contract(&mut state, CALLER, &caller_code(), 9);
    contract(&mut state, CALLEE, "346000540160005500", 0);
    let transaction = TxEip1559 {
        chain_id: 1337,
        gas_limit: 300_000,
        max_fee_per_gas: 9,
        max_priority_fee_per_gas: 2,
        to: TxKind::Call(CALLER),
        ..TxEip1559::default()
    };
    let signature = signer().sign_hash_sync(&transaction.signature_hash()).expect("signs");
    let bytes = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
    let slot = params.slot_at(NOW);
    let environment = match environments {
        Environments::Slots | Environments::Cheats => Environment::Slot(slot),
        Environments::Replay => {
            let mut block = params.block_of(slot);
            block.hashes.insert(slot.0 - 1, B256::repeat_byte(9));
            Environment::Block(block)
        }
    };
    let payload = Payload::signed(environment, bytes);
    Scene::new("a call of a call".to_owned(), params, placement, state, payload)
}

/// The scene without the beneficiary's balance, so that a shard is idle: to read it is to read a fragment of every shard.
fn scene_with_an_idle_shard() -> Scene {
    let mut scene = scene(Environments::Replay);
    let code = caller_code().replace("413150", "");
    contract(&mut scene.state, CALLER, &code, 9);
    scene.genesis = genesis(&scene.state);
    scene
}

/// A contract that runs the code of a library, of which nothing else is ever used.
fn scene_with_a_library() -> Scene {
    let mut scene = scene(Environments::Replay);
    let code = format!("600060006000600073{}5af45000", hex::encode(CALLEE));
    contract(&mut scene.state, CALLER, &code, 9);
    contract(&mut scene.state, CALLEE, "600760005500", 0);
    scene.genesis = genesis(&scene.state);
    scene
}

fn scenes() -> Vec<Scene> {
    let replay = scene(Environments::Replay);
    vec![replay, scene(Environments::Slots), scene_with_an_idle_shard(), scene_with_a_library()]
}

/// What becomes of every mutation of a scene while `blind` does not look.
fn judged(scene: &Scene, blind: Option<Check>) -> Vec<(Mutated, Judgement)> {
    let mut network = Network::start(scene).expect("starts");
    let honest = honest::prepare(scene, &mut network).expect("an honest prepare");
    let mutated = all(scene, &honest, 0).into_iter();
    let judge = |mutated: Mutated| {
        let judgement = judge(scene, &mut network, &honest, &mutated, blind).expect("judged");
        (mutated, judgement)
    };
    mutated.map(judge).collect()
}

#[test]
fn nobody_believes_a_lie_about_a_call_of_a_call() {
    let mut tally = Tally::default();
    for scene in scenes() {
        play(&scene, Origin::Block, &mut tally);
    }
    assert_eq!((tally.failures_count, tally.uncaught_count()), (0, 0), "{:#?}", tally.failures);
    assert_eq!((tally.transactions_count(), tally.local, tally.refused), (4, 0, 0));
    let kinds: BTreeSet<Kind> = tally.rows.keys().map(|(kind, _)| *kind).collect();
    for value in [Value::Nonce, Value::Balance, Value::CodeHash, Value::Slot, Value::Fees, Value::CodeBytes] {
        assert!(kinds.contains(&Kind::Value(value)), "{value:?} was never lied about");
    }
    let told = [Proof::Missing, Proof::Forged, Proof::OtherCode, Proof::Excess, Proof::Flipped, Proof::OfAnother];
    for proof in told {
        assert!(kinds.contains(&Kind::Proof(proof)), "{proof:?} was never told");
    }
}

#[test]
fn the_owner_alone_finds_out_a_lie_that_all_else_follows() {
    for (mutated, judgement) in scenes().iter().flat_map(|scene| judged(scene, None)) {
        let is_of_state = matches!(mutated.kind, Kind::Value(value) if value != Value::CodeBytes);
        if let (true, Told::Consistently, Judgement::Caught(checks)) = (is_of_state, mutated.told, judgement) {
            let runs = !checks.contains(&Check::Execution);
            assert!(!runs || checks == [Check::OwnValues].into(), "{}: {checks:?}", mutated.kind);
        }
    }
}

#[test]
fn without_any_one_check_some_mutation_goes_uncaught() {
    let scenes = scenes();
    let seen: BTreeSet<Check> = scenes
        .iter()
        .flat_map(|scene| judged(scene, None))
        .filter_map(|(_, judgement)| if let Judgement::Caught(checks) = judgement { Some(checks) } else { None })
        .flatten()
        .collect();
    let is_needed = |check: &Check| {
        scenes.iter().any(|scene| judged(scene, Some(*check)).iter().any(|(_, judged)| *judged == Judgement::Uncaught))
    };
    let spare: Vec<Check> = seen.iter().copied().filter(|check| !is_needed(check)).collect();
    assert_eq!(spare, [], "whatever these object to, others object to as well");
    assert!(seen.len() > 15, "only {seen:?} ever objected");
}

#[test]
fn shards_whose_own_state_is_the_lie_let_it_pass_and_are_found_out() {
    let scene = scene(Environments::Replay);
    let mut network = Network::start(&scene).expect("starts");
    let honest = honest::prepare(&scene, &mut network).expect("an honest prepare");
    let mut state = scene.state.clone();
    state.set_slot(CALLEE, U256::ZERO, U256::from(6));
    let blinded = Scene { genesis: genesis(&state), ..scene.clone() };
    let mut blind = Network::start(&blinded).expect("starts");
    let lie = all(&scene, &honest, 0).into_iter().find(|mutated| {
        let prepared: evm::Prepared = primitives::decode(&mutated.claim.bytes, 1 << 20).expect("a prepare");
        let is_told = prepared.witness.slots.get(&(CALLEE, U256::ZERO)) == Some(&U256::from(6));
        is_told && mutated.told == Told::Consistently
    });
    let lie = lie.expect("the slot is lied about");
    assert_eq!(judge(&scene, &mut blind, &honest, &lie, None).expect("judged"), Judgement::Uncaught);
    let caught = judge(&scene, &mut network, &honest, &lie, None).expect("judged");
    assert_eq!(caught, Judgement::Caught([Check::OwnValues].into()));
}

#[test]
fn an_honest_prepare_has_no_objection() {
    for scene in scenes() {
        let mut network = Network::start(&scene).expect("starts");
        let honest = honest::prepare(&scene, &mut network).expect("an honest prepare");
        assert!(objections(&mut network, &honest.claim(), None).expect("asked").is_empty());
    }
}

#[test]
fn what_a_coordinator_may_say_is_called_harmless_and_why() {
    let mut reasons = BTreeSet::new();
    for (mutated, judgement) in scenes().iter().flat_map(|scene| judged(scene, None)) {
        if let Judgement::Harmless(harmless) = judgement {
            reasons.insert((mutated.kind, harmless));
        }
    }
    assert!(reasons.contains(&(Kind::Field(Field::Timestamp), Harmless::Unread)), "{reasons:?}");
    assert!(reasons.contains(&(Kind::Field(Field::BaseFee), Harmless::AnotherEnvironment)), "{reasons:?}");
    assert!(reasons.contains(&(Kind::Field(Field::Slot), Harmless::AnotherSlot)), "{reasons:?}");
    assert!(reasons.iter().any(|(_, harmless)| *harmless == Harmless::AnotherTry), "{reasons:?}");
    let of_slots = |harmless: &Harmless| matches!(harmless, Harmless::AnotherSlot | Harmless::AnotherTry);
    let slots = judged(&scene(Environments::Slots), None);
    let harmless =
        slots.iter().filter_map(|(_, judged)| if let Judgement::Harmless(why) = judged { Some(why) } else { None });
    assert!(harmless.into_iter().all(of_slots), "on a network of slots nobody says what a block is");
}

#[test]
fn a_network_that_does_not_start_is_told() {
    let scene =
        Scene { placement: Placement::new(1, 100, [].into()).expect("a placement"), ..scene(Environments::Replay) };
    assert!(matches!(Network::start(&scene), Err(StartError::Open(_))));
}
