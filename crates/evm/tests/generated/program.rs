//! Programs that call each other: what they do, and how they are listed.
//!
//! Whatever an operation finds out is folded into one word, and that word is stored, logged and returned: one wrong value
//! anywhere shows in state, logs or output.

use super::case::Target;
use std::fmt;

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    Call,
    CallCode,
    Delegate,
    Static,
}

/// The gas a call offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallGas {
    /// All there is, of which the EVM keeps a 64th.
    All,
    /// Half of what there is.
    Half,
    /// So much.
    Fixed(u16),
}

/// What the block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Timestamp,
    Number,
    Randomness,
    GasLimit,
    ChainId,
    BlockHash,
    GasPrice,
    CallValue,
    GasLeft,
}

/// How a frame ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Return,
    Stop,
    Revert,
    Invalid,
    Destroy(Target),
}

/// One thing that a program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Store {
        slot: u8,
        value: u8,
    },
    StoreSeen {
        slot: u8,
    },
    Load {
        slot: u8,
    },
    StoreTransient {
        slot: u8,
        value: u8,
    },
    LoadTransient {
        slot: u8,
    },
    Log {
        topics: u8,
    },
    Balance(Target),
    OwnBalance,
    CodeHash(Target),
    CodeSize(Target),
    CodeCopy(Target),
    Ask(Ask),
    Burn {
        rounds: u16,
    },
    Call {
        kind: CallKind,
        target: Target,
        value: u8,
        gas: CallGas,
    },
    Create {
        init: u8,
        value: u8,
        salt: Option<u8>,
    },
    /// Ends, if `depth` is how deep the frame may still go or none is named.
    End {
        depth: Option<u8>,
        end: End,
    },
}

/// What a contract's creation leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deploys {
    Nothing,
    /// The code of a contract that is already there.
    CodeOf(u8),
    /// A byte that code must not begin with (EIP-3541).
    Reserved,
}

/// The code of a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Init {
    pub(crate) ops: Vec<Op>,
    pub(crate) deploys: Deploys,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store { slot, value } => write!(f, "SSTORE slot {slot} := {value}"),
            Self::StoreSeen { slot } => write!(f, "SSTORE slot {slot} := all seen"),
            Self::Load { slot } => write!(f, "SLOAD slot {slot}"),
            Self::StoreTransient { slot, value } => write!(f, "TSTORE slot {slot} := {value}"),
            Self::LoadTransient { slot } => write!(f, "TLOAD slot {slot}"),
            Self::Log { topics } => write!(f, "LOG{topics} all seen"),
            Self::Balance(target) => write!(f, "BALANCE {target}"),
            Self::OwnBalance => write!(f, "SELFBALANCE"),
            Self::CodeHash(target) => write!(f, "EXTCODEHASH {target}"),
            Self::CodeSize(target) => write!(f, "EXTCODESIZE {target}"),
            Self::CodeCopy(target) => write!(f, "EXTCODECOPY {target}"),
            Self::Ask(ask) => write!(f, "{}", mnemonic(*ask)),
            Self::Burn { rounds } => write!(f, "JUMPI {rounds} rounds"),
            Self::Call { kind, target, value, gas } => {
                let name = ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"][*kind as usize];
                write!(f, "{name} {target}, {value} wei, gas {gas:?}")
            }
            Self::Create { init, value, salt: None } => write!(f, "CREATE init {init}, {value} wei"),
            Self::Create { init, value, salt: Some(salt) } => {
                write!(f, "CREATE2 init {init}, {value} wei, salt {salt}")
            }
            Self::End { depth: None, end } => write!(f, "{end}"),
            Self::End { depth: Some(depth), end } => write!(f, "{end} if depth is {depth}"),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Return => f.write_str("RETURN all seen"),
            Self::Stop => f.write_str("STOP"),
            Self::Revert => f.write_str("REVERT all seen"),
            Self::Invalid => f.write_str("INVALID"),
            Self::Destroy(target) => write!(f, "SELFDESTRUCT {target}"),
        }
    }
}

fn mnemonic(ask: Ask) -> &'static str {
    match ask {
        Ask::Timestamp => "TIMESTAMP",
        Ask::Number => "NUMBER",
        Ask::Randomness => "PREVRANDAO",
        Ask::GasLimit => "GASLIMIT",
        Ask::ChainId => "CHAINID",
        Ask::BlockHash => "BLOCKHASH of the block before",
        Ask::GasPrice => "GASPRICE",
        Ask::CallValue => "CALLVALUE",
        Ask::GasLeft => "GAS",
    }
}
