//! Seeds of mixed work under faults, and every crash of the scripts: nothing that must hold ever does not.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use dovetail_world::faults::{Count, Counts, Faults, Kind};
use dovetail_world::scenario::{self, Options, crashes, script};
use dovetail_world::{Dice, Story, Tally};

/// Seeds that a test runs; `world run` runs many more.
const SEEDS_COUNT: u64 = 24;

#[test]
fn seeds_of_mixed_work_under_faults_break_nothing() {
    let mut counts = Counts::default();
    let (mut told, mut tally) = ([0; 3], Tally::default());
    for seed in 0..SEEDS_COUNT {
        let report = scenario::run(seed, &Options::default()).unwrap();
        assert_eq!(report.violations, [], "seed {seed}");
        counts.add(&report.counts);
        tally.add(&report.tally);
        told.iter_mut().zip(report.told).for_each(|(sum, told)| *sum += told);
    }
    assert!(told[0] > 100 && told[1] > 0, "work was done: {told:?}");
    assert!(tally.messages_forgotten > 0, "consumed messages were forgotten: {tally:?}");
    assert!(tally.shared > 5 && tally.last_agents > 20, "attempts were shared, and last agents voted: {tally:?}");
    assert!(counts.uncovered([Kind::Drop, Kind::Reorder, Kind::Delay]).is_empty(), "{counts:?}");
}

#[test]
fn a_seed_without_faults_loses_nobody() {
    let options = Options { faults: Some(Faults::none()), ..Options::default() };
    let report = scenario::run(5, &options).unwrap();
    assert_eq!((report.violations, report.told[2]), (Vec::new(), 0));
    assert!(Kind::ALL.iter().all(|kind| report.counts.of(*kind) == Count::default()));
}

#[test]
fn two_runs_of_one_seed_are_the_same_and_two_seeds_are_not() {
    let run = |seed| {
        let report = scenario::run(seed, &Options { story: Story::Kept, ..Options::default() }).unwrap();
        (report.digest, report.story)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).0, run(8).0);
}

#[test]
fn telling_a_run_does_not_change_it() {
    let silent = scenario::run(7, &Options::default()).unwrap();
    let told = scenario::run(7, &Options { story: Story::Kept, ..Options::default() }).unwrap();
    assert_eq!(silent.digest, told.digest);
    assert!(told.story.iter().any(|line| line.contains("votes yes")), "{:?}", told.story.first());
}

#[test]
fn every_script_ends_well_when_nobody_crashes() {
    for script in script::SCRIPTS {
        let play = script.play(None).unwrap();
        assert_eq!(play.world.violations(), [], "{}", script.name);
        assert!(!play.tickets.is_empty(), "{}", script.name);
    }
}

#[test]
fn every_crash_of_a_swap_and_of_a_message_is_survived() {
    for script in script::SCRIPTS.iter().filter(|script| {
        let crashed = [
            "a swap over three shards",
            "a message that is delivered",
            "a message that expires",
            "a refund that follows its sender home",
        ];
        crashed.contains(&script.name)
    }) {
        let found = crashes::enumerate_script(script).unwrap();
        assert_eq!(found.violations, [], "{}", script.name);
        assert!(found.points > 10 && found.missed == 0, "{found:?}");
    }
}

#[test]
fn every_kind_of_fault_strikes_when_it_is_the_only_one() {
    for kind in Kind::ALL {
        let mut dice = Dice::new(77);
        let struck = (0..6).any(|_| {
            let faults = Some(Faults::none().with(*kind, 2));
            let report = scenario::run(dice.number(), &Options { faults, ..Options::default() }).unwrap();
            assert_eq!(report.violations, [], "{}: seed {}", kind.name(), report.seed);
            report.counts.of(*kind).fired > 0
        });
        assert!(struck, "{} never strikes", kind.name());
    }
}

#[cfg(feature = "twins")]
#[test]
fn every_broken_rule_is_seen() {
    use commit::Twin;
    /// Seeds within which a twin must be seen.
    const TWIN_SEEDS_COUNT: u64 = 500;
    /// What the checks have to say of it. A machine that notices itself, and panics, does not count.
    fn expected(twin: Twin) -> &'static [&'static str] {
        match twin {
            Twin::VoteBeforeSync | Twin::NoTombstone => &["R2"],
            Twin::DecisionAppliedTwice => &["I5"],
            Twin::DeadlineIgnored => &["R5, R10"],
            Twin::EarlyForgetting => &["I2", "R7"],
            Twin::LocalTimerAbort | Twin::ForeignVoteAccepted => &["I4"],
            Twin::StaleWitnessAccepted => &["I8", "R6", "I9", "I16"],
            Twin::CertificateUnchecked => &["R9"],
            Twin::HomesNotAwaited => &["R11, I15"],
            Twin::SlotOrderIgnored => &["I20"],
            Twin::ParticipantsNotBound => &["I3"],
            Twin::RestoredStoreVotes => &["R14"],
            Twin::MessageForgotten => &["I13, I14", "I14"],
            Twin::UndecidedRead | Twin::EarlyReadUnlock => &["R6", "I9", "I16"],
        }
    }
    for twin in Twin::ALL {
        let seen = (0..TWIN_SEEDS_COUNT).find(|seed| {
            let options = Options { twin: Some(twin), ..Options::default() };
            let run = std::panic::catch_unwind(|| scenario::run(*seed, &options).unwrap());
            run.is_ok_and(|report| report.violations.iter().any(|violation| expected(twin).contains(&violation.rule)))
        });
        println!("{}: {seen:?}", twin.name());
        assert!(seen.is_some(), "{} is not seen within {TWIN_SEEDS_COUNT} seeds", twin.name());
    }
}
