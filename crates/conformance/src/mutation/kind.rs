//! What a mutation changes, and how the rest of the prepare follows.

use std::fmt;

/// A value of the witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// An account's nonce.
    Nonce,
    /// An account's balance.
    Balance,
    /// An account's code hash.
    CodeHash,
    /// Whether an account exists.
    Existence,
    /// A storage slot.
    Slot,
    /// A fragment of the beneficiary's fees.
    Fees,
    /// The bytes of a code.
    CodeBytes,
}

/// A part of a witness that comes or goes whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// An account.
    Account,
    /// A slot.
    Slot,
    /// A fragment of fees.
    Fees,
    /// A code.
    Code,
}

/// What stands for an owner's vote on a code that never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// A code is taken for fixed, and nothing proves it.
    Missing,
    /// A code is taken for fixed, and what is said to prove it does not.
    Forged,
    /// Another code is taken for fixed than the account has.
    OtherCode,
    /// Something is proven that nothing rests on.
    Excess,
    /// A genuine proof with one byte changed.
    Flipped,
    /// The genuine proof of another contract's code.
    OfAnother,
}

/// A part of the effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// An account as it is left.
    Account,
    /// A slot as it is left.
    Slot,
    /// A fee that is paid.
    Credit,
    /// Gas used.
    Gas,
    /// How the transaction ends.
    Status,
    /// What it returns.
    Output,
    /// A log.
    Log,
}

/// A field of the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The fork.
    Spec,
    /// NUMBER.
    Number,
    /// TIMESTAMP.
    Timestamp,
    /// COINBASE.
    Beneficiary,
    /// GASLIMIT.
    GasLimit,
    /// BASEFEE.
    BaseFee,
    /// DIFFICULTY.
    Difficulty,
    /// PREVRANDAO.
    Randomness,
    /// Excess blob gas.
    Blob,
    /// BLOCKHASH of some block.
    BlockHash,
    /// A slot network's slot, by one.
    Slot,
    /// A slot too long ago.
    SlotBehind,
    /// A slot too far ahead.
    SlotAhead,
    /// A whole block on a network of slots.
    WholeBlock,
}

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Members {
    /// A participant less.
    ParticipantRemoved,
    /// One that the run does not touch.
    ParticipantAdded,
    /// One that does not exist.
    ParticipantUnknown,
    /// Another epoch of one.
    Epoch,
    /// A home more.
    HomeAdded,
    /// Another home.
    HomeReplaced,
    /// No home.
    HomesEmpty,
}

/// The signed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transaction {
    /// A bit of the signature.
    Signature,
    /// The nonce.
    Nonce,
    /// The value sent.
    Value,
    /// The transaction twice: a bundle.
    Repeated,
}

/// What binds the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binding {
    /// The payload's digest.
    Digest,
    /// A byte after the prepare's end.
    Encoding,
    /// The attempt's number, by one.
    Number,
    /// Number zero.
    NumberZero,
    /// A deadline gone by.
    DeadlinePassed,
    /// A deadline too far ahead.
    DeadlineFar,
    /// Another deadline within bounds.
    Deadline,
    /// Another network.
    Network,
}

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A value of the witness.
    Value(Value),
    /// An entry of the witness is left out.
    Removed(Entry),
    /// An entry is put in that the run does not read.
    Added(Entry),
    /// What proves a fixed code.
    Proof(Proof),
    /// An effect, by the digest that stands for it.
    Effect(Effect),
    /// A field of the environment.
    Field(Field),
    /// Who takes part.
    Members(Members),
    /// The signed bytes.
    Transaction(Transaction),
    /// What binds the attempt.
    Binding(Binding),
    /// The homes' votes.
    HomeVotes(crate::mutation::claim::HomeVotes),
}

/// Whether the rest is made to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// One thing is changed, all else is as it was.
    Alone,
    /// Everything that follows from it follows: run again on the lie, with its own digest and participants.
    Consistently,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "alone",
            Self::Consistently => "consistently",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "witness: {}", words(value)),
            Self::Removed(entry) => write!(f, "witness: {} left out", words(entry)),
            Self::Added(entry) => write!(f, "witness: {} added", words(entry)),
            Self::Proof(proof) => write!(f, "proof of a fixed code: {}", words(proof)),
            Self::Effect(effect) => write!(f, "effects: {}", words(effect)),
            Self::Field(field) => write!(f, "environment: {}", words(field)),
            Self::Members(members) => f.write_str(&words(members)),
            Self::Transaction(part) => write!(f, "transaction: {}", words(part)),
            Self::Binding(binding) => write!(f, "attempt: {}", words(binding)),
            Self::HomeVotes(votes) => write!(f, "homes' votes: {}", words(votes)),
        }
    }
}

/// `CodeHash` as "code hash".
fn words(name: &impl fmt::Debug) -> String {
    let mut words = String::new();
    for letter in format!("{name:?}").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
