//! The participant's rules as docs/protocol.md states them, on the little of a record that they look at.
//!
//! ```text
//!                    prepare, ready          all yes
//!       Nothing ------------------> Prepared ------> Committed   apply, release
//!          |                            '----------> Aborted     release
//!          |--- prepare, ready, the last of all ---> Committed   apply
//!          '--- not ready, asked to abort, expired ---> Refused  (may go long after the deadline)
//!
//!       Committed, Aborted --- nothing with its deadline is open anywhere ---> Forgotten   (R7)
//! ```
//!
//! Written from the text and not from the code; `model_tie.rs` compares the two.

use super::state::ALL;

/// What a shard keeps of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Record {
    #[default]
    Nothing,
    Prepared,
    Refused,
    Committed,
    Aborted,
    /// It ended so, everybody who takes part is settled past its deadline, and the record is gone.
    Forgotten(Decision),
}

impl Record {
    /// How it ended.
    pub fn end(self) -> Option<Decision> {
        match self {
            Self::Nothing | Self::Prepared | Self::Refused => None,
            Self::Committed => Some(Decision::Commit),
            Self::Aborted => Some(Decision::Abort),
            Self::Forgotten(decision) => Some(decision),
        }
    }

    /// The vote that was cast.
    pub fn vote(self) -> Option<Vote> {
        match self {
            Self::Nothing => None,
            Self::Refused => Some(Vote::No),
            Self::Prepared | Self::Committed | Self::Aborted | Self::Forgotten(_) => Some(Vote::Yes),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vote {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    Commit,
    Abort,
}

/// What goes into the batch beside the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Does {
    Nothing,
    Lock,
    Apply,
    Release,
}

/// What one step writes, says and does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    pub record: Record,
    pub says: Option<Vote>,
    pub does: Does,
}

/// What a shard's answer to a prepare depends on beside its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "five independent facts")]
pub struct Prepare {
    /// Whether it is a home.
    pub home: bool,
    /// Whether all others are homes: then it is the last to vote.
    pub last: bool,
    /// Whether the prepare carries every home's certified yes.
    pub reserved: bool,
    /// Whether block time has reached the deadline.
    pub expired: bool,
    /// Whether the own slice is current, the effects are right and every lock is free.
    pub ready: bool,
}

/// The rule that is broken, by the name that the code's twin has too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Broken {
    LocalTimerAbort,
    NoTombstone,
    DeadlineIgnored,
    EarlyReadUnlock,
    UndecidedRead,
    ParticipantsNotBound,
    EarlyForgetting,
    VoteBeforeSync,
    EquivocationAccepted,
    StaleWitnessAccepted,
    DecisionAppliedTwice,
    HomesNotAwaited,
    /// R8: nobody asks about a late attempt. Only the model has this one: it is about what always happens at last.
    NobodyAsks,
}

/// The rules, with one of them broken or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules(pub Option<Broken>);

impl Rules {
    pub fn breaks(self, rule: Broken) -> bool {
        self.0 == Some(rule)
    }

    /// A prepare. None: it is not one that this shard can vote on, and leaves no trace.
    pub fn prepare(self, record: Record, prepare: Prepare) -> Option<Outcome> {
        let record = self.recalled(record, prepare.expired);
        if matches!(record, Record::Forgotten(_)) {
            return None; // R7: nobody waits for it.
        }
        if let Some(vote) = record.vote() {
            return Some(again(record, vote)); // R2, R7: one vote, for ever the same.
        }
        if prepare.expired && !self.breaks(Broken::DeadlineIgnored) {
            return Some(refused()); // R5: past its deadline every prepare is a no.
        }
        if !prepare.home && !prepare.reserved && !self.breaks(Broken::HomesNotAwaited) {
            return None; // R11: the fee first.
        }
        Some(match prepare.ready {
            true if prepare.last => committed(), // R1: its yes makes the votes complete.
            true => prepared(),
            false => refused(),
        })
    }

    /// A request to abort, of a coordinator or of a participant that waits. None: it leaves no trace, as nobody can be waiting.
    pub fn abort_request(self, record: Record, expired: bool) -> Option<Outcome> {
        let record = self.recalled(record, expired);
        if matches!(record, Record::Forgotten(_)) {
            return None; // R7
        }
        Some(match record.vote() {
            Some(vote) => again(record, vote), // R4: after a yes it changes nothing.
            None if self.breaks(Broken::NoTombstone) => Outcome { record: Record::Nothing, ..refused() },
            None => refused(), // R5: the no is written first.
        })
    }

    /// A decision that votes prove. None: it contradicts the record, which no votes of honest shards do.
    pub fn decision(self, record: Record, decision: Decision, expired: bool) -> Option<Outcome> {
        let twice = self.breaks(Broken::DecisionAppliedTwice);
        match (self.recalled(record, expired), decision) {
            (Record::Prepared, Decision::Commit) => Some(ended(Record::Committed, Does::Apply)),
            (Record::Prepared, Decision::Abort) => Some(ended(Record::Aborted, Does::Release)),
            (Record::Committed, Decision::Commit) if twice => Some(ended(Record::Committed, Does::Apply)),
            (Record::Committed, Decision::Commit)
            | (Record::Refused | Record::Aborted, Decision::Abort)
            | (Record::Forgotten(_), _) => Some(ended(record, Does::Nothing)), // I5: once.
            // Past the deadline the rule stands in for a no: nothing is written (R5).
            (Record::Nothing, Decision::Abort) if expired => Some(ended(record, Does::Nothing)),
            // A prepare may still be on its way: without this no it would lock for an attempt that is over.
            (Record::Nothing, Decision::Abort) => Some(refused()),
            (Record::Nothing | Record::Refused | Record::Aborted, Decision::Commit)
            | (Record::Committed, Decision::Abort) => None,
        }
    }

    /// Whether some of these votes prove the decision (R1).
    pub fn proves(self, yes: u8, no: u8, decision: Decision) -> bool {
        match decision {
            Decision::Commit if self.breaks(Broken::ParticipantsNotBound) => yes != 0,
            Decision::Commit => decide(yes, 0, ALL) == Some(decision),
            Decision::Abort => no != 0 || self.breaks(Broken::EquivocationAccepted),
        }
    }

    /// What the clock alone makes of a late attempt: nothing (R4).
    pub fn late(self, record: Record, expired: bool) -> Option<Outcome> {
        let aborts = self.breaks(Broken::LocalTimerAbort) && record == Record::Prepared && expired;
        aborts.then_some(ended(Record::Aborted, Does::Release))
    }

    fn recalled(self, record: Record, expired: bool) -> Record {
        let decided = matches!(record, Record::Committed | Record::Aborted);
        if self.breaks(Broken::EarlyForgetting) && decided && expired { Record::Nothing } else { record }
    }
}

/// The decision that votes make: commit by a yes of every participant, abort by any no (R1).
pub fn decide(yes: u8, no: u8, participants: u8) -> Option<Decision> {
    if no & participants != 0 {
        return Some(Decision::Abort);
    }
    (yes & participants == participants).then_some(Decision::Commit)
}

fn prepared() -> Outcome {
    Outcome { record: Record::Prepared, says: Some(Vote::Yes), does: Does::Lock }
}

fn committed() -> Outcome {
    Outcome { record: Record::Committed, says: Some(Vote::Yes), does: Does::Apply }
}

fn refused() -> Outcome {
    Outcome { record: Record::Refused, says: Some(Vote::No), does: Does::Nothing }
}

fn again(record: Record, vote: Vote) -> Outcome {
    Outcome { record, says: Some(vote), does: Does::Nothing }
}

fn ended(record: Record, does: Does) -> Outcome {
    Outcome { record, says: None, does }
}
