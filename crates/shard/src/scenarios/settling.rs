//! What shards forget of decided attempts, and what they say then.

use super::world::{ETHER, S0, S1, World, user};
use crate::spaces::{ATTEMPTS, SETTLING};
use crate::{Answer, AttemptRefusal, Input, Prepare};
use commit::{Decision, Descriptor, Rejection};
use primitives::{Millis, ShardId, Time};

/// Longer than any deadline of these attempts.
const PAST_DEADLINES: u64 = 40_000;

/// Users 1, 2 and 5 on shard 0, users 3 and 4 on shard 1.
fn world() -> World {
    let on = |seed, shard| (user(seed).address(), shard);
    World::new(2, [on(1, S0), on(2, S0), on(3, S1), on(4, S1), on(5, S0)])
}

fn commit(world: &mut World, from: u8, to: u8) -> Prepare {
    world.commit(&world.transfer(&user(from), user(to).address(), ETHER))
}

fn ask_to_abort(world: &mut World, shard: ShardId, descriptor: &Descriptor) -> Answer {
    let descriptor = Box::new(descriptor.clone());
    world.ask(shard, |ticket| Input::AbortRequest { ticket, descriptor: descriptor.clone(), waits: None })
}

fn records(world: &World) -> [usize; 2] {
    [S0, S1].map(|shard| world.store(shard).count(ATTEMPTS))
}

/// What a node sees of it before anybody replays it.
fn is_known_settled(world: &World, shard: ShardId, descriptor: &Descriptor) -> bool {
    let participant = world.nodes[&shard].machine.participant.clone();
    let blank = commit::Participant::new(participant.network, shard, participant.epochs);
    crate::queries::is_settled(world.store(shard), blank, descriptor)
}

fn is_settled(answer: &Answer) -> bool {
    matches!(answer, Answer::AttemptRefused(AttemptRefusal::Commit(Rejection::Settled { .. })))
}

#[test]
fn a_settled_attempt_is_forgotten_and_nobody_gets_a_second_vote_on_it() {
    let mut world = world();
    let first = commit(&mut world, 1, 3);
    let votes = [S0, S1].map(|shard| world.prepare(shard, &first)).map(|answer| world.vote(&answer));
    assert!(![S0, S1].iter().any(|shard| is_known_settled(&world, *shard, &first.descriptor)));
    world.wait(PAST_DEADLINES);
    commit(&mut world, 2, 4); // Brings to each the other's header of now.
    assert_eq!(records(&world), [1, 1], "of the first nothing is left");
    for _ in 0..2 {
        for shard in [S0, S1] {
            assert!(is_known_settled(&world, shard, &first.descriptor), "nobody replays it to find that out");
            assert!(is_settled(&world.prepare(shard, &first)));
            assert!(is_settled(&ask_to_abort(&mut world, shard, &first.descriptor)));
            let decided = world.decide(shard, &first.descriptor, &votes);
            assert!(matches!(decided, Answer::Decided { decision: Decision::Commit, .. }), "{decided:?}");
            world.restart(shard); // And knows it still.
        }
    }
    assert_eq!(records(&world), [1, 1]);
    assert_eq!(world.balance(user(3).address()), ETHER * alloy_primitives::U256::from(101), "applied once (I5)");
}

#[test]
fn what_one_shard_has_open_the_other_remembers() {
    let mut world = world();
    let payload = world.transfer(&user(1), user(3).address(), ETHER);
    let mut open = world.attempt(&payload, 1);
    world.prepare_all(&mut open); // Shard 1 commits as the last agent; shard 0 does not hear of it.
    world.wait(PAST_DEADLINES);
    let later = commit(&mut world, 2, 4);
    assert_eq!(records(&world), [2, 2]);
    let header = world.nodes[&S1].machine.newest_seen(S0).unwrap().header.clone();
    assert!(header.settled_through < open.descriptor.deadline && open.descriptor.deadline < header.time);
    world.step(S0, vec![Input::Tick]);
    world.answer_questions(S0);
    world.assert_quiet();
    world.wait(PAST_DEADLINES);
    commit(&mut world, 2, 4);
    assert_eq!(records(&world), [1, 1]);
    assert!(is_settled(&world.prepare(S0, &later)));
}

#[test]
fn what_was_never_voted_on_gets_a_no_while_somebody_may_wait_for_it() {
    let mut world = world();
    commit(&mut world, 1, 3);
    let payload = world.transfer(&user(2), user(4).address(), ETHER);
    let mut open = world.attempt(&payload, 1);
    open.descriptor.deadline = world.now.after(Millis(20_000));
    world.prepare(S0, &open); // Shard 1 never hears of it.
    world.wait(PAST_DEADLINES);
    commit(&mut world, 1, 3);
    assert!(!is_known_settled(&world, S1, &open.descriptor));
    let answer = ask_to_abort(&mut world, S1, &open.descriptor);
    assert!(matches!(&answer, Answer::Voted { vote, .. } if !vote.verdict.is_yes()), "{answer:?}");
    assert!(world.nodes[&S1].machine.newest_seen(S0).unwrap().header.settled_through < open.descriptor.deadline);
}

#[test]
fn a_header_says_how_far_its_shard_is_settled() {
    let mut world = world();
    let newest = |world: &World| {
        let height = world.nodes[&S0].machine.tip().height;
        crate::queries::header(world.store(S0), height).unwrap().0
    };
    let local = |world: &mut World| world.local(S0, &world.transfer(&user(2), user(5).address(), ETHER));
    local(&mut world);
    let idle = newest(&world);
    assert_eq!(idle.settled_through, idle.time);
    let open = world.attempt(&world.transfer(&user(1), user(3).address(), ETHER), 1);
    world.prepare(S0, &open);
    assert_eq!(newest(&world).settled_through, newest(&world).time, "what is open has its deadline ahead");
    world.wait(PAST_DEADLINES);
    world.restart(S0);
    local(&mut world);
    assert_eq!(newest(&world).settled_through, Time(open.descriptor.deadline.0 - 1));
}

#[test]
fn records_of_many_attempts_do_not_pile_up() {
    let mut world = world();
    for _ in 0..20 {
        commit(&mut world, 1, 3);
        commit(&mut world, 4, 2);
        world.wait(PAST_DEADLINES);
    }
    assert!(records(&world).iter().all(|count| *count <= 2), "{:?}", records(&world));
    assert!([S0, S1].iter().all(|shard| world.store(*shard).count(SETTLING) <= 2));
}
