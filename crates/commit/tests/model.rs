//! I1-I7, I15: the protocol's text, explored exhaustively by stateright, and the same text with one rule broken.
//!
//! ```text
//!   system          shards  coordinators                       attempts                       clocks, crashes
//!   anyone            3     byzantine: anything at any time    one                            past the tombstones' keeping
//!   honest            3     one or two by the book             one                            to the deadline; one crash
//!   retry             3     byzantine                          two tries at one payload       two deadlines
//!   crossed           3     byzantine                          two that could skew writes     two deadlines
//! ```
//!
//! In all of them the network keeps what was sent for ever and delivers it in any order, any number of times or never; a
//! shard crashes before the sync (nothing happened) or between sync and answer. What bounds them: three shards, two
//! attempts, each clock's place among the deadlines and not its time, and of a coordinator's crashes their number.
//!
//! A property that never failed proves nothing, so every rule is also broken here once, and must be missed by one of them.

mod protocol;

use protocol::rules::{Broken, Rules};
use protocol::system::{Action, System, Two, Who};
use stateright::{Checker, Model, Path};
use std::time::{Duration, Instant};

/// Longer than any of these takes; a search that is cut off fails.
const SEARCH_MAX: Duration = Duration::from_mins(20);
/// Steps of a counterexample beyond which nobody reads it.
const PATH_STEPS_MAX: usize = 40;

const ONE_HOME: u8 = 0b001;
const TWO_HOMES: u8 = 0b011;

fn anyone(homes: u8) -> System {
    System { rules: Rules::default(), who: Who::Anyone, homes, two: Two::No, clock_max: 2, kept: 2 }
}

fn honest(homes: u8, count: usize, crashes: u8) -> System {
    System { who: Who::Honest { count, crashes }, ..anyone(homes) }
}

fn retry(homes: u8) -> System {
    System { two: Two::SamePayload, kept: 3, ..anyone(homes) }
}

/// The same with the clocks at rest: no deadline is needed to skew writes.
fn crossed_early() -> System {
    System { clock_max: 0, ..crossed() }
}

/// The shard both attempts only credit is their home, so that the others are asked in any order.
fn crossed() -> System {
    System { two: Two::Crossed, kept: 3, ..anyone(0b100) }
}

/// The same where the shard at which the first reads and the second writes is asked last, and commits with its vote.
fn crossed_at_the_last() -> System {
    System { homes: 0b110, ..crossed() }
}

/// Explores all of it and says what it found: every `always` holds everywhere, every `sometimes` somewhere.
fn assert_holds(name: &str, system: System) {
    let begun = Instant::now();
    let checker = system.checker().threads(2).timeout(SEARCH_MAX).spawn_bfs().join();
    let (states, took) = (checker.unique_state_count(), begun.elapsed());
    println!("{name}: {states} states, {} steps deep, {took:.1?}", checker.max_depth());
    assert!(took < SEARCH_MAX, "the search was cut off");
    checker.assert_properties();
}

/// Explores the system with one rule broken until a property fails, and tells how.
fn assert_caught(rule: Broken, system: System, by: &[&str]) {
    let broken = System { rules: Rules(Some(rule)), ..system };
    let checker = broken.checker().threads(1).timeout(SEARCH_MAX).finish_when(stateright::HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    let failed: Vec<_> = broken.properties().into_iter().filter(is_always).map(|property| property.name).collect();
    let found = failed.into_iter().find_map(|name| Some((name, checker.discovery(name)?)));
    let Some((name, path)) = found else {
        panic!("{rule:?} was not caught in {} states", checker.unique_state_count())
    };
    println!("{rule:?}: {name} fails after");
    tell(path);
    assert!(by.iter().any(|invariant| name.starts_with(invariant)), "{rule:?} was caught by {name}");
}

fn is_always(property: &stateright::Property<System>) -> bool {
    property.expectation == stateright::Expectation::Always
}

fn tell(path: Path<protocol::state::State, Action>) {
    let actions = path.into_actions();
    assert!(actions.len() <= PATH_STEPS_MAX);
    for (place, action) in actions.into_iter().enumerate() {
        println!("  {:>2}. {action:?}", place + 1);
    }
}

#[test]
fn whoever_coordinates_an_attempt_ends_one_way() {
    assert_holds("anyone, one home", anyone(ONE_HOME));
    assert_holds("anyone, two homes", anyone(TWO_HOMES));
}

#[test]
fn one_coordinator_that_crashes_or_dies_strands_nobody() {
    assert_holds("one honest, one home", honest(ONE_HOME, 1, 1));
    assert_holds("one honest, two homes", honest(TWO_HOMES, 1, 2));
}

#[test]
fn two_coordinators_race_one_attempt_and_agree() {
    let without_keeping = |homes| System { clock_max: 1, ..honest(homes, 2, 1) };
    assert_holds("two honest, one home", without_keeping(ONE_HOME));
    assert_holds("two honest, two homes and a last agent", without_keeping(TWO_HOMES));
}

#[test]
fn of_two_tries_at_one_payload_one_commits_at_most() {
    assert_holds("retry, one home", retry(ONE_HOME));
    assert_holds("retry, two homes and a last agent", retry(TWO_HOMES));
}

#[test]
fn two_attempts_that_could_skew_writes_have_an_order() {
    assert_holds("crossed", crossed());
    assert_holds("crossed, with a last agent", crossed_at_the_last());
}

#[test]
fn a_timer_that_aborts_is_caught() {
    assert_caught(Broken::LocalTimerAbort, anyone(ONE_HOME), &["I1", "I4"]);
    assert_caught(Broken::LocalTimerAbort, honest(ONE_HOME, 1, 1), &["I1", "I4"]);
}

#[test]
fn a_no_without_a_tombstone_is_caught() {
    assert_caught(Broken::NoTombstone, anyone(ONE_HOME), &["I2"]);
    assert_caught(Broken::NoTombstone, honest(ONE_HOME, 1, 1), &["I2"]);
}

#[test]
fn a_yes_past_the_deadline_is_caught() {
    assert_caught(Broken::DeadlineIgnored, anyone(ONE_HOME), &["I2", "I3"]);
}

#[test]
fn a_commit_without_every_vote_is_caught() {
    assert_caught(Broken::ParticipantsNotBound, anyone(ONE_HOME), &["I1", "I3"]);
}

#[test]
fn a_forgotten_decision_is_caught() {
    assert_caught(Broken::EarlyForgetting, anyone(ONE_HOME), &["I1", "I2", "I3"]);
    assert_caught(Broken::EarlyForgetting, honest(ONE_HOME, 1, 1), &["I1", "I2", "I3"]);
}

#[test]
fn a_vote_sent_before_it_is_synced_is_caught() {
    assert_caught(Broken::VoteBeforeSync, anyone(ONE_HOME), &["I2"]);
}

#[test]
fn a_no_that_nobody_cast_is_caught() {
    assert_caught(Broken::EquivocationAccepted, anyone(ONE_HOME), &["I1", "I4"]);
}

#[test]
fn a_decision_carried_out_twice_is_caught() {
    assert_caught(Broken::DecisionAppliedTwice, anyone(ONE_HOME), &["I5"]);
    assert_caught(Broken::DecisionAppliedTwice, honest(ONE_HOME, 1, 1), &["I5"]);
}

#[test]
fn a_lock_before_the_fee_is_caught() {
    assert_caught(Broken::HomesNotAwaited, anyone(ONE_HOME), &["I15"]);
}

#[test]
fn a_last_agent_that_has_not_seen_all_votes_is_caught() {
    assert_caught(Broken::HomesNotAwaited, anyone(TWO_HOMES), &["I1", "I3", "I15"]);
}

#[test]
fn a_yes_to_a_stale_witness_is_caught() {
    assert_caught(Broken::StaleWitnessAccepted, crossed_early(), &["R6"]);
}

#[test]
fn read_locks_given_back_at_the_vote_are_caught() {
    assert_caught(Broken::EarlyReadUnlock, crossed_early(), &["R6"]);
}

#[test]
fn a_read_beside_an_undecided_write_is_caught() {
    assert_caught(Broken::UndecidedRead, crossed_early(), &["R6"]);
}

#[test]
fn shards_that_do_not_ask_each_other_are_caught() {
    assert_caught(Broken::NobodyAsks, honest(ONE_HOME, 1, 1), &["I6"]);
}
