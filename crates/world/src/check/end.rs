//! What a run that came to rest must have left.

use crate::world::World;
use alloy_primitives::{U256, hex};
use commit::Decision;
use commit::participant::Record;
use primitives::{AttemptId, Millis, Read, ShardId, Time};
use proof::{DeliveryStatus, MessageId};
use shard::spaces::{CONSUMED, HOLDERS, PREPARED, SENT};
use shard::{HandlerEnd, SentRecord, Shard, queries};

/// Most canonical bytes of a record of a message.
const SENT_BYTES_MAX: usize = 128 * 1024;

/// By how much a shard's time may be ahead at rest: by what its own clock and all others' jumped, and by what it may be ahead of
/// those.
const AHEAD_AT_REST_MAX: Millis = Millis(40_000);

impl World {
    /// Checks what only the end of a run shows; the World must be at rest ([`World::run_quiet`]).
    pub fn check_end(&mut self) {
        self.check_rest();
        self.check_clocks();
        self.check_records();
        self.check_decisions();
        self.check_messages();
        self.check_value();
        self.check_ends();
        self.check_order();
        self.check_logs();
        self.check_oracle();
    }

    /// I6: a network that is healed comes to rest; what does not is told here.
    pub fn check_stuck(&mut self) {
        let shards: Vec<String> = self
            .shards
            .iter()
            .enumerate()
            .filter(|(_, party)| !party.is_quiet())
            .map(|(index, party)| {
                format!("shard {index} has {} undecided", party.machine().map_or(0, shard::Shard::live_count))
            })
            .collect();
        let coordinators: Vec<String> = self
            .coordinators
            .iter()
            .enumerate()
            .filter(|(_, party)| !party.is_quiet())
            .map(|(index, party)| {
                let counts = party.machine().map(|machine| (machine.pending_count(), machine.attempts_count()));
                format!("coordinator {index} has pending and attempts {counts:?}")
            })
            .collect();
        let text = format!(
            "it does not come to rest: {shards:?} {coordinators:?}, submissions {:?}, {} messages open, {} calls on their way",
            self.pending.keys().collect::<Vec<_>>(),
            self.open_messages.len(),
            self.queue.work
        );
        self.watch.violation("I6", text);
    }

    /// I6, I7: nothing is undecided, nothing is held.
    fn check_rest(&mut self) {
        for index in 0..self.shards.len() {
            let party = &self.shards[index];
            let (live, locks) = party.machine().map_or((0, 0), |machine| (machine.live_count(), machine.locks_count()));
            let (prepared, holders) = (party.store().count(PREPARED), party.store().count(HOLDERS));
            if [live, locks, prepared, holders] != [0; 4] {
                let text = format!(
                    "shard {index} at rest: {live} attempts and {locks} keys in memory, {prepared} and {holders} on disk"
                );
                self.watch.violation("I6, I7", text);
            }
        }
    }

    /// R10: no clock that was wrong took its shard's time with it for good.
    fn check_clocks(&mut self) {
        let latest = self.now.after(AHEAD_AT_REST_MAX);
        for index in 0..self.shards.len() {
            let time = self.shards[index].machine().map_or(Time(0), Shard::time);
            if time > latest {
                self.watch.violation("R10", format!("shard {index} is at {time}, and it is {}", self.now));
            }
        }
    }

    /// R7: every vote that was ever on a disk is there still, but a no past the deadline, where it is the answer by rule (R5), and a yes
    /// that was forgotten when it might be.
    fn check_records(&mut self) {
        let votes: Vec<((ShardId, AttemptId), bool)> = self.watch.votes.iter().map(|(key, yes)| (*key, *yes)).collect();
        for ((shard, id), yes) in votes {
            let record = queries::attempt(self.shards[shard.0 as usize].store(), id);
            let now = record.map(|record| match record.record {
                Record::Prepared { .. } => true,
                Record::Refused { vote, .. } | Record::Decided { vote, .. } => vote.verdict.is_yes(),
            });
            let time = self.shards[shard.0 as usize].machine().map_or(Time(0), Shard::time);
            let deadline = self.watch.deadlines.get(&(shard, id)).filter(|_| !yes);
            let is_forgotten = self.watch.forgotten.contains(&(shard, id));
            let may_go = now.is_none() && (is_forgotten || deadline.is_some_and(|deadline| *deadline < time));
            if now != Some(yes) && !may_go {
                self.watch.violation("R7", format!("shard {shard} voted {yes} on {id:?}, and has {now:?} in the end"));
            }
        }
    }

    /// I1, I3: what one participant committed, all did.
    fn check_decisions(&mut self) {
        let committed: Vec<AttemptId> = self
            .watch
            .decisions
            .iter()
            .filter(|(_, (decision, _))| *decision == Decision::Commit)
            .map(|(id, _)| *id)
            .collect();
        for id in committed {
            let Some(descriptor) = self.watch.descriptors.get(&id).cloned() else { continue };
            for shard in descriptor.participants.keys() {
                let record = queries::attempt(self.shards[shard.0 as usize].store(), id);
                let decision = record.and_then(|record| record.record.decision());
                if decision != Some(Decision::Commit) && !self.watch.forgotten.contains(&(*shard, id)) {
                    self.watch.violation("I1", format!("{id:?} was committed, and shard {shard} has {decision:?}"));
                }
            }
        }
    }

    /// I14: every message ran once or was refunded, and both ends agree.
    fn check_messages(&mut self) {
        let mut texts = Vec::new();
        for (index, party) in self.shards.iter().enumerate() {
            for (key, value) in party.archive().entries(SENT) {
                let Ok(record) = primitives::decode::<SentRecord>(value, SENT_BYTES_MAX) else {
                    texts.push(format!("shard {index} keeps of a message what is no record"));
                    continue;
                };
                texts.extend(self.wrong_message(index, key, &record));
            }
            for (key, _) in party.archive().entries(CONSUMED) {
                if !self.shards.iter().any(|origin| origin.archive().get(SENT, key).is_some()) {
                    texts.push(format!("shard {index} consumed message {}, which nobody sent", hex::encode(key)));
                }
            }
        }
        for text in texts {
            self.watch.violation("I14", text);
        }
    }

    fn wrong_message(&self, index: usize, key: &[u8], record: &SentRecord) -> Option<String> {
        let id = MessageId(key.try_into().ok()?);
        let destination = proof::shard_of(self.plan.params.network, record.message.destination)?;
        let consumed = queries::message(self.shards.get(destination.0 as usize)?.archive(), id).consumed;
        let Some(end) = &record.end else {
            return (!self.relays.is_empty()).then(|| format!("shard {index} does not know how message {id:?} ended"));
        };
        match consumed {
            Some(consumed) if consumed.delivery == end.delivery => None,
            consumed => Some(format!(
                "message {id:?} of shard {index} ended as {:?} there, and as {:?} at shard {destination}",
                end.delivery.status,
                consumed.map(|consumed| consumed.delivery.status)
            )),
        }
    }

    /// I8: wei are neither made nor lost, but for what messages brought and took. A base fee is burnt, so that a network
    /// with one is not checked.
    fn check_value(&mut self) {
        if self.plan.params.base_fee > 0 {
            return;
        }
        let held: U256 = self.state().accounts.values().fold(U256::ZERO, |sum, account| sum + account.balance);
        let genesis: U256 = self.plan.genesis.values().fold(U256::ZERO, |sum, account| sum + account.balance);
        let totals: Vec<shard::ValueTotals> =
            self.shards.iter().map(|party| queries::value_totals(party.store())).collect();
        let minted = totals.iter().fold(U256::ZERO, |sum, totals| sum + totals.minted);
        let burnt = totals.iter().fold(U256::ZERO, |sum, totals| sum + totals.burnt);
        if held + burnt != genesis + minted {
            let text = format!("{held} wei held, {genesis} at first, {minted} minted and {burnt} burnt by messages");
            self.watch.violation("I8", text);
        }
        (0..self.shards.len()).for_each(|shard| self.watch_escrow(ShardId(shard as u32)));
        // Whatever came into being with a message has ceased to be where it was sent, once everybody knows.
        let in_flight = totals.iter().fold(U256::ZERO, |sum, totals| sum + totals.in_flight);
        if !self.relays.is_empty() && (minted != burnt || !in_flight.is_zero()) {
            let text = format!("at rest {minted} wei are minted, {burnt} burnt and {in_flight} in flight by messages");
            self.watch.violation("I8", text);
        }
    }

    /// What clients were told is so: a transaction that was said to be committed is at its sender's home, with the outcome
    /// that they were told.
    fn check_ends(&mut self) {
        let mut texts = Vec::new();
        for (ticket, end) in &self.ends {
            let Ok(committed) = end else { continue };
            for outcome in &committed.outcomes {
                let Some(hash) = outcome.transaction else { continue };
                match self.shards.iter().find_map(|party| queries::outcome(party.archive(), hash)) {
                    None => texts.push(format!("{ticket:?} was told that {hash} is committed, and no shard has it")),
                    Some(record) if record.outcome != *outcome => {
                        texts.push(format!("{ticket:?} was told that {hash} did {outcome:?}, and it did {record:?}"));
                    }
                    Some(_) => {}
                }
            }
        }
        for text in texts {
            self.watch.violation("I12", text);
        }
    }

    /// How many messages were refunded, and how many ran.
    pub fn messages_ended(&self) -> (u64, u64) {
        let mut ended = (0, 0);
        for party in &self.shards {
            for (_, value) in party.archive().entries(SENT) {
                let Ok(record) = primitives::decode::<SentRecord>(value, SENT_BYTES_MAX) else { continue };
                match record.end {
                    Some(end) if end.delivery.status == DeliveryStatus::Delivered => ended.1 += 1,
                    Some(end) if end.handler != HandlerEnd::Elsewhere => ended.0 += 1,
                    _ => {}
                }
            }
        }
        ended
    }
}
