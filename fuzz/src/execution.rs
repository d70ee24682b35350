//! Programs that nobody wrote, over several shards: one EVM and many end the same way (I9, I16), and a replay under the
//! recorded witness is the run it was recorded in (I11).

use crate::choice::Choice;
use crate::payloads::check_slices;
use crate::sample;
use alloy_primitives::{Address, TxKind, U256, keccak256};
use evm::{
    AccountState, Changes, CodeCache, ExecuteError, Executed, NetworkParams, PayloadVerifier, Placement,
    RecoveredPayload, Replay, Replayer, State, execute,
};
use primitives::{ShardId, Verified, Verifier};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most bytes of one program.
const PROGRAM_BYTES_MAX: usize = 160;

/// Gas of one transaction: enough to go deep, and to end soon.
const GAS: u64 = 400_000;

/// The contracts, which programs also find on the stack.
const CONTRACTS: [Address; 3] = [Address::repeat_byte(0xc0), Address::repeat_byte(0xc1), Address::repeat_byte(0xc2)];

/// Pieces that make a program do something before it halts; `@` is a contract's address or the user's.
const PIECES: &[&[u8]] = &[
    &[0x5f, 0x35],                                              // calldataload(0)
    &[0x5f, 0x54, 0x60, 1, 0x01, 0x5f, 0x55],                   // sstore(0, sload(0) + 1)
    &[0x60, 7, 0x43, 0x55],                                     // sstore(number, 7)
    &[0x5f, 0x5f, 0x5f, 0x5f, 0x60, 1, b'@', 0x5a, 0xf1, 0x50], // call(gas, @, 1)
    &[0x5f, 0x5f, 0x5f, 0x5f, b'@', 0x5a, 0xf4, 0x50],          // delegatecall(gas, @)
    &[0x5f, 0x5f, 0x5f, 0x5f, b'@', 0x5a, 0xfa, 0x50],          // staticcall(gas, @)
    &[b'@', 0x31, 0x60, 2, 0x55],                               // sstore(2, balance(@))
    &[b'@', 0x3b, 0x60, 3, 0x55],                               // sstore(3, extcodesize(@))
    &[b'@', 0x3f, 0x60, 4, 0x55],                               // sstore(4, extcodehash(@))
    &[0x67, 0x60, 0, 0x60, 0, 0xf3, 0, 0, 0, 0x5f, 0x52, 0x60, 5, 0x60, 24, 0x60, 1, 0xf0, 0x50], // create(1, ..)
    &[0x67, 0x60, 0, 0x60, 0, 0xf3, 0, 0, 0, 0x5f, 0x52, 0x5f, 0x60, 5, 0x60, 24, 0x5f, 0xf5, 0x50], // create2(0, .., 0)
    &[0x5f, 0x5c, 0x60, 1, 0x01, 0x5f, 0x5d], // tstore(0, tload(0) + 1)
    &[b'@', 0xff],                            // selfdestruct(@)
    &[0x5f, 0x5f, 0xa0],                      // log0
    &[0x5f, 0x5f, 0xfd],                      // revert
    &[0x41, 0x31, 0x60, 5, 0x55],             // sstore(5, balance(coinbase))
    &[0x43, 0x40, 0x60, 6, 0x55],             // sstore(6, blockhash(number))
];

/// Programs, transactions and placements from the input.
pub fn execution(data: &[u8]) {
    play(data);
}

fn play(data: &[u8]) -> Option<Executed> {
    let mut choice = Choice::new(data);
    let params = NetworkParams { base_fee: choice.below(3) as u64, ..sample::params() };
    let state = state(&mut choice);
    let placement = placement(&mut choice);
    let payload = sample::payload(transactions(&mut choice));
    let payload = Verified::by(&PayloadVerifier::new(params.clone()), payload).expect("well signed");
    let one = Placement::new(1, 1, BTreeMap::new()).expect("one shard");
    let many = execute(&params, &placement, &payload, &state);
    let single = execute(&params, &one, &payload, &state);
    match (&many, &single) {
        (Ok(many), Ok(single)) => {
            check_same(many, single);
            check_slices(many, &placement);
            check_replayed(&params, &placement, &payload, many);
            check_value(&state, many);
        }
        (many, single) => assert_eq!(error(many), error(single), "one EVM refuses what many do"),
    }
    many.ok()
}

fn error(result: &Result<Executed, ExecuteError>) -> Option<&ExecuteError> {
    result.as_ref().err()
}

fn user() -> Address {
    sample::user(1).address()
}

fn party(choice: &mut Choice<'_>) -> Address {
    let parties = [
        CONTRACTS[0],
        CONTRACTS[1],
        CONTRACTS[2],
        user(),
        sample::params().beneficiary,
        Address::with_last_byte(choice.byte()),
    ];
    *choice.of(&parties)
}

/// Pieces and bytes, in any order.
fn program(choice: &mut Choice<'_>) -> Vec<u8> {
    let mut program = Vec::new();
    while program.len() < PROGRAM_BYTES_MAX && !choice.is_empty() && !choice.once_in(12) {
        if choice.once_in(6) {
            program.extend(choice.bytes(8));
            continue;
        }
        for byte in *choice.of(PIECES) {
            if *byte == b'@' {
                program.push(0x73);
                program.extend(party(choice));
            } else {
                program.push(*byte);
            }
        }
    }
    program
}

fn state(choice: &mut Choice<'_>) -> State {
    let mut state = State::default();
    state.accounts.insert(user(), AccountState::with_balance(sample::ETHER));
    for contract in CONTRACTS {
        let program = program(choice);
        let code_hash = keccak256(&program);
        state.add_code(code_hash, &program.into()).expect("its own hash");
        state.accounts.insert(contract, AccountState { nonce: 1, balance: U256::from(100), code_hash });
        if choice.once_in(2) {
            state.set_slot(contract, U256::from(choice.below(6)), U256::from(choice.number()));
        }
    }
    state
}

fn placement(choice: &mut Choice<'_>) -> Placement {
    let shards_count = choice.below(4) as u32 + 1;
    let pinned = CONTRACTS.iter().map(|contract| (*contract, ShardId(choice.below(shards_count as usize) as u32)));
    Placement::new(1, shards_count, pinned.collect()).expect("shards that there are")
}

fn transactions(choice: &mut Choice<'_>) -> Vec<Vec<u8>> {
    let mut nonce = 0;
    (0..=choice.below(2))
        .map(|_| {
            let kind = if choice.once_in(4) { TxKind::Create } else { TxKind::Call(party(choice)) };
            let input = if kind.is_create() { program(choice) } else { choice.bytes(32) };
            nonce += 1;
            let gas_limit = if choice.once_in(4) { 21_000 + choice.below(60_000) as u64 } else { GAS };
            let at = if choice.once_in(16) { choice.number() } else { nonce - 1 };
            sample::transaction(&sample::user(1), at, gas_limit, (kind, U256::from(choice.below(9)), input))
        })
        .collect()
}

/// I9, I16: the same outcomes, and the same accounts and slots afterwards.
fn check_same(many: &Executed, single: &Executed) {
    assert_eq!(many.effects.outcomes, single.effects.outcomes, "I16");
    let (many, single) = (&many.effects.changes, &single.effects.changes);
    assert_eq!(many.accounts, single.accounts);
    assert_eq!(many.slots, single.slots);
    assert_eq!(many.wiped, single.wiped);
    assert_eq!(many.codes, single.codes);
    assert_eq!(credited(many), credited(single), "fees");
}

fn credited(changes: &Changes) -> U256 {
    changes.credits.values().fold(U256::ZERO, |sum, wei| sum + wei)
}

/// I11: a shard that replays under the witness sees what the coordinator saw.
fn check_replayed(params: &NetworkParams, placement: &Placement, payload: &RecoveredPayload, executed: &Executed) {
    let replayer = Replayer::new(params.clone(), placement.clone(), Arc::new(CodeCache::default()));
    let replay = Replay { payload: payload.clone(), witness: executed.witness.clone() };
    assert_eq!(replayer.verify(replay).as_ref(), Ok(executed), "I11");
}

/// I8: a run makes no wei.
fn check_value(before: &State, executed: &Executed) {
    let supply = |state: &State| {
        let balances = state.accounts.values().map(|account| account.balance);
        balances.chain(state.fees.values().copied()).fold(U256::ZERO, |sum, wei| sum + wei)
    };
    let mut after = before.clone();
    after.apply(&executed.effects.changes).expect("its own codes");
    assert!(supply(&after) <= supply(before), "wei out of nothing");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::Stream;
    use evm::Status;

    #[test]
    fn programs_cross_shards_and_end_in_every_way() {
        let runs: Vec<Executed> = (1..=200).filter_map(|seed| play(&Stream(seed).bytes(400))).collect();
        let outcomes: Vec<_> = runs.iter().flat_map(|executed| &executed.effects.outcomes).collect();
        for status in [Status::Success, Status::Reverted, Status::Halted] {
            assert!(outcomes.iter().any(|outcome| outcome.status == status), "{status:?} in {} runs", runs.len());
        }
        assert!(runs.iter().any(|executed| executed.participants.len() > 2));
        assert!(outcomes.iter().any(|outcome| !outcome.logs.is_empty()));
        assert!(runs.iter().any(|executed| executed.effects.changes.slots.len() > 2));
    }
}
