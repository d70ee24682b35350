//! What the service's calls share: the machine's handle, the checks before it, and the network.

use crate::fate::Fate;
use crate::floor::Floor;
use crate::replays::Replays;
use host::network::Network;
use host::{Class, Handle, Instruments, OtherClocks};
use primitives::ShardId;
use shard::{Answer, Checks, Input, Reply, Ticket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use wire::shard::Terms;
use wire::{Reason, Rejection};

/// A running shard.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) handle: Handle<Input, Reply>,
    pub(crate) checks: Arc<Checks>,
    pub(crate) network: Network,
    pub(crate) me: ShardId,
    pub(crate) floor: Floor,
    /// What this node takes its network to be.
    pub(crate) terms: Terms,
    /// Slots back from the newest whose state is kept.
    pub(crate) slots_kept: u64,
    /// The first slot that is not closed, as it was last attested: it never goes back.
    pub(crate) open: AtomicU64,
    /// What the other shards' clocks show.
    pub(crate) clocks: OtherClocks,
    /// Attempts that are being replayed.
    pub(crate) replays: Replays,
    /// Whether it may sign.
    pub(crate) fate: Fate,
    /// The folder of evidence about shards that said two things.
    pub(crate) evidence: PathBuf,
    /// Where it is counted.
    pub(crate) instruments: Instruments,
}

impl Node {
    /// Gives the machine an input and waits for its answer, which comes after the step is synced (R2).
    pub(crate) async fn ask(&self, class: Class, input: impl FnOnce(Ticket) -> Input) -> Result<Answer, Rejection> {
        Ok(self.handle.call(class, |ticket| input(Ticket(ticket.0))).await?.answer)
    }

    /// Asks with every fact, all at once so that they share a step, and puts rejections back in their places.
    pub(crate) async fn ask_each<F, T>(
        &self,
        class: impl Fn(&F) -> Class,
        facts: Vec<Result<F, Rejection>>,
        input: impl Fn(Ticket, F) -> Input,
        convert: impl Fn(Answer) -> Result<T, Rejection>,
    ) -> Vec<Result<T, Rejection>> {
        let calls = facts.into_iter().map(|fact| {
            let (class, input, convert) = (&class, &input, &convert);
            async move {
                let fact = fact?;
                convert(self.ask(class(&fact), |ticket| input(ticket, fact)).await?)
            }
        });
        futures_util::future::join_all(calls).await
    }
}

/// An answer of a kind that the input does not have: a bug, told instead of a panic.
pub(crate) fn unexpected(answer: &Answer) -> Rejection {
    Rejection::new(Reason::Internal, format!("the machine gave an answer of another kind: {answer:?}"))
}
