//! What a forked network lacks, read from the chain that it was forked from: outside the shard's steps, once.
//!
//! ```text
//!   calls that need keys --> one round at a time, for all that wait --> the other chain --> `Input::Base`, synced --> they go on
//! ```
//!
//! Promise: a call goes on when what it needs is in the shard's store, and is told within [`WAIT_MAX`] why it is not. What was read once
//! is in the store for ever: after a restart nothing is asked again.
//! Knows nothing of what the values are for.

use crate::node::unexpected;
use chains::pinned::{Account, PinError, Pinned};
use evm::{Data, StateKey};
use host::{Class, Handle};
use shard::{Answer, BASE_VALUES_COUNT_MAX, BaseValue, Input, Reply, Ticket, queries};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use wire::{Reason, Rejection};

/// How long a call waits for values: a little less than whoever reads state waits for a shard.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(4);

/// Most calls that wait for the next round.
const WANTS_COUNT_MAX: usize = 1_024;

/// What one call waits for.
#[derive(Debug)]
struct Want {
    keys: BTreeSet<StateKey>,
    told: oneshot::Sender<Result<(), Rejection>>,
}

/// Where calls say what they lack.
#[derive(Debug)]
pub(crate) struct Base(mpsc::Sender<Want>);

impl Base {
    /// Reads from `pinned` what is asked for, and gives it to the machine behind `handle`, as long as the future is polled.
    pub(crate) fn start(pinned: Pinned, handle: Handle<Input, Reply>) -> (Self, impl Future<Output = ()> + Send) {
        let (wants, waiting) = mpsc::channel(WANTS_COUNT_MAX);
        (Self(wants), serve(pinned, handle, waiting))
    }

    /// Waits until the own `keys` are read.
    ///
    /// # Errors
    /// [`Reason::ForkUnavailable`], in a sentence for a person, if the other chain does not give them.
    pub(crate) async fn read(&self, keys: BTreeSet<StateKey>) -> Result<(), Rejection> {
        if keys.is_empty() {
            return Ok(());
        }
        let ended = || Rejection::new(Reason::Unavailable, "the process is stopping");
        let read = async {
            let (told, tells) = oneshot::channel();
            self.0.send(Want { keys, told }).await.map_err(|_| ended())?;
            tells.await.map_err(|_| ended())?
        };
        let late = |_| {
            let text = format!(
                "the forked chain has not answered within {WAIT_MAX:?}: ask again, what it answers meanwhile is kept"
            );
            Rejection::new(Reason::ForkUnavailable, text)
        };
        tokio::time::timeout(WAIT_MAX, read).await.map_err(late)?
    }
}

async fn serve(pinned: Pinned, handle: Handle<Input, Reply>, mut waiting: mpsc::Receiver<Want>) {
    let mut wants = Vec::new();
    while waiting.recv_many(&mut wants, WANTS_COUNT_MAX).await > 0 {
        let result = round(&pinned, &handle, wants.iter().flat_map(|want| &want.keys).copied().collect()).await;
        if let Err(rejection) = &result {
            tracing::warn!(%rejection, waiting = wants.len(), "values of the forked chain were not read");
        }
        for want in wants.drain(..) {
            // Whoever went no longer cares.
            let _ = want.told.send(result.clone());
        }
    }
}

/// Reads all of `keys` that an earlier round has not read.
async fn round(pinned: &Pinned, handle: &Handle<Input, Reply>, keys: BTreeSet<StateKey>) -> Result<(), Rejection> {
    let unread: Vec<StateKey> = queries::unread(&handle.reader().snapshot(), keys).into_iter().collect();
    // Accounts sort first: the shard takes no slot before its account.
    for part in unread.chunks(BASE_VALUES_COUNT_MAX) {
        let values =
            values(pinned, part).await.map_err(|error| Rejection::new(Reason::ForkUnavailable, error.to_string()))?;
        let input = |ticket: host::Ticket| Input::Base { ticket: Ticket(ticket.0), values };
        match handle.call(Class::New, input).await?.answer {
            Answer::BaseTaken => tracing::info!(values = part.len(), "values of the forked chain were read"),
            Answer::BaseRefused(refusal) => return Err(refusal.into()),
            other => return Err(unexpected(&other)),
        }
    }
    Ok(())
}

async fn values(pinned: &Pinned, keys: &[StateKey]) -> Result<Vec<BaseValue>, PinError> {
    let (mut accounts, mut slots) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            StateKey::Account(address) => accounts.push(*address),
            StateKey::Slot(address, slot) => slots.push((*address, *slot)),
            StateKey::Fees(_) => {} // This network's own.
        }
    }
    let read = pinned.read(&accounts, &slots).await?;
    let account =
        |(address, Account { nonce, balance, code })| BaseValue::Account { address, nonce, balance, code: Data(code) };
    let slot = |((address, slot), value)| BaseValue::Slot { address, slot, value };
    let accounts = accounts.into_iter().zip(read.accounts).map(account);
    Ok(accounts.chain(slots.into_iter().zip(read.slots).map(slot)).collect())
}
