//! `RelayService` on the machine and on snapshots of its store.

use crate::carrier::Carrier;
use crate::pauses::Pauses;
use host::{Class, Handle};
use primitives::NetworkId;
use proof::{Message, MessageId, Receipt, domain_of, shard_of};
use relay::{Command, CommandError, Input, Reply, Stage, Submission, SubmitError, Ticket};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Snapshot;
use wire::participant::Answers;
use wire::relay::{DeadLetter, Novelty, RelayApi, Route, RouteKey, Taken, Trace, TraceEvent, TraceStage};
use wire::state::LeafPlace;
use wire::{Reason, Rejection};

/// A running relay.
#[derive(Debug)]
pub(crate) struct Node {
    handle: Handle<Input, Reply>,
    carrier: Arc<Carrier>,
    pauses: Pauses,
    network: NetworkId,
}

/// Which call a reply is for.
pub(crate) fn ticket_of(reply: &Reply) -> Ticket {
    match reply {
        Reply::Submitted { ticket, .. } | Reply::Commanded { ticket, .. } => *ticket,
    }
}

impl RelayApi for Node {
    async fn submit_receipts(&self, receipts: Vec<Receipt>) -> Result<Answers<Taken>, Rejection> {
        let submit = |receipt| async {
            let carried = self.carrier.check(receipt).await?;
            let input = |ticket: host::Ticket| Input::Submit { ticket: Ticket(ticket.0), carried };
            match self.handle.call(Class::New, input).await? {
                Reply::Submitted { result: Ok(submission), .. } => Ok(taken(submission)),
                Reply::Submitted { result: Err(error), .. } => Err(submit_error(&error)),
                Reply::Commanded { .. } => Err(mixed_up()),
            }
        };
        Ok(futures_util::future::join_all(receipts.into_iter().map(submit)).await)
    }

    async fn trace(&self, id: MessageId) -> Result<Trace, Rejection> {
        let unknown = || Rejection::new(Reason::NotFound, format!("this relay never saw message {id}"));
        let trace = relay::trace(&self.handle.reader().snapshot(), id).ok_or_else(unknown)?;
        let text = "this relay does not keep the message any more";
        let bytes = trace.message.ok_or_else(|| Rejection::new(Reason::NotFound, text))?;
        let event = |event: relay::Event| TraceEvent {
            time: event.time,
            stage: stage(event.stage),
            attempt_number: event.attempt,
            detail: event.detail,
        };
        Ok(Trace { message: Message::from_bytes(&bytes)?, events: trace.events.into_iter().map(event).collect() })
    }

    async fn routes(&self) -> Result<Vec<Route>, Rejection> {
        let routes = relay::routes(&self.handle.reader().snapshot());
        Ok(routes.into_iter().map(|status| self.route(status)).collect())
    }

    async fn dead_letters(&self, after: Option<MessageId>, count_max: usize) -> Result<Vec<DeadLetter>, Rejection> {
        let letters = relay::dead_letters(&self.handle.reader().snapshot(), after, count_max);
        let letter = |letter: relay::DeadLetter| DeadLetter {
            message: letter.message,
            route: RouteKey { source: letter.source, destination: letter.destination },
            attempts_count: letter.refusals,
            reason: letter.reason,
            time: letter.time,
        };
        Ok(letters.into_iter().map(letter).collect())
    }

    async fn retry_dead_letter(&self, id: MessageId) -> Result<(), Rejection> {
        self.command(Command::Retry(id)).await
    }

    async fn pause(&self, route: RouteKey) -> Result<(), Rejection> {
        self.set_paused(self.between(route.source, route.destination)?, Some(String::new())).await
    }

    async fn resume(&self, route: RouteKey) -> Result<(), Rejection> {
        self.set_paused(self.between(route.source, route.destination)?, None).await
    }
}

impl Node {
    /// Serves `handle`'s machine.
    pub(crate) fn new(handle: Handle<Input, Reply>, carrier: Arc<Carrier>, pauses: Pauses, network: NetworkId) -> Self {
        Self { handle, carrier, pauses, network }
    }

    /// Reads in the relay's store as it is now.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> T) -> T {
        read(&self.handle.reader().snapshot())
    }

    /// Why an operator paused routes, as far as this process was told.
    pub(crate) fn reasons(&self) -> BTreeMap<relay::Route, String> {
        self.pauses.reasons()
    }

    /// Pauses a route for a reason, or with none has it carry again.
    pub(crate) async fn set_paused(&self, route: relay::Route, reason: Option<String>) -> Result<(), Rejection> {
        let (source, destination) = (route.source, route.destination);
        if let Some(reason) = reason {
            self.command(Command::Pause(route)).await?;
            tracing::warn!(%source, %destination, reason, "an operator paused a route");
            self.pauses.paused(route, reason);
        } else {
            self.command(Command::Resume(route)).await?;
            tracing::info!(%source, %destination, "an operator resumed a route");
            self.pauses.resumed(route);
        }
        Ok(())
    }

    pub(crate) async fn command(&self, command: Command) -> Result<(), Rejection> {
        let input = |ticket: host::Ticket| Input::Command { ticket: Ticket(ticket.0), command };
        match self.handle.call(Class::UnderWay, input).await? {
            Reply::Commanded { result, .. } => result.map_err(|error| command_error(&error)),
            Reply::Submitted { .. } => Err(mixed_up()),
        }
    }

    /// The route between two domains.
    pub(crate) fn between(&self, source: u32, destination: u32) -> Result<relay::Route, Rejection> {
        let shard = |domain| {
            let text = format!("domain {domain:#010x} is no shard of network {}", self.network);
            shard_of(self.network, domain).ok_or_else(|| Rejection::new(Reason::NoRoute, text))
        };
        Ok(relay::Route { source: shard(source)?, destination: shard(destination)? })
    }

    fn route(&self, status: relay::RouteStatus) -> Route {
        let source = domain_of(self.network, status.route.source);
        let destination = domain_of(self.network, status.route.destination);
        Route {
            key: RouteKey { source, destination },
            paused: status.paused,
            cursor: LeafPlace { height: status.cursor.height, index: status.cursor.index },
            queued_count: status.queued_count,
            dead_count: status.dead_count,
            acknowledged_count: status.acknowledged_count,
            oldest: status.oldest,
            progress: (status.progress.0 > 0).then_some(status.progress),
            last_error: status.last_error,
        }
    }
}

fn taken(submission: Submission) -> Taken {
    match submission {
        Submission::Accepted(message) => Taken { message, novelty: Novelty::New },
        Submission::Duplicate(message) => Taken { message, novelty: Novelty::Already },
    }
}

fn submit_error(error: &SubmitError) -> Rejection {
    let text = error.to_string();
    match error {
        SubmitError::Leaf(error) => error.clone().into(),
        SubmitError::NoRoute { .. } => Rejection::new(Reason::NoRoute, text),
        SubmitError::Full { .. } => Rejection::new(Reason::Busy, text),
    }
}

fn command_error(error: &CommandError) -> Rejection {
    let reason = match error {
        CommandError::NoRoute { .. } => Reason::NoRoute,
        CommandError::NotDead { .. } => Reason::NotFound,
        CommandError::NotRead { .. } => Reason::InvalidArgument,
        CommandError::Full { .. } => Reason::Busy,
    };
    Rejection::new(reason, error.to_string())
}

fn mixed_up() -> Rejection {
    Rejection::new(Reason::Internal, "the machine answered another call")
}

fn stage(stage: Stage) -> TraceStage {
    match stage {
        Stage::Accepted => TraceStage::Accepted,
        Stage::Sent => TraceStage::Sent,
        Stage::Retrying => TraceStage::Retrying,
        Stage::Delivered => TraceStage::Delivered,
        Stage::Acknowledging => TraceStage::Acknowledging,
        Stage::Acknowledged => TraceStage::Acknowledged,
        Stage::Dead => TraceStage::Dead,
        Stage::Revived => TraceStage::Revived,
    }
}
