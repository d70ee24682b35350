//! The relays that this node was told of: what they saw of a message, their routes, what they gave up.

use super::Explorer;
use super::answer::Problem;
use super::query::{Query, word};
use futures_util::future::join_all;
use proof::MessageId;
use serde_json::{Value, json};
use std::time::Duration;
use wire::client::{ClientSettings, ConnectError, Connection, Deadlines};
use wire::relay::{DeadLetter, RelayClient, Route, Trace, TraceStage};
use wire::{Reason, Rejection};

/// How long a relay may take to say what it knows.
const RELAY_DEADLINE: Duration = Duration::from_secs(2);

/// All of them, by their number in the settings.
#[derive(Debug)]
pub(super) struct Relays(Vec<RelayClient>);

/// What one relay says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    /// What it did with it.
    Seen(Trace),
    /// Nothing: it never saw it.
    Unseen,
    /// It did not answer.
    Silent(String),
}

impl Relays {
    /// Those at these endpoints; they connect when first used.
    ///
    /// # Errors
    /// [`ConnectError`] for an endpoint that is none.
    pub(super) fn connect(endpoints: &[String]) -> Result<Self, ConnectError> {
        let open = |endpoint: &String| {
            let connection = Connection::open(&ClientSettings::plain(endpoint.clone()))?;
            let deadlines = Deadlines { read: RELAY_DEADLINE, ..Deadlines::default() };
            Ok(RelayClient::new(connection.with_deadlines(deadlines)))
        };
        endpoints.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Whether these endpoints are some, without a runtime to connect in.
    ///
    /// # Errors
    /// As [`Relays::connect`].
    pub(super) fn check(endpoints: &[String]) -> Result<(), ConnectError> {
        endpoints.iter().try_for_each(|endpoint| ClientSettings::plain(endpoint.clone()).check())
    }

    /// What each saw of a message.
    pub(super) async fn sights(&self, id: MessageId) -> Vec<Sight> {
        let sight = |trace: Result<Trace, Rejection>| match trace {
            Ok(trace) => Sight::Seen(trace),
            Err(rejection) if rejection.reason == Reason::NotFound => Sight::Unseen,
            Err(rejection) => Sight::Silent(rejection.message),
        };
        let traces = join_all(self.0.iter().map(|relay| async move { relay.trace(id).await })).await;
        traces.into_iter().map(sight).collect()
    }

    /// Each relay's routes, or why it did not tell them.
    pub(super) async fn routes(&self) -> Vec<Result<Vec<Route>, Rejection>> {
        join_all(self.0.iter().map(|relay| async move { relay.routes().await })).await
    }
}

impl Explorer {
    /// How many this node was told of.
    pub(super) fn relays_count(&self) -> usize {
        self.relays.0.len()
    }

    /// What relays gave up, a page from message `after` on.
    pub(super) async fn dead_letters(&self, query: &Query) -> Result<Value, Problem> {
        let after = query.text("after").map(word).transpose()?.map(MessageId);
        let count = query.count()?;
        let pages = join_all(self.relays.0.iter().map(|relay| async move { relay.dead_letters(after).await })).await;
        let (mut letters, mut silent) = (Vec::new(), Vec::new());
        for (number, page) in pages.into_iter().enumerate() {
            match page {
                Ok(page) => letters.extend(page.into_iter().map(|letter| (letter.message, number, letter))),
                Err(rejection) => silent.push(json!({ "relay": number, "reason": rejection.message })),
            }
        }
        letters.sort_by_key(|(message, number, _)| (*message, *number));
        let next = letters.get(count).and(letters.get(count - 1)).map(|(message, ..)| message.to_string());
        let told: Vec<Value> =
            letters.into_iter().take(count).map(|(_, number, letter)| self.dead_letter(number, &letter)).collect();
        Ok(json!({ "deadLetters": told, "next": next, "silentRelays": silent, "relays": self.relays.0.len() }))
    }

    fn dead_letter(&self, number: usize, letter: &DeadLetter) -> Value {
        json!({
            "relay": number,
            "message": letter.message.to_string(),
            "source": self.domain(letter.route.source),
            "destination": self.domain(letter.route.destination),
            "tries": letter.attempts_count,
            "reason": letter.reason,
            "time": letter.time.0,
        })
    }
}

/// What a stage is called outside.
pub(super) fn stage(stage: TraceStage) -> &'static str {
    match stage {
        TraceStage::Accepted => "accepted",
        TraceStage::Sent => "sent",
        TraceStage::Retrying => "retrying",
        TraceStage::Delivered => "delivered",
        TraceStage::Acknowledging => "acknowledging",
        TraceStage::Acknowledged => "acknowledged",
        TraceStage::Dead => "dead",
        TraceStage::Revived => "revived",
    }
}
