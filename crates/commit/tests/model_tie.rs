//! The tie between text and code: each step that the model can take, taken by the code that runs, with the same result;
//! and runs of the code at random, each step of which the model allows.
//!
//! ```text
//!   model:  reachable state ── action ──> record, vote, what else           a situation: all that a shard's answer
//!                |                             =  (compared)                depends on, taken from reachable states
//!   code:   record, votes, block time ──> Step: write, answer, action
//! ```
//!
//! A tie that holds whatever is tied proves nothing: with one rule broken in the text, or with the feature `twins` in the
//! code, it must tear; with the same rule broken in both, it holds again.

mod protocol;
mod tie;
mod world;

use protocol::rules::{Broken, Rules};
use tie::participant::{Code, assert_fits, misfits};

#[test]
fn what_the_text_says_a_participant_does_the_code_does() {
    let situations = assert_fits(Rules::default(), Code::default());
    println!("participant: {situations} situations");
    assert!(situations > 500, "{situations} are too few to mean anything");
}

#[test]
fn what_votes_decide_in_the_text_they_decide_in_the_code() {
    tie::participant::assert_decisions_fit();
}

#[test]
fn what_the_text_says_a_coordinator_does_the_code_does() {
    let (states, steps) = tie::coordinator::assert_fits();
    println!("coordinator: {states} states, {steps} steps");
    assert!(steps > 300, "{steps} are too few to mean anything");
}

#[test]
fn what_the_code_does_at_random_the_text_allows() {
    let walked = tie::walk::walk(Code::default(), 2_000).expect("the model allows every step");
    println!("{walked:?}");
    assert!(walked.steps > 10_000 && walked.commits > 100 && walked.aborts > 100, "{walked:?}");
}

/// The rules that a participant or a decision keeps, one by one.
const BROKEN: [Broken; 7] = [
    Broken::LocalTimerAbort,
    Broken::NoTombstone,
    Broken::DeadlineIgnored,
    Broken::ParticipantsNotBound,
    Broken::EarlyForgetting,
    Broken::DecisionAppliedTwice,
    Broken::HomesNotAwaited,
];

#[test]
fn a_text_with_one_rule_broken_does_not_fit_the_code() {
    for rule in BROKEN {
        let misfits = misfits(Rules(Some(rule)), Code::default());
        println!("{rule:?} in the text: {} situations differ, first {}", misfits.len(), misfits.first().expect("some"));
    }
}

#[cfg(feature = "twins")]
mod twins {
    use super::{BROKEN, Broken, Code, Rules, assert_fits, misfits, tie};
    use dovetail_commit::Twin;

    fn twin(rule: Broken) -> Twin {
        let same = Twin::ALL.into_iter().find(|twin| format!("{twin:?}") == format!("{rule:?}"));
        same.expect("text and code call it the same")
    }

    #[test]
    fn code_with_one_rule_broken_does_not_fit_the_text() {
        for rule in BROKEN {
            let misfits = misfits(Rules::default(), Code { twin: Some(twin(rule)) });
            println!(
                "{rule:?} in the code: {} situations differ, first {}",
                misfits.len(),
                misfits.first().expect("some")
            );
        }
    }

    #[test]
    fn text_and_code_with_the_same_rule_broken_fit() {
        for rule in BROKEN {
            assert_fits(Rules(Some(rule)), Code { twin: Some(twin(rule)) });
        }
    }

    #[test]
    fn a_walk_of_code_with_one_rule_broken_leaves_the_text() {
        for rule in BROKEN {
            let left = tie::walk::walk(Code { twin: Some(twin(rule)) }, 2_000);
            println!("{rule:?}: {}", left.expect_err("the model does not allow it"));
        }
    }
}
