//! An honest coordinator as docs/protocol.md has it: homes first, then the rest, then the decision, then out of the way.
//!
//! Its log says that it began and, later, which votes decide; what else it knows is gone when it crashes.

use super::rules::{Decision, Vote, decide};

/// How far it is with the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Stage {
    #[default]
    Idle,
    Voting,
    Deciding(Outcome),
    Forgotten,
}

/// How it was decided, with whom it waits for. Sets of shards are masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    pub commit: bool,
    pub waiting: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Coordinator {
    pub stage: Stage,
    /// Yes votes heard; of those only while it is voting.
    pub yes: u8,
    /// Whether it has asked those that are no homes: they may hold a lock.
    pub all_asked: bool,
    pub expired: bool,
    pub dead: bool,
}

/// Who is an attempt's participant, and whose home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards {
    pub all: u8,
    pub homes: u8,
}

impl Shards {
    /// The only participant that is no home, as a mask: nobody if there are several or none.
    pub fn last_agent(self) -> u8 {
        let rest = self.all & !self.homes;
        if rest.is_power_of_two() { rest } else { 0 } // One bit is set.
    }
}

/// What a coordinator sends, by whom it sends it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Says {
    pub prepare: u8,
    pub request_abort: u8,
    pub commit: u8,
    pub abort: u8,
}

impl Coordinator {
    /// How far it is; only a crash goes back.
    pub fn progress(self) -> u32 {
        let stage = match self.stage {
            Stage::Idle => 0,
            Stage::Voting => 10,
            Stage::Deciding(outcome) => 24 - outcome.waiting.count_ones(),
            Stage::Forgotten => 30,
        };
        let memory = self.yes.count_ones() + u32::from(self.all_asked) + u32::from(self.expired);
        if self.dead { 60 } else { stage + memory }
    }

    /// The attempt is logged; then the homes are asked.
    #[must_use]
    pub fn begin(self) -> Self {
        Self { stage: Stage::Voting, ..self }
    }

    /// What its stage asks for, as often as its timer rings.
    pub fn says(self, shards: Shards) -> Says {
        let silent_homes = shards.homes & !self.yes;
        let silent = if silent_homes == 0 { shards.all & !self.yes } else { silent_homes };
        match self.stage {
            Stage::Idle | Stage::Forgotten => Says::default(),
            // R4: the deadline decides nothing; all who have not voted are asked to, so that a dead home stops nobody.
            Stage::Voting if self.expired => Says { request_abort: shards.all & !self.yes, ..Says::default() },
            Stage::Voting => Says { prepare: silent, ..Says::default() },
            Stage::Deciding(Outcome { commit: true, waiting }) => Says { commit: waiting, ..Says::default() },
            Stage::Deciding(Outcome { commit: false, waiting }) => Says { abort: waiting, ..Says::default() },
        }
    }

    /// A vote of one shard. A no decides at once.
    #[must_use]
    pub fn hear(self, shards: Shards, shard: u8, vote: Vote) -> Self {
        let bit = 1 << shard;
        match (self.stage, vote) {
            (Stage::Voting, Vote::Yes) => self.hear_yes(shards, bit),
            (Stage::Voting, Vote::No) => self.decided(shards, Decision::Abort, bit),
            (Stage::Deciding(outcome), Vote::No) => self.waiting(outcome, bit), // It holds no lock.
            (Stage::Idle | Stage::Forgotten | Stage::Deciding(_), _) => self,
        }
    }

    /// A shard says that it has carried out the decision.
    #[must_use]
    pub fn acknowledged(self, shard: u8) -> Self {
        match self.stage {
            Stage::Deciding(outcome) => self.waiting(outcome, 1 << shard),
            _ => self,
        }
    }

    /// What a crash leaves of it: its log. Who was asked is not in it; anybody may have been.
    #[must_use]
    pub fn recovered(self, shards: Shards) -> Self {
        let stage = match self.stage {
            Stage::Deciding(outcome) => Stage::Deciding(Outcome { waiting: shards.all, ..outcome }),
            stage => stage,
        };
        Self { stage, yes: 0, all_asked: stage == Stage::Voting, ..self }
    }

    fn hear_yes(self, shards: Shards, bit: u8) -> Self {
        let yes = self.yes | bit;
        let heard = Self { yes, all_asked: self.all_asked || shards.homes & !yes == 0, ..self };
        match decide(yes, 0, shards.all) {
            Some(decision) => heard.decided(shards, decision, 0),
            None => heard,
        }
    }

    fn decided(self, shards: Shards, decision: Decision, no: u8) -> Self {
        let asked = if self.all_asked { shards.all } else { shards.homes };
        // Whoever said yes holds a lock, whoever asked for it; but the last agent's yes was its commit.
        let locked = (asked | self.yes) & !(self.yes & shards.last_agent());
        let outcome = Outcome { commit: decision == Decision::Commit, waiting: locked };
        Self { yes: 0, ..self }.waiting(outcome, no)
    }

    fn waiting(self, outcome: Outcome, without: u8) -> Self {
        let waiting = outcome.waiting & !without;
        let stage = if waiting == 0 { Stage::Forgotten } else { Stage::Deciding(Outcome { waiting, ..outcome }) };
        Self { stage, all_asked: false, yes: 0, ..self }
    }
}
