//! A test hook: the process kills itself at a named crash point of a named step.
//!
//! There are two crash points per step: before its batch is committed, and after that but before anything is
//! handed out. `DOVETAIL_CRASH=before_commit:12` aborts at the first point of the twelfth step that writes;
//! `after_commit:12` at the second. Never set in production; a host that finds it set says so
//! loudly.

use std::str::FromStr;

/// The variable that sets a crash point.
pub const CRASH_VARIABLE: &str = "DOVETAIL_CRASH";

/// Where the process is to abort. Steps that write are counted from 1, anew in each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// With the step's batch not yet written.
    BeforeCommit(u64),
    /// With the step's batch on the disk and nothing handed out.
    AfterCommit(u64),
}

/// The text is no crash point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{CRASH_VARIABLE} is \"before_commit:<step>\" or \"after_commit:<step>\" with a step from 1, not {text:?}")]
pub struct CrashPointError {
    text: String,
}

impl FromStr for CrashPoint {
    type Err = CrashPointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || CrashPointError { text: text.to_owned() };
        let (point, step) = text.split_once(':').ok_or_else(refuse)?;
        let step = step.parse().ok().filter(|step| *step > 0).ok_or_else(refuse)?;
        match point {
            "before_commit" => Ok(Self::BeforeCommit(step)),
            "after_commit" => Ok(Self::AfterCommit(step)),
            _ => Err(refuse()),
        }
    }
}

/// The crash point that the environment names, if it names one.
pub(crate) fn from_environment() -> Result<Option<CrashPoint>, CrashPointError> {
    // What is not text is no crash point either.
    std::env::var_os(CRASH_VARIABLE).map(|text| text.to_string_lossy().parse()).transpose()
}

/// Aborts at the crash point of the environment.
#[derive(Debug)]
pub(crate) struct Saboteur {
    point: Option<CrashPoint>,
    steps: u64,
}

impl Saboteur {
    pub(crate) fn new(point: Option<CrashPoint>) -> Self {
        Self { point, steps: 0 }
    }

    /// Called before the batch of a step that writes.
    pub(crate) fn before_commit(&mut self) {
        self.steps += 1;
        if self.point == Some(CrashPoint::BeforeCommit(self.steps)) {
            abort("before_commit", self.steps);
        }
    }

    /// Called after it.
    pub(crate) fn after_commit(&self) {
        if self.point == Some(CrashPoint::AfterCommit(self.steps)) {
            abort("after_commit", self.steps);
        }
    }
}

fn abort(point: &str, step: u64) -> ! {
    tracing::error!(point, step, "aborted at the crash point that {CRASH_VARIABLE} names");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crash_points_are_read() {
        assert_eq!("before_commit:3".parse(), Ok(CrashPoint::BeforeCommit(3)));
        assert_eq!("after_commit:1".parse(), Ok(CrashPoint::AfterCommit(1)));
        for text in ["", "before_commit", "before_commit:", "after_commit:0", "later:3", "after_commit:-1"] {
            assert_eq!(text.parse::<CrashPoint>(), Err(CrashPointError { text: text.to_owned() }));
        }
    }
}
