//! What became of transactions, kept at the home of each sender for whoever asks later.
//!
//! Promise: an outcome is recorded in the block that applied it, once, under the transaction's hash and in the order of
//! the network's blocks; handing in a transaction again finds it.
//! Knows nothing of how transactions are executed.

use crate::blocks::LeafPlace;
use crate::spaces::{self, OUTCOMES, OUTCOMES_BY_SLOT};
use crate::staged::{Staged, get_value};
use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};
use evm::{Data, Environment, Outcome, SystemTransaction};
use primitives::{AttemptId, Height, Read, ShardId, Slot, Time, encode};

/// What a record takes beside what varies.
const RECORD_BYTES: usize = 400;

/// What a log takes beside topics and data.
const LOG_BYTES: usize = 100;

/// What a transaction did, where and when.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OutcomeRecord {
    /// The transaction's hash. Of a system transaction an id that no transaction hashes to.
    pub transaction: B256,
    /// The signed EIP-2718 bytes; empty for a system transaction.
    pub bytes: Data,
    /// Who signed; for a system transaction its caller, or zero.
    pub sender: Address,
    /// Status, gas, output, logs.
    pub outcome: Outcome,
    /// `block.number` as the transaction saw it: its slot, or the number of a replayed block.
    pub number: u64,
    /// The network block that shows it: `number`, or a later one where the decision was late ([`crate::shown_in`]).
    pub shown: Slot,
    /// The block of this shard that applied it.
    pub height: Height,
    /// Its place among the outcomes of that block, from 0.
    pub index: u32,
    /// The block's attested time.
    pub time: Time,
    /// Its leaf in the block's outbox.
    pub leaf: LeafPlace,
    /// The attempt that committed it; none if this shard was the only participant.
    pub attempt: Option<AttemptId>,
    /// The shards that took part, in order.
    pub participants: Vec<ShardId>,
    /// What a system transaction called, where it is told with it ([`crate::LogReader`]): kept in the log of what was applied, and
    /// not here a second time.
    #[borsh(skip)]
    pub called: Option<SystemTransaction>,
}

/// What a block's outcome root commits to of one transaction: of its record all that neither the header says nor its place among
/// the others, but the bytes, which its hash stands for.
#[derive(Debug, BorshSerialize)]
struct Commitment<'a> {
    transaction: B256,
    is_signed: bool,
    sender: Address,
    outcome: &'a Outcome,
    number: u64,
    leaf: u32,
    attempt: Option<AttemptId>,
    participants: &'a [ShardId],
}

impl OutcomeRecord {
    /// Its leaf in the tree of its block's outcomes.
    pub(crate) fn commitment(&self) -> Vec<u8> {
        encode(&Commitment {
            transaction: self.transaction,
            is_signed: !self.bytes.is_empty(),
            sender: self.sender,
            outcome: &self.outcome,
            number: self.number,
            leaf: self.leaf.index,
            attempt: self.attempt,
            participants: &self.participants,
        })
    }

    /// How much room it takes, about: what bounds in bytes count it as.
    pub fn bytes_count(&self) -> usize {
        let log = |log: &evm::Log| LOG_BYTES + 32 * log.topics.len() + log.data.len();
        let Outcome { output, logs, .. } = &self.outcome;
        RECORD_BYTES + self.bytes.len() + output.len() + logs.iter().map(log).sum::<usize>()
    }
}

/// `block.number` in `environment`.
pub fn number_of(environment: &Environment) -> u64 {
    match environment {
        Environment::Slot(slot) | Environment::Travelled { slot, .. } => slot.0,
        Environment::Block(block) => block.number,
    }
}

/// The record of a transaction, if this shard has it.
pub fn outcome(read: &impl Read, transaction: B256) -> Option<OutcomeRecord> {
    get_value(read, OUTCOMES, transaction.as_slice())
}

/// How many outcomes are forgotten at a time.
const FORGOTTEN_PAGE_COUNT: usize = 1024;

/// Forgets what ran after `slot`, on a network with cheats: handed in again, it runs again.
pub(crate) fn forget_after<R: Read>(staged: &mut Staged<'_, R>, slot: Slot) {
    let mut from = spaces::outcome_key(slot.next(), Height(0), 0);
    loop {
        let page = staged.scan(OUTCOMES_BY_SLOT, &[], &from, FORGOTTEN_PAGE_COUNT);
        let Some((last, _)) = page.last() else { return };
        from = [&last[..], &[0]].concat();
        for (key, hash) in page {
            // What was decided late ran before, and its changes stay.
            let ran: Option<OutcomeRecord> = get_value(staged, OUTCOMES, &hash);
            if ran.is_some_and(|record| record.number > slot.0) {
                staged.delete(OUTCOMES, hash);
                staged.delete(OUTCOMES_BY_SLOT, key);
            }
        }
    }
}

/// Stages `record` under its hash and its network block.
pub(crate) fn stage<R: Read>(staged: &mut Staged<'_, R>, record: &OutcomeRecord) {
    staged.put_value(OUTCOMES, record.transaction.0, record);
    let place = spaces::outcome_key(record.shown, record.height, record.index);
    staged.put(OUTCOMES_BY_SLOT, place, record.transaction.to_vec());
}
