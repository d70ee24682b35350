//! The tiny assembler that makes EVM code of a program.
//!
//!   memory  00 input of calls: how deep they may still go    20 what a call returned
//!           40 how deep this frame may still go              60 the last contract it created    80.. copied code
//!   stack   [everything seen so far, folded into one word]
//!
//! Promise: every program ends, since calls and creations count their depth down and loops count to a constant.

use super::case::{Layout, Target};
use super::program::{Ask, CallGas, CallKind, Deploys, End, Op};
use opcode as o;

mod opcode {
    pub(super) const ADD: u8 = 0x01;
    pub(super) const MUL: u8 = 0x02;
    pub(super) const SUB: u8 = 0x03;
    pub(super) const EQ: u8 = 0x14;
    pub(super) const ISZERO: u8 = 0x15;
    pub(super) const SHR: u8 = 0x1c;
    pub(super) const KECCAK256: u8 = 0x20;
    pub(super) const ADDRESS: u8 = 0x30;
    pub(super) const BALANCE: u8 = 0x31;
    pub(super) const ORIGIN: u8 = 0x32;
    pub(super) const CALLER: u8 = 0x33;
    pub(super) const CALLVALUE: u8 = 0x34;
    pub(super) const CALLDATALOAD: u8 = 0x35;
    pub(super) const CODECOPY: u8 = 0x39;
    pub(super) const GASPRICE: u8 = 0x3a;
    pub(super) const EXTCODESIZE: u8 = 0x3b;
    pub(super) const EXTCODECOPY: u8 = 0x3c;
    pub(super) const RETURNDATASIZE: u8 = 0x3d;
    pub(super) const EXTCODEHASH: u8 = 0x3f;
    pub(super) const BLOCKHASH: u8 = 0x40;
    pub(super) const COINBASE: u8 = 0x41;
    pub(super) const TIMESTAMP: u8 = 0x42;
    pub(super) const NUMBER: u8 = 0x43;
    pub(super) const PREVRANDAO: u8 = 0x44;
    pub(super) const GASLIMIT: u8 = 0x45;
    pub(super) const CHAINID: u8 = 0x46;
    pub(super) const SELFBALANCE: u8 = 0x47;
    pub(super) const POP: u8 = 0x50;
    pub(super) const MLOAD: u8 = 0x51;
    pub(super) const MSTORE: u8 = 0x52;
    pub(super) const MSTORE8: u8 = 0x53;
    pub(super) const SLOAD: u8 = 0x54;
    pub(super) const SSTORE: u8 = 0x55;
    pub(super) const JUMPI: u8 = 0x57;
    pub(super) const GAS: u8 = 0x5a;
    pub(super) const JUMPDEST: u8 = 0x5b;
    pub(super) const TLOAD: u8 = 0x5c;
    pub(super) const TSTORE: u8 = 0x5d;
    pub(super) const PUSH1: u8 = 0x60;
    pub(super) const PUSH2: u8 = 0x61;
    pub(super) const PUSH20: u8 = 0x73;
    pub(super) const DUP1: u8 = 0x80;
    pub(super) const SWAP1: u8 = 0x90;
    pub(super) const LOG0: u8 = 0xa0;
    pub(super) const CREATE: u8 = 0xf0;
    pub(super) const CALL: u8 = 0xf1;
    pub(super) const CALLCODE: u8 = 0xf2;
    pub(super) const RETURN: u8 = 0xf3;
    pub(super) const DELEGATECALL: u8 = 0xf4;
    pub(super) const CREATE2: u8 = 0xf5;
    pub(super) const STATICCALL: u8 = 0xfa;
    pub(super) const REVERT: u8 = 0xfd;
    pub(super) const INVALID: u8 = 0xfe;
    pub(super) const SELFDESTRUCT: u8 = 0xff;
}
const INPUT: u8 = 0x00;
const OUTPUT: u8 = 0x20;
const DEPTH: u8 = 0x40;
const CREATED: u8 = 0x60;
const COPY: u8 = 0x80;

/// The code of a contract.
pub(crate) fn runtime(ops: &[Op], layout: &Layout<'_>) -> Vec<u8> {
    let mut assembler = Assembler::new(layout, layout.inits.len());
    assembler.bytes(&[o::PUSH1, 0, o::CALLDATALOAD, o::PUSH1, DEPTH, o::MSTORE, o::PUSH1, 0]);
    assembler.ops(ops);
    assembler.end(End::Return);
    assembler.finish()
}

/// The code of creation `index`, which may itself go `depth` deep.
pub(crate) fn init(index: usize, depth: u8, layout: &Layout<'_>) -> Vec<u8> {
    let init = &layout.inits[index];
    // A creation creates only by those before it, so that none holds itself.
    let mut assembler = Assembler::new(layout, index);
    assembler.bytes(&[o::PUSH1, depth, o::PUSH1, DEPTH, o::MSTORE, o::PUSH1, 0]);
    assembler.ops(&init.ops);
    match init.deploys {
        Deploys::Nothing => assembler.end(End::Stop),
        Deploys::Reserved => assembler.bytes(&[o::PUSH1, 0xef, o::PUSH1, 0, o::MSTORE8, o::PUSH1, 1, o::PUSH1, 0]),
        Deploys::CodeOf(contract) => assembler.copy_code(Target::Contract(contract)),
    }
    if init.deploys != Deploys::Nothing {
        assembler.byte(o::RETURN);
    }
    assembler.finish()
}

struct Assembler<'a> {
    layout: &'a Layout<'a>,
    /// How many of the layout's creations this code may use.
    inits: usize,
    code: Vec<u8>,
    /// Where the code needs to know where a creation's code begins.
    fixes: Vec<(usize, usize)>,
}

impl<'a> Assembler<'a> {
    fn new(layout: &'a Layout<'a>, inits: usize) -> Self {
        Self { layout, inits, code: Vec::new(), fixes: Vec::new() }
    }

    /// Code, then the creations it uses.
    fn finish(mut self) -> Vec<u8> {
        for (at, index) in std::mem::take(&mut self.fixes) {
            let start = self.code.len();
            self.patch(at, start);
            self.code.extend(init(index, 0, self.layout));
        }
        self.code
    }

    fn byte(&mut self, byte: u8) {
        self.code.push(byte);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.code.extend_from_slice(bytes);
    }

    fn push(&mut self, value: u8) {
        self.bytes(&[o::PUSH1, value]);
    }

    /// `PUSH2` of something that is not known yet; where to patch it.
    fn push_later(&mut self) -> usize {
        self.bytes(&[o::PUSH2, 0, 0]);
        self.code.len() - 2
    }

    fn patch(&mut self, at: usize, value: usize) {
        let value = u16::try_from(value).expect("programs are short");
        self.code[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }

    fn push_target(&mut self, target: Target) {
        match target {
            Target::Own => self.byte(o::ADDRESS),
            Target::Caller => self.byte(o::CALLER),
            Target::Origin => self.byte(o::ORIGIN),
            Target::Coinbase => self.byte(o::COINBASE),
            Target::Created => self.bytes(&[o::PUSH1, CREATED, o::MLOAD]),
            target => {
                let address = self.layout.address(target);
                self.byte(o::PUSH20);
                self.bytes(address.as_slice());
            }
        }
    }

    /// Folds the word on top into the one under it.
    fn fold(&mut self) {
        self.bytes(&[o::SWAP1, o::PUSH1, 31, o::MUL, o::ADD]);
    }

    fn seen_to_memory(&mut self) {
        self.bytes(&[o::DUP1, o::PUSH1, INPUT, o::MSTORE]);
    }

    /// `body` runs only where `condition` leaves zero.
    fn unless(&mut self, condition: &[u8], body: impl FnOnce(&mut Self)) {
        self.bytes(condition);
        let past = self.push_later();
        self.byte(o::JUMPI);
        body(self);
        let here = self.code.len();
        self.patch(past, here);
        self.byte(o::JUMPDEST);
    }

    /// `body` runs only in a frame that may go deeper.
    fn if_deeper(&mut self, body: impl FnOnce(&mut Self)) {
        self.unless(&[o::PUSH1, DEPTH, o::MLOAD, o::ISZERO], body);
    }

    fn ops(&mut self, ops: &[Op]) {
        for op in ops {
            self.op(*op);
        }
    }

    fn op(&mut self, op: Op) {
        match op {
            Op::Store { slot, value } => self.bytes(&[o::PUSH1, value, o::PUSH1, slot, o::SSTORE]),
            Op::StoreSeen { slot } => self.bytes(&[o::DUP1, o::PUSH1, slot, o::SSTORE]),
            Op::Load { slot } => self.found(&[o::PUSH1, slot, o::SLOAD]),
            Op::StoreTransient { slot, value } => self.bytes(&[o::PUSH1, value, o::PUSH1, slot, o::TSTORE]),
            Op::LoadTransient { slot } => self.found(&[o::PUSH1, slot, o::TLOAD]),
            Op::Log { topics } => self.log(topics),
            Op::Balance(target) => self.about(target, o::BALANCE),
            Op::OwnBalance => self.found(&[o::SELFBALANCE]),
            Op::CodeHash(target) => self.about(target, o::EXTCODEHASH),
            Op::CodeSize(target) => self.about(target, o::EXTCODESIZE),
            Op::CodeCopy(target) => {
                self.copy_code(target);
                self.found(&[o::KECCAK256]);
            }
            Op::Ask(ask) => self.ask(ask),
            Op::Burn { rounds } => self.burn(rounds),
            Op::Call { kind, target, value, gas } => self.if_deeper(|code| code.call(kind, target, value, gas)),
            Op::Create { init, value, salt } if self.inits > 0 => {
                let index = usize::from(init) % self.inits;
                self.if_deeper(|code| code.create(index, value, salt));
            }
            Op::Create { .. } => {}
            Op::End { depth: None, end } => self.end(end),
            Op::End { depth: Some(depth), end } => {
                let differs = [o::PUSH1, depth, o::PUSH1, DEPTH, o::MLOAD, o::EQ, o::ISZERO];
                self.unless(&differs, |code| code.end(end));
            }
        }
    }

    fn found(&mut self, code: &[u8]) {
        self.bytes(code);
        self.fold();
    }

    fn about(&mut self, target: Target, opcode: u8) {
        self.push_target(target);
        self.found(&[opcode]);
    }

    /// Copies the code of `target` to memory and leaves its size and place.
    fn copy_code(&mut self, target: Target) {
        self.push_target(target);
        self.bytes(&[o::EXTCODESIZE, o::DUP1, o::PUSH1, 0, o::PUSH1, COPY]);
        self.push_target(target);
        self.bytes(&[o::EXTCODECOPY, o::PUSH1, COPY]);
    }

    fn log(&mut self, topics: u8) {
        self.seen_to_memory();
        (0..topics).for_each(|topic| self.push(topic));
        self.bytes(&[o::PUSH1, 32, o::PUSH1, INPUT, o::LOG0 + topics]);
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Timestamp => self.found(&[o::TIMESTAMP]),
            Ask::Number => self.found(&[o::NUMBER]),
            Ask::Randomness => self.found(&[o::PREVRANDAO]),
            Ask::GasLimit => self.found(&[o::GASLIMIT]),
            Ask::ChainId => self.found(&[o::CHAINID]),
            Ask::BlockHash => self.found(&[o::PUSH1, 1, o::NUMBER, o::SUB, o::BLOCKHASH]),
            Ask::GasPrice => self.found(&[o::GASPRICE]),
            Ask::CallValue => self.found(&[o::CALLVALUE]),
            Ask::GasLeft => self.found(&[o::GAS]),
        }
    }

    fn burn(&mut self, rounds: u16) {
        self.byte(o::PUSH2);
        self.bytes(&rounds.max(1).to_be_bytes());
        let start = self.code.len();
        self.bytes(&[o::JUMPDEST, o::PUSH1, 1, o::SWAP1, o::SUB, o::DUP1]);
        let back = self.push_later();
        self.patch(back, start);
        self.bytes(&[o::JUMPI, o::POP]);
    }

    /// Leaves how deep a callee may go.
    fn push_one_less(&mut self) {
        self.bytes(&[o::PUSH1, 1, o::PUSH1, DEPTH, o::MLOAD, o::SUB]);
    }

    fn call(&mut self, kind: CallKind, target: Target, value: u8, gas: CallGas) {
        self.push_one_less();
        self.bytes(&[o::PUSH1, INPUT, o::MSTORE, o::PUSH1, 32, o::PUSH1, OUTPUT, o::PUSH1, 32, o::PUSH1, INPUT]);
        if matches!(kind, CallKind::Call | CallKind::CallCode) {
            self.push(value);
        }
        self.push_target(target);
        match gas {
            CallGas::All => self.byte(o::GAS),
            CallGas::Half => self.bytes(&[o::GAS, o::PUSH1, 1, o::SHR]),
            CallGas::Fixed(gas) => {
                self.byte(o::PUSH2);
                self.bytes(&gas.to_be_bytes());
            }
        }
        self.found(&[[o::CALL, o::CALLCODE, o::DELEGATECALL, o::STATICCALL][kind as usize]]);
        self.found(&[o::RETURNDATASIZE]);
        self.found(&[o::PUSH1, OUTPUT, o::MLOAD]);
    }

    fn create(&mut self, index: usize, value: u8, salt: Option<u8>) {
        let length = init(index, 0, self.layout).len();
        self.push_length(length);
        let start = self.push_later();
        self.fixes.push((start, index));
        self.bytes(&[o::PUSH1, COPY, o::CODECOPY]);
        // The first instruction pushes how deep the creation may go.
        self.push_one_less();
        self.bytes(&[o::PUSH1, COPY + 1, o::MSTORE8]);
        if let Some(salt) = salt {
            self.push(salt);
        }
        self.push_length(length);
        self.bytes(&[o::PUSH1, COPY, o::PUSH1, value, if salt.is_some() { o::CREATE2 } else { o::CREATE }]);
        self.bytes(&[o::DUP1, o::PUSH1, CREATED, o::MSTORE]);
        self.fold();
        self.found(&[o::RETURNDATASIZE]);
    }

    fn push_length(&mut self, length: usize) {
        let at = self.push_later();
        self.patch(at, length);
    }

    fn end(&mut self, end: End) {
        match end {
            End::Return | End::Revert => {
                self.seen_to_memory();
                let opcode = if end == End::Return { o::RETURN } else { o::REVERT };
                self.bytes(&[o::PUSH1, 32, o::PUSH1, INPUT, opcode]);
            }
            End::Stop => self.byte(0),
            End::Invalid => self.byte(o::INVALID),
            End::Destroy(target) => {
                self.push_target(target);
                self.byte(o::SELFDESTRUCT);
            }
        }
    }
}
