//! What happened inside a plain run: which classes of behaviour a case reached, and where gas would run out.

use super::case::{AUTHORITIES_COUNT, authority};
use alloy_primitives::{Address, Log, U256};
use dovetail_evm::Placement;
use revm::Inspector;
use revm::context_interface::{Block as _, ContextTr};
use revm::interpreter::interpreter_types::{InputsTr, Jumps};
use revm::interpreter::{
    CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, CreateScheme, InstructionResult, Interpreter,
};
use std::collections::BTreeSet;

/// A kind of behaviour that the fixed run must reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Succeeded,
    Reverted,
    Halted,
    Refused,
    BundleDone,
    BundleRefused,
    CrossShard,
    CallAcrossShards,
    ValueAcrossShards,
    Deep,
    Reentrancy,
    ReentrancyAcrossShards,
    CallCode,
    DelegateCall,
    StaticCall,
    StaticViolation,
    Created,
    CreatedBySalt,
    CreatedAgain,
    CreatedByTransaction,
    CreationFailed,
    Collision,
    Destroyed,
    DestroyedAtBirth,
    DestroyedForItself,
    DestroyedForAnotherShard,
    NestedRevert,
    NestedOutOfGas,
    DeepOutOfGas,
    TopOutOfGas,
    InvalidOpcode,
    OutOfFunds,
    SixtyFourthKept,
    WarmSlot,
    Refund,
    TransientRead,
    Delegation,
    CoinbaseRead,
    CodeAcrossShards,
    Logged,
    Precompile,
}

impl Class {
    /// Every class.
    pub(crate) const ALL: [Self; 41] = [
        Self::Succeeded,
        Self::Reverted,
        Self::Halted,
        Self::Refused,
        Self::BundleDone,
        Self::BundleRefused,
        Self::CrossShard,
        Self::CallAcrossShards,
        Self::ValueAcrossShards,
        Self::Deep,
        Self::Reentrancy,
        Self::ReentrancyAcrossShards,
        Self::CallCode,
        Self::DelegateCall,
        Self::StaticCall,
        Self::StaticViolation,
        Self::Created,
        Self::CreatedBySalt,
        Self::CreatedAgain,
        Self::CreatedByTransaction,
        Self::CreationFailed,
        Self::Collision,
        Self::Destroyed,
        Self::DestroyedAtBirth,
        Self::DestroyedForItself,
        Self::DestroyedForAnotherShard,
        Self::NestedRevert,
        Self::NestedOutOfGas,
        Self::DeepOutOfGas,
        Self::TopOutOfGas,
        Self::InvalidOpcode,
        Self::OutOfFunds,
        Self::SixtyFourthKept,
        Self::WarmSlot,
        Self::Refund,
        Self::TransientRead,
        Self::Delegation,
        Self::CoinbaseRead,
        Self::CodeAcrossShards,
        Self::Logged,
        Self::Precompile,
    ];
}

/// A frame that is running.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Whose storage it has.
    context: Address,
    /// The gas it has left, after what it gave to the frame above it.
    remaining: u64,
}

/// What is watched of the runs of one case.
#[derive(Debug, Clone)]
pub(crate) struct Trace<'a> {
    placement: &'a Placement,
    pub(crate) classes: BTreeSet<Class>,
    /// Gas spent before and after refunds, of the last transaction.
    pub(crate) spent: (u64, u64),
    /// How much had been spent when each frame of the last transaction began.
    pub(crate) entries: Vec<u64>,
    pub(crate) last_created: Option<Address>,
    /// The slots that the next transaction's access list names.
    pub(crate) listed: BTreeSet<(Address, U256)>,
    limit: u64,
    frames: Vec<Frame>,
    gone: BTreeSet<Address>,
    authorities: BTreeSet<Address>,
    /// The instruction that runs is TLOAD.
    loads_transient: bool,
}

impl<'a> Trace<'a> {
    pub(crate) fn new(placement: &'a Placement) -> Self {
        Self {
            placement,
            classes: BTreeSet::new(),
            spent: (0, 0),
            entries: Vec::new(),
            last_created: None,
            listed: BTreeSet::new(),
            limit: 0,
            frames: Vec::new(),
            gone: BTreeSet::new(),
            authorities: (0..AUTHORITIES_COUNT as u8).map(authority).collect(),
            loads_transient: false,
        }
    }

    /// A transaction with this gas limit begins.
    pub(crate) fn begin(&mut self, limit: u64) {
        self.limit = limit;
        self.entries.clear();
        self.frames.clear();
        self.last_created = None;
    }

    fn hit(&mut self, class: Class) {
        self.classes.insert(class);
    }

    fn hit_if(&mut self, condition: bool, class: Class) {
        if condition {
            self.hit(class);
        }
    }

    fn crosses(&self, a: Address, b: Address) -> bool {
        self.placement.shard_of(a) != self.placement.shard_of(b)
    }

    fn enter(&mut self, context: Address, gas_limit: u64) {
        let held: u64 = self.frames.iter().map(|frame| frame.remaining).sum();
        self.entries.push(self.limit.saturating_sub(held + gas_limit));
        let kept = self.frames.last().map(|parent| parent.remaining);
        // 1/64 of what there was, to the unit.
        self.hit_if(kept.is_some_and(|kept| kept > 0 && gas_limit / 63 == kept), Class::SixtyFourthKept);
        self.frames.push(Frame { context, remaining: gas_limit });
        self.hit_if(self.frames.len() > 4, Class::Deep);
    }

    fn leave(&mut self, result: InstructionResult) {
        use InstructionResult as R;
        self.frames.pop();
        let depth = self.frames.len();
        match result {
            R::OutOfGas | R::MemoryOOG | R::InvalidOperandOOG | R::ReentrancySentryOOG => match depth {
                0 => self.hit(Class::TopOutOfGas),
                1 => self.hit(Class::NestedOutOfGas),
                _ => self.hit(Class::DeepOutOfGas),
            },
            R::Revert if depth > 0 => self.hit(Class::NestedRevert),
            R::InvalidFEOpcode => self.hit(Class::InvalidOpcode),
            R::OutOfFunds => self.hit(Class::OutOfFunds),
            R::CreateCollision => self.hit(Class::Collision),
            R::StateChangeDuringStaticCall | R::CallNotAllowedInsideStatic => self.hit(Class::StaticViolation),
            _ => {}
        }
    }

    /// Whether `context` is below in the stack of frames, with another's frame between.
    fn is_below(&self, context: Address) -> bool {
        let other = self.frames.iter().rposition(|frame| frame.context != context);
        other.is_some_and(|other| self.frames[..other].iter().any(|frame| frame.context == context))
    }
}

impl<CTX: ContextTr> Inspector<CTX> for Trace<'_> {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        let own = interpreter.input.target_address();
        let top = interpreter.stack.peek(0).unwrap_or_default();
        let address = Address::from_word(top.into());
        // Nobody who can sign has code of its own.
        let delegated = self.authorities.contains(&own);
        self.hit_if(delegated, Class::Delegation);
        let opcode = interpreter.bytecode.opcode();
        self.loads_transient = opcode == 0x5c;
        match opcode {
            0x31 => self.hit_if(address == context.block().beneficiary(), Class::CoinbaseRead),
            0x3b | 0x3c | 0x3f => {
                let crosses = self.crosses(own, address);
                self.hit_if(crosses, Class::CodeAcrossShards);
            }
            0x54 | 0x55 => {
                let listed = self.listed.contains(&(own, top));
                self.hit_if(listed, Class::WarmSlot);
            }
            _ => {}
        }
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, _context: &mut CTX) {
        if let Some(frame) = self.frames.last_mut() {
            frame.remaining = interpreter.gas.remaining();
        }
        let found = interpreter.stack.peek(0).is_ok_and(|value| !value.is_zero());
        let loaded = std::mem::take(&mut self.loads_transient);
        self.hit_if(loaded && found, Class::TransientRead);
    }

    fn log(&mut self, _context: &mut CTX, _log: Log) {
        self.hit(Class::Logged);
    }

    fn call(&mut self, _context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        match inputs.scheme {
            CallScheme::Call => {}
            CallScheme::CallCode => self.hit(Class::CallCode),
            CallScheme::DelegateCall => self.hit(Class::DelegateCall),
            CallScheme::StaticCall => self.hit(Class::StaticCall),
        }
        if let Some(Frame { context: from, .. }) = self.frames.last().copied() {
            let to = inputs.bytecode_address;
            let crosses = self.crosses(from, to);
            self.hit_if(crosses, Class::CallAcrossShards);
            self.hit_if(crosses && inputs.transfers_value(), Class::ValueAcrossShards);
            let again = matches!(inputs.scheme, CallScheme::Call | CallScheme::StaticCall) && self.is_below(to);
            self.hit_if(again, Class::Reentrancy);
            self.hit_if(again && crosses, Class::ReentrancyAcrossShards);
        }
        self.enter(inputs.target_address, inputs.gas_limit);
        None
    }

    fn call_end(&mut self, _context: &mut CTX, _inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.hit_if(outcome.was_precompile_called && outcome.result.is_ok(), Class::Precompile);
        self.leave(outcome.result.result);
    }

    fn create(&mut self, _context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let address = match inputs.scheme() {
            // Only for the trace: what it is called does not matter, so long as nobody else is.
            CreateScheme::Create => Address::left_padding_from(&[self.entries.len() as u8, 1]),
            _ => Address::left_padding_from(&[self.entries.len() as u8, 2]),
        };
        self.enter(address, inputs.gas_limit());
        None
    }

    fn create_end(&mut self, _context: &mut CTX, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        self.leave(outcome.result.result);
        let Some(address) = outcome.address.filter(|_| outcome.result.is_ok()) else {
            return self.hit(Class::CreationFailed);
        };
        self.last_created = Some(address);
        let again = self.gone.contains(&address);
        self.hit_if(again, Class::CreatedAgain);
        match inputs.scheme() {
            _ if self.frames.is_empty() => self.hit(Class::CreatedByTransaction),
            CreateScheme::Create2 { .. } => self.hit(Class::CreatedBySalt),
            _ => self.hit(Class::Created),
        }
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, _value: U256) {
        self.gone.insert(contract);
        self.hit_if(contract == target, Class::DestroyedForItself);
        let crosses = self.crosses(contract, target);
        self.hit_if(crosses, Class::DestroyedForAnotherShard);
    }
}
