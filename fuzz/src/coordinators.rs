//! A coordinator among shards that answer anything, late, twice or never: every submission ends once, and nothing is left
//! when everybody has answered.

use crate::choice::Choice;
use crate::sample::{self, believed};
use alloy_primitives::{TxKind, U256};
use commit::coordinator::Objection;
use commit::{Descriptor, Refusal, Verdict, Vote, VoteProof};
use coordinator::{
    Coordinator, Event, FetchId, Input, Job, LocalAnswer, Send, Settings, StateKeyValue, StateValue, Ticket, Timing,
    Votes,
};
use evm::{AccountState, Lookup, Payload, PayloadVerifier, Placement, RecoveredPayload, State, StateKey, View};
use primitives::{AttemptId, Epoch, Machine, Memory, Millis, ShardId, Time, Verified};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Most steps of one run.
const STEPS_COUNT_MAX: usize = 120;

/// Steps in which all must end once everybody answers.
const END_STEPS_COUNT_MAX: usize = 4_000;

struct Fixture {
    settings: Settings,
    state: State,
    payloads: Vec<Verified<RecoveredPayload>>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let users = [1, 2, 3].map(sample::user);
    let pinned = users.iter().zip(0..).map(|(user, shard)| (user.address(), ShardId(shard))).collect();
    let params = sample::params();
    let placement = Placement::new(1, 3, pinned).expect("shards that there are");
    let transfer = |from: usize, to: usize, nonce| {
        sample::transaction(&users[from], nonce, 21_000, (TxKind::Call(users[to].address()), U256::from(5), Vec::new()))
    };
    let bundles = [
        vec![transfer(0, 0, 0)],
        vec![transfer(0, 1, 0)],
        vec![transfer(0, 1, 1)],
        vec![transfer(0, 2, 3)],
        vec![transfer(1, 0, 0)],
        vec![transfer(1, 2, 0), transfer(2, 0, 0)],
        vec![transfer(2, 1, 0)],
        vec![transfer(2, 1, 500)],
    ];
    let verifier = PayloadVerifier::new(params.clone());
    let payload = |bundle| Verified::by(&verifier, sample::payload(bundle)).expect("well signed");
    let accounts = users.iter().map(|user| (user.address(), AccountState::with_balance(sample::ETHER)));
    Fixture {
        settings: Settings {
            params,
            epochs: placement.shards().map(|shard| (shard, Epoch(1))).collect(),
            placement,
            timing: Timing::default(),
            commit: commit::coordinator::Settings::default(),
        },
        state: State { accounts: accounts.collect(), ..State::default() },
        payloads: bundles.into_iter().map(payload).collect(),
    }
});

struct World {
    now: Time,
    store: Memory,
    machine: Coordinator,
    tickets: u64,
    /// Submissions that have not ended.
    open: BTreeSet<Ticket>,
    ended: BTreeSet<Ticket>,
    fetches: BTreeMap<FetchId, Vec<StateKey>>,
    locals: Vec<(Ticket, Payload)>,
    jobs: Vec<Job>,
    attempts: BTreeMap<AttemptId, Descriptor>,
    verdicts: BTreeMap<(AttemptId, ShardId), Verdict>,
    wake: Option<Time>,
    committed_count: u32,
}

/// Inputs in the order that the bytes say.
pub fn coordinator(data: &[u8]) {
    play(data);
}

fn play(data: &[u8]) -> World {
    let mut choice = Choice::new(data);
    let store = Memory::default();
    let machine = Coordinator::open(FIXTURE.settings.clone(), &store).expect("an empty store");
    let mut world = World {
        now: sample::START,
        store,
        machine,
        tickets: 0,
        open: BTreeSet::new(),
        ended: BTreeSet::new(),
        fetches: BTreeMap::new(),
        locals: Vec::new(),
        jobs: Vec::new(),
        attempts: BTreeMap::new(),
        verdicts: BTreeMap::new(),
        wake: None,
        committed_count: 0,
    };
    for _ in 0..STEPS_COUNT_MAX {
        if choice.is_empty() {
            break;
        }
        let inputs = (0..choice.below(4)).filter_map(|_| world.input(&mut choice)).collect();
        world.step(inputs, choice.once_in(20));
        world.now = world.now.after(Millis(*choice.of(&[0, 1, 5, 500, 2_000, 16_000])));
    }
    world.end();
    world
}

impl World {
    fn input(&mut self, choice: &mut Choice<'_>) -> Option<Input> {
        match choice.below(10) {
            0..=2 => Some(self.submit(choice)),
            3 | 4 => self.fetched(choice),
            5 | 6 => self.votes(choice),
            7 => {
                let attempt = self.attempt(choice)?.id();
                let objection = if choice.once_in(2) { Objection::Later } else { Objection::Never("no".to_owned()) };
                Some(Input::Rejected { attempt, shard: ShardId(choice.below(4) as u32), objection })
            }
            8 => Some(Input::Applied { attempt: self.attempt(choice)?.id(), shard: ShardId(choice.below(4) as u32) }),
            _ => self.local(choice),
        }
    }

    fn submit(&mut self, choice: &mut Choice<'_>) -> Input {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.open.insert(ticket);
        Input::Submit { ticket, payload: Box::new(choice.of(&FIXTURE.payloads).clone()) }
    }

    fn attempt(&self, choice: &mut Choice<'_>) -> Option<&Descriptor> {
        if self.attempts.is_empty() {
            return None;
        }
        let place = choice.below(self.attempts.len());
        self.attempts.values().nth(place)
    }

    /// An answer to a fetch: the truth, a part of it, something else, or none.
    fn fetched(&mut self, choice: &mut Choice<'_>) -> Option<Input> {
        let place = choice.below(self.fetches.len().max(1));
        let (fetch, keys) = self.fetches.iter().nth(place)?;
        let (fetch, mut values) = (*fetch, truth(keys));
        match choice.below(6) {
            0 => return Some(Input::FetchFailed { fetch }),
            1 => drop(values.pop()),
            2 => values.iter_mut().for_each(|(_, value)| *value = StateValue::Slot(U256::from(choice.number()))),
            3 => values.iter_mut().for_each(|(_, value)| *value = StateValue::Account(None)),
            _ => {}
        }
        let codes = if choice.once_in(4) { vec![choice.bytes(8).into()] } else { Vec::new() };
        Some(Input::Fetched { fetch, values, codes })
    }

    fn votes(&mut self, choice: &mut Choice<'_>) -> Option<Input> {
        let descriptor = self.attempt(choice)?.clone();
        let shard = ShardId(choice.below(3) as u32);
        let no = match choice.below(5) {
            0 => Refusal::Stale,
            4 => Refusal::Slot { taken: primitives::Slot(choice.below(1 << 40) as u64) },
            1 => Refusal::Busy,
            2 => Refusal::invalid(1, "never"),
            _ => Refusal::AbortRequested,
        };
        let drawn = if choice.once_in(3) { Verdict::No(no) } else { Verdict::Yes };
        let hints = if choice.once_in(3) { truth(&[StateKey::Account(sample::user(1).address())]) } else { Vec::new() };
        let votes = vec![self.vote(&descriptor, shard, drawn)];
        Some(Input::Votes(Votes { votes, hints }))
    }

    fn vote(&mut self, descriptor: &Descriptor, shard: ShardId, drawn: Verdict) -> Verified<VoteProof> {
        let attempt = descriptor.id();
        let verdict = self.verdicts.entry((attempt, shard)).or_insert(drawn).clone();
        believed(VoteProof { vote: Vote { attempt, shard, epoch: Epoch(1), verdict }, evidence: Vec::new() })
    }

    fn local(&mut self, choice: &mut Choice<'_>) -> Option<Input> {
        let place = choice.below(self.locals.len().max(1));
        let (ticket, _) = *self.locals.get(place).map(|(ticket, payload)| (ticket, payload)).as_ref()?;
        let answer = match choice.below(5) {
            0 => LocalAnswer::Executed(Vec::new()),
            1 => LocalAnswer::NotLocal,
            2 => LocalAnswer::Later,
            3 => LocalAnswer::Refused("no".to_owned()),
            _ => LocalAnswer::Unreachable,
        };
        Some(Input::Local { ticket: *ticket, answer })
    }

    fn step(&mut self, inputs: Vec<Input>, crashes: bool) {
        let output = self.machine.step(self.now, inputs, &self.store);
        if crashes {
            return self.restart();
        }
        self.store.commit(&output.writes);
        self.wake = output.wake;
        for reply in output.replies {
            assert!(!self.ended.contains(&reply.ticket), "nothing comes after the last event");
            if matches!(reply.event, Event::Committed(_) | Event::Refused(_)) {
                assert!(self.open.remove(&reply.ticket), "only what was submitted ends");
                self.ended.insert(reply.ticket);
                self.committed_count += u32::from(matches!(reply.event, Event::Committed(_)));
            }
        }
        for send in output.sends {
            self.note(send);
        }
    }

    fn note(&mut self, send: Send) {
        match send {
            Send::Fetch { shard, fetch, keys, .. } => {
                assert!(
                    keys.iter().all(|key| FIXTURE.settings.placement.owner(*key) == shard),
                    "a value is its owner's"
                );
                self.fetches.insert(fetch, keys);
            }
            Send::Run(job) => self.jobs.push(job),
            Send::SubmitLocal { batch, .. } => {
                self.locals.extend(batch.into_iter().map(|submission| (submission.ticket, submission.payload)));
            }
            Send::Prepare { batch, .. } => {
                self.attempts
                    .extend(batch.iter().map(|prepare| (prepare.descriptor.id(), (*prepare.descriptor).clone())));
            }
            Send::RequestAbort { batch, .. } => {
                self.attempts.extend(batch.iter().map(|descriptor| (descriptor.id(), (**descriptor).clone())));
            }
            // Decisions need no answer, and questions that stay open run into their patience.
            _ => {}
        }
    }

    /// A restart forgets submissions; their attempts go on from the log.
    fn restart(&mut self) {
        self.machine = Coordinator::open(FIXTURE.settings.clone(), &self.store).expect("its own log");
        self.open.clear();
        self.fetches.clear();
        self.locals.clear();
        self.jobs.clear();
        self.wake = Some(self.now);
    }

    /// Everybody answers the truth and votes no: all ends.
    fn end(&mut self) {
        for _ in 0..END_STEPS_COUNT_MAX {
            if self.machine.pending_count() == 0 && self.machine.attempts_count() == 0 {
                assert!(self.open.is_empty(), "what is not pending has ended");
                return;
            }
            let inputs = self.honest();
            self.step(inputs, false);
            self.now = self.wake.unwrap_or(self.now).max(self.now.after(Millis(50)));
        }
        panic!("{} submissions and {} attempts never end", self.machine.pending_count(), self.machine.attempts_count());
    }

    fn honest(&mut self) -> Vec<Input> {
        let fetches = std::mem::take(&mut self.fetches);
        let answered =
            |(fetch, keys): (FetchId, Vec<StateKey>)| Input::Fetched { fetch, values: truth(&keys), codes: Vec::new() };
        let mut inputs: Vec<Input> = fetches.into_iter().map(answered).collect();
        let refused = |(ticket, _)| Input::Local { ticket, answer: LocalAnswer::Refused("no".to_owned()) };
        inputs.extend(std::mem::take(&mut self.jobs).into_iter().map(|job| Input::Ran(Box::new(job.run()))));
        inputs.extend(std::mem::take(&mut self.locals).into_iter().map(refused));
        for (attempt, descriptor) in std::mem::take(&mut self.attempts) {
            for shard in descriptor.participants.keys().copied() {
                let votes = vec![self.vote(&descriptor, shard, Verdict::No(Refusal::invalid(1, "never")))];
                inputs.push(Input::Votes(Votes { votes, hints: Vec::new() }));
                inputs.push(Input::Applied { attempt, shard });
            }
            self.attempts.insert(attempt, descriptor);
        }
        inputs
    }
}

/// What the shards hold.
fn truth(keys: &[StateKey]) -> Vec<StateKeyValue> {
    fn known<T: Default>(value: Lookup<T>) -> T {
        match value {
            Lookup::Known(value) => value,
            Lookup::Unknown => T::default(),
        }
    }
    let value = |key: &StateKey| match key {
        StateKey::Account(address) => StateValue::Account(known(FIXTURE.state.account(*address))),
        StateKey::Slot(address, slot) => StateValue::Slot(known(FIXTURE.state.slot(*address, *slot))),
        StateKey::Fees(fees) => StateValue::Fees(known(FIXTURE.state.fees(*fees))),
    };
    keys.iter().map(|key| (*key, value(key))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::Stream;

    #[test]
    fn submissions_are_committed_and_refused() {
        let worlds: Vec<World> = (1..=100).map(|seed| play(&Stream(seed).bytes(600))).collect();
        let committed: u32 = worlds.iter().map(|world| world.committed_count).sum();
        let ended: usize = worlds.iter().map(|world| world.ended.len()).sum();
        assert!(committed > 0 && ended > committed as usize, "{committed} committed of {ended}");
        assert!(worlds.iter().any(|world| world.attempts.len() > 2), "submissions are tried across shards");
    }
}
