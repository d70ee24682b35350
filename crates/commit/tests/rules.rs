//! Each commit rule by its name, on the real transitions.

mod world;

use dovetail_commit::participant::{
    ASK_BACKOFF_MAX, ASK_GRACE, Action, Answer, DEADLINE_AHEAD_MAX, Record, Step, TOMBSTONE_KEPT, ask_at,
};
use dovetail_commit::{
    Decision, DecisionProof, Descriptor, DescriptorError, Participant, Refusal, Rejection, Verdict, decide,
};
use primitives::{Epoch, Millis, NetworkId, ShardId, Time, decode, encode};
use world::{DEADLINE, attempt, believed, no, participant, vote, yes};

const EARLY: Time = Time(1_000);

fn prepared(shard: &Participant, descriptor: &Descriptor) -> Step {
    let homes = [yes(descriptor, 0)];
    shard.prepare(None, descriptor, &homes, EARLY, || Ok(())).expect("admitted")
}

fn verdict(step: &Step) -> Verdict {
    step.answer.as_ref().expect("an answer").vote().verdict.clone()
}

fn commit_proof(descriptor: &Descriptor) -> DecisionProof {
    let votes = descriptor.participants.keys().map(|shard| yes(descriptor, shard.0)).collect();
    DecisionProof::new(descriptor.clone(), votes).expect("all yes")
}

fn abort_proof(descriptor: &Descriptor, by: u32) -> DecisionProof {
    DecisionProof::new(descriptor.clone(), vec![no(descriptor, by)]).expect("a no")
}

#[test]
fn r1_a_commit_needs_a_yes_of_every_named_participant() {
    let descriptor = attempt(3);
    let votes: Vec<_> = (0..3).map(|shard| vote(&descriptor, shard, Verdict::Yes)).collect();
    assert_eq!(decide(&descriptor, &votes), Some(Decision::Commit));
    for missing in 0..3 {
        let others: Vec<_> = votes.iter().filter(|vote| vote.shard != ShardId(missing)).collect();
        assert_eq!(decide(&descriptor, others.iter().copied()), None);
        let doubled = others.iter().copied().chain(others.iter().copied());
        assert_eq!(decide(&descriptor, doubled), None, "a doubled vote is one vote");
    }
}

#[test]
fn r1_a_vote_of_a_shard_that_is_not_named_counts_for_nothing() {
    let descriptor = attempt(2);
    let votes = [vote(&descriptor, 0, Verdict::Yes), vote(&descriptor, 2, Verdict::Yes)];
    assert_eq!(decide(&descriptor, &votes), None);
    let stranger = [vote(&descriptor, 2, Verdict::No(Refusal::Stale))];
    assert_eq!(decide(&descriptor, &stranger), None);
}

#[test]
fn r1_one_no_aborts_whatever_the_others_say() {
    let descriptor = attempt(3);
    let votes = [
        vote(&descriptor, 0, Verdict::Yes),
        vote(&descriptor, 1, Verdict::No(Refusal::Busy)),
        vote(&descriptor, 2, Verdict::Yes),
    ];
    assert_eq!(decide(&descriptor, &votes), Some(Decision::Abort));
    assert_eq!(decide(&descriptor, &votes[1..2]), Some(Decision::Abort));
}

#[test]
fn r1_a_proof_exists_only_if_its_votes_decide() {
    let descriptor = attempt(3);
    let refused = DecisionProof::new(descriptor.clone(), vec![yes(&descriptor, 0), yes(&descriptor, 1)]);
    assert_eq!(refused.expect_err("undecided").votes, 2);
    let proof = DecisionProof::new(descriptor.clone(), vec![yes(&descriptor, 0), no(&descriptor, 1)]).expect("a no");
    assert_eq!((proof.decide(), proof.votes().len()), (Decision::Abort, 1));
    assert_eq!(commit_proof(&descriptor).votes().len(), 3);
}

#[test]
fn r2_the_vote_of_an_attempt_is_for_ever_the_same() {
    let (descriptor, shard) = (attempt(3), participant(1, 3));
    let yes_record = prepared(&shard, &descriptor).write;
    let no_record = shard
        .prepare(None, &descriptor, &[yes(&descriptor, 0)], EARLY, || Err(Refusal::Stale))
        .expect("admitted")
        .write;
    for (record, expected) in [(yes_record, Verdict::Yes), (no_record, Verdict::No(Refusal::Stale))] {
        let record = record.as_ref();
        for now in [EARLY, DEADLINE, Time(u64::MAX)] {
            let again =
                shard.prepare(record, &descriptor, &[], now, || unreachable!("the vote is cast")).expect("known");
            let asked = shard.abort_request(record, &descriptor, now).expect("known");
            for step in [again, asked] {
                assert_eq!((verdict(&step), step.write, step.action), (expected.clone(), None, Action::Nothing));
                assert!(matches!(step.answer, Some(Answer::Existing(_))));
            }
        }
    }
}

#[test]
fn r2_a_vote_is_only_answered_together_with_its_record() {
    let (descriptor, shard) = (attempt(3), participant(0, 3));
    let step = prepared(&shard, &descriptor);
    let answer = step.answer.expect("a vote");
    assert!(matches!(answer, Answer::New(_)));
    assert_eq!(shard.query(step.write.as_ref()).as_ref(), Some(answer.vote()), "the record alone gives the vote again");
    assert_eq!(step.action, Action::Lock);
}

#[test]
fn r2_a_record_survives_its_bytes() {
    let (descriptor, shard) = (attempt(3), participant(0, 3));
    let record = prepared(&shard, &descriptor).write.expect("a record");
    assert_eq!(decode::<Record>(&encode(&record), 4096), Ok(record));
}

#[test]
fn r3_the_id_binds_every_field() {
    let descriptor = attempt(3);
    let mut others = vec![descriptor.clone(); 6];
    others[0].network = NetworkId(8);
    others[1].participants.remove(&ShardId(2));
    others[2].participants.insert(ShardId(2), Epoch(2));
    others[3].payload = world::payload_digest(b"another swap");
    others[4].number = 2;
    others[5].deadline = Time(10_001);
    let mut homes = descriptor.clone();
    homes.homes = [ShardId(1)].into();
    others.push(homes);
    for other in others {
        assert_ne!(other.id(), descriptor.id());
        let replayed: Vec<_> = (0..3).map(|shard| vote(&descriptor, shard, Verdict::Yes)).collect();
        assert_eq!(decide(&other, &replayed), None, "votes of one attempt are inert in another (I13)");
    }
}

#[test]
fn r4_a_shard_that_said_yes_never_aborts_by_its_own_clock() {
    let (descriptor, shard) = (attempt(3), participant(1, 3));
    let record = prepared(&shard, &descriptor).write.expect("a record");
    for now in [DEADLINE, DEADLINE.after(Millis(1)), Time(u64::MAX)] {
        assert!(!record.may_go(now));
        let step = shard.abort_request(Some(&record), &descriptor, now).expect("known");
        assert_eq!((verdict(&step), step.write, step.action), (Verdict::Yes, None, Action::Nothing));
        assert!(shard.late(&record, 0, now).is_none_or(|ask| ask.descriptor == descriptor), "it may only ask");
    }
}

#[test]
fn r5_asked_to_abort_a_shard_without_a_vote_writes_a_no_first() {
    let (descriptor, shard) = (attempt(3), participant(1, 3));
    let step = shard.abort_request(None, &descriptor, EARLY).expect("admitted");
    assert_eq!(verdict(&step), Verdict::No(Refusal::AbortRequested));
    let record = step.write.expect("a tombstone");
    let late = shard.prepare(Some(&record), &descriptor, &[yes(&descriptor, 0)], EARLY, || Ok(())).expect("known");
    assert_eq!((verdict(&late), late.action), (Verdict::No(Refusal::AbortRequested), Action::Nothing));
}

#[test]
fn r5_a_tombstone_goes_only_when_the_rule_stands_in_for_it() {
    let (descriptor, shard) = (attempt(3), participant(1, 3));
    let record = shard.abort_request(None, &descriptor, EARLY).expect("admitted").write.expect("a tombstone");
    assert!(!record.may_go(DEADLINE));
    let gone = DEADLINE.after(TOMBSTONE_KEPT).after(Millis(1));
    assert!(record.may_go(gone));
    let step = shard.prepare(None, &descriptor, &[yes(&descriptor, 0)], gone, || Ok(())).expect("admitted");
    assert!(matches!(verdict(&step), Verdict::No(Refusal::Expired { .. })));
}

#[test]
fn r5_an_abort_that_arrives_before_the_prepare_leaves_a_no() {
    let (descriptor, shard) = (attempt(3), participant(1, 3));
    let step = shard.decision(None, &abort_proof(&descriptor, 2), EARLY).expect("valid");
    assert_eq!(verdict(&step), Verdict::No(Refusal::AlreadyAborted));
    let late = shard.prepare(step.write.as_ref(), &descriptor, &[yes(&descriptor, 0)], EARLY, || Ok(()));
    assert_eq!(late.expect("known").action, Action::Nothing);
}

#[test]
fn r6_locks_are_held_from_the_yes_to_the_decision() {
    let (descriptor, shard) = (attempt(3), participant(1, 3));
    let record = prepared(&shard, &descriptor).write.expect("a record");
    assert!(record.holds_locks());
    for (proof, action) in [(commit_proof(&descriptor), Action::Apply), (abort_proof(&descriptor, 2), Action::Release)]
    {
        let step = shard.decision(Some(&record), &proof, EARLY).expect("valid");
        assert_eq!(step.action, action);
        assert!(!step.write.expect("a record").holds_locks());
    }
}

#[test]
fn r7_a_decided_attempt_is_remembered_for_ever_and_answered_from_there() {
    let (descriptor, shard) = (attempt(3), participant(1, 3));
    let record = prepared(&shard, &descriptor).write.expect("a record");
    let decided =
        shard.decision(Some(&record), &commit_proof(&descriptor), EARLY).expect("valid").write.expect("a record");
    assert!(!decided.may_go(Time(u64::MAX)));
    let asked = shard.abort_request(Some(&decided), &descriptor, Time(u64::MAX)).expect("known");
    assert_eq!((verdict(&asked), asked.write), (Verdict::Yes, None), "no no is minted beside a full yes set");
}

#[test]
fn r7_a_decision_is_carried_out_once_however_often_it_arrives() {
    let (descriptor, shard) = (attempt(3), participant(1, 3));
    let record = prepared(&shard, &descriptor).write.expect("a record");
    let proof = commit_proof(&descriptor);
    let decided = shard.decision(Some(&record), &proof, EARLY).expect("valid").write;
    let again = shard.decision(decided.as_ref(), &proof, EARLY).expect("valid");
    assert_eq!(again, Step { write: None, answer: None, action: Action::Nothing });
}

#[test]
fn r8_a_late_attempt_is_asked_about_with_bounded_backoff() {
    let (descriptor, shard) = (attempt(3), participant(1, 3));
    let record = prepared(&shard, &descriptor).write.expect("a record");
    assert_eq!(shard.late(&record, 0, DEADLINE), None, "the decision gets its grace");
    let mut now = DEADLINE.after(ASK_GRACE);
    for round in 0..40 {
        assert_eq!(now, ask_at(DEADLINE, round));
        let ask = shard.late(&record, round, now).expect("late");
        assert_eq!(ask.shards, [ShardId(0), ShardId(2)].into());
        assert!(ask.again > now && ask.again.since(now) <= ASK_BACKOFF_MAX);
        now = ask.again;
    }
}

#[test]
fn r8_nothing_is_asked_about_an_attempt_that_is_decided() {
    let (descriptor, shard) = (attempt(3), participant(1, 3));
    let record = prepared(&shard, &descriptor).write.expect("a record");
    let decided = shard.decision(Some(&record), &commit_proof(&descriptor), EARLY).expect("valid").write;
    assert_eq!(shard.late(&decided.expect("a record"), 0, Time(u64::MAX)), None);
}

#[test]
fn r9_a_vote_of_another_epoch_counts_for_nothing() {
    let descriptor = attempt(2);
    let mut late = vote(&descriptor, 1, Verdict::Yes);
    late.epoch = Epoch(2);
    let votes = vec![yes(&descriptor, 0), believed(late)];
    assert!(DecisionProof::new(descriptor, votes).is_err());
}

#[test]
fn r9_an_attempt_that_binds_another_epoch_is_not_voted_on() {
    let mut descriptor = attempt(3);
    descriptor.participants.insert(ShardId(2), Epoch(2));
    let rejected = participant(0, 3).prepare(None, &descriptor, &[], EARLY, || Ok(()));
    let expected = Rejection::WrongEpoch { shard: ShardId(2), expected: Epoch(1), actual: Epoch(2) };
    assert_eq!(rejected, Err(expected));
}

#[test]
fn r10_deadlines_are_compared_with_the_block_time_given() {
    let (descriptor, shard) = (attempt(3), participant(0, 3));
    let before = shard.prepare(None, &descriptor, &[], Time(DEADLINE.0 - 1), || Ok(())).expect("admitted");
    assert_eq!(verdict(&before), Verdict::Yes);
    let at = shard.prepare(None, &descriptor, &[], DEADLINE, || Ok(())).expect("admitted");
    assert_eq!(verdict(&at), Verdict::No(Refusal::Expired { deadline: DEADLINE, now: DEADLINE }));
}

#[test]
fn r10_a_deadline_too_far_ahead_is_not_voted_on() {
    let (mut descriptor, shard) = (attempt(3), participant(0, 3));
    descriptor.deadline = EARLY.after(DEADLINE_AHEAD_MAX).after(Millis(1));
    let far = Rejection::DeadlineTooFar { deadline: descriptor.deadline, now: EARLY };
    assert_eq!(shard.prepare(None, &descriptor, &[], EARLY, || Ok(())), Err(far.clone()));
    assert_eq!(shard.abort_request(None, &descriptor, EARLY), Err(far));
}

#[test]
fn r11_nobody_but_a_home_prepares_without_every_homes_yes() {
    let mut descriptor = attempt(4);
    descriptor.homes = [ShardId(0), ShardId(1)].into();
    let other = {
        let mut other = descriptor.clone();
        other.number = 2;
        other
    };
    let (home, rest) = (participant(1, 4), participant(2, 4));
    assert_eq!(home.prepare(None, &descriptor, &[], EARLY, || Ok(())).expect("admitted").action, Action::Lock);
    let both = [yes(&descriptor, 0), yes(&descriptor, 1)];
    assert_eq!(rest.prepare(None, &descriptor, &both, EARLY, || Ok(())).expect("admitted").action, Action::Lock);
    let wanting = [
        vec![yes(&descriptor, 0)],
        vec![yes(&descriptor, 0), no(&descriptor, 1)],
        vec![yes(&descriptor, 0), yes(&other, 1)],
        vec![yes(&descriptor, 0), yes(&descriptor, 3)],
    ];
    for votes in wanting {
        let rejected = rest.prepare(None, &descriptor, &votes, EARLY, || unreachable!("nothing is looked at"));
        assert_eq!(rejected, Err(Rejection::HomesMissing { home: ShardId(1) }));
    }
}

#[test]
fn a_decision_that_contradicts_the_record_is_an_alarm() {
    let (descriptor, shard) = (attempt(3), participant(1, 3));
    let alarm = Err(Rejection::Contradiction { attempt: descriptor.id() });
    let proof = commit_proof(&descriptor);
    let refused = shard.abort_request(None, &descriptor, EARLY).expect("admitted").write;
    assert_eq!(shard.decision(refused.as_ref(), &proof, EARLY), alarm, "its own no stands against it");
    assert_eq!(shard.decision(None, &proof, EARLY), alarm, "its own yes is missing: the store went back in time");
    let record = prepared(&shard, &descriptor).write;
    let committed = shard.decision(record.as_ref(), &proof, EARLY).expect("valid").write;
    assert_eq!(shard.decision(committed.as_ref(), &abort_proof(&descriptor, 2), EARLY), alarm);
}

#[test]
fn an_attempt_this_shard_cannot_vote_on_is_rejected_without_a_trace() {
    let shard = participant(1, 3);
    let mut foreign = attempt(3);
    foreign.network = NetworkId(8);
    let mut narrow = attempt(3);
    narrow.participants.remove(&ShardId(1));
    let cases = [
        (foreign, Rejection::WrongNetwork { expected: NetworkId(7), actual: NetworkId(8) }),
        (narrow, Rejection::NotParticipant { shard: ShardId(1) }),
        (attempt(4), Rejection::UnknownShard { shard: ShardId(3) }),
    ];
    for (descriptor, expected) in cases {
        assert_eq!(shard.prepare(None, &descriptor, &[], EARLY, || Ok(())), Err(expected.clone()));
        assert_eq!(shard.abort_request(None, &descriptor, EARLY), Err(expected));
    }
}

#[test]
fn a_descriptor_of_no_attempt_is_refused() {
    let mut cases = vec![attempt(3); 7];
    cases[0].network = NetworkId(0);
    cases[1].participants.clear();
    cases[2].participants.insert(ShardId(1), Epoch(0));
    cases[3].homes.clear();
    cases[4].homes.insert(ShardId(9));
    cases[5].payload = primitives::Digest::new([0; 32]);
    cases[6].number = 0;
    let errors: Vec<_> = cases.iter().map(|descriptor| descriptor.check().expect_err("refused")).collect();
    let expected = [
        DescriptorError::ZeroNetwork,
        DescriptorError::ParticipantsCount { actual: 0 },
        DescriptorError::ZeroEpoch { shard: ShardId(1) },
        DescriptorError::NoHome,
        DescriptorError::HomeNotParticipant { shard: ShardId(9) },
        DescriptorError::ZeroPayload,
        DescriptorError::ZeroNumber,
    ];
    assert_eq!(errors, expected);
    let crowd = world::attempt(65);
    assert_eq!(crowd.check(), Err(DescriptorError::ParticipantsCount { actual: 65 }));
}

#[test]
fn a_refusals_text_is_cut_at_its_bound() {
    let Refusal::Invalid { detail, .. } = Refusal::invalid(1, &"ä".repeat(200)) else { unreachable!() };
    assert_eq!(detail.len(), 256);
    let Refusal::Invalid { detail, .. } = Refusal::invalid(1, &format!("a{}", "ä".repeat(200))) else {
        unreachable!()
    };
    assert_eq!(detail.len(), 255, "a character is not cut in two");
}

#[test]
fn the_id_and_the_bytes_of_a_vote_are_frozen() {
    let descriptor = attempt(2);
    assert_eq!(descriptor.id().to_string(), "0x1b6b0bdda2fea012c319b309a308d896df197416abc7efb769cb6bbf8afccf79");
    let id = *descriptor.id().0.as_bytes();
    let (shard, epoch, yes, no_stale) = ([1, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0], [0], [1, 3]);
    let expected = [id.as_slice(), &shard, &epoch].concat();
    assert_eq!(encode(&vote(&descriptor, 1, Verdict::Yes)), [expected.as_slice(), &yes].concat());
    let no = vote(&descriptor, 1, Verdict::No(Refusal::Stale));
    assert_eq!(encode(&no), [expected.as_slice(), &no_stale].concat());
}
