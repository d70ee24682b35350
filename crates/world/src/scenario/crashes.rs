//! Every crash there is: each machine of each script, before and after each of its batches, in turn.
//!
//! A coordinator's log is not synced (docs/decisions/0010), so that each of its crashes comes in three strengths: the
//! process alone, half of what was not synced, all of it. Shards and relays sync each batch; a torn record is one that is
//! not there, which is what `Before` is.
//!
//! Promise: every point of the run without a crash, not a sample; a point that the run did not come by is told, because it was
//! not tried. What is written while a machine comes back is not a point of its own: seeds crash there.

use super::script::{SCRIPTS, Script};
use crate::faults::{CrashPoint, Side, Tail};
use crate::{Party, StartError, Violation};
use std::panic;

/// What the enumeration of one script found.
#[derive(Debug)]
pub struct Enumeration {
    /// Which script.
    pub script: &'static str,
    /// How many crashes were tried.
    pub points: usize,
    /// How many were not met.
    pub missed: usize,
    /// What did not hold, and after which crash.
    pub violations: Vec<(CrashPoint, Violation)>,
}

/// Tries every crash of every script.
///
/// # Errors
/// [`StartError`], which is a bug of the scenario.
pub fn enumerate() -> Result<Vec<Enumeration>, StartError> {
    SCRIPTS.iter().map(enumerate_script).collect()
}

/// Tries every crash of one script.
///
/// # Errors
/// [`StartError`], which is a bug of the scenario.
pub fn enumerate_script(script: &Script) -> Result<Enumeration, StartError> {
    let mut found = Enumeration { script: script.name, points: 0, missed: 0, violations: Vec::new() };
    for point in points(script)? {
        found.points += 1;
        let Ok(play) = panic::catch_unwind(|| script.play(Some(point))) else {
            let violation = Violation { rule: "a machine's own", text: "a machine panicked".to_owned() };
            found.violations.push((point, violation));
            continue;
        };
        let play = play?;
        found.missed += usize::from(!play.world.met_crash_point());
        found.violations.extend(play.world.violations().iter().map(|violation| (point, violation.clone())));
    }
    Ok(found)
}

/// Every crash of a script, in order: as many batches as each machine writes when nobody crashes.
///
/// # Errors
/// [`StartError`], which is a bug of the scenario.
pub fn points(script: &Script) -> Result<Vec<CrashPoint>, StartError> {
    let play = script.play(None)?;
    let mut points = Vec::new();
    for party in play.world.parties() {
        let tails: &[Tail] = match party {
            Party::Coordinator(_) => &[Tail::Kept, Tail::Halved, Tail::Lost],
            _ => &[Tail::Kept],
        };
        for batch in 1..=play.world.batches_of(party) {
            for side in [Side::Before, Side::After] {
                points.extend(tails.iter().map(|tail| CrashPoint { party, batch, side, tail: *tail }));
            }
        }
    }
    Ok(points)
}
