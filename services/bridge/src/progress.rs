//! What a direction of a route has brought to its end, and for how long what waits has waited: what readiness and metrics are made of.

use crate::desk::Standing;
use std::time::{Duration, Instant};

/// For how long something may wait, and nothing come to its end, before a node is said to stand still.
pub(crate) const STILL_MAX: Duration = Duration::from_mins(5);

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    done: u64,
    last: Option<Instant>,
}

impl Progress {
    /// One more came to its end.
    pub(crate) fn done(&mut self) {
        self.done += 1;
        self.last = Some(Instant::now());
    }

    /// How it stands with `waiting` things, the oldest of which came at `oldest`.
    pub(crate) fn standing(&self, waiting: usize, oldest: Option<Instant>, letters: usize) -> Standing {
        let age = |since: Instant| since.elapsed().as_secs();
        Standing {
            waiting,
            oldest_s: oldest.map_or(0, age),
            done: self.done,
            last_done_s: self.last.map(age),
            letters,
            trouble: None,
        }
    }
}

impl Standing {
    /// What is wrong with it, in words; a node that only lives is not well.
    pub(crate) fn complaint(&self) -> Option<String> {
        if let Some(trouble) = &self.trouble {
            return Some(trouble.clone());
        }
        let still = self.oldest_s.min(self.last_done_s.unwrap_or(u64::MAX));
        (self.waiting > 0 && still >= STILL_MAX.as_secs()).then(|| {
            format!("{} wait, the oldest for {} s, and nothing has come to its end meanwhile", self.waiting, still)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_without_progress_is_a_complaint_and_an_idle_route_is_none() {
        let idle = Progress::default().standing(0, None, 0);
        assert_eq!(idle.complaint(), None);
        let waits = Standing { waiting: 2, oldest_s: 301, ..Standing::default() };
        assert!(waits.complaint().is_some());
        assert_eq!(Standing { last_done_s: Some(3), ..waits.clone() }.complaint(), None, "it moves");
        assert_eq!(Standing { oldest_s: 10, ..waits }.complaint(), None, "it is new");
    }
}
