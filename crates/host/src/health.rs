//! What the process says about itself.

use std::sync::{Arc, Mutex, PoisonError};

/// Where a process is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It opens its store and recovers: alive, not ready.
    Starting,
    /// It takes work.
    Ready,
    /// It takes no more work and finishes what it has.
    Draining,
    /// It cannot go on.
    Failed(String),
}

/// The state of the process, shared by all that set or show it.
#[derive(Debug, Clone)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

impl Health {
    /// A process that is starting.
    pub fn new() -> Self {
        Self { state: Arc::new(Mutex::new(State::Starting)) }
    }

    /// Notes where the process is. One that failed stays so.
    pub fn set(&self, state: State) {
        let mut current = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*current, State::Failed(_)) {
            *current = state;
        }
    }

    /// Where the process is.
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_process_never_recovers_by_itself() {
        let health = Health::new();
        health.set(State::Failed("disk".into()));
        health.set(State::Ready);
        assert_eq!(health.state(), State::Failed("disk".into()));
    }
}
