//! What one batch, or one answer, can break.

use crate::plan::Watch;
use crate::world::World;
use alloy_primitives::{B256, U256};
use commit::participant::Record;
use commit::{Decision, Descriptor, Vote};
use evm::{Grouping, Payload};
use primitives::{AttemptId, Digest, Read, ShardId, Write};
use shard::spaces::{APPLIED, ATTEMPTS, CONSUMED, PREPARED, SENT};
use shard::{Applied, AttemptRecord, Cause, SentRecord, queries};

/// Most canonical bytes of what is read here: a committed payload and its locks.
const RECORD_BYTES_MAX: usize = 64 << 20;

impl World {
    /// Looks at a shard's batch that is on its disk, before the store shows it.
    pub(crate) fn watch_batch(&mut self, shard: ShardId, writes: &[Write]) {
        if self.plan.checks == Watch::Nothing {
            return;
        }
        self.read_back(shard);
        self.watch_escrow(shard);
        for write in writes {
            match write {
                Write::Put { space: ATTEMPTS, key, value } => self.watch_attempt(shard, key, value),
                Write::Delete { space: ATTEMPTS, key } => self.watch_forgotten(shard, key),
                Write::Put { space: APPLIED, value, .. } => self.watch_applied(shard, value),
                Write::Put { space: CONSUMED, key, .. } => self.watch_consumed(shard, key),
                Write::Put { space: SENT, key, value } => self.watch_sent(shard, key, value),
                Write::Delete { space: CONSUMED, key } => self.watch_message_forgotten(shard, key),
                _ => {}
            }
        }
    }

    /// I8, at every moment: a mailbox holds what is in flight with messages of its shard, as nobody pays it anything else.
    pub(crate) fn watch_escrow(&mut self, shard: ShardId) {
        let store = self.shards[shard.0 as usize].store();
        let held = queries::account(store, evm::mailbox_address(shard)).map_or(U256::ZERO, |account| account.balance);
        let in_flight = queries::value_totals(store).in_flight;
        if held != in_flight {
            let text = format!("the mailbox of shard {shard} holds {held} wei, and {in_flight} are in flight");
            self.watch.violation("I8", text);
        }
    }

    fn watch_attempt(&mut self, shard: ShardId, key: &[u8], value: &[u8]) {
        let Ok(key) = <[u8; 32]>::try_from(key) else { return };
        let id = AttemptId(Digest::new(key));
        let Ok(AttemptRecord { record, .. }) = primitives::decode(value, RECORD_BYTES_MAX) else {
            return self.watch.violation("I12", format!("shard {shard} keeps of {id:?} what is no record"));
        };
        let yes = match &record {
            Record::Prepared { descriptor } => {
                self.watch_yes(shard, id, descriptor);
                true
            }
            Record::Refused { vote, .. } | Record::Decided { vote, .. } => vote.verdict.is_yes(),
        };
        if let Record::Refused { deadline, .. } = &record {
            self.watch.deadlines.insert((shard, id), *deadline);
        }
        self.watch_vote_with_decision(shard, id, &record);
        self.watch_vote(shard, id, yes);
        if let Record::Decided { decision, .. } = record {
            self.watch_decision(shard, id, decision);
        }
    }

    /// R7: what was decided is forgotten when nobody else who takes part can ask for it any more.
    fn watch_forgotten(&mut self, shard: ShardId, key: &[u8]) {
        let Ok(key) = <[u8; 32]>::try_from(key) else { return };
        let id = AttemptId(Digest::new(key));
        if self.watch.votes.get(&(shard, id)) != Some(&true) {
            return; // A no goes by its deadline (R5).
        }
        let waits = |other: &crate::shards::ShardParty| {
            let machine = other.machine().filter(|machine| machine.is_shown() && machine.id() != shard);
            machine.is_some() && other.store().get(PREPARED, &key).is_some()
        };
        if self.shards.iter().any(waits) {
            self.watch.violation("R7", format!("shard {shard} forgets {id:?}, and another waits for it"));
        }
        self.watch.tally.forgotten += 1;
        self.watch.forgotten.insert((shard, id));
    }

    /// A yes whose decision came in its step, as a last agent's does, has no row of its own.
    fn watch_vote_with_decision(&mut self, shard: ShardId, id: AttemptId, record: &Record) {
        let is_new = !self.watch.votes.contains_key(&(shard, id));
        let Some(descriptor) = self.watch.descriptors.get(&id).filter(|_| is_new).cloned() else { return };
        if let Record::Decided { decision, .. } = record {
            let is_last = *decision == Decision::Commit && descriptor.last_agent() == Some(shard);
            self.watch.tally.last_agents += u64::from(is_last);
            self.watch_yes(shard, id, &descriptor);
        }
    }

    /// R5, R10: nobody votes yes past the deadline. R11, I15: nobody locks before every home has reserved the fee.
    fn watch_yes(&mut self, shard: ShardId, id: AttemptId, descriptor: &Descriptor) {
        self.watch.descriptors.insert(id, descriptor.clone());
        let machine = self.shards[shard.0 as usize].node.machine.as_ref();
        if let Some(time) = machine.map(shard::Shard::time).filter(|time| *time >= descriptor.deadline) {
            let text = format!("shard {shard} votes yes on {id:?} at {time}, past {}", descriptor.deadline);
            self.watch.violation("R5, R10", text);
        }
        if descriptor.homes.contains(&shard) {
            return;
        }
        let open = |home: &&ShardId| self.watch.votes.get(&(**home, id)) != Some(&true);
        if let Some(home) = descriptor.homes.iter().find(open) {
            let text = format!("shard {shard} locks for {id:?}, and home {home} has not voted yes");
            self.watch.violation("R11, I15", text);
        }
    }

    /// I2: one vote per shard and attempt, for ever the same.
    fn watch_vote(&mut self, shard: ShardId, id: AttemptId, yes: bool) {
        let first = *self.watch.votes.entry((shard, id)).or_insert(yes);
        if first != yes {
            let text = format!("shard {shard} voted {} on {id:?}, and then {}", word(first), word(yes));
            self.watch.violation("I2", text);
        }
    }

    fn watch_decision(&mut self, shard: ShardId, id: AttemptId, decision: Decision) {
        let (first, by) = *self.watch.decisions.entry(id).or_insert((decision, shard));
        if first != decision {
            let text = format!("{id:?}: shard {by} has {}, shard {shard} has {}", first.name(), decision.name());
            return self.watch.violation("I1", text);
        }
        let Some(descriptor) = self.watch.descriptors.get(&id) else {
            // What was prepared and aborted in one step has one row, which does not say whose it was.
            let is_refused = self.watch.votes.iter().any(|((_, voted), yes)| *voted == id && !yes);
            if decision == Decision::Abort && is_refused {
                self.watch.tally.aborts += u64::from(by == shard);
                return;
            }
            return self.watch.violation("I3", format!("shard {shard} decided {id:?}, which nobody prepared"));
        };
        let vote = |participant: &ShardId| self.watch.votes.get(&(*participant, id)).copied();
        match decision {
            Decision::Commit => {
                self.watch.tally.commits += u64::from(by == shard);
                if let Some(missing) = descriptor.participants.keys().find(|shard| vote(shard) != Some(true)) {
                    let text = format!("shard {shard} commits {id:?} without a yes of shard {missing}");
                    self.watch.violation("I3", text);
                }
            }
            Decision::Abort => {
                self.watch.tally.aborts += u64::from(by == shard);
                if !descriptor.participants.keys().any(|shard| vote(shard) == Some(false)) {
                    self.watch.violation("I4", format!("shard {shard} aborts {id:?} without anybody's no"));
                }
            }
        }
    }

    /// I5: what is applied is applied once.
    fn watch_applied(&mut self, shard: ShardId, value: &[u8]) {
        let Ok(applied) = primitives::decode::<Applied>(value, RECORD_BYTES_MAX) else {
            return self.watch.violation("I12", format!("shard {shard} logs what is no record"));
        };
        self.watch_access(shard, &applied);
        let cause = applied.cause;
        let is_shared = |payload: &Payload| payload.grouping == Grouping::Batch && payload.transactions.len() > 1;
        self.watch.tally.shared += u64::from(applied.payload.as_ref().is_some_and(is_shared));
        self.watch.tally.locals += u64::from(matches!(cause, Cause::Local(_)));
        if matches!(cause, Cause::Acknowledgement(_)) {
            return; // May stand more than once: what it did once stands beside it.
        }
        if !self.watch.applied.insert((shard, cause)) {
            self.watch.violation("I5", format!("shard {shard} applies {cause:?} twice"));
        }
    }

    /// I14: a message runs at most once.
    fn watch_consumed(&mut self, shard: ShardId, key: &[u8]) {
        self.watch.tally.messages += 1;
        if !self.watch.consumed.insert(B256::from_slice(key)) {
            self.watch.violation("I14", format!("shard {shard} consumes message {} twice", B256::from_slice(key)));
        }
    }

    /// I13, I14: a message that was consumed is forgotten when its origin knows how it ended.
    fn watch_message_forgotten(&mut self, shard: ShardId, key: &[u8]) {
        self.watch.tally.messages_forgotten += 1;
        let sent = self.shards.iter().find_map(|party| party.archive().get(SENT, key));
        let sent = sent.and_then(|bytes| primitives::decode::<SentRecord>(&bytes, RECORD_BYTES_MAX).ok());
        if sent.is_none_or(|record| record.end.is_none()) {
            let text =
                format!("shard {shard} forgets message {}, and its origin waits for its end", B256::from_slice(key));
            self.watch.violation("I13, I14", text);
        }
    }

    /// I14: how a message ended is learnt once, and after it ended.
    fn watch_sent(&mut self, shard: ShardId, key: &[u8], value: &[u8]) {
        let Ok(SentRecord { end: Some(_), .. }) = primitives::decode(value, RECORD_BYTES_MAX) else { return };
        self.watch.tally.acknowledged += 1;
        let id = B256::from_slice(key);
        let before = self.shards[shard.0 as usize].node.store.get(SENT, key);
        let before = before.and_then(|bytes| primitives::decode::<SentRecord>(&bytes, RECORD_BYTES_MAX).ok());
        if before.is_some_and(|record| record.end.is_some()) {
            self.watch.violation("I14", format!("shard {shard} settles message {id} twice"));
        }
        if !self.watch.consumed.contains(&id) {
            self.watch.violation("I14", format!("shard {shard} settles message {id}, which nobody consumed"));
        }
    }

    /// R2: a vote is on the disk before anybody hears of it, and what is heard is what is there.
    pub(crate) fn watch_said(&mut self, shard: ShardId, vote: &Vote) {
        if self.plan.checks == Watch::Nothing {
            return;
        }
        let written = self.watch.votes.get(&(shard, vote.attempt)).copied();
        if written != Some(vote.verdict.is_yes()) {
            let text = format!(
                "shard {shard} says {} on {:?}, and its disk says {}",
                word(vote.verdict.is_yes()),
                vote.attempt,
                written.map_or("nothing", word)
            );
            self.watch.violation("R2", text);
        }
    }
}

fn word(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
