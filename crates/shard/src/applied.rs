//! What a commit does on this shard, and the log of all that was done, in order.
//!
//!   Part: own changes, messages to send, outcomes of own senders     kept with the yes vote, applied once (I5)
//!   Applied: cause, locks, payload                                   one record for each part, in this shard's order
//!
//! Promise (I9): from all shards' logs an order of all committed payloads can be made that agrees with every log: two
//! records whose locks conflict are ordered as they stand here, others do not care. Each payload is in the log of its
//! homes.
//! Knows nothing of votes: who calls [`Work::apply`] has decided.

use crate::blocks::OutcomeLeaf;
use crate::closing;
use crate::messages::SentRecord;
use crate::outcomes::{self, OutcomeRecord};
use crate::retention::{Forgotten, Kept};
use crate::shard::Work;
use crate::spaces::{self, APPLIED, LEFT, SENT};
use crate::staged::own_value;
use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};
use evm::{
    AccountState, Changes, Data, Executed, LockMode, Outcome, Payload, RecoveredPayload, Slice, StateKey, Step,
    SystemTransaction,
};
use primitives::{AttemptId, Digest, Domain, Height, Read, ShardId, Slot, Time, encode};
use proof::{LeafKind, Message, MessageId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

static SYSTEM: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 system transaction"));
static OUTCOME: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 outcome"));

/// Why something was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Cause {
    /// An attempt was committed; the same attempt stands in each participant's log.
    Attempt(AttemptId),
    /// A payload of this shard alone, by its digest.
    Local(Digest),
    /// A message ran here.
    Delivery(MessageId),
    /// A message of this shard's own was settled here; may stand more than once.
    Acknowledgement(MessageId),
}

impl Cause {
    /// The id under which the outcome of a system transaction is kept. Two messages may run the very same payload, so
    /// theirs is bound to the message.
    pub fn system_id(self, payload: Digest, index: usize) -> B256 {
        match self {
            Self::Attempt(_) | Self::Local(_) => system_id(payload, index),
            Self::Delivery(_) | Self::Acknowledgement(_) => {
                B256::new(*SYSTEM.hash_of(&(self, payload, index as u64)).as_bytes())
            }
        }
    }

    /// Whether a system transaction's outcome is kept: of what a shard does about messages only the calls of contracts.
    pub fn records(self, system: &SystemTransaction) -> bool {
        matches!(self, Self::Attempt(_) | Self::Local(_)) || matches!(system, SystemTransaction::Call { .. })
    }
}

/// One thing that this shard applied.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Applied {
    /// Why.
    pub cause: Cause,
    /// The block that applied it.
    pub height: Height,
    /// The block's attested time.
    pub time: Time,
    /// What it read and wrote here: what orders it among others.
    pub locks: BTreeMap<StateKey, LockMode>,
    /// Accounts that it gave a code here: whoever goes by such a code without a lock comes after.
    pub deployed: BTreeSet<Address>,
    /// At the homes, the accounts whose code it went by without a lock ([`evm::Witness::fixed`]).
    pub lent: BTreeSet<Address>,
    /// What ran: at the homes, elsewhere none.
    pub payload: Option<Payload>,
}

/// The records of the log from number `from` on, from 0, at most `count_max`.
///
/// # Errors
/// [`Forgotten`] if the first of them is kept no longer.
pub fn applied(read: &impl Read, from: u64, count_max: usize) -> Result<Vec<Applied>, Forgotten> {
    Kept::read(read).check_record(from)?;
    Ok(records(read, from, count_max))
}

/// The same of those that are kept.
pub(crate) fn records(read: &impl Read, from: u64, count_max: usize) -> Vec<Applied> {
    let entries = read.scan(APPLIED, &[], &spaces::sequence_key(from), count_max);
    entries.into_iter().map(|(_, bytes)| own_value(APPLIED, &bytes)).collect()
}

/// The outcome of one transaction, to be recorded at its sender's home.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct OutcomePart {
    pub(crate) transaction: B256,
    pub(crate) bytes: Data,
    pub(crate) sender: Address,
    pub(crate) outcome: Outcome,
}

/// All that a commit does on this shard: stored with the yes vote, applied from there (I5).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Part {
    pub(crate) cause: Cause,
    pub(crate) changes: Changes,
    pub(crate) locks: BTreeMap<StateKey, LockMode>,
    pub(crate) messages: Vec<Message>,
    pub(crate) outcomes: Vec<OutcomePart>,
    /// `block.number` as the payload saw it.
    pub(crate) number: u64,
    /// Its slot; none for a replayed block.
    pub(crate) slot: Option<Slot>,
    pub(crate) participants: Vec<ShardId>,
    pub(crate) lent: BTreeSet<Address>,
    pub(crate) payload: Option<Payload>,
}

impl Part {
    /// The part of an execution that is `me`'s.
    pub(crate) fn of(
        cause: Cause,
        me: ShardId,
        payload: &RecoveredPayload,
        executed: &Executed,
        slice: Slice,
        messages: Vec<Message>,
        is_own_sender: impl Fn(Address) -> bool,
    ) -> Self {
        let is_home = executed.homes.contains(&me);
        let is_first_home = executed.homes.first() == Some(&me);
        let steps = payload.steps().iter().zip(&executed.effects.outcomes).enumerate();
        let outcomes = steps.filter_map(|(index, (step, outcome))| match step {
            Step::Signed(transaction) => is_own_sender(transaction.sender()).then(|| OutcomePart {
                transaction: transaction.hash(),
                bytes: transaction.bytes().clone(),
                sender: transaction.sender(),
                outcome: outcome.clone(),
            }),
            Step::System(system) => (is_first_home && cause.records(system)).then(|| OutcomePart {
                transaction: cause.system_id(payload.digest(), index),
                bytes: Data::default(),
                sender: caller_of(system),
                outcome: outcome.clone(),
            }),
        });
        Self {
            cause,
            outcomes: outcomes.collect(),
            changes: slice.changes,
            locks: slice.locks,
            messages,
            number: outcomes::number_of(&payload.payload().environment),
            slot: payload.payload().environment.slot(),
            participants: executed.participants.iter().copied().collect(),
            lent: executed.witness.fixed.keys().copied().filter(|_| is_home).collect(),
            payload: is_home.then(|| payload.payload().clone()),
        }
    }

    /// The accounts that it gives a code which was not theirs.
    fn deployed(&self) -> BTreeSet<Address> {
        let Changes { accounts, codes, .. } = &self.changes;
        let is_new =
            |account: &Option<AccountState>| account.is_some_and(|account| codes.contains_key(&account.code_hash));
        accounts.iter().filter(|(_, account)| is_new(account)).map(|(address, _)| *address).collect()
    }

    fn attempt(&self) -> Option<AttemptId> {
        match self.cause {
            Cause::Attempt(attempt) => Some(attempt),
            _ => None,
        }
    }
}

/// The id under which the outcome of a system transaction is kept: the payload's digest for the first of a payload.
pub fn system_id(payload: Digest, index: usize) -> B256 {
    let digest = if index == 0 { payload } else { SYSTEM.hash_of(&(payload, index as u64)) };
    B256::new(*digest.as_bytes())
}

/// The ids under which the outcomes of a payload's transactions are kept, in order.
pub(crate) fn transaction_ids(payload: &RecoveredPayload) -> impl Iterator<Item = B256> + '_ {
    payload.steps().iter().enumerate().map(|(index, step)| match step {
        Step::Signed(transaction) => transaction.hash(),
        Step::System(_) => system_id(payload.digest(), index),
    })
}

fn caller_of(system: &SystemTransaction) -> Address {
    match system {
        SystemTransaction::Call { caller, .. } => *caller,
        _ => Address::ZERO,
    }
}

impl<R: Read> Work<'_, '_, R> {
    /// Does what a commit does on this shard, and says what is recorded of it. I5: the caller calls once.
    pub(crate) fn apply(&mut self, part: Part) -> Vec<OutcomeRecord> {
        // What a replayed block did has no slot, and no reader asks for one.
        self.ledger.apply(&part.changes, part.slot.unwrap_or(Slot(0)));
        for message in &part.messages {
            self.send_message(message);
        }
        let records = part.outcomes.iter().map(|outcome| self.record_outcome(&part, outcome)).collect();
        self.log_applied(part);
        records
    }

    /// Puts a message into the outbox; its value stays with the mailbox until its end is known.
    fn send_message(&mut self, message: &Message) {
        let leaf = self.draft.push_leaf(LeafKind::Message, message.to_bytes());
        let record = SentRecord { message: message.clone(), leaf, time: self.time, end: None };
        self.ledger.staged.put_value(SENT, spaces::message_key(message.id()), &record);
        let is_foreign = self.shard.mailbox.foreign.contains(&message.destination);
        self.shard.unended.sent(message.nonce, !is_foreign, &mut self.ledger.staged);
        if is_foreign {
            let left = spaces::message_key(MessageId(message.v3_id()));
            self.ledger.staged.put_value(LEFT, left, &message.id());
        }
        self.shard.value.send(message.value);
    }

    fn record_outcome(&mut self, part: &Part, done: &OutcomePart) -> OutcomeRecord {
        let leaf = OutcomeLeaf {
            transaction: done.transaction,
            attempt: part.attempt(),
            status: done.outcome.status,
            gas_used: done.outcome.gas_used,
            outcome: OUTCOME.hash_of(&done.outcome),
        };
        let record = OutcomeRecord {
            transaction: done.transaction,
            bytes: done.bytes.clone(),
            sender: done.sender,
            outcome: done.outcome.clone(),
            number: part.number,
            shown: closing::shown_in(&self.shard.params, part.number, self.time),
            height: self.draft.height(),
            index: self.draft.outcomes_count(),
            time: self.time,
            leaf: self.draft.push_leaf(LeafKind::Outcome, encode(&leaf)),
            attempt: part.attempt(),
            participants: part.participants.clone(),
            called: None,
        };
        self.draft.push_outcome(&record);
        outcomes::stage(&mut self.ledger.staged, &record);
        record
    }

    fn log_applied(&mut self, part: Part) {
        if let Some(slot) = part.slot {
            self.shard.recency.touch(&part.locks, slot); // R13
        }
        let record = Applied {
            cause: part.cause,
            height: self.draft.height(),
            time: self.time,
            deployed: part.deployed(),
            locks: part.locks,
            lent: part.lent,
            payload: part.payload,
        };
        self.ledger.staged.put_value(APPLIED, spaces::sequence_key(self.shard.applied_count), &record);
        self.shard.applied_count += 1;
    }
}

/// The digest of a whole outcome, as [`OutcomeLeaf::outcome`] has it.
pub fn outcome_digest(outcome: &Outcome) -> Digest {
    OUTCOME.hash_of(outcome)
}
