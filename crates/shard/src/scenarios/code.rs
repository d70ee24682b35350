//! Code that never changes: proven, it needs no vote of its owner; and every way to pass off another code is refused.

use super::world::{ETHER, Everything, S0, S1, World, sets, user};
use crate::{
    Answer, CheckError, Checks, CodeProof, CodeProofError, GenesisAccount, GenesisAccounts, Prepare, prove_code,
    queries, state_tree,
};
use alloy_primitives::{Address, TxKind, U256, keccak256};
use commit::Descriptor;
use evm::{AccountState, Data, Executed, Lookup, Prepared, RecoveredPayload, StateKey, View, WithProofs, Witness};
use primitives::{Epoch, Height, Millis, NetworkId, ShardId, Verified, encode};
use proof::{Header, ReceiptError};

const CONTRACT: Address = Address::repeat_byte(0xc0);
const LIBRARY: Address = Address::repeat_byte(0xc1);
const NEIGHBOUR: Address = Address::repeat_byte(0xc2);

/// SSTORE(0, 7), SSTORE(0, 8).
const CODE: [u8; 5] = [0x60, 7, 0x60, 0, 0x55];
const EVIL: [u8; 5] = [0x60, 8, 0x60, 0, 0x55];

/// DELEGATECALL of the code at `address`.
fn delegating(address: Address) -> Vec<u8> {
    [&[0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x73], address.as_slice(), &[0x5a, 0xf4, 0]].concat()
}

/// Where the third user's first contract comes to be.
fn deployed() -> Address {
    user(3).address().create(0)
}

fn pinned() -> Vec<(Address, ShardId)> {
    let users = [(1, S0), (2, S1), (3, S1)].map(|(seed, shard)| (user(seed).address(), shard));
    users.into_iter().chain([(CONTRACT, S0), (LIBRARY, S1), (NEIGHBOUR, S1), (deployed(), S1)]).collect()
}

/// A contract on shard 0 that borrows from `borrowed`, two libraries on shard 1, whose state is proven up to a block.
fn world(borrowed: Address, library: &[u8]) -> World {
    let rich = |seed| (user(seed).address(), GenesisAccount { balance: ETHER, ..GenesisAccount::default() });
    let code = |code: Vec<u8>| GenesisAccount { nonce: 1, code: code.into(), ..GenesisAccount::default() };
    let mut accounts: GenesisAccounts = [1, 2, 3].map(rich).into();
    accounts.insert(CONTRACT, code(delegating(borrowed)));
    accounts.insert(LIBRARY, code(library.to_vec()));
    accounts.insert(NEIGHBOUR, code(EVIL.to_vec()));
    let mut world = World::with_accounts(2, pinned(), &accounts);
    attest(&mut world, S1, 2);
    attest(&mut world, S0, 1);
    world
}

/// Has a shard certify the root of its state: a block, its root, and a block that carries it.
fn attest(world: &mut World, shard: ShardId, seed: u8) {
    for _ in 0..2 {
        let payload = world.transfer(&user(seed), user(seed).address(), U256::ZERO);
        world.local(shard, &payload);
        world.advance(shard);
    }
}

fn call(world: &World) -> Verified<RecoveredPayload> {
    world.payload(&[world.sign(&user(1), TxKind::Call(CONTRACT), U256::ZERO, Vec::new())])
}

fn execute(world: &World, payload: &RecoveredPayload) -> Executed {
    // Every code that is in the stores is proven.
    let proofs = |address| match Everything(world).account(address) {
        Lookup::Known(account) => Lookup::Known(account.map(|account| account.code_hash)),
        Lookup::Unknown => Lookup::Unknown,
    };
    evm::execute(&world.params, &world.placement, payload, &WithProofs { view: Everything(world), proofs }).unwrap()
}

fn checks(world: &World) -> Checks {
    Checks::new(&world.params, &world.placement, &sets(2))
}

fn descriptor(world: &World, executed: &Executed) -> Descriptor {
    Descriptor {
        network: world.params.network,
        participants: executed.participants.iter().map(|shard| (*shard, Epoch(1))).collect(),
        homes: executed.homes.clone(),
        payload: executed.digest(),
        number: 1,
        deadline: world.now.after(Millis(10_000)),
    }
}

/// What a participant makes of the call under `witness`, with these proofs.
fn check(
    world: &World,
    checks: &Checks,
    witness: Witness,
    proofs: impl IntoIterator<Item = (Address, Data)>,
) -> Result<Prepare, CheckError> {
    let payload = call(world);
    let descriptor = descriptor(world, &execute(world, &payload));
    let payload = payload.payload().clone();
    let prepared = Prepared { payload, witness, proofs: proofs.into_iter().collect() };
    checks.prepare(descriptor, &encode(&prepared), Vec::new())
}

fn honest(world: &World) -> Witness {
    let witness = execute(world, &call(world)).witness;
    assert_eq!(witness.fixed.len(), 1, "its owner is otherwise no participant");
    witness
}

fn proof_of(world: &World, address: Address) -> CodeProof {
    prove_code(world.store(S1), address).unwrap().expect("it can be proven")
}

/// Why a participant does not believe `proof` of the library's code.
fn refused(world: &World, proof: &CodeProof) -> CodeProofError {
    match check(world, &checks(world), honest(world), [(LIBRARY, proof.to_data())]) {
        Err(CheckError::Code(error)) => error,
        other => panic!("not refused for the proof: {other:?}"),
    }
}

#[test]
fn a_proven_code_needs_no_vote_of_its_owner() {
    let mut world = world(LIBRARY, &CODE);
    let proofs = [(LIBRARY, proof_of(&world, LIBRARY).to_data())];
    let mut prepare = check(&world, &checks(&world), honest(&world), proofs).unwrap();
    assert!(prepare.descriptor.participants.keys().eq([&S0]));
    let votes = world.prepare_all(&mut prepare);
    assert!(votes.iter().all(|vote| vote.vote.verdict.is_yes()), "{votes:?}");
    let answer = world.decide(S0, &prepare.descriptor, &votes);
    assert!(matches!(answer, Answer::Decided { .. }), "{answer:?}");
    assert_eq!(world.slot(CONTRACT, 0), U256::from(7));
    world.assert_quiet();
    assert_eq!(world.last_applied(S0).lent, [LIBRARY].into());
}

#[test]
fn a_code_of_genesis_is_proven_by_the_first_block() {
    let accounts = [(LIBRARY, GenesisAccount { code: CODE.to_vec().into(), ..GenesisAccount::default() })];
    let mut accounts: GenesisAccounts = accounts.into();
    accounts.insert(user(2).address(), GenesisAccount { balance: ETHER, ..GenesisAccount::default() });
    let mut world = World::with_accounts(2, pinned(), &accounts);
    assert_eq!(prove_code(world.store(S1), LIBRARY), Ok(None), "there is no certificate yet");
    let payload = world.transfer(&user(2), user(2).address(), U256::ZERO);
    world.local(S1, &payload);
    let proof = proof_of(&world, LIBRARY);
    assert_eq!(proof.header.state_height, Height(0));
    let fact = checks(&world).code(LIBRARY, proof).unwrap();
    assert_eq!((fact.address, fact.hash), (LIBRARY, keccak256(CODE)));
    assert_eq!(prove_code(world.store(S1), Address::repeat_byte(0x77)), Ok(None), "nobody is there");
    assert_eq!(prove_code(world.store(S1), user(2).address()), Ok(None), "it has no code");
}

#[test]
fn a_code_without_its_proof_is_refused() {
    let world = world(LIBRARY, &CODE);
    let refused = check(&world, &checks(&world), honest(&world), []);
    let expected = CodeProofError::Missing { address: LIBRARY };
    assert!(matches!(&refused, Err(CheckError::Code(error)) if *error == expected), "{refused:?}");
}

#[test]
fn a_proof_that_nothing_rests_on_is_refused() {
    let world = world(LIBRARY, &CODE);
    let proofs = [LIBRARY, NEIGHBOUR].map(|address| (address, proof_of(&world, address).to_data()));
    let refused = check(&world, &checks(&world), honest(&world), proofs);
    let expected = CodeProofError::Excess { address: NEIGHBOUR };
    assert!(matches!(&refused, Err(CheckError::Code(error)) if *error == expected), "{refused:?}");
}

#[test]
fn bytes_that_are_no_proof_are_refused() {
    let world = world(LIBRARY, &CODE);
    let proof = proof_of(&world, LIBRARY).to_data().0.to_vec();
    let long = [proof.clone(), vec![0; crate::CODE_PROOF_BYTES_MAX]].concat();
    for bytes in [Vec::new(), proof[1..].to_vec(), [&proof[..], &[0]].concat(), long] {
        let refused = check(&world, &checks(&world), honest(&world), [(LIBRARY, bytes.into())]);
        assert!(matches!(refused, Err(CheckError::Code(CodeProofError::Decode(_)))), "{refused:?}");
    }
}

#[test]
fn a_forged_code_hash_is_refused_even_after_the_true_one_was_believed() {
    let world = world(LIBRARY, &CODE);
    let (checks, proof) = (checks(&world), proof_of(&world, LIBRARY).to_data());
    check(&world, &checks, honest(&world), [(LIBRARY, proof.clone())]).unwrap();
    let mut witness = honest(&world);
    witness.fixed.insert(LIBRARY, keccak256(EVIL));
    witness.codes.remove(&keccak256(CODE));
    witness.codes.insert(keccak256(EVIL), EVIL.to_vec().into());
    let refused = check(&world, &checks, witness.clone(), [(LIBRARY, proof)]);
    let (expected, actual) = (keccak256(EVIL), keccak256(CODE));
    let other = CodeProofError::OtherCode { address: LIBRARY, expected, actual };
    assert!(matches!(&refused, Err(CheckError::Code(error)) if *error == other), "{refused:?}");
    // The same with the hash forged in the proof too.
    let mut forged = proof_of(&world, LIBRARY);
    forged.account.code_hash = keccak256(EVIL);
    let refused = check(&world, &checks, witness, [(LIBRARY, forged.to_data())]);
    assert!(matches!(refused, Err(CheckError::Code(CodeProofError::State(_)))), "{refused:?}");
}

#[test]
fn a_proof_of_another_address_is_refused() {
    let world = world(LIBRARY, &EVIL);
    // It has the very same code; still it is another's.
    let refused = refused(&world, &proof_of(&world, NEIGHBOUR));
    assert!(matches!(refused, CodeProofError::State(_)), "{refused}");
}

#[test]
fn a_proof_by_another_shard_is_refused() {
    let world = world(LIBRARY, &CODE);
    let stranger = prove_code(world.store(S0), CONTRACT).unwrap().expect("shard 0 proves what it has");
    let proof = CodeProof { header: stranger.header, certificate: stranger.certificate, ..proof_of(&world, LIBRARY) };
    let expected = CodeProofError::Shard { address: LIBRARY, said: S0, owner: S1 };
    assert_eq!(refused(&world, &proof), expected);
}

#[test]
fn a_proof_of_another_network_is_refused() {
    let world = world(LIBRARY, &CODE);
    let mut proof = proof_of(&world, LIBRARY);
    proof.header.network = NetworkId(7);
    let refused = refused(&world, &proof);
    assert!(matches!(refused, CodeProofError::Header(ReceiptError::Network { .. })), "{refused}");
}

#[test]
fn a_proof_of_an_unknown_epoch_is_refused() {
    let world = world(LIBRARY, &CODE);
    let mut proof = proof_of(&world, LIBRARY);
    proof.header.epoch = Epoch(2);
    let refused = refused(&world, &proof);
    assert!(matches!(refused, CodeProofError::Header(ReceiptError::UnknownValidators { .. })), "{refused}");
}

#[test]
fn a_state_that_the_validators_did_not_certify_proves_nothing() {
    let (truth, lie) = (world(LIBRARY, &CODE), world(LIBRARY, &EVIL));
    let honest = proof_of(&truth, LIBRARY);
    let mut forged = proof_of(&lie, LIBRARY);
    let header = Header { state_root: forged.header.state_root, ..honest.header.clone() };
    (forged.header, forged.certificate) = (header, honest.certificate);
    let refused = refused(&truth, &forged);
    assert!(matches!(refused, CodeProofError::Header(ReceiptError::Certificate(_))), "{refused}");
}

#[test]
fn a_proof_from_before_the_code_was_there_is_refused_and_a_later_one_is_not() {
    let mut world = world(deployed(), &CODE);
    let gift = world.transfer(&user(2), deployed(), U256::from(1));
    world.local(S1, &gift);
    world.advance(S1);
    attest(&mut world, S1, 2);
    let early = early_proof(&world, deployed());
    // Init code that returns the library's code.
    let init = [&[0x64], &CODE[..], &[0x60, 0, 0x52, 0x60, 5, 0x60, 27, 0xf3]].concat();
    let create = world.payload(&[world.sign(&user(3), TxKind::Create, U256::ZERO, init)]);
    let height = world.local(S1, &create)[0].height;
    assert_eq!(world.last_applied(S1).deployed, [deployed()].into());
    assert_eq!(prove_code(world.store(S1), deployed()), Ok(None), "the state root lags: its owner takes part");
    let witness = honest(&world);
    let refused = check(&world, &checks(&world), witness.clone(), [(deployed(), early.to_data())]);
    let refused = match refused {
        Err(CheckError::Code(CodeProofError::OtherCode { actual, .. })) => actual,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused, AccountState::EMPTY.code_hash);
    world.advance(S1);
    attest(&mut world, S1, 2);
    let late = proof_of(&world, deployed());
    assert!(late.header.state_height >= height);
    check(&world, &checks(&world), witness, [(deployed(), late.to_data())]).unwrap();
}

/// A certified proof of an account that has no code yet.
fn early_proof(world: &World, address: Address) -> CodeProof {
    let key = StateKey::Account(address);
    let queries::ProvenState { header, certificate, values } =
        queries::prove_state(world.store(S1), &[key]).unwrap().unwrap();
    let [value] = &values[..] else { panic!("one key, one value") };
    let bytes = value.value.clone().expect("it has a wei");
    assert_eq!(state_tree::verify(header.state_root, &key, Some(&bytes), &value.proof), Ok(()));
    let account: AccountState = primitives::decode(&bytes, 1024).unwrap();
    assert!(!account.has_code());
    CodeProof { header, certificate, account, proof: value.proof.clone() }
}

#[test]
fn a_proof_stays_good_when_its_owner_has_moved_on() {
    let mut world = world(LIBRARY, &CODE);
    let proof = proof_of(&world, LIBRARY);
    let gift = world.transfer(&user(2), LIBRARY, U256::from(5));
    world.local(S1, &gift);
    attest(&mut world, S1, 2);
    assert_ne!(proof_of(&world, LIBRARY).account, proof.account, "it has another balance now");
    check(&world, &checks(&world), honest(&world), [(LIBRARY, proof.to_data())]).unwrap();
}

#[test]
fn an_attempt_that_leaves_out_an_owner_without_fixing_its_code_is_refused() {
    let mut world = world(LIBRARY, &CODE);
    let mut prepare = world.attempt(&call(&world), 1);
    prepare.descriptor.participants.remove(&S1);
    let answer = world.prepare(S0, &prepare);
    assert!(matches!(answer, Answer::AttemptRefused(_)), "{answer:?}");
}
