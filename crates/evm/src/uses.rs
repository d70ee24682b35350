//! Which accounts are used for more than their code: the EVM's own word on it, beside the database's.
//!
//! The database gives nonce, balance and code in one, so it cannot tell who looks at which. The instructions that look at
//! a balance or a nonce are few; here each says whose, and then does what it always does.
//!
//! | instruction | whose nonce or balance |
//! |---|---|
//! | BALANCE | the account asked about |
//! | SELFBALANCE, CREATE, CREATE2 | the account that runs |
//! | CALL with value | the account that runs, and the called one |
//! | CALLCODE with value | the account that runs |
//! | SELFDESTRUCT | the account that runs, and the heir |
//!
//! Not among them: a call without value, which only touches; EXTCODESIZE, EXTCODECOPY and EXTCODEHASH, which ask for the
//! code or whether the account is empty, and one with code is not; a collision of CREATE, which code alone decides.

use crate::handler::Evm;
use crate::recorder::Recorder;
use alloy_primitives::{Address, U256};
use revm::bytecode::opcode::{BALANCE, CALL, CALLCODE, CREATE, CREATE2, SELFBALANCE, SELFDESTRUCT};
use revm::handler::MainnetContext;
use revm::interpreter::instructions::{contract, host};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_types::InputsTr;
use revm::interpreter::{Instruction, InstructionContext, InstructionExecResult};

type Context<'c, 'a> = InstructionContext<'c, MainnetContext<Recorder<'a>>, EthInterpreter>;

/// Makes `evm` tell its recorder whose nonce or balance is looked at.
pub(crate) fn told(mut evm: Evm<'_>) -> Evm<'_> {
    let table = evm.instruction.instruction_table_mut();
    table[usize::from(BALANCE)] = Instruction::new(balance);
    table[usize::from(SELFBALANCE)] = Instruction::new(selfbalance);
    table[usize::from(CREATE)] = Instruction::new(create::<false>);
    table[usize::from(CREATE2)] = Instruction::new(create::<true>);
    table[usize::from(CALL)] = Instruction::new(call);
    table[usize::from(CALLCODE)] = Instruction::new(callcode);
    table[usize::from(SELFDESTRUCT)] = Instruction::new(selfdestruct);
    evm
}

fn balance(mut context: Context<'_, '_>) -> InstructionExecResult {
    uses_named(&mut context, 0);
    host::balance(context)
}

fn selfbalance(mut context: Context<'_, '_>) -> InstructionExecResult {
    uses_self(&mut context);
    host::selfbalance(context)
}

fn create<const IS_CREATE2: bool>(mut context: Context<'_, '_>) -> InstructionExecResult {
    uses_self(&mut context);
    contract::create::<IS_CREATE2, _, _>(context)
}

fn call(mut context: Context<'_, '_>) -> InstructionExecResult {
    if transfers(&context) {
        uses_self(&mut context);
        uses_named(&mut context, 1);
    }
    contract::call::<CALL, _, _>(context)
}

fn callcode(mut context: Context<'_, '_>) -> InstructionExecResult {
    if transfers(&context) {
        uses_self(&mut context);
    }
    contract::call::<CALLCODE, _, _>(context)
}

fn selfdestruct(mut context: Context<'_, '_>) -> InstructionExecResult {
    uses_self(&mut context);
    uses_named(&mut context, 0);
    host::selfdestruct(context)
}

fn uses_self(context: &mut Context<'_, '_>) {
    let address = context.interpreter.input.target_address();
    context.host.journaled_state.database.uses(address);
}

/// The account named by the stack's entry at `depth`; an instruction that finds too few entries fails anyway.
fn uses_named(context: &mut Context<'_, '_>, depth: usize) {
    if let Some(word) = entry(context, depth) {
        context.host.journaled_state.database.uses(Address::from_word(word.into()));
    }
}

/// Whether a CALL or CALLCODE sends value.
fn transfers(context: &Context<'_, '_>) -> bool {
    entry(context, 2).is_some_and(|value| !value.is_zero())
}

fn entry(context: &Context<'_, '_>, depth: usize) -> Option<U256> {
    context.interpreter.stack.data().iter().rev().nth(depth).copied()
}
