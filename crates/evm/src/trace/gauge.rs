//! How much a tracer holds: it is ended when that is too much.

use super::{TRACE_BYTES_MAX, TraceError};
use crate::ExecuteError;
use crate::bench::Ran;
use revm::Inspector;
use revm::context::ContextTr;
use revm::context_interface::ContextError;
use revm::interpreter::interpreter_types::LoopControl;
use revm::interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter};

/// What a tracer keeps of a step, about, besides its stack.
const STEP_BYTES: usize = 256;
/// What it keeps of a call, about, besides its input and output.
const CALL_BYTES: usize = 768;
/// An entry of the stack.
const WORD_BYTES: usize = 32;

/// Counts what a tracer keeps, and ends the run beyond [`TRACE_BYTES_MAX`].
#[derive(Debug)]
pub(super) struct Gauge {
    /// How many steps the tracer still keeps.
    steps: u64,
    bytes: usize,
}

impl Gauge {
    /// For a tracer that keeps up to `limit` steps, or all of them.
    pub(super) fn of_steps(limit: Option<u64>) -> Self {
        Self { steps: limit.unwrap_or(u64::MAX), bytes: 0 }
    }

    /// For one that keeps calls alone.
    pub(super) fn of_calls() -> Self {
        Self { steps: 0, bytes: 0 }
    }

    /// What a run came to, unless it was ended for what the tracer holds.
    pub(super) fn checked(&self, ran: Result<Ran, ExecuteError>) -> Result<Ran, TraceError> {
        match ran {
            // What the view lacks comes first: with it the run may be another.
            Err(ExecuteError::Missing(missing)) => Err(ExecuteError::Missing(missing).into()),
            _ if self.is_over() => Err(TraceError::TooLarge),
            Err(ExecuteError::Evm { reason }) if reason.contains("trace recorded byte limit") => {
                Err(TraceError::TooLarge)
            }
            ran => Ok(ran?),
        }
    }

    fn is_over(&self) -> bool {
        self.bytes > TRACE_BYTES_MAX
    }
}

impl<C: ContextTr> Inspector<C> for Gauge {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut C) {
        if self.steps > 0 {
            self.steps -= 1;
            self.bytes = self.bytes.saturating_add(STEP_BYTES + WORD_BYTES * interpreter.stack.len());
        }
        if self.is_over() && context.error().is_ok() {
            *context.error() = Err(ContextError::Custom("the trace is too large".to_owned()));
            interpreter.bytecode.reset_action();
            interpreter.halt_fatal();
        }
    }

    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.bytes = self.bytes.saturating_add(CALL_BYTES + inputs.input.len());
        None
    }

    fn create(&mut self, _: &mut C, _: &mut CreateInputs) -> Option<CreateOutcome> {
        self.bytes = self.bytes.saturating_add(CALL_BYTES);
        None
    }
}
