//! `OperatorService` of a relay: its routes as ways `0-1`, its dead letters, and why a message waits here.

use crate::api::Node;
use alloy_primitives::B256;
use host::wall;
use primitives::{Height, Millis, ShardId, Time};
use proof::{DeliveryStatus, Message, MessageId};
use relay::{Command, DeadLetter, Leg, Life, Route, Stage};
use wire::hops::Sight;
use wire::operator::{Letter, OperatorApi, Way};
use wire::{Reason, Rejection};

impl OperatorApi for Node {
    async fn ways(&self) -> Result<Vec<Way>, Rejection> {
        let (now, reasons) = (wall(), self.reasons());
        let way = |status: relay::RouteStatus| Way {
            name: name(status.route),
            ends: format!("shard {} to shard {}", status.route.source, status.route.destination),
            paused: status.paused.then(|| reasons.get(&status.route).cloned().unwrap_or_default()),
            waiting_count: status.queued_count,
            oldest: status.oldest.map_or(Millis(0), |oldest| now.since(oldest)),
            done_count: status.acknowledged_count,
            moved: (status.progress.0 > 0).then(|| now.since(status.progress)),
            letters_count: status.dead_count,
            trouble: status.last_error,
        };
        Ok(self.read(|read| relay::routes(read)).into_iter().map(way).collect())
    }

    async fn letters(&self, after: Option<B256>, count_max: usize) -> Result<Vec<Letter>, Rejection> {
        let letters = self.read(|read| relay::dead_letters(read, after.map(MessageId), count_max));
        Ok(letters.into_iter().map(|letter| self.told(letter, Vec::new(), Vec::new())).collect())
    }

    async fn letter(&self, id: B256) -> Result<Letter, Rejection> {
        let (letter, message, receipt) = self.dead(id)?;
        Ok(self.told(letter, message, receipt))
    }

    async fn retry(&self, id: B256, gas_min: u64) -> Result<(), Rejection> {
        let (letter, message, _) = self.dead(id)?;
        if gas_min > 0 {
            let own = Message::from_bytes(&message).map_or(String::new(), |message| format!(", {}", message.gas_limit));
            let text = format!(
                "between shards a message runs with the gas that its sender paid for{own}: retry {} without gas",
                letter.message
            );
            return Err(Rejection::new(Reason::Unsupported, text));
        }
        self.command(Command::Retry(letter.message)).await
    }

    /// A shard gives back what it is shown to have failed or expired, so all there is to do is to have it shown.
    async fn refund(&self, id: B256) -> Result<(), Rejection> {
        let (letter, message, _) = self.dead(id)?;
        let cannot = |text: String| Err(Rejection::new(Reason::Unsupported, text));
        let status = self.read(|read| relay::trace(read, letter.message)).and_then(|trace| trace.status);
        if status == Some(DeliveryStatus::Delivered) {
            return cannot(format!(
                "{id} was delivered: there is nothing to give back. Retry it, and its sender is told"
            ));
        }
        let deadline = if letter.leg == Leg::Out { Message::from_bytes(&message)?.deadline } else { Time(0) };
        let now = wall();
        if now < deadline {
            return cannot(format!(
                "{id} may be delivered until its deadline, in {}, and a refund before that would pay twice; after it ask again: its \
                 destination then certifies that it expired, and its sender has its value back",
                seconds(deadline.since(now))
            ));
        }
        self.command(Command::Retry(letter.message)).await
    }

    async fn drop_letter(&self, id: B256, reason: String) -> Result<(), Rejection> {
        let message = self.dead(id)?.0.message;
        tracing::warn!(%message, reason, "an operator gave a message up");
        self.command(Command::Drop { message, reason }).await
    }

    async fn pause(&self, way: String, reason: String) -> Result<(), Rejection> {
        self.set_paused(self::way(&way)?, Some(reason)).await
    }

    async fn resume(&self, way: String) -> Result<(), Rejection> {
        self.set_paused(self::way(&way)?, None).await
    }

    async fn rescan(&self, way: String, from: u64, to: u64) -> Result<(), Rejection> {
        let (route, from, to) = (self::way(&way)?, Height(from), Height(to));
        self.command(Command::Rescan { route, from, to }).await
    }

    async fn explain(&self, id: B256) -> Result<Sight, Rejection> {
        let message = MessageId(id);
        let unknown =
            || Rejection::new(Reason::NotFound, format!("this relay never saw message {id}, or has forgotten it"));
        self.read(|read| {
            let trace = relay::trace(read, message).ok_or_else(unknown)?;
            let route = self.between(trace.source, trace.destination).ok().filter(|_| trace.life == Life::Out);
            let paused =
                route.filter(|route| relay::routes(read).iter().any(|status| status.route == *route && status.paused));
            let is_letter = relay::dead_letter(read, message).is_some();
            Ok(Sight { why: Some(why(&trace, paused, is_letter, wall())), ..Sight::default() })
        })
    }
}

impl Node {
    fn dead(&self, id: B256) -> Result<(DeadLetter, Vec<u8>, Vec<u8>), Rejection> {
        let none = || Rejection::new(Reason::NotFound, format!("{id} is no dead letter of this relay"));
        self.read(|read| relay::dead_letter(read, MessageId(id))).ok_or_else(none)
    }

    fn told(&self, letter: DeadLetter, message: Vec<u8>, proof: Vec<u8>) -> Letter {
        let way = self.between(letter.source, letter.destination).map_or(String::new(), name);
        Letter { id: letter.message.0, way, tries_count: letter.refusals, why: letter.reason, message, proof }
    }
}

/// The route that an operator means.
fn way(text: &str) -> Result<Route, Rejection> {
    let shard = |number: &str| number.parse().ok().map(ShardId);
    let ends = text.split_once('-').and_then(|(source, destination)| shard(source).zip(shard(destination)));
    let none = || Rejection::new(Reason::NoRoute, format!("there is no way {text:?} here: a relay's are 0-1, 1-0, …"));
    ends.map(|(source, destination)| Route { source, destination }).ok_or_else(none)
}

fn name(route: Route) -> String {
    format!("{}-{}", route.source, route.destination)
}

/// Why a message is where it is, in words.
fn why(trace: &relay::Trace, paused: Option<Route>, is_letter: bool, now: Time) -> String {
    let Some(last) = trace.events.last() else { return "nothing is known of its way".to_owned() };
    let (ago, detail) = (seconds(now.since(last.time)), &last.detail);
    let end = trace.status.map_or("its end is proven", |status| match status {
        DeliveryStatus::Delivered => "it was delivered",
        DeliveryStatus::Failed => "its recipient did not take it",
        DeliveryStatus::Expired => "it expired",
    });
    if let Some(route) = paused {
        return format!(
            "the way {} is paused: resume it, and it goes (last, {ago} ago: {})",
            name(route),
            said(last.stage)
        );
    }
    match trace.life {
        Life::Ended => format!("nothing is left to do: {end}, and its source was told {ago} ago"),
        Life::DeadOut | Life::DeadBack if is_letter => {
            format!("it was put aside {ago} ago, as a dead letter: {detail}; retry, refund or drop it")
        }
        Life::DeadOut | Life::DeadBack => format!("{detail}, {ago} ago"),
        Life::Unroutable => format!("{detail}: it is carried nowhere"),
        Life::Out | Life::Back => {
            let (to, before) = match trace.life {
                Life::Back => ("its source", format!("{end}; ")),
                _ => ("its destination", String::new()),
            };
            match last.stage {
                Stage::Sent | Stage::Acknowledging => {
                    format!("{before}{to} was handed it {ago} ago, at try {}, and has not answered", last.attempt)
                }
                Stage::Retrying => {
                    format!(
                        "{before}{to} did not take it at try {}, {ago} ago: {detail}; it is tried again",
                        last.attempt
                    )
                }
                stage => format!("{before}it waits for its turn at {to} (last, {ago} ago: {})", said(stage)),
            }
        }
    }
}

fn said(stage: Stage) -> &'static str {
    match stage {
        Stage::Accepted => "its receipt was read and believed",
        Stage::Sent => "it was handed to its destination",
        Stage::Retrying => "it was refused for now",
        Stage::Delivered => "the receipt of its delivery was read and believed",
        Stage::Acknowledging => "its delivery was handed to its source",
        Stage::Acknowledged => "its source took its delivery",
        Stage::Dead => "it was given up",
        Stage::Revived => "an operator put it back",
    }
}

fn seconds(Millis(ms): Millis) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay::Event;

    fn trace(life: Life, stage: Stage, detail: &str) -> relay::Trace {
        let event = Event { time: Time(1_000), stage, attempt: 3, detail: detail.to_owned() };
        let (source, destination) = (1, 2);
        relay::Trace { message: None, source, destination, life, status: None, events: vec![event] }
    }

    #[test]
    fn a_message_that_waits_says_for_what() {
        let route = Some(Route { source: ShardId(0), destination: ShardId(1) });
        let cases = [
            (Life::Out, Stage::Accepted, None, false, "waits for its turn at its destination"),
            (Life::Out, Stage::Sent, None, false, "was handed it 1.5 s ago, at try 3, and has not answered"),
            (Life::Out, Stage::Retrying, None, false, "did not take it at try 3, 1.5 s ago: a lock; it is tried again"),
            (Life::Out, Stage::Accepted, route, false, "the way 0-1 is paused: resume it"),
            (Life::Back, Stage::Acknowledging, None, false, "its source was handed it"),
            (Life::DeadOut, Stage::Dead, None, true, "a dead letter: a lock; retry, refund or drop it"),
            (Life::DeadOut, Stage::Dead, None, false, "a lock, 1.5 s ago"),
            (Life::Unroutable, Stage::Dead, None, false, "a lock: it is carried nowhere"),
            (Life::Ended, Stage::Acknowledged, None, false, "nothing is left to do"),
        ];
        for (life, stage, paused, is_letter, expected) in cases {
            let said = why(&trace(life, stage, "a lock"), paused, is_letter, Time(2_500));
            assert!(said.contains(expected), "{said}");
        }
    }
}
