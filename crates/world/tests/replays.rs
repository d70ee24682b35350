//! The replay attacks on cross-shard commit: every kind of message, to every kind of shard, at every moment (I13).
//!
//! ```text
//!   {prepare, abort request, commit, abort} x {home, participant, bystander}
//!     x {before, during, after, next attempt, after records may go, after a restart}
//! ```
//!
//! once with messages of attempts that ended earlier and once with messages of the attempt under way.
//! Source: Sonnino, Bano, Al-Bassam, Danezis, "Replay Attacks and Defenses Against Cross-shard Consensus in Sharded
//! Distributed Ledgers", 2020, tables 1 and 2.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod stranger;
mod users;

use alloy_primitives::U256;
use dovetail_world::{Party, Plan, Request, Roots, Watch, World};
use evm::{Placement, State};
use primitives::{Millis, ShardId};
use stranger::{Attempt, ask, ask_one, attempt};
use users::{ETHER, genesis, params, transfer, user};

const HOME: ShardId = ShardId(0);
const OTHER: ShardId = ShardId(1);
const BYSTANDER: ShardId = ShardId(2);
const SHARDS: [ShardId; 3] = [HOME, OTHER, BYSTANDER];

/// Longer than any record of a no is kept.
const RECORDS_GONE: Millis = Millis(200_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    During,
    After,
    NextAttempt,
    RecordsGone,
    Restarted,
}

const MOMENTS: [Moment; 6] =
    [Moment::Before, Moment::During, Moment::After, Moment::NextAttempt, Moment::RecordsGone, Moment::Restarted];

/// Two attempts that have ended: one committed, one aborted.
struct Past {
    committed: Attempt,
    aborted: Attempt,
}

impl Past {
    /// All that was ever sent about them.
    fn messages(&self) -> Vec<(&'static str, Request)> {
        vec![
            ("prepare of a committed attempt", self.committed.prepare()),
            ("prepare of an aborted attempt", self.aborted.prepare()),
            ("abort request for a committed attempt", self.committed.abort_request()),
            ("abort request for an aborted attempt", self.aborted.abort_request()),
            ("commit", self.committed.decide()),
            ("abort", self.aborted.decide()),
        ]
    }
}

fn start() -> World {
    let placement = Placement::new(1, 3, users::spread(3)).unwrap();
    World::start(Plan { roots: Roots::Advanced, checks: Watch::Batches, ..Plan::new(params(), placement, genesis(3)) })
        .unwrap()
}

/// A payment that commits, and the first try of another, which is aborted: the second is what the tests are about.
fn past(world: &mut World) -> Past {
    let mut committed = attempt(world, &transfer(world, 3, user(4).address(), ETHER, 0), 1);
    committed.commit(world);
    let mut aborted = attempt(world, &transfer(world, 0, user(1).address(), ETHER, 0), 1);
    ask_one(world, OTHER, aborted.abort_request()).unwrap();
    aborted.collect_all(world);
    aborted.finish(world);
    Past { committed, aborted }
}

/// The network after an attempt, with `deed` done at every moment; which shards have it and whether it committed.
struct Run {
    world: World,
    attempt: Attempt,
}

fn run(mut deed: impl FnMut(&mut World, Moment, &Past, &Attempt)) -> Run {
    let mut world = start();
    let past = past(&mut world);
    let payment = transfer(&world, 0, user(1).address(), ETHER, 0);
    let mut current = attempt(&world, &payment, 2);
    deed(&mut world, Moment::Before, &past, &current);
    current.collect(&mut world, HOME);
    deed(&mut world, Moment::During, &past, &current);
    current.collect(&mut world, OTHER);
    deed(&mut world, Moment::During, &past, &current);
    current.finish(&mut world);
    deed(&mut world, Moment::After, &past, &current);
    let mut next = attempt(&world, &transfer(&world, 0, user(1).address(), ETHER, nonce(&world)), 3);
    next.collect(&mut world, HOME);
    deed(&mut world, Moment::NextAttempt, &past, &current);
    next.collect(&mut world, OTHER);
    next.finish(&mut world);
    world.run_for(RECORDS_GONE);
    deed(&mut world, Moment::RecordsGone, &past, &current);
    for shard in SHARDS {
        world.crash(Party::Shard(shard));
        world.restart(Party::Shard(shard)).unwrap();
    }
    deed(&mut world, Moment::Restarted, &past, &current);
    let limit = world.now().after(Millis(120_000));
    assert!(world.run_quiet(limit));
    Run { world, attempt: current }
}

fn nonce(world: &World) -> u64 {
    world.state().accounts[&user(0).address()].nonce
}

/// What nobody replayed into.
fn undisturbed() -> State {
    run(|_, _, _, _| {}).world.state()
}

#[test]
fn messages_of_attempts_that_ended_change_nothing_whatever_they_are_sent_to_and_whenever() {
    let expected = undisturbed();
    let kinds = past(&mut start()).messages().len();
    let mut runs = 0;
    for kind in 0..kinds {
        for target in SHARDS {
            for moment in MOMENTS {
                let mut name = "";
                let run = run(|world, now, past, _| {
                    if now == moment {
                        let (what, message) = past.messages().swap_remove(kind);
                        name = what;
                        ask(world, target, message);
                    }
                });
                assert_eq!(run.world.state(), expected, "{name} to shard {target}, {moment:?}");
                runs += 1;
            }
        }
    }
    assert_eq!(runs, 6 * 3 * 6);
}

#[test]
fn messages_of_the_attempt_under_way_may_abort_it_and_never_split_it() {
    let expected = undisturbed();
    for kind in ["prepare", "abort request", "decision"] {
        for target in SHARDS {
            for moment in MOMENTS {
                let run = run(|world, now, _, attempt| {
                    let message = match kind {
                        "prepare" => attempt.prepare(),
                        "abort request" => attempt.abort_request(),
                        _ => attempt.decide(),
                    };
                    if now == moment {
                        ask(world, target, message);
                    }
                });
                let state = run.world.state();
                let no = run.attempt.votes.values().find(|proof| !proof.vote.verdict.is_yes());
                let name = format!("{kind} to shard {target}, {moment:?}");
                // Asked to abort before it has voted, a participant says no; nothing else disturbs the attempt.
                let early = kind == "abort request"
                    && ((moment == Moment::Before && target != BYSTANDER)
                        || (moment == Moment::During && target == OTHER));
                assert_eq!(no.is_some(), early, "{name}: {no:?}");
                let paid = expected.accounts[&user(1).address()].balance - ETHER * U256::from(u8::from(early));
                assert_eq!(state.accounts[&user(1).address()].balance, paid, "{name}");
                if !early {
                    assert_eq!(state, expected, "{name}");
                }
            }
        }
    }
}

/// A second life of the network, from the same genesis under the same keys, hears everything that was said in the first.
#[test]
fn replaying_one_life_into_the_next_changes_nothing() {
    let (first, second) = (run(|_, _, _, _| {}), run(|_, _, _, _| {}));
    let mut world = second.world;
    // A life that began later: attempts of the first are past their deadlines.
    world.run_for(Millis(60_000));
    let before = world.state();
    for request in [first.attempt.prepare(), first.attempt.abort_request(), first.attempt.decide()] {
        for shard in SHARDS {
            ask(&mut world, shard, request.clone());
        }
    }
    let limit = world.now().after(Millis(120_000));
    assert!(world.run_quiet(limit));
    assert_eq!(world.state(), before);
}
