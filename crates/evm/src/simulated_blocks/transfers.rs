//! Wei that moves, told as logs of a token that nobody deployed, in the order in which it moves.
//!
//! ```text
//!  call or create with value: logged before the frame begins, taken back when it fails
//!  SELFDESTRUCT:              logged when its frame has ended well
//! ```
//!
//! A frame that fails takes back by itself what was logged within it, so that the log of what brought it its value is the last.
//! Source: execution-apis, `eth_simulateV1`; geth, `internal/ethapi/logtracer.go`: a CALLCODE moves nothing, and a contract that
//! destroys itself for itself is told.

use crate::bench::Seen;
use alloy_primitives::{Address, B256, Log, U256, b256};
use revm::Inspector;
use revm::bytecode::opcode::SELFDESTRUCT;
use revm::context::JournalTr;
use revm::interpreter::interpreter_types::{InputsTr, Jumps};
use revm::interpreter::{CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, Interpreter};

/// Who is said to have logged it.
pub const TRANSFERS_ADDRESS: Address = Address::repeat_byte(0xee);

/// `Transfer(address,address,uint256)`.
const TRANSFER_TOPIC: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Writes the logs of one run.
#[derive(Debug, Default)]
pub(super) struct TransferLogs {
    /// Of each frame that is under way, whether it began with a log.
    begun: Vec<bool>,
    /// What the SELFDESTRUCT that ran last moves: its frame ends next.
    destroyed: Option<Transfer>,
}

#[derive(Debug, Clone, Copy)]
struct Transfer {
    from: Address,
    to: Address,
    wei: U256,
}

impl TransferLogs {
    fn begin(&mut self, context: &mut Seen<'_>, transfer: Transfer) {
        self.begun.push(log(context, transfer));
    }

    fn end(&mut self, context: &mut Seen<'_>, is_ok: bool) {
        let began_with_log = self.begun.pop().unwrap_or(false);
        let destroyed = self.destroyed.take();
        if !is_ok {
            if began_with_log {
                context.journaled_state.inner.logs.pop();
            }
        } else if let Some(transfer) = destroyed {
            log(context, transfer);
        }
    }
}

/// Logs what moves, if it is anything.
fn log(context: &mut Seen<'_>, Transfer { from, to, wei }: Transfer) -> bool {
    if wei.is_zero() {
        return false;
    }
    let topics = vec![TRANSFER_TOPIC, from.into_word(), to.into_word()];
    let data = wei.to_be_bytes_vec().into();
    context.journaled_state.log(Log::new_unchecked(TRANSFERS_ADDRESS, topics, data));
    true
}

impl<'a> Inspector<Seen<'a>> for TransferLogs {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut Seen<'a>) {
        if interpreter.bytecode.opcode() != SELFDESTRUCT {
            return;
        }
        let Ok(to) = interpreter.stack.peek(0) else { return };
        let (from, to) = (interpreter.input.target_address(), Address::from_word(to.into()));
        // It runs, so it is loaded.
        let wei = context.journaled_state.inner.state.get(&from).map_or(U256::ZERO, |account| account.info.balance);
        self.destroyed = Some(Transfer { from, to, wei });
    }

    fn call(&mut self, context: &mut Seen<'a>, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let moves = matches!(inputs.scheme, CallScheme::Call | CallScheme::StaticCall);
        let wei = inputs.transfer_value().filter(|_| moves).unwrap_or_default();
        self.begin(context, Transfer { from: inputs.transfer_from(), to: inputs.transfer_to(), wei });
        None
    }

    fn call_end(&mut self, context: &mut Seen<'a>, _: &CallInputs, outcome: &mut CallOutcome) {
        self.end(context, outcome.result.result.is_ok());
    }

    fn create(&mut self, context: &mut Seen<'a>, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        // A sender that cannot be read ends the run at its next look.
        let nonce = context.journaled_state.load_account(inputs.caller()).map_or(0, |caller| caller.data.info.nonce);
        let to = inputs.created_address(nonce);
        self.begin(context, Transfer { from: inputs.caller(), to, wei: inputs.value() });
        None
    }

    fn create_end(&mut self, context: &mut Seen<'a>, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.end(context, outcome.result.result.is_ok());
    }
}
