//! What this shard has seen of the others, and of itself in what they say.
//!
//! ```text
//!   input --> the certified headers in it --> of another shard: the newest is kept, for when that shard asks
//!                                        |                 '--> it contradicts one seen before: evidence, believed no more
//!                                        '-> of this shard: beyond the tip, or not the block here: behind (R14)
//! ```
//!
//! Promise: what a block here rests on is remembered by the batch of that block, so no shard whose word was acted on here
//! can come back from before that word without being told. A header that nothing here rests on waits in memory for the
//! next batch: remembering costs no sync of its own. Everything of a step is looked at before the first input is acted on.
//! Knows nothing of who decides that a shard is believed again: a setting names the evidence that he has seen.

use crate::freshness::Behind;
use crate::input::{Busy, Input, Send};
use crate::queries;
use crate::shard::Work;
use crate::spaces::{self, EVIDENCE, SIGHTINGS};
use crate::staged::own_value;
use crate::votes::certified_by;
use commit::{Decision, VoteProof};
use primitives::{Digest, Read, ShardId, Time, Verified};
use proof::{Certified, Equivocation, Sighting, Sightings};
use std::collections::BTreeSet;

/// How much evidence about other shards is kept; what comes later says nothing new.
pub const EVIDENCE_COUNT_MAX: usize = 64;

/// What was seen of other shards.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    sightings: Sightings,
    /// Whose newest header is not in the store yet.
    unsaved: BTreeSet<ShardId>,
    /// Who said two things, and nobody has decided to believe them all the same.
    disbelieved: BTreeSet<ShardId>,
    /// The evidence there is.
    evidence: BTreeSet<Digest>,
}

impl Seen {
    /// As the store left it; evidence that `settled` names is of the past.
    pub(crate) fn open(read: &impl Read, settled: &BTreeSet<Digest>) -> Self {
        let mut seen = Self::default();
        for (_, bytes) in read.scan(SIGHTINGS, &[], &[], usize::MAX) {
            seen.sightings.note(&own_value(SIGHTINGS, &bytes));
        }
        for evidence in queries::evidence(read) {
            let id = evidence.id();
            seen.evidence.insert(id);
            if !settled.contains(&id) {
                seen.disbelieved.insert(evidence.first.0.shard);
            }
        }
        seen
    }

    /// The newest header of `shard` that was seen.
    pub(crate) fn newest(&self, shard: ShardId) -> Option<&Certified> {
        self.sightings.newest(shard)
    }

    /// Through which deadlines `shard` has certified that nothing is open there (R7).
    pub(crate) fn settled_through(&self, shard: ShardId) -> Time {
        self.newest(shard).map_or(Time(0), |newest| newest.header.settled_through)
    }

    fn is_disbelieved(&self, shard: ShardId) -> bool {
        self.disbelieved.contains(&shard)
    }

    /// The first of `shards` that is not believed.
    fn disbelieved_of(&self, mut shards: impl Iterator<Item = ShardId>) -> Option<ShardId> {
        shards.find(|shard| self.is_disbelieved(*shard))
    }
}

/// The certified headers in an input: facts, as the rest of it is.
fn certified_in(input: &Input) -> Vec<Certified> {
    let of_votes = |votes: &[Verified<VoteProof>]| votes.iter().filter_map(|vote| certified_by(vote)).collect();
    match input {
        Input::Prepare { prepare, .. } => of_votes(&prepare.homes),
        Input::Decision { proof, .. } => of_votes(proof.votes()),
        Input::Votes(votes) => of_votes(votes),
        Input::Deliver { fact, .. } | Input::Acknowledge { fact, .. } => vec![fact.seal.clone()],
        Input::Sighting { newest, .. } => newest.iter().map(|newest| (***newest).clone()).collect(),
        Input::Local { .. }
        | Input::Admit { .. }
        | Input::AbortRequest { .. }
        | Input::Cheat { .. }
        | Input::StateRoots(_)
        | Input::Forget { .. }
        | Input::Base { .. }
        | Input::Attest { .. }
        | Input::Recall { .. }
        | Input::CountLocks { .. }
        | Input::Tick => Vec::new(),
    }
}

impl<R: Read> Work<'_, '_, R> {
    /// Looks at every certified header of the step's inputs, before any of them is acted on.
    pub(crate) fn see(&mut self, inputs: &[Input]) {
        for certified in inputs.iter().flat_map(certified_in) {
            if certified.header.shard == self.shard.me {
                self.see_own(&certified);
            } else {
                self.see_other(&certified);
            }
        }
        for input in inputs {
            if let Input::Sighting { from: Some(from), .. } = input {
                self.shard.freshness.answered(*from);
            }
        }
    }

    /// R14: this shard's own word, which its store must have.
    fn see_own(&mut self, certified: &Certified) {
        #[cfg(feature = "twins")] // A forged vote that a twin believes says nothing about this store.
        if Verified::by(&self.shard.verifier, certified.clone()).is_err() {
            return;
        }
        let (seen, tip) = (certified.header.height, self.shard.tip().height);
        if seen > tip {
            return self.trip(Behind::Older { tip, seen });
        }
        let Some((header, certificate)) = queries::header(&self.ledger.staged, seen) else { return };
        if header != certified.header {
            self.keep_evidence(Equivocation::between(&Certified { header, certificate }, certified));
            self.trip(Behind::Other { height: seen });
        }
    }

    fn trip(&mut self, behind: Behind) {
        #[cfg(feature = "twins")] // RestoredStoreVotes breaks R14.
        if self.shard.breaks(commit::Twin::RestoredStoreVotes) {
            return;
        }
        self.shard.freshness.trip(behind);
    }

    fn see_other(&mut self, certified: &Certified) {
        #[cfg(feature = "twins")]
        if Verified::by(&self.shard.verifier, certified.clone()).is_err() {
            return;
        }
        match self.shard.seen.sightings.note(certified) {
            Sighting::Known => {}
            Sighting::Newest => {
                self.shard.seen.unsaved.insert(certified.header.shard);
            }
            Sighting::Contradiction(evidence) => {
                self.shard.seen.disbelieved.insert(certified.header.shard);
                self.keep_evidence(*evidence);
            }
        }
    }

    /// Writes evidence and tells the host of it, once.
    fn keep_evidence(&mut self, evidence: Equivocation) {
        let seen = &mut self.shard.seen;
        if seen.evidence.len() >= EVIDENCE_COUNT_MAX || !seen.evidence.insert(evidence.id()) {
            return;
        }
        self.ledger.staged.put_value(EVIDENCE, evidence.id().as_bytes().to_vec(), &evidence);
        self.sends.push(Send::Evidence(Box::new(evidence)));
    }

    /// Why this step does not act on `input`, whatever else it is: the store is not shown, or who speaks in it is not
    /// believed.
    pub(crate) fn bar(&self, input: &Input) -> Option<Busy> {
        let is_told_always = matches!(input, Input::Recall { .. } | Input::CountLocks { .. } | Input::Tick);
        if is_told_always || matches!(input, Input::StateRoots(_) | Input::Sighting { .. }) {
            return None;
        }
        let refusal = self.shard.freshness.refusal();
        refusal.or_else(|| self.speaks_disbelieved(input).map(|shard| Busy::Disbelieved { shard }))
    }

    fn speaks_disbelieved(&self, input: &Input) -> Option<ShardId> {
        let seen = &self.shard.seen;
        if seen.disbelieved.is_empty() {
            return None;
        }
        let of_votes = |votes: &[Verified<VoteProof>]| seen.disbelieved_of(votes.iter().map(|vote| vote.vote.shard));
        match input {
            Input::Prepare { prepare, .. } => seen.disbelieved_of(prepare.descriptor.participants.keys().copied()),
            Input::Decision { proof, .. } if proof.decide() == Decision::Abort => {
                let no = |vote: &&Verified<VoteProof>| !vote.vote.verdict.is_yes();
                let believed = proof.votes().iter().filter(no).any(|vote| !seen.is_disbelieved(vote.vote.shard));
                if believed { None } else { of_votes(proof.votes()) }
            }
            Input::Decision { proof, .. } => of_votes(proof.votes()),
            Input::Votes(votes) => of_votes(votes),
            Input::Deliver { fact, .. } | Input::Acknowledge { fact, .. } => {
                seen.is_disbelieved(fact.shard).then_some(fact.shard)
            }
            _ => None,
        }
    }

    /// Asks others what they have seen, and says when the store is shown to be the newest, or not to be.
    pub(crate) fn follow_freshness(&mut self) {
        if self.shard.freshness.becomes_shown(self.time) {
            self.sends.push(Send::Shown);
        }
        self.sends.extend(self.shard.freshness.behind().map(Send::Behind));
        let asked = self.shard.freshness.ask(self.time);
        self.sends.extend(asked.into_iter().map(|to| Send::AskSighting { to }));
    }

    /// Writes what was seen, in a batch that is written anyway.
    pub(crate) fn save_seen(&mut self) {
        if self.ledger.staged.is_empty() {
            return;
        }
        for shard in std::mem::take(&mut self.shard.seen.unsaved) {
            if let Some(newest) = self.shard.seen.sightings.newest(shard) {
                self.ledger.staged.put_value(SIGHTINGS, spaces::shard_key(shard), newest);
                // Not before it is written: who comes back from the store knows as much.
                self.shard.participant.note_settled(shard, newest.header.settled_through);
            }
        }
    }
}
