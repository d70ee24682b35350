//! What the service's calls share: the machine's handle, the checks before it, and the network.

use crate::base::Base;
use crate::departures::Departures;
use crate::fate::Fate;
use crate::floor::Floor;
use crate::replays::Replays;
use evm::StateKey;
use host::network::Network;
use host::{Class, Handle, Instruments, OtherClocks};
use primitives::ShardId;
use shard::{Answer, Checks, Input, Reply, Ticket, queries};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use wire::shard::Terms;
use wire::traces::during;
use wire::{Reason, Rejection};

/// Most values of a forked chain that one input may need beyond what was read for it before.
const READS_PER_INPUT_COUNT_MAX: usize = 256;

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
    /// Where values of a forked chain come from, in a network that was forked.
    pub(crate) base: Option<Base>,
    /// Attempts that are being replayed.
    pub(crate) replays: Replays,
    /// Whether it may sign.
    pub(crate) fate: Fate,
    /// The folder of evidence about shards that said two things.
    pub(crate) evidence: PathBuf,
    /// Where it is counted.
    pub(crate) instruments: Instruments,
    /// What is traced of messages that leave.
    pub(crate) departures: Departures,
}

impl Node {
    /// Gives the machine an input and waits for its answer, which comes after the step is synced (R2).
    pub(crate) async fn ask(&self, class: Class, input: impl FnOnce(Ticket) -> Input) -> Result<Answer, Rejection> {
        let Some(base) = &self.base else {
            return Ok(self.handle.call(class, |ticket| input(Ticket(ticket.0))).await?.answer);
        };
        self.ask_until_read(base, class, &input(Ticket(0))).await
    }

    /// Asks again and again, each time with one more value of the forked chain read: a run on a shard's own state stops at the first.
    async fn ask_until_read(&self, base: &Base, class: Class, input: &Input) -> Result<Answer, Rejection> {
        for _ in 0..READS_PER_INPUT_COUNT_MAX {
            let once_more = |ticket: host::Ticket| input.clone().with_ticket(Ticket(ticket.0));
            let answer = self.handle.call(class, once_more).await?.answer;
            let Some(key) = answer.not_read() else { return Ok(answer) };
            self.read_base(base, [key]).await?;
        }
        let text =
            format!("it reads more than {READS_PER_INPUT_COUNT_MAX} values of the forked chain, one after another");
        Err(Rejection::new(Reason::Busy, text))
    }

    /// Waits until own keys are read from the forked chain; in a network that was not forked they all are.
    pub(crate) async fn read(&self, keys: impl IntoIterator<Item = StateKey>) -> Result<(), Rejection> {
        match &self.base {
            Some(base) => self.read_base(base, keys).await,
            None => Ok(()),
        }
    }

    async fn read_base(&self, base: &Base, keys: impl IntoIterator<Item = StateKey>) -> Result<(), Rejection> {
        let unread = queries::unread(&self.handle.reader().snapshot(), keys);
        base.read(unread).await
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
        during("step", futures_util::future::join_all(calls)).await
    }
}

/// An answer of a kind that the input does not have: a bug, told instead of a panic.
pub(crate) fn unexpected(answer: &Answer) -> Rejection {
    Rejection::new(Reason::Internal, format!("the machine gave an answer of another kind: {answer:?}"))
}
