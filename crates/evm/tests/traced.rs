//! Transactions of a block that are run again and looked at: a trace is of the run that its receipt is of, or is not told.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use dovetail_evm as evm;
use evm::trace::{Committed, GethDebugTracingOptions, Trace, TraceError, Tracer, Wanted, trace_block, trace_call};
use evm::{
    AccountState, Address, B256, Bytecode, CallRequest, ExecuteError, FeesKey, Funding, Ground, Lookup, Missing,
    Outcome, Payload, RecoveredTransaction, State, StateKey, Status, Step, SystemTransaction, U256, View,
};
use fixture::{World, signed, wei};
use primitives::Slot;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const COUNTER: Address = Address::repeat_byte(0xc0);
/// Counts up and logs the count; costs more the first time.
const COUNTS: &str = "5f5460010180805f555f5260205fa000";

fn geth(options: Value) -> Tracer {
    let options: GethDebugTracingOptions = serde_json::from_value(options).unwrap();
    Tracer::Geth(Box::new(options))
}

fn calls() -> Tracer {
    geth(json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}}))
}

fn json_of(trace: &Trace) -> Value {
    match trace {
        Trace::Geth(trace) => serde_json::to_value(trace).unwrap(),
        Trace::Flat(traces) => serde_json::to_value(traces).unwrap(),
        Trace::Parity(results) => serde_json::to_value(results).unwrap(),
    }
}

fn committed(place: usize, payload: &Payload, sender: Address, outcome: Outcome) -> Committed {
    let transaction = RecoveredTransaction::committed(signed(payload).0.clone(), sender).unwrap();
    let (hash, transaction) = (transaction.hash(), Some(Step::Signed(Box::new(transaction))));
    Committed { place, hash, slot: Slot(1000), outcome, transaction }
}

/// A world after a block of which each transaction depends on those before it, the block, and the state before it.
fn block(shards_count: u32) -> (World, Vec<Committed>, State) {
    let mut world = World::new(shards_count);
    world.deploy(COUNTER, COUNTS);
    let before = world.state.clone();
    let mut block = Vec::new();
    for n in [0, 1, 0, 2] {
        let payload = world.call(n, COUNTER);
        let executed = world.commit(payload.clone());
        block.push(committed(block.len(), &payload, world.sender(n), executed.effects.outcomes[0].clone()));
    }
    (world, block, before)
}

fn trace(
    world: &World,
    block: &[Committed],
    wanted: Wanted,
    tracer: &Tracer,
    view: &dyn View,
) -> Result<Vec<(usize, Trace)>, TraceError> {
    trace_block(&Ground::of_slot(&world.params, &world.placement, Slot(1000)), block, wanted, tracer, view)
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn a_transaction_is_traced_after_those_before_it_in_its_block() {
    for shards_count in [1, 4] {
        let (world, block, before) = block(shards_count);
        for (index, committed) in block.iter().enumerate() {
            let traces = trace(&world, &block, Wanted::One(index), &calls(), &before).unwrap();
            let told = json_of(&traces[0].1);
            assert_eq!(traces.len(), 1);
            assert_eq!(number(&told["gasUsed"]), committed.outcome.gas_used);
            assert_eq!(number(&told["logs"][0]["data"]), index as u64 + 1, "the count that it logged: {told}");
        }
        let all = trace(&world, &block, Wanted::All, &calls(), &before).unwrap();
        assert_eq!(all.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}

#[test]
fn transactions_that_are_shown_in_another_order_than_they_ran_in_are_traced_as_they_ran() {
    let (world, mut block, before) = block(4);
    block.swap(0, 3);
    let count = |traces: Vec<(usize, Trace)>| -> Vec<u64> {
        traces.iter().map(|(_, trace)| number(&json_of(trace)["logs"][0]["data"])).collect()
    };
    let all = trace(&world, &block, Wanted::All, &calls(), &before).unwrap();
    assert_eq!(count(all), [1, 2, 3, 4]);
    let one = trace(&world, &block, Wanted::One(0), &calls(), &before).unwrap();
    assert_eq!(count(one), [4]);
}

#[test]
fn every_tracer_tells_of_the_same_run() {
    let (world, block, before) = block(4);
    let one = |tracer: &Tracer| json_of(&trace(&world, &block, Wanted::One(2), tracer, &before).unwrap()[0].1);
    let steps = one(&geth(json!({})));
    assert_eq!((&steps["failed"], &steps["gas"]), (&json!(false), &json!(block[2].outcome.gas_used)), "{steps}");
    let opcodes: Vec<&str> =
        steps["structLogs"].as_array().unwrap().iter().map(|step| step["op"].as_str().unwrap()).collect();
    assert_eq!(opcodes[..4], ["PUSH0", "SLOAD", "PUSH1", "ADD"]);
    assert_eq!(*opcodes.last().unwrap(), "STOP");
    let two = one(&geth(json!({"limit": 2})));
    assert_eq!(two["structLogs"].as_array().unwrap().len(), 2);
    assert_eq!(one(&geth(json!({"tracer": "noopTracer"}))), json!({}));
    assert_eq!(one(&geth(json!({"tracer": "4byteTracer"}))), json!({}));
    let mux = one(&geth(json!({"tracer": "muxTracer", "tracerConfig": {"callTracer": {}, "4byteTracer": null}})));
    assert_eq!(number(&mux["callTracer"]["gasUsed"]), block[2].outcome.gas_used);
    let flat = one(&Tracer::Flat);
    assert_eq!((&flat[0]["type"], &flat[0]["action"]["to"]), (&json!("call"), &json!(COUNTER)));
    let types = serde_json::from_value(json!(["trace", "stateDiff", "vmTrace"])).unwrap();
    let parity = one(&Tracer::Parity(types));
    let slot = &parity["stateDiff"][format!("{COUNTER:#x}")]["storage"][B256::ZERO.to_string()]["*"];
    assert_eq!((number(&slot["from"]), number(&slot["to"])), (2, 3), "{parity}");
    assert_eq!(parity["vmTrace"]["ops"].as_array().unwrap().len(), opcodes.len());
}

#[test]
fn a_state_before_and_after_has_the_beneficiary_and_its_fragments() {
    let (world, block, before) = block(4);
    let tracer = |diff: bool| geth(json!({"tracer": "prestateTracer", "tracerConfig": {"diffMode": diff}}));
    let one = |tracer: &Tracer| json_of(&trace(&world, &block, Wanted::One(3), tracer, &before).unwrap()[0].1);
    let diff = one(&tracer(true));
    let beneficiary = format!("{:#x}", world.params.beneficiary);
    let paid = |outcomes: &[Committed]| outcomes.iter().map(|committed| 2 * committed.outcome.gas_used).sum::<u64>();
    assert_eq!(number(&diff["pre"][&beneficiary]["balance"]), paid(&block[..3]), "{diff}");
    assert_eq!(number(&diff["post"][&beneficiary]["balance"]), paid(&block));
    let sender = format!("{:#x}", world.sender(2));
    let spent = U256::from(9 * block[3].outcome.gas_used);
    assert_eq!(diff["post"][&sender]["balance"], json!(wei(1000) - spent));
    assert_eq!(diff["post"][&sender]["nonce"], 1);
    let pre = one(&tracer(false));
    let slot = &pre[format!("{COUNTER:#x}")]["storage"][B256::ZERO.to_string()];
    assert_eq!(slot, &json!(B256::with_last_byte(3)), "{pre}");
}

#[test]
fn a_transaction_that_is_shown_late_runs_at_its_own_slot() {
    let mut world = World::new(4);
    world.deploy(COUNTER, "435f5260205fa000"); // logs NUMBER
    let before = world.state.clone();
    let payload = world.call(0, COUNTER);
    let outcome = world.commit(payload.clone()).effects.outcomes[0].clone();
    let late = committed(0, &payload, world.sender(0), outcome);
    // The block that shows it is 1010, the ground's; it ran at 1000.
    let ground = Ground::of_slot(&world.params, &world.placement, Slot(1010));
    let told = trace_block(&ground, std::slice::from_ref(&late), Wanted::All, &calls(), &before).unwrap();
    assert_eq!(number(&json_of(&told[0].1)["logs"][0]["data"]), 1000);
    let elsewhere = [Committed { slot: Slot(1010), ..late }];
    let differs = trace_block(&ground, &elsewhere, Wanted::All, &calls(), &before).unwrap_err();
    assert!(matches!(differs, TraceError::Differs { after_system: false, .. }), "{differs}");
}

#[test]
fn a_run_that_comes_to_another_receipt_is_not_told() {
    let (world, block, before) = block(4);
    for (index, change) in [
        (0, (|outcome| outcome.gas_used += 1) as fn(&mut Outcome)),
        (1, |outcome| outcome.status = Status::Halted),
        (2, |outcome| outcome.logs.clear()),
    ] {
        let mut changed = block.clone();
        change(&mut changed[index].outcome);
        let refused = trace(&world, &changed, Wanted::One(3), &calls(), &before).unwrap_err();
        let hash = block[index].hash;
        assert!(matches!(refused, TraceError::Differs { transaction, .. } if transaction == hash), "{refused}");
    }
    let later = trace(&world, &block, Wanted::One(0), &calls(), &world.state).unwrap_err();
    assert!(matches!(later, TraceError::Differs { .. }), "another state: {later}");
}

#[test]
fn the_protocols_own_call_is_traced_like_any_other() {
    let mut world = World::new(4);
    world.deploy(COUNTER, COUNTS);
    let (mailbox, before) = (Address::repeat_byte(0xbb), world.state.clone());
    let call = SystemTransaction::Call {
        caller: mailbox,
        target: COUNTER,
        input: vec![1, 2].into(),
        gas_limit: 100_000,
        value: U256::from(5),
        funding: Funding::Minted,
    };
    let called = |world: &mut World, place| {
        let payload = world.call(0, COUNTER);
        let outcome = world.commit(payload.clone()).effects.outcomes[0].clone();
        committed(place, &payload, world.sender(0), outcome)
    };
    let first = called(&mut world, 0);
    let (outcome, hash) = (world.commit_system(call.clone()).effects.outcomes[0].clone(), B256::repeat_byte(9));
    let own = Committed { place: 1, hash, slot: Slot(1000), outcome, transaction: Some(Step::System(call)) };
    let block = [first, own, called(&mut world, 2)];
    let told = trace(&world, &block, Wanted::All, &calls(), &before).unwrap();
    assert_eq!(told.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 1, 2]);
    let own = json_of(&told[1].1);
    assert_eq!((&own["from"], &own["to"], &own["input"]), (&json!(mailbox), &json!(COUNTER), &json!("0x0102")));
    assert_eq!((number(&own["value"]), number(&own["gas"])), (5, 100_000));
    assert_eq!(number(&own["gasUsed"]), block[1].outcome.gas_used);
    assert_eq!(number(&own["logs"][0]["data"]), 2, "the count between those of the others: {own}");
    assert_eq!(number(&json_of(&told[2].1)["logs"][0]["data"]), 3);
    let mut changed = block.clone();
    changed[1].outcome.gas_used += 1;
    let refused = trace(&world, &changed, Wanted::One(1), &calls(), &before).unwrap_err();
    assert!(matches!(refused, TraceError::Differs { transaction, .. } if transaction == block[1].hash), "{refused}");
}

#[test]
fn the_protocols_own_transaction_that_is_not_known_is_not_traced_and_what_follows_it_only_if_it_comes_to_its_receipt() {
    let (mut world, mut block, before) = block(4);
    let burn = SystemTransaction::Burn { account: world.sender(1), value: wei(1) };
    let outcome = world.commit_system(burn).effects.outcomes[0].clone();
    let own = Committed { place: 9, hash: B256::repeat_byte(9), slot: Slot(1000), outcome, transaction: None };
    block.insert(1, own);
    let refused = trace(&world, &block, Wanted::One(1), &calls(), &before).unwrap_err();
    assert!(matches!(refused, TraceError::System { .. }), "{refused}");
    let told = trace(&world, &block, Wanted::All, &calls(), &before).unwrap();
    assert_eq!(told.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_trace_that_takes_too_much_is_ended() {
    let mut world = World::new(1);
    world.deploy(COUNTER, "5b5f56"); // loops until its gas is gone
    let ground = Ground::of_slot(&world.params, &world.placement, Slot(1000));
    let call = CallRequest { to: Some(COUNTER), ..CallRequest::default() };
    let traced = |tracer: &Tracer| trace_call(&ground, &call, tracer, &world.state);
    assert!(matches!(traced(&geth(json!({}))), Err(TraceError::TooLarge)));
    assert!(matches!(
        traced(&Tracer::Parity(serde_json::from_value(json!(["vmTrace"])).unwrap())),
        Err(TraceError::TooLarge)
    ));
    let (outcome, _) = traced(&geth(json!({"limit": 100}))).unwrap();
    assert_eq!(outcome.status, Status::Halted);
    assert!(traced(&calls()).is_ok());
}

#[test]
fn a_tracer_that_is_not_known_is_refused() {
    let world = World::new(1);
    let ground = Ground::of_slot(&world.params, &world.placement, Slot(1000));
    for options in
        [json!({"tracer": "{step: function() {}}"}), json!({"tracer": "callTracer", "tracerConfig": {"withLog": 1}})]
    {
        let refused = trace_call(&ground, &CallRequest::default(), &geth(options), &world.state).unwrap_err();
        assert!(matches!(refused, TraceError::Tracer { .. }), "{refused}");
    }
}

/// A view that knows what it was told.
#[derive(Default)]
struct Told {
    keys: BTreeSet<StateKey>,
    codes: BTreeSet<B256>,
    state: State,
}

impl Told {
    fn known<T>(&self, key: StateKey, value: Lookup<T>) -> Lookup<T> {
        if self.keys.contains(&key) { value } else { Lookup::Unknown }
    }
}

impl View for Told {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        self.known(StateKey::Account(address), self.state.account(address))
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        self.known(StateKey::Slot(address, slot), self.state.slot(address, slot))
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        self.known(StateKey::Fees(key), self.state.fees(key))
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        if self.codes.contains(&hash) { self.state.code(hash) } else { Lookup::Unknown }
    }
}

#[test]
fn what_a_view_lacks_is_named_and_with_it_the_trace_is_the_same() {
    let (world, block, before) = block(4);
    let types = || Tracer::Parity(serde_json::from_value(json!(["trace", "stateDiff"])).unwrap());
    let whole = trace(&world, &block, Wanted::All, &types(), &before).unwrap();
    let mut told = Told { state: before, ..Told::default() };
    for round in 0.. {
        assert!(round < 10, "each round brings what the one before lacked");
        match trace(&world, &block, Wanted::All, &types(), &told) {
            Err(TraceError::Execute(ExecuteError::Missing(missing))) => {
                for missing in missing {
                    match missing {
                        Missing::Key(key) => drop(told.keys.insert(key)),
                        Missing::Code { hash, .. } => drop(told.codes.insert(hash)),
                        Missing::CodeProof(account) => panic!("nobody asks for a proof of {account}"),
                    }
                }
            }
            traces => {
                let json =
                    |traces: &[(usize, Trace)]| traces.iter().map(|(_, trace)| json_of(trace)).collect::<Vec<_>>();
                assert_eq!(json(&traces.unwrap()), json(&whole));
                break;
            }
        }
    }
}

#[test]
fn a_creation_is_traced_to_the_contract_it_made() {
    let mut world = World::new(4);
    let before = world.state.clone();
    let payload = world.create(0, "6001600c60003960016000f300");
    let outcome = world.commit(payload.clone()).effects.outcomes[0].clone();
    let created = outcome.created.unwrap();
    let block = [committed(0, &payload, world.sender(0), outcome)];
    let told = json_of(&trace(&world, &block, Wanted::All, &calls(), &before).unwrap()[0].1);
    assert_eq!((&told["type"], &told["to"]), (&json!("CREATE"), &json!(created)));
}
