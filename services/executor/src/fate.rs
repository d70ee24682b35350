//! Whether this node may sign, and why it has to stop (R14).
//!
//! ```text
//!   started --the machine is shown--> mark set, ready          whenever --the machine is behind--> the process ends
//! ```

use shard::Behind;
use store::{Found, Mark};
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
    /// Nothing is known yet but what there was of the mark.
    pub(crate) fn new(mark: Mark) -> Self {
        tell(&mark);
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

/// Says what a mark that is not as this node left it means for the start.
fn tell(mark: &Mark) {
    let path = mark.path().display();
    match mark.found() {
        Found::New | Found::Agrees => {}
        Found::Late { batches } => tracing::info!(
            mark = %path, batches,
            "the signer's mark ends before the store, as after a kill or a loss of power: it says less, and nothing against the store"
        ),
        Found::Old { batches } => tracing::warn!(
            mark = %path, batches,
            "the signer's mark ends long before the store: somebody put an old mark in its place. A copy of the store taken after that \
             mark would not be refused by it; only what the other shards have seen would"
        ),
        Found::Missing => tracing::warn!(
            mark = %path,
            "the signer's mark is missing although the store has blocks: it was lost, or left behind when the store was moved. Every \
             other shard has to say what it has seen of this one before it signs"
        ),
        Found::Unreadable => tracing::warn!(
            mark = %path,
            "the signer's mark is empty or damaged: it is taken for none. Every other shard has to say what it has seen of this one \
             before it signs"
        ),
    }
}
