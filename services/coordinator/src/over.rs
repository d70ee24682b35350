//! Runs over the whole network's state, for whoever says what runs.

use crate::reads::{Failure, Known, Reads};
use evm::Ground;
use primitives::Slot;
use std::sync::Arc;
use wire::Rejection;
use wire::jsonrpc::{Moment, Run, RunFailure};

impl Reads {
    /// What `run` comes to on the state of `moment`, in the block of `slot`: in its turn, off the threads that serve, within a
    /// deadline.
    pub(crate) async fn over<T: Send + 'static>(
        &self,
        moment: Moment,
        slot: Slot,
        run: Run<T>,
    ) -> Result<T, Rejection> {
        let in_turn = |known| {
            let (network, run) = (Arc::clone(&self.network), Arc::clone(&run));
            let once = move || {
                let ground = Ground::of_slot(&network.params, &network.placement, slot);
                let ran = run(&ground, &known);
                (known, ran.map_err(Failure::from))
            };
            async move {
                let refused = |rejection| (Known::default(), Err(Failure::Refused(Box::new(rejection))));
                self.calls.run(once).await.unwrap_or_else(refused)
            }
        };
        Ok(self.calls.within(self.at(moment, in_turn)).await?.0)
    }
}

impl From<RunFailure> for Failure {
    fn from(failure: RunFailure) -> Self {
        match failure {
            RunFailure::Missing(missing) => Self::Missing(missing),
            RunFailure::Refused(rejection) => Self::Refused(Box::new(rejection)),
        }
    }
}
