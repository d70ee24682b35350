//! The whole system: three shards, whoever coordinates, a network that loses, doubles and reorders, clocks and crashes.

use super::coordinator::{Coordinator, Shards, Stage};
use super::rules::{Broken, Decision, Outcome, Prepare, Record, Rules, Vote};
use super::state::{ALL, ATTEMPTS, Attempt, SHARDS, State};
use stateright::{Model, Property};

/// Who sends prepares, abort requests and decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anybody, anything at any time: the votes are all that a byzantine coordinator cannot make.
    Anyone,
    /// Coordinators by the book, all on one attempt, each of which may crash or die for good.
    Honest { count: usize, crashes: u8 },
}

/// How an attempt uses a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Credits,
    Reads,
    Writes,
}

/// What two attempts have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Two {
    /// There is one.
    No,
    /// The second is another try at the same payload: it reads and writes the same, its nonce included.
    SamePayload,
    /// Each reads on one shard what the other writes: the pattern of write skew.
    Crossed,
}

/// A system to explore. `kept` is the clock from which tombstones may go; none go if it is above `clock_max`.
#[derive(Debug, Clone, Copy)]
pub struct System {
    pub rules: Rules,
    pub who: Who,
    pub homes: u8,
    pub two: Two,
    pub clock_max: u8,
    pub kept: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A shard's block time passes a deadline.
    Tick { shard: usize },
    /// A tombstone is dropped.
    TombstoneGoes { attempt: usize, shard: usize },
    /// A decided attempt's record is dropped: everybody else has certified that nothing with its deadline is open there.
    SettledGoes { attempt: usize, shard: usize },
    /// The execution reads a shard's values.
    Read { attempt: usize, shard: usize },
    /// A prepare arrives; the shard crashes between sync and answer unless the answer leaves.
    Prepare { attempt: usize, shard: usize, ready: bool, leaves: bool },
    /// A vote leaves and its shard crashes before the sync. No shard does that.
    Unsynced { attempt: usize, shard: usize, vote: Vote },
    /// An abort request arrives.
    RequestAbort { attempt: usize, shard: usize, leaves: bool },
    /// A decision arrives, with its votes.
    Decide { attempt: usize, shard: usize, decision: Decision },
    /// A shard that is late asks all others.
    Ask { attempt: usize, shard: usize },
    /// A shard that is late looks at its clock.
    Late { attempt: usize, shard: usize },
    /// A coordinator writes down that it begins.
    Begin { coordinator: usize },
    /// A coordinator says what its stage asks for.
    Say { coordinator: usize },
    /// A coordinator receives a vote.
    Hear { coordinator: usize, shard: usize, vote: Vote },
    /// A coordinator learns that a shard has carried out the decision.
    Acknowledge { coordinator: usize, shard: usize },
    /// A coordinator's clock passes the deadline.
    CoordinatorTick { coordinator: usize },
    /// A coordinator loses all but its log, and goes on.
    Crash { coordinator: usize },
    /// A coordinator never comes back.
    Die { coordinator: usize },
}

impl System {
    pub fn attempts(&self) -> usize {
        if self.two == Two::No { 1 } else { ATTEMPTS }
    }

    fn coordinators(&self) -> usize {
        match self.who {
            Who::Anyone => 0,
            Who::Honest { count, .. } => count,
        }
    }

    pub fn shards(&self) -> Shards {
        Shards { all: ALL, homes: self.homes }
    }

    pub fn is_home(&self, shard: usize) -> bool {
        self.homes >> shard & 1 == 1
    }

    fn uses(&self, attempt: usize, shard: usize) -> Use {
        match (self.two, shard) {
            (Two::Crossed, 2) => Use::Credits,
            (Two::Crossed, shard) if shard == attempt => Use::Reads,
            _ => Use::Writes,
        }
    }

    /// Whether the other attempt's writes are in this shard's state.
    fn shows_other(&self, state: &State, attempt: usize, shard: usize) -> bool {
        let other = 1 - attempt;
        self.uses(other, shard) == Use::Writes && state.attempts[other].parties[shard].applied > 0
    }

    /// Whether the shard can promise to commit: the witness is its state, and the locks are free.
    pub fn may_lock(&self, state: &State, attempt: usize, shard: usize) -> bool {
        if self.two == Two::No {
            return true;
        }
        let own = &state.attempts[attempt];
        let saw = own.seen >> shard & 1 == 1;
        let current = saw == self.shows_other(state, attempt, shard);
        let nonce_is_free = !(self.two == Two::SamePayload && saw);
        let current = current || self.rules.breaks(Broken::StaleWitnessAccepted);
        own.read == ALL && current && nonce_is_free && self.is_free(state, attempt, shard)
    }

    fn is_free(&self, state: &State, attempt: usize, shard: usize) -> bool {
        let other = 1 - attempt;
        let (wanted, held) = (self.uses(attempt, shard), self.uses(other, shard));
        let reads_unlocked = self.rules.breaks(Broken::EarlyReadUnlock) || self.rules.breaks(Broken::UndecidedRead);
        let is_held = state.attempts[other].parties[shard].locked && !(held == Use::Reads && reads_unlocked);
        let waits = !(wanted == Use::Reads && self.rules.breaks(Broken::UndecidedRead));
        !(is_held && waits) || (wanted == held && wanted != Use::Writes)
    }

    /// R6: both committed, and each saw the state before the other.
    fn is_serial(&self, state: &State) -> bool {
        let [first, second] = &state.attempts;
        if self.two == Two::No || !(first.committed() && second.committed()) {
            return true;
        }
        let before = |attempt: usize| {
            let other = 1 - attempt;
            (0..SHARDS).any(|shard| {
                let conflict = self.uses(attempt, shard) != Use::Credits && self.uses(other, shard) == Use::Writes;
                conflict && state.attempts[attempt].seen >> shard & 1 == 0
            })
        };
        self.two != Two::SamePayload && !(before(0) && before(1))
    }

    fn shard_actions(&self, state: &State, attempt: usize, shard: usize, actions: &mut Vec<Action>) {
        let own = &state.attempts[attempt];
        let party = &own.parties[shard];
        if self.two != Two::No && own.read >> shard & 1 == 0 {
            actions.push(Action::Read { attempt, shard });
        }
        if party.record == Record::Refused && state.clock[shard] >= self.kept && !party.gone {
            actions.push(Action::TombstoneGoes { attempt, shard });
        }
        if self.forgets(state, attempt, shard) {
            actions.push(Action::SettledGoes { attempt, shard });
        }
        self.messages(state, attempt, shard, actions);
        for decision in [Decision::Commit, Decision::Abort] {
            if self.arrives(state, attempt, shard, decision) {
                actions.push(Action::Decide { attempt, shard, decision });
            }
        }
        if party.record == Record::Prepared && is_expired(state, attempt, shard) {
            actions.push(Action::Late { attempt, shard });
            if self.who != Who::Anyone && !self.rules.breaks(Broken::NobodyAsks) {
                actions.push(Action::Ask { attempt, shard });
            }
        }
    }

    /// R7: whether the record of an attempt decided here may go. Others' certificates may come late, and then it goes later: what is
    /// not open past its deadline stays so. Of two attempts neither forgets for the other's sake, so one is enough to look at.
    pub fn forgets(&self, state: &State, attempt: usize, shard: usize) -> bool {
        let parties = &state.attempts[attempt].parties;
        let is_decided = matches!(parties[shard].record, Record::Committed | Record::Aborted);
        let is_settled = |shard: usize| is_expired(state, attempt, shard) && parties[shard].record != Record::Prepared;
        self.two == Two::No && is_decided && (0..SHARDS).all(is_settled)
    }

    fn messages(&self, state: &State, attempt: usize, shard: usize, actions: &mut Vec<Action>) {
        let own = &state.attempts[attempt];
        let bit = 1 << shard;
        let anyone = self.who == Who::Anyone;
        for leaves in [false, true] {
            if anyone || own.prepares & bit != 0 {
                actions.push(Action::Prepare { attempt, shard, ready: false, leaves });
                if self.may_lock(state, attempt, shard) {
                    actions.push(Action::Prepare { attempt, shard, ready: true, leaves });
                }
            }
            if anyone || own.requests & bit != 0 {
                actions.push(Action::RequestAbort { attempt, shard, leaves });
            }
        }
        if self.rules.breaks(Broken::VoteBeforeSync) && own.parties[shard].record == Record::Nothing {
            actions.extend([Vote::Yes, Vote::No].map(|vote| Action::Unsynced { attempt, shard, vote }));
        }
    }

    /// Whether votes that have left, and the shard's own, prove a decision, and somebody brings it.
    fn arrives(&self, state: &State, attempt: usize, shard: usize, decision: Decision) -> bool {
        let own = &state.attempts[attempt];
        let told = match decision {
            Decision::Commit => own.commits,
            Decision::Abort => own.aborts,
        };
        // R8: who is late has asked the others, and decides from their answers and its own vote.
        let alone = is_expired(state, attempt, shard);
        let brought = self.who == Who::Anyone || alone || told >> shard & 1 == 1;
        let own_yes = u8::from(own.parties[shard].record.vote() == Some(Vote::Yes)) << shard;
        brought && self.rules.proves(own.yes | own_yes, own.no, decision)
    }

    fn next(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Tick { shard } => state.clock[shard] += 1,
            Action::TombstoneGoes { attempt, shard } => {
                let party = &mut state.attempts[attempt].parties[shard];
                (party.record, party.gone) = (Record::Nothing, true);
            }
            Action::SettledGoes { attempt, shard } => {
                let party = &mut state.attempts[attempt].parties[shard];
                party.record = Record::Forgotten(party.record.end()?);
            }
            Action::Read { attempt, shard } => {
                let seen = u8::from(self.shows_other(state, attempt, shard)) << shard;
                let own = &mut state.attempts[attempt];
                (own.read, own.seen) = (own.read | 1 << shard, own.seen | seen);
            }
            Action::Unsynced { attempt, shard, vote } => state.attempts[attempt].say(shard, Some(vote)),
            Action::Ask { attempt, shard } => state.attempts[attempt].requests |= ALL & !(1 << shard),
            Action::Prepare { .. } | Action::RequestAbort { .. } | Action::Decide { .. } | Action::Late { .. } => {
                let (attempt, shard, leaves, outcome) = self.outcome(state, action)?;
                state.attempts[attempt].take(shard, outcome, leaves);
            }
            Action::Begin { coordinator }
            | Action::Say { coordinator }
            | Action::Hear { coordinator, .. }
            | Action::Acknowledge { coordinator, .. }
            | Action::CoordinatorTick { coordinator }
            | Action::Crash { coordinator }
            | Action::Die { coordinator } => {
                let coordinated = self.coordinate(state, state.coordinators[coordinator], action)?;
                state.coordinators[coordinator] = coordinated;
            }
        }
        Some(())
    }

    /// What a shard does about an action, with whom it concerns and whether its answer leaves.
    pub fn outcome(&self, state: &State, action: Action) -> Option<(usize, usize, bool, Outcome)> {
        let record = |attempt: usize, shard: usize| state.attempts[attempt].parties[shard].record;
        let expired = |attempt, shard| is_expired(state, attempt, shard);
        match action {
            Action::Prepare { attempt, shard, ready, leaves } => {
                let circumstances = Prepare {
                    home: self.is_home(shard),
                    last: self.shards().last_agent() == 1 << shard,
                    reserved: self.homes & !state.attempts[attempt].yes == 0,
                    expired: expired(attempt, shard),
                    ready,
                };
                let outcome = self.rules.prepare(record(attempt, shard), circumstances)?;
                Some((attempt, shard, leaves, outcome))
            }
            Action::RequestAbort { attempt, shard, leaves } => {
                let outcome = self.rules.abort_request(record(attempt, shard), expired(attempt, shard))?;
                Some((attempt, shard, leaves, outcome))
            }
            Action::Decide { attempt, shard, decision } => {
                let outcome = self.rules.decision(record(attempt, shard), decision, expired(attempt, shard))?;
                Some((attempt, shard, true, outcome))
            }
            Action::Late { attempt, shard } => {
                let outcome = self.rules.late(record(attempt, shard), expired(attempt, shard))?;
                Some((attempt, shard, true, outcome))
            }
            _ => None,
        }
    }

    fn coordinate(&self, state: &mut State, own: Coordinator, action: Action) -> Option<Coordinator> {
        let attempt = &mut state.attempts[0];
        Some(match action {
            Action::Begin { .. } if own.stage == Stage::Idle => own.begin(),
            Action::Say { .. } => {
                let says = own.says(self.shards());
                attempt.prepares |= says.prepare;
                attempt.requests |= says.request_abort;
                attempt.commits |= says.commit;
                attempt.aborts |= says.abort;
                own
            }
            Action::Hear { shard, vote, .. } => own.hear(self.shards(), shard as u8, vote),
            Action::Acknowledge { shard, .. } if attempt.parties[shard].is_done() => own.acknowledged(shard as u8),
            Action::CoordinatorTick { .. } => Coordinator { expired: true, ..own },
            Action::Crash { .. } if state.crashes < self.crashes_max() => {
                state.crashes += 1;
                own.recovered(self.shards())
            }
            Action::Die { .. } => Coordinator { dead: true, ..Coordinator::default() },
            _ => return None,
        })
    }

    fn crashes_max(&self) -> u8 {
        match self.who {
            Who::Anyone => 0,
            Who::Honest { crashes, .. } => crashes,
        }
    }

    fn all(&self, state: &State, holds: impl Fn(&Attempt) -> bool) -> bool {
        state.attempts[..self.attempts()].iter().all(holds)
    }

    /// Whether a coordinator has decided an abort while every home is silent, as the dead are.
    fn ends_without_homes(&self, state: &State) -> bool {
        let decided = |own: &Coordinator| matches!(own.stage, Stage::Deciding(outcome) if !outcome.commit);
        let parties = state.attempts[0].parties.iter().enumerate();
        let silent = parties.filter(|(shard, _)| self.is_home(*shard)).all(|(_, home)| home.record == Record::Nothing);
        silent && state.coordinators.iter().any(decided)
    }

    /// I6: where nothing more can happen, nothing is undecided. Every step makes progress (`progress` grows), so every
    /// run in which what can happen at last does happen comes to such a place.
    fn ends_decided(&self, state: &State) -> bool {
        self.all(state, Attempt::is_over) || !self.next_states(state).is_empty()
    }
}

/// Whether a shard's block time has reached an attempt's deadline. The second attempt's is later.
pub fn is_expired(state: &State, attempt: usize, shard: usize) -> bool {
    usize::from(state.clock[shard]) > attempt
}

fn coordinator_actions(state: &State, coordinator: usize, actions: &mut Vec<Action>) {
    let own = &state.coordinators[coordinator];
    if own.dead {
        return;
    }
    actions.extend([Action::Begin { coordinator }, Action::Say { coordinator }, Action::Die { coordinator }]);
    actions.extend([Action::CoordinatorTick { coordinator }, Action::Crash { coordinator }]);
    let attempt = &state.attempts[0];
    for shard in 0..SHARDS {
        if attempt.yes >> shard & 1 == 1 {
            actions.push(Action::Hear { coordinator, shard, vote: Vote::Yes });
        }
        if attempt.no >> shard & 1 == 1 {
            actions.push(Action::Hear { coordinator, shard, vote: Vote::No });
        }
        actions.push(Action::Acknowledge { coordinator, shard });
    }
}

impl Model for System {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for shard in 0..SHARDS {
            if state.clock[shard] < self.clock_max {
                actions.push(Action::Tick { shard });
            }
            for attempt in 0..self.attempts() {
                self.shard_actions(state, attempt, shard, actions);
            }
        }
        for coordinator in 0..self.coordinators() {
            coordinator_actions(state, coordinator, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        self.next(&mut state, action)?;
        let is_broken = self.rules.0.is_some();
        assert!(is_broken || state == *last || state.progress() > last.progress(), "{last:?} {action:?} {state:?}");
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("I1: no attempt both commits and aborts", |system: &Self, state: &State| {
                system.all(state, |attempt| !attempt.splits())
            }),
            Property::always("I2: one vote, written before it is sent", |system, state| {
                system.all(state, Attempt::votes_stand)
            }),
            Property::always("I3: a commit has a yes of every participant", |system, state| {
                system.all(state, Attempt::commit_is_unanimous)
            }),
            Property::always("I4: an abort has a no", |system, state| system.all(state, Attempt::abort_has_a_no)),
            Property::always("I5: effects apply once", |system, state| system.all(state, Attempt::applies_once)),
            Property::always("I6: what can end does end", Self::ends_decided),
            Property::always("I7: a lock has a live attempt", |system, state| {
                system.all(state, Attempt::locks_have_owners)
            }),
            Property::always("I15: nothing locks before the fee is reserved", |system, state| {
                system.all(state, |attempt| attempt.fee_is_reserved(system.homes))
            }),
            Property::always("R6: committed attempts have an order", Self::is_serial),
            Property::sometimes("a commit everywhere", |_: &Self, state: &State| {
                state.attempts[0].ended(Decision::Commit)
            }),
            Property::sometimes("an abort after two yes votes", |_: &Self, state: &State| {
                state.attempts[0].parties.iter().filter(|party| party.record == Record::Aborted).count() == 2
            }),
        ];
        match (self.two, self.who) {
            (Two::No, Who::Anyone) => {
                properties.push(Property::sometimes("a commit that everybody forgets", |_: &Self, state: &State| {
                    state.attempts[0].ended(Decision::Commit) && state.attempts[0].is_forgotten()
                }));
            }
            (Two::No, Who::Honest { .. }) => {
                properties.push(Property::sometimes(
                    "a commit that no coordinator lives to see",
                    |_: &Self, state: &State| {
                        let none_told = state.attempts[0].commits == 0;
                        none_told && state.attempts[0].ended(Decision::Commit)
                    },
                ));
                properties.push(Property::sometimes("an abort that no home has a word in", Self::ends_without_homes));
            }
            (Two::SamePayload, _) => {
                properties.push(Property::sometimes(
                    "the second try commits after the first aborts",
                    |_: &Self, state: &State| {
                        state.attempts[0].parties.iter().any(|party| party.record == Record::Aborted)
                            && state.attempts[1].ended(Decision::Commit)
                    },
                ));
            }
            (Two::Crossed, _) => {
                properties.push(Property::sometimes("both commit, one after the other", |_: &Self, state: &State| {
                    state.attempts.iter().all(|attempt| attempt.ended(Decision::Commit))
                }));
            }
        }
        properties
    }
}
