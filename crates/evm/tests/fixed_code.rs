//! Code that never changes: who only lends it is no participant, and nobody passes for such a lender who is none.

mod fixture;

use alloy_primitives::{TxKind, hex, keccak256};
use dovetail_evm as evm;
use evm::{
    Address, BlockEnvironment, Environment, EnvironmentError, Environments, ExecuteError, Executed, Lookup, Missing,
    NetworkParams, Payload, Replay, State, StateKey, U256, View, WithProofs, Witness, WitnessError, execute,
    mailbox_address,
};
use fixture::{World, create_address, wei};
use primitives::{ShardId, Slot, Verified};
use std::collections::BTreeSet;

const CONTRACT: Address = Address::repeat_byte(0xc0);

/// A state whose owners have proven their codes.
fn proven(state: &State) -> impl View + '_ {
    let with_code = |address| state.accounts.get(&address).filter(|account| account.has_code());
    WithProofs {
        view: state,
        proofs: move |address| Lookup::Known(with_code(address).map(|account| account.code_hash)),
    }
}

/// A network with one contract, and an address whose shard nothing else is on.
fn world_of(fork: &str) -> (World, Address) {
    let world = World::of_fork(16, fork);
    let placement = &world.placement;
    let taken: BTreeSet<ShardId> = [CONTRACT, world.sender(0)].map(|address| placement.shard_of(address)).into();
    let free = (1..=255).map(Address::repeat_byte).find(|address| !taken.contains(&placement.shard_of(*address)));
    let library = free.expect("a shard of its own");
    (world, library)
}

fn world() -> (World, Address) {
    world_of("osaka")
}

fn run(world: &World, payload: Payload) -> Result<Executed, ExecuteError> {
    let view = proven(&world.state);
    execute(&world.params, &world.placement, &world.recover(payload), &view)
}

fn replay(world: &World, payload: &Payload, witness: Witness) -> Result<Executed, WitnessError> {
    let replay = Replay { payload: world.recover(payload.clone()), witness };
    Verified::by(&world.replayer(), replay).map(Verified::into_inner)
}

/// Runs with all codes proven and with none, and has both replayed; says whether `library` makes its owner a participant.
fn takes_part(world: &World, payload: &Payload, library: Address) -> bool {
    let lent = run(world, payload.clone()).expect("runs");
    let whole = world.execute(payload.clone()).expect("runs");
    assert_eq!(lent.effects, whole.effects, "what is proven changes no result");
    for executed in [&lent, &whole] {
        assert_eq!(replay(world, payload, executed.witness.clone()).as_ref(), Ok(executed));
    }
    let owner = world.placement.shard_of(library);
    assert!(whole.participants.contains(&owner) && whole.witness.fixed.is_empty());
    assert_eq!(lent.witness.fixed.contains_key(&library), !lent.participants.contains(&owner));
    lent.participants.contains(&owner)
}

/// `opcode(gas, address, no data)`, result dropped.
fn call(opcode: &str, address: Address) -> String {
    format!("600060006000600073{}5a{opcode}50", hex::encode(address))
}

/// `CALL` or `CALLCODE` with value, result dropped.
fn pay(opcode: &str, address: Address, value: u8) -> String {
    format!("600060006000600060{value:02x}73{}5a{opcode}50", hex::encode(address))
}

/// `opcode(address)`, result dropped.
fn ask(opcode: &str, address: Address) -> String {
    format!("73{}{opcode}50", hex::encode(address))
}

#[test]
fn an_account_that_only_lends_its_code_makes_no_participant() {
    let (world, library) = world();
    let copy = format!("60206000600073{}3c", hex::encode(library));
    let uses = [
        ("DELEGATECALL", call("f4", library)),
        ("STATICCALL", call("fa", library)),
        ("CALL without value", pay("f1", library, 0)),
        ("CALLCODE without value", pay("f2", library, 0)),
        ("CALLCODE with value", pay("f2", library, 1)),
        ("EXTCODESIZE", ask("3b", library)),
        ("EXTCODECOPY", copy),
        ("EXTCODEHASH of what also ran", ask("3f", library) + &call("f4", library)),
    ];
    for (name, code) in uses {
        let (mut world, _) = self::world();
        world.set_balance(CONTRACT, wei(1));
        world.deploy(CONTRACT, &code);
        // Calls another, keeps something for the length of the transaction, returns a word.
        world.deploy(library, &format!("{}60016000 5d60206000f3", pay("f1", CONTRACT, 0)).replace(' ', ""));
        if name.starts_with("STATIC") {
            world.deploy(library, "60206000f3");
        }
        world.deploy(CONTRACT, &code);
        assert!(!takes_part(&world, &world.call(0, CONTRACT), library), "{name}");
    }
    drop(world);
}

#[test]
fn a_called_account_with_code_alone_makes_no_participant_either() {
    let (mut world, library) = world();
    world.deploy(library, "60016000f3");
    assert!(!takes_part(&world, &world.call(0, library), library));
    assert!(takes_part(&world, &world.transfer(0, library, wei(1)), library), "it was sent something");
}

#[test]
fn an_account_whose_balance_nonce_or_storage_matters_makes_a_participant() {
    let (_, library) = world();
    let uses = [
        ("BALANCE", ask("31", library), "00"),
        ("CALL with value", pay("f1", library, 1), "00"),
        ("CALL with more value than there is", pay("f1", library, 255), "00"),
        ("SELFDESTRUCT to it", format!("73{}ff", hex::encode(library)), "00"),
        ("SELFBALANCE of it", pay("f1", library, 0), "4750"),
        ("SLOAD of it", pay("f1", library, 0), "60005450"),
        ("SSTORE of it", pay("f1", library, 0), "6001600055"),
        ("SSTORE of it that reverts", pay("f1", library, 0), "600160005560006000fd"),
        ("CREATE of it", pay("f1", library, 0), "600060006000f050"),
        ("CREATE2 of it", pay("f1", library, 0), "6000600060006000f550"),
        ("SELFDESTRUCT of it", pay("f1", library, 0), "30ff"),
        ("value from it that it does not have", pay("f1", library, 0), &pay("f1", CONTRACT, 1)),
        ("CALLCODE of it with value", pay("f1", library, 0), &pay("f2", CONTRACT, 1)),
        ("EXTCODEHASH alone, which may be of a delegation", ask("3f", library), "00"),
        ("SELFDESTRUCT to it, reverted", pay("f1", Address::repeat_byte(0xdd), 0), "00"),
    ];
    for (name, code, lent) in uses {
        let (mut world, _) = self::world();
        world.deploy(CONTRACT, &code);
        world.deploy(library, lent);
        world.deploy(Address::repeat_byte(0xdd), &format!("73{}31 60006000fd", hex::encode(library)).replace(' ', ""));
        world.set_balance(CONTRACT, U256::from(10));
        assert!(takes_part(&world, &world.call(0, CONTRACT), library), "{name}");
    }
}

#[test]
fn a_sender_and_an_account_without_code_make_participants() {
    let (mut world, nobody) = world();
    world.deploy(CONTRACT, &call("fa", nobody));
    assert!(takes_part(&world, &world.call(0, CONTRACT), nobody), "code may still come to be there");
    world.set_balance(nobody, wei(1));
    assert!(takes_part(&world, &world.call(0, CONTRACT), nobody));
}

#[test]
fn a_delegation_makes_a_participant_and_its_target_does_not() {
    let (mut world, library) = world();
    world.deploy(library, "6007600055");
    world.deploy(CONTRACT, &format!("ef0100{}", hex::encode(library)));
    assert!(!takes_part(&world, &world.call(0, CONTRACT), library));
    let (mut world, borrower) = self::world();
    world.deploy(CONTRACT, &call("fa", borrower));
    world.deploy(borrower, &format!("ef0100{}", hex::encode([9; 20])));
    assert!(takes_part(&world, &world.call(0, CONTRACT), borrower), "its owner may delegate to another");
}

#[test]
fn what_the_payload_itself_created_makes_a_participant() {
    let (mut world, _) = world();
    let created = create_address(world.sender(0), 0);
    world.deploy(CONTRACT, &call("fa", created));
    // Init code that returns one byte, STOP.
    let create = world.sign(0, world.tx(0, TxKind::Create, U256::ZERO, "60016000f3"));
    let bundle = World::bundle([create, world.call_with(0, 1, CONTRACT, "")]);
    let executed = run(&world, bundle).expect("runs");
    assert_eq!(executed.witness.accounts[&created], None);
    assert!(!executed.witness.fixed.contains_key(&created));
    assert!(executed.participants.contains(&world.placement.shard_of(created)));
}

#[test]
fn before_cancun_every_account_makes_a_participant() {
    let (mut world, library) = world_of("shanghai");
    world.deploy(CONTRACT, &call("f4", library));
    world.deploy(library, "00");
    assert!(takes_part(&world, &world.call(0, CONTRACT), library), "it may destroy itself");
}

#[test]
fn a_network_of_cancun_takes_no_block_of_an_earlier_fork() {
    let (world, _) = world();
    let params = NetworkParams { environments: Environments::Replay, ..world.params };
    let earlier = BlockEnvironment { spec: "shanghai".parse().expect("a fork"), ..params.block_of(Slot(1)) };
    let refused = params.block(&Environment::Block(earlier));
    assert!(matches!(refused, Err(EnvironmentError::ForkRefused { .. })), "{refused:?}");
    let earlier = NetworkParams { spec: "shanghai".parse().expect("a fork"), ..params.clone() };
    assert!(earlier.block(&Environment::Block(params.block_of(Slot(1)))).is_ok());
}

#[test]
fn the_beneficiary_and_the_mailboxes_make_participants() {
    let (mut world, library) = world();
    world.params.beneficiary = library;
    world.deploy(CONTRACT, &call("fa", library));
    world.deploy(library, "00");
    assert!(takes_part(&world, &world.call(0, CONTRACT), library));
    let (mut world, library) = self::world();
    let mailbox = mailbox_address(world.placement.shard_of(library));
    world.deploy(CONTRACT, &call("fa", mailbox));
    world.deploy(mailbox, "00");
    assert!(takes_part(&world, &world.call(0, CONTRACT), mailbox), "its logs are its shard's messages");
}

#[test]
fn a_lender_whose_owner_takes_part_anyway_is_an_account_like_any() {
    let (mut world, library) = world();
    let shards = |address: &Address| world.placement.shard_of(*address) == world.placement.shard_of(CONTRACT);
    let neighbour = (1..=255).map(Address::repeat_byte).filter(|address| *address != CONTRACT).find(shards);
    let neighbour = neighbour.expect("another on that shard");
    world.deploy(CONTRACT, &(call("f4", neighbour) + &call("f4", library) + "60005450"));
    world.deploy(neighbour, "00");
    world.deploy(library, "00");
    let executed = run(&world, world.call(0, CONTRACT)).expect("runs");
    assert_eq!(executed.witness.fixed.keys().collect::<Vec<_>>(), [&library]);
    assert!(executed.witness.accounts.contains_key(&neighbour));
}

#[test]
fn a_proof_is_asked_for_only_where_it_saves_a_participant() {
    let (mut world, library) = world();
    world.deploy(CONTRACT, &(call("f4", library) + "60005450"));
    world.deploy(library, "00");
    let view = WithProofs { view: &world.state, proofs: |_| Lookup::Unknown };
    let payload = world.recover(world.call(0, CONTRACT));
    let missing = execute(&world.params, &world.placement, &payload, &view).expect_err("unasked");
    assert_eq!(missing, ExecuteError::Missing([Missing::CodeProof(library)].into()));
    world.deploy(CONTRACT, &(ask("31", library) + "60005450"));
    let view = WithProofs { view: &world.state, proofs: |_| Lookup::Unknown };
    let payload = world.recover(world.call(0, CONTRACT));
    assert!(execute(&world.params, &world.placement, &payload, &view).is_ok());
}

/// A transaction and an honest witness of it, in which `library` is an account; then the same witness with the account
/// passed off as fixed.
fn forged(world: &World, payload: &Payload, library: Address) -> Witness {
    let mut witness = world.execute(payload.clone()).expect("runs").witness;
    let account = witness.accounts.remove(&library).expect("read").expect("there");
    witness.fixed.insert(library, account.code_hash);
    witness
}

fn refused_as_incomplete(world: &World, library: Address) {
    let payload = world.call(0, CONTRACT);
    let error = replay(world, &payload, forged(world, &payload, library)).expect_err("refused");
    assert_eq!(error, WitnessError::Incomplete(Missing::Key(StateKey::Account(library))));
}

#[test]
fn a_witness_that_hides_a_balance_behind_a_code_is_refused() {
    let (_, library) = world();
    for code in [ask("31", library), pay("f1", library, 1), format!("73{}ff", hex::encode(library))] {
        let (mut world, _) = self::world();
        // The code runs too, so that it is in the witness.
        world.deploy(CONTRACT, &(call("f4", library) + &code));
        world.deploy(library, "5b");
        world.set_balance(CONTRACT, U256::from(10));
        refused_as_incomplete(&world, library);
    }
}

#[test]
fn a_witness_that_hides_a_slot_behind_a_code_is_refused() {
    let (mut world, library) = world();
    world.deploy(CONTRACT, &pay("f1", library, 0));
    world.deploy(library, "60005450");
    refused_as_incomplete(&world, library);
}

#[test]
fn a_witness_that_passes_a_delegation_off_as_fixed_is_refused() {
    let (mut world, library) = world();
    world.deploy(CONTRACT, &call("f4", library));
    world.deploy(library, &format!("ef0100{}", hex::encode(CONTRACT)));
    refused_as_incomplete(&world, library);
}

#[test]
fn a_witness_that_fixes_a_code_it_does_not_show_is_refused() {
    let (mut world, library) = world();
    world.deploy(CONTRACT, &ask("3f", library));
    world.deploy(library, "00");
    refused_as_incomplete(&world, library);
}

#[test]
fn a_witness_that_fixes_a_code_before_cancun_is_refused() {
    let (mut world, library) = world_of("shanghai");
    world.deploy(CONTRACT, &call("f4", library));
    world.deploy(library, "00");
    refused_as_incomplete(&world, library);
}

#[test]
fn a_witness_that_fixes_the_beneficiary_a_mailbox_or_the_sender_is_refused() {
    let (mut world, library) = world();
    world.params.beneficiary = library;
    world.deploy(CONTRACT, &call("f4", library));
    world.deploy(library, "00");
    refused_as_incomplete(&world, library);
    let (mut world, library) = self::world();
    let mailbox = mailbox_address(world.placement.shard_of(library));
    world.deploy(CONTRACT, &call("f4", mailbox));
    world.deploy(mailbox, "00");
    refused_as_incomplete(&world, mailbox);
    world.deploy(CONTRACT, "00");
    refused_as_incomplete(&world, world.sender(0));
}

#[test]
fn a_witness_with_a_fixed_code_that_the_run_does_not_use_is_refused() {
    let (mut world, library) = world();
    world.deploy(CONTRACT, "00");
    world.deploy(library, "00");
    let payload = world.call(0, CONTRACT);
    let mut witness = world.execute(payload.clone()).expect("runs").witness;
    witness.fixed.insert(library, keccak256([0]));
    let error = replay(&world, &payload, witness).expect_err("refused");
    assert_eq!(error, WitnessError::Excess(StateKey::Account(library)));
}

#[test]
fn a_witness_that_has_an_account_and_fixes_its_code_is_refused() {
    let (mut world, library) = world();
    world.deploy(CONTRACT, &call("f4", library));
    world.deploy(library, "00");
    let payload = world.call(0, CONTRACT);
    let mut witness = world.execute(payload.clone()).expect("runs").witness;
    witness.fixed.insert(library, keccak256([0]));
    let error = replay(&world, &payload, witness).expect_err("refused");
    assert_eq!(error, WitnessError::Excess(StateKey::Account(library)));
}

#[test]
fn a_slice_has_nothing_of_what_is_fixed() {
    let (mut world, library) = world();
    world.deploy(CONTRACT, &(call("f4", library) + "60005450"));
    world.deploy(library, "00");
    let executed = run(&world, world.call(0, CONTRACT)).expect("runs");
    assert_eq!(executed.witness.fixed, [(library, keccak256([0]))].into());
    for shard in world.placement.shards() {
        let slice = executed.slice(shard, &world.placement);
        assert!(slice.witness.fixed.is_empty() && !slice.locks.contains_key(&StateKey::Account(library)));
    }
    assert_ne!(executed.digest(), world.execute(world.call(0, CONTRACT)).expect("runs").digest());
}
