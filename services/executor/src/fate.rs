//! Whether this node may sign, and why it has to stop (R14).
//!
//! ```text
//!   started --the machine is shown--> mark set, ready          whenever --the machine is behind--> the process ends
//! ```

use shard::Behind;
use store::Mark;
use tokio::sync::watch;

/// What became of the machine's question whether its store is the newest.
#[derive(Debug)]
pub(crate) struct Fate {
    mark: Mark,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Asking,
    Shown,
    Behind(Behind),
}

impl Fate {
    /// Nothing is known yet.
    pub(crate) fn new(mark: Mark) -> Self {
        Self { mark, state: watch::Sender::new(State::Asking) }
    }

    /// The store is the newest: from now on its mark says so too.
    pub(crate) fn shown(&self) {
        if let Err(fault) = self.mark.set() {
            // The store is sound, and the next start asks the others again.
            tracing::error!(%fault, "the signer's mark could not be set: until it is, a start waits for every other shard");
        }
        tracing::info!("the store is the newest that anybody has seen of this shard");
        self.state.send_replace(State::Shown);
    }

    /// The store is not the newest.
    pub(crate) fn behind(&self, behind: Behind) {
        if self.state.send_replace(State::Behind(behind)) != State::Behind(behind) {
            tracing::error!(%behind, "an old copy of the store: this shard signs nothing more");
        }
    }

    /// Waits until the store is shown; for ever if it never is.
    pub(crate) async fn wait_shown(&self) {
        let mut state = self.state.subscribe();
        if state.wait_for(|state| *state == State::Shown).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the store is known not to be the newest; for ever if it is.
    pub(crate) async fn wait_behind(&self) -> Behind {
        let mut state = self.state.subscribe();
        loop {
            if let State::Behind(behind) = *state.borrow_and_update() {
                return behind;
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
