//! Pieces of work: what a user wants, as signed transactions.

use super::town::{ICaller, ICounter, IMailbox, IPing, IPong, IRouter, IToken, LIBRARY, Town, made};
use crate::{Dice, World};
use alloy_primitives::{Address, TxKind, U256};
use alloy_sol_types::SolCall;
use evm::{Environment, Payload, SignedTransaction, TransactionKind};
use primitives::ShardId;
use proof::domain_of;

/// Gas of a message's recipient.
const MESSAGE_GAS: u64 = 400_000;

/// What a user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Wei to another user.
    Transfer {
        /// To whom.
        to: usize,
    },
    /// Tokens to another user.
    Tokens {
        /// Which token.
        token: usize,
        /// To whom.
        to: usize,
    },
    /// One token for the other: router, pair and both tokens, on three shards.
    Swap {
        /// Which token goes in.
        token: usize,
    },
    /// A swap that asks for more than the pair gives: it reads the pair, and reverts with what it would have got.
    Haggle {
        /// Which token goes in.
        token: usize,
    },
    /// Counters of all shards, by one call.
    Count {
        /// Whose caller.
        caller: usize,
    },
    /// A call that fails inside a call that does not.
    Survive {
        /// Whose caller.
        caller: usize,
    },
    /// Re-entrancy: two callers call each other.
    Bounce {
        /// The first.
        caller: usize,
        /// How often they do.
        depth: u64,
    },
    /// A revert, which is a commit.
    Fail {
        /// Whose counter.
        counter: usize,
    },
    /// Two transfers, both or none.
    Bundle {
        /// To whom.
        to: [usize; 2],
    },
    /// A bundle whose second transaction fails: nobody commits it.
    FailingBundle {
        /// To whom the first goes.
        to: usize,
    },
    /// A message with value to a receiver on another shard.
    Message {
        /// The sender's shard.
        from: usize,
        /// The receiver's.
        to: usize,
        /// For how long it may be delivered, ms.
        patience: u64,
    },
    /// The same of the user itself, through whatever shard's mailbox: a refund may have to follow it home.
    Letter {
        /// The mailbox's shard.
        through: usize,
        /// The receiver's.
        to: usize,
        /// For how long it may be delivered, ms.
        patience: u64,
    },
    /// Deploys a library, whose address decides its shard.
    Deploy,
    /// A contract runs a library's code as its own.
    Borrow {
        /// Whose borrower.
        borrower: usize,
        /// Which library.
        library: Library,
    },
    /// A receiver refuses from now on, or takes again.
    Refuse {
        /// Whose.
        pong: usize,
        /// Whether it refuses.
        refuses: bool,
    },
}

/// A contract that does nothing but lend its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// The one that a shard has had from the beginning.
    Founded(usize),
    /// What a user's transaction with this nonce made; there may be none.
    Made {
        /// Who.
        by: usize,
        /// Which of its transactions.
        nonce: u64,
    },
}

impl Library {
    fn drawn(dice: &mut Dice, town: &Town) -> Self {
        if dice.chance(500_000) {
            return Self::Founded(dice.below(town.libraries.len() as u64) as usize);
        }
        Self::Made { by: dice.below(town.users.len() as u64) as usize, nonce: dice.below(4) }
    }

    fn address(self, town: &Town) -> Address {
        match self {
            Self::Founded(shard) => town.libraries[shard],
            Self::Made { by, nonce } => town.users[by].address.create(nonce),
        }
    }
}

impl Work {
    /// Something, drawn from `dice`.
    pub fn drawn(dice: &mut Dice, town: &Town) -> Self {
        let user = |dice: &mut Dice| dice.below(town.users.len() as u64) as usize;
        let shard = |dice: &mut Dice| dice.below(town.counters.len() as u64) as usize;
        match dice.below(27) {
            22..=23 => Self::Deploy,
            24..=26 => Self::Borrow { borrower: shard(dice), library: Library::drawn(dice, town) },
            20..=21 => Self::Haggle { token: dice.below(2) as usize },
            0..=5 => Self::Transfer { to: user(dice) },
            6..=7 => Self::Tokens { token: dice.below(2) as usize, to: user(dice) },
            8..=9 => Self::Swap { token: dice.below(2) as usize },
            10 => Self::Count { caller: shard(dice) },
            11 => Self::Survive { caller: shard(dice) },
            12 => Self::Bounce { caller: shard(dice), depth: dice.below(6) },
            13 => Self::Fail { counter: shard(dice) },
            14 => Self::Bundle { to: [user(dice), user(dice)] },
            15 => Self::FailingBundle { to: user(dice) },
            16 => Self::Refuse { pong: shard(dice), refuses: dice.chance(300_000) },
            _ => {
                let patience = if dice.chance(300_000) { dice.between(500, 5_000) } else { 120_000 };
                let (from, to) = (shard(dice), shard(dice));
                if dice.chance(300_000) {
                    return Self::Letter { through: from, to, patience };
                }
                Self::Message { from, to, patience }
            }
        }
    }

    /// Something that many want at once: most of it touches the same shards whoever wants it.
    pub fn drawn_for_many(dice: &mut Dice, town: &Town) -> Self {
        let caller = dice.below(town.counters.len() as u64) as usize;
        match dice.below(6) {
            0..=1 => Self::Count { caller },
            2 => Self::Survive { caller },
            3 => Self::Swap { token: dice.below(2) as usize },
            4 => Self::Haggle { token: dice.below(2) as usize },
            _ => Self::drawn(dice, town),
        }
    }

    /// As a payload of user `from` at this moment, its first transaction with this nonce.
    pub fn payload(self, world: &World, town: &Town, from: usize, nonce: u64) -> Payload {
        let calls = self.calls(world, town);
        let user = &town.users[from];
        let sign = |(nonce, (to, value, input))| {
            TransactionKind::Signed(SignedTransaction(user.sign(nonce, to, value, input).into()))
        };
        let slot = town.params.slot_at(world.now());
        Payload::bundle(Environment::Slot(slot), (nonce..).zip(calls).map(sign).collect())
    }

    /// How many nonces it takes.
    pub fn transactions_count(self) -> u64 {
        if matches!(self, Self::Bundle { .. } | Self::FailingBundle { .. }) { 2 } else { 1 }
    }

    fn calls(self, world: &World, town: &Town) -> Vec<(TxKind, U256, Vec<u8>)> {
        let call = |to: Address, input: Vec<u8>| vec![(TxKind::Call(to), U256::ZERO, input)];
        let pay = |to: usize| (TxKind::Call(town.users[to].address), U256::from(1_000), Vec::new());
        match self {
            Self::Transfer { to } => vec![pay(to)],
            Self::Tokens { token, to } => {
                let to = town.users[to].address;
                call(town.tokens[token], IToken::transferCall { to, amount: U256::from(7) }.abi_encode())
            }
            Self::Swap { token } => call(town.router, swap(town, token, U256::ZERO)),
            Self::Haggle { token } => call(town.router, swap(town, token, U256::MAX)),
            Self::Count { caller } => {
                let counters = town.counters.clone();
                call(town.callers[caller], ICaller::incrementAllCall { counters }.abi_encode())
            }
            Self::Survive { caller } => {
                let (kept, failing) = (town.counters[caller], town.counters[(caller + 1) % town.counters.len()]);
                call(town.callers[caller], ICaller::surviveCall { kept, failing }.abi_encode())
            }
            Self::Bounce { caller, depth } => {
                let other = town.callers[(caller + 1) % town.callers.len()];
                call(town.callers[caller], ICaller::bounceCall { other, depth: U256::from(depth) }.abi_encode())
            }
            Self::Fail { counter } => {
                call(town.counters[counter], ICounter::failCall { amount: U256::from(1) }.abi_encode())
            }
            Self::Bundle { to } => to.into_iter().map(pay).collect(),
            Self::FailingBundle { to } => {
                let fails = ICounter::failCall { amount: U256::from(1) }.abi_encode();
                vec![pay(to), (TxKind::Call(town.counters[0]), U256::ZERO, fails)]
            }
            Self::Message { from, to, patience } => {
                let input = message(world, town, to, patience);
                vec![(TxKind::Call(town.pings[from]), U256::from(500), input)]
            }
            Self::Letter { through, to, patience } => {
                // A mailbox's function has the arguments of `Ping`'s.
                let mut input = message(world, town, to, patience);
                input[..4].copy_from_slice(&IMailbox::dispatchCall::SELECTOR);
                let mailbox = evm::mailbox_address(ShardId(through as u32));
                vec![(TxKind::Call(mailbox), U256::from(700), input)]
            }
            Self::Deploy => vec![(TxKind::Create, U256::ZERO, made(&LIBRARY))],
            Self::Borrow { borrower, library } => {
                call(town.borrowers[borrower], library.address(town).into_word().to_vec())
            }
            Self::Refuse { pong, refuses } => {
                call(town.pongs[pong], IPong::setRefusingCall { refusing: refuses }.abi_encode())
            }
        }
    }
}

fn swap(town: &Town, token: usize, least: U256) -> Vec<u8> {
    IRouter::swapExactTokensForTokensCall {
        amountIn: U256::from(1_000),
        amountOutMin: least,
        tokenIn: town.tokens[token],
        pair: town.pair,
        to: town.users[0].address,
        deadline: U256::MAX,
    }
    .abi_encode()
}

fn message(world: &World, town: &Town, to: usize, patience: u64) -> Vec<u8> {
    IPing::sendCall {
        destination: domain_of(town.params.network, ShardId(to as u32)),
        recipient: town.pongs[to].into_word(),
        body: vec![0x5a; 16].into(),
        gasLimit: MESSAGE_GAS,
        deadlineMs: world.now().0 + patience,
    }
    .abi_encode()
}
