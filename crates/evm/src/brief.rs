//! A call that is run as long as it is short; of what takes longer nothing is told, and it is run again elsewhere.
//!
//! Promise: what is told is what [`crate::answer`] comes to, and whatever is called, a try takes a bounded time: it creates
//! nothing and calls no precompile, and each step counts for itself and for the memory that it may go through.
//! Knows nothing of threads, and of who runs what takes longer.

use crate::bench::Rules;
use crate::simulate::{answered, gas_limit, prepared, tx_env};
use crate::{Answered, CALL_GAS_MAX, CallRequest, ExecuteError, Ground, NetworkParams, Overrides, View};
use alloy_primitives::Address;
use revm::Inspector;
use revm::bytecode::opcode;
use revm::context::ContextTr;
use revm::context_interface::ContextError;
use revm::interpreter::Interpreter;
use revm::interpreter::interpreter_types::{Jumps, LoopControl};

/// The most work of a try, in steps: some 0.1 ms as contracts are, a few ms at worst.
const WORK_COUNT_MAX: u64 = 16_384;

/// So much memory counts as a step more, at each step: it may be hashed or copied.
const WORK_BYTES: usize = 64;

/// The longest input of a call that is tried.
const INPUT_BYTES_MAX: usize = 4 << 10;

/// What `call` comes to, if that is soon known.
///
/// # Errors
/// As [`crate::answer`]; values that the view lacks come before the end of patience.
pub fn answer_briefly(
    ground: &Ground<'_>,
    call: &CallRequest,
    view: &dyn View,
) -> Result<Option<Answered>, ExecuteError> {
    if !is_plain(call) || call.to.is_none_or(|to| ground.params.has_precompile(to)) {
        return Ok(None);
    }
    let mut bench = prepared(ground, call, view)?;
    let mut leash = Leash { params: ground.params, left: WORK_COUNT_MAX };
    let tx = tx_env(ground, call, gas_limit(call, CALL_GAS_MAX));
    match bench.watch(&tx, Rules::Call, &mut leash) {
        Err(ExecuteError::Missing(missing)) => Err(ExecuteError::Missing(missing)),
        _ if leash.left == 0 => Ok(None),
        ran => Ok(Some(answered(ran?.result))),
    }
}

/// Whether a call is a little input for a contract and nothing else.
fn is_plain(call: &CallRequest) -> bool {
    call.input.len() <= INPUT_BYTES_MAX
        && call.access_list.is_empty()
        && call.authorizations.is_empty()
        && call.blob_hashes.is_empty()
        && call.overrides == Overrides::default()
}

/// Ends a run that becomes long.
#[derive(Debug)]
struct Leash<'a> {
    params: &'a NetworkParams,
    /// Work that may be done yet; zero from when it was too much.
    left: u64,
}

impl Leash<'_> {
    /// What the next step counts; all there is where nobody knows how long it takes.
    fn work(&self, interpreter: &Interpreter) -> u64 {
        let calls_precompile = || {
            let to = interpreter.stack.peek(1).map(|word| Address::from_word(word.into()));
            to.is_ok_and(|to| self.params.has_precompile(to))
        };
        match interpreter.bytecode.opcode() {
            opcode::CREATE | opcode::CREATE2 => WORK_COUNT_MAX,
            opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL if calls_precompile() => {
                WORK_COUNT_MAX
            }
            // It may make the memory that it hashes, all in one step.
            opcode::KECCAK256 => {
                let bytes = interpreter.stack.peek(1).map_or(0, |bytes| bytes.saturating_to::<u64>());
                1 + bytes / WORK_BYTES as u64
            }
            _ => 1 + (interpreter.memory.len() / WORK_BYTES) as u64,
        }
    }
}

impl<C: ContextTr> Inspector<C> for Leash<'_> {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut C) {
        self.left = self.left.saturating_sub(self.work(interpreter));
        if self.left == 0 && context.error().is_ok() {
            *context.error() = Err(ContextError::Custom("the call is not short".to_owned()));
            interpreter.bytecode.reset_action();
            interpreter.halt_fatal();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountState, Data, Environments, Placement, Spec, State};
    use alloy_primitives::{U256, hex};
    use primitives::{Millis, NetworkId, Slot, Time};
    use revm::bytecode::Bytecode;
    use std::collections::BTreeMap;

    const CALLED: Address = Address::repeat_byte(0xc0);

    /// What a call of `code` comes to, briefly and otherwise.
    fn both(code: &str) -> (Option<Answered>, Answered) {
        let params = NetworkParams {
            network: NetworkId(1),
            genesis: Time(0),
            slot_length: Millis(500),
            base_fee: 1,
            gas_limit: 30_000_000,
            beneficiary: Address::ZERO,
            spec: Spec::default(),
            environments: Environments::Slots,
            takes_unprotected: false,
        };
        let placement = Placement::new(1, 1, BTreeMap::new()).unwrap();
        let code = Bytecode::new_raw(hex::decode(code).unwrap().into());
        let mut state = State::default();
        state.accounts.insert(CALLED, AccountState { code_hash: code.hash_slow(), ..AccountState::EMPTY });
        state.slots.insert((CALLED, U256::ZERO), U256::from(5));
        state.codes.insert(code.hash_slow(), code);
        let ground = Ground::of_slot(&params, &placement, Slot(7));
        let call = CallRequest { to: Some(CALLED), input: Data::default(), ..CallRequest::default() };
        (answer_briefly(&ground, &call, &state).unwrap(), crate::answer(&ground, &call, &state).unwrap())
    }

    #[test]
    fn what_is_short_comes_to_the_same() {
        // Slot 0 and the gas that is left, returned; reverted; an invalid opcode; an endless loop that little gas ends.
        for code in ["5f545f525a60205260405ff3", "5f545f5260205ffd", "fe", "4360005260206000f3"] {
            let (brief, whole) = both(code);
            assert_eq!(brief, Some(whole), "{code}");
        }
    }

    #[test]
    fn what_may_take_long_is_left() {
        // Loops for ever; hashes 64 KiB in a loop, and 4 MiB at once; creates; asks the first precompile.
        for code in ["5b5f56", "5b620100005f20505f56", "624000005f20", "5f5f5ff0", "5f5f5f5f60015afa"] {
            assert_eq!(both(code).0, None, "{code}");
        }
    }
}
