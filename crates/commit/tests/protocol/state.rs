//! A state of the model, and what must hold in it.

use super::coordinator::Coordinator;
use super::rules::{Decision, Does, Outcome, Record, Vote};

pub const SHARDS: usize = 3;
pub const ATTEMPTS: usize = 2;
/// All shards, as a mask.
pub const ALL: u8 = 0b111;

/// One shard's part in one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Party {
    pub record: Record,
    pub locked: bool,
    /// How often the effects were applied; more than twice is twice.
    pub applied: u8,
    /// Whether a tombstone has gone: the rule of the deadline stands in for it.
    pub gone: bool,
}

/// One attempt, with what the network carries of it. What was once sent can be delivered for ever, in any order, as often
/// as one likes, or never: that is loss, duplication and reordering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Attempt {
    pub parties: [Party; SHARDS],
    /// Certified votes that have left their shards.
    pub yes: u8,
    pub no: u8,
    /// To whom prepares, abort requests and decisions are under way. Only if coordinators are honest.
    pub prepares: u8,
    pub requests: u8,
    pub commits: u8,
    pub aborts: u8,
    /// What the execution has read, by shard, and where it saw the other attempt's writes.
    pub read: u8,
    pub seen: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct State {
    pub attempts: [Attempt; ATTEMPTS],
    /// Each shard's block time: how many deadlines lie behind it.
    pub clock: [u8; SHARDS],
    pub coordinators: [Coordinator; 2],
    /// How often coordinators have crashed.
    pub crashes: u8,
}

impl State {
    /// Grows with every step of the unbroken rules: no run comes back to where it was, so every run comes to an end.
    pub fn progress(&self) -> u32 {
        let attempts: u32 = self.attempts.iter().map(Attempt::progress).sum();
        let coordinators: u32 = self.coordinators.iter().map(|coordinator| coordinator.progress()).sum();
        let clocks: u32 = self.clock.iter().map(|clock| u32::from(*clock)).sum();
        // What a crash takes back is less than this.
        attempts + coordinators + clocks + 100 * u32::from(self.crashes)
    }
}

impl Party {
    fn progress(self) -> u32 {
        let record = match self.record {
            Record::Nothing => 0,
            Record::Prepared | Record::Refused => 1,
            Record::Committed | Record::Aborted => 2,
            Record::Forgotten(_) => 3,
        };
        record + if self.gone { 2 } else { 0 }
    }

    /// Whether it would say that it has carried a decision out.
    pub fn is_done(self) -> bool {
        self.record.end().is_some() || self.record == Record::Refused
    }
}

impl Attempt {
    /// Carries one step out; its answer leaves if it `leaves`, and is lost in a crash after the sync otherwise.
    pub fn take(&mut self, shard: usize, outcome: Outcome, leaves: bool) {
        let party = &mut self.parties[shard];
        party.record = outcome.record;
        match outcome.does {
            Does::Nothing => {}
            Does::Lock => party.locked = true,
            Does::Release => party.locked = false,
            Does::Apply => (party.locked, party.applied) = (false, (party.applied + 1).min(2)),
        }
        if leaves {
            self.say(shard, outcome.says);
        }
    }

    pub fn say(&mut self, shard: usize, vote: Option<Vote>) {
        match vote {
            Some(Vote::Yes) => self.yes |= 1 << shard,
            Some(Vote::No) => self.no |= 1 << shard,
            None => {}
        }
    }

    fn progress(&self) -> u32 {
        let sets = [self.yes, self.no, self.prepares, self.requests, self.commits, self.aborts, self.read];
        let said: u32 = sets.iter().map(|set| set.count_ones()).sum();
        said + self.parties.iter().map(|party| party.progress()).sum::<u32>()
    }

    fn any(&self, is: impl Fn(&Party) -> bool) -> bool {
        self.parties.iter().any(is)
    }

    fn has(&self, record: Record) -> bool {
        self.any(|party| party.record == record)
    }

    pub fn committed(&self) -> bool {
        self.has_ended(Decision::Commit)
    }

    fn has_ended(&self, decision: Decision) -> bool {
        self.any(|party| party.record.end() == Some(decision))
    }

    /// I1: no attempt both commits and aborts.
    pub fn splits(&self) -> bool {
        self.committed() && (self.has_ended(Decision::Abort) || self.has(Record::Refused))
    }

    /// I2: one vote per shard and attempt, written before it is sent, and never evidence of both ends.
    pub fn votes_stand(&self) -> bool {
        let written = self.parties.iter().enumerate().all(|(shard, party)| {
            let (yes, no) = (self.yes >> shard & 1 == 1, self.no >> shard & 1 == 1);
            let is_written = match party.record.vote() {
                Some(Vote::Yes) => !no,
                Some(Vote::No) => !yes,
                None => !yes && (!no || party.gone),
            };
            is_written && !(yes && no)
        });
        written && !(self.yes == ALL && self.no != 0)
    }

    /// I3: a commit has a yes of every participant on record.
    pub fn commit_is_unanimous(&self) -> bool {
        !self.committed() || self.parties.iter().all(|party| party.record.vote() == Some(Vote::Yes))
    }

    /// I4: an abort has a no that its shard has cast.
    pub fn abort_has_a_no(&self) -> bool {
        !self.has_ended(Decision::Abort) || self.any(|party| party.record == Record::Refused || party.gone)
    }

    /// I5: effects apply once.
    pub fn applies_once(&self) -> bool {
        !self.any(|party| party.applied > 1)
    }

    /// I7: a lock is held by a live attempt, and a live attempt holds its locks.
    pub fn locks_have_owners(&self) -> bool {
        !self.any(|party| party.locked != (party.record == Record::Prepared))
    }

    /// I15: whoever is no home locks only after every home has reserved the fee.
    pub fn fee_is_reserved(&self, homes: u8) -> bool {
        let reserved = (0..SHARDS).all(|home| homes >> home & 1 == 0 || self.voted_yes(home));
        let locked = (0..SHARDS).any(|shard| homes >> shard & 1 == 0 && self.voted_yes(shard));
        reserved || !locked
    }

    /// Whether every shard that voted yes knows the end.
    pub fn is_over(&self) -> bool {
        !self.has(Record::Prepared)
    }

    pub fn ended(&self, decision: Decision) -> bool {
        self.parties.iter().all(|party| party.record.end() == Some(decision))
    }

    /// Whether every shard that voted yes has ended it and forgotten that.
    pub fn is_forgotten(&self) -> bool {
        self.parties.iter().all(|party| matches!(party.record, Record::Forgotten(_)))
    }

    fn voted_yes(&self, shard: usize) -> bool {
        self.parties[shard].record.vote() == Some(Vote::Yes)
    }
}
