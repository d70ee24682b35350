//! Why a message waits, in words, and what its owner can do.
//!
//! Knows nothing of how the life was asked for: a life and a time in, words out.

use super::messages::Life;
use super::relays::Sight;
use primitives::{Millis, ShardId, Time};
use wire::hops::{Hop, Standing, Step};
use wire::relay::{TraceEvent, TraceStage};

/// What a message waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Why it has not gone on, the nearest cause first.
    pub(super) why: Vec<String>,
    /// What whoever sent it can do.
    pub(super) can: Vec<String>,
}

/// On which of its two ways a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To its destination.
    Out,
    /// The receipt of its delivery, to its source.
    Back,
}

impl Waiting {
    /// What a message with this life waits for `now`; none once its life is over.
    pub(super) fn of(life: &Life, now: Time) -> Option<Self> {
        if life.is_over() {
            return None;
        }
        let way = if life.is_consumed() { Way::Back } else { Way::Out };
        let mut waiting = Self { why: vec![where_it_is(life, way)], can: Vec::new() };
        waiting.add_shards(life, way);
        if life.is_foreign() {
            waiting.add_bridge(life, way);
        } else {
            waiting.add_deadline(life, way, now);
            waiting.add_relays(life, way, now);
        }
        Some(waiting)
    }

    /// Shards without which it cannot go on.
    fn add_shards(&mut self, life: &Life, way: Way) {
        let (giver, needed) =
            if way == Way::Out { (life.source, life.destination) } else { (life.destination, life.source) };
        for (shard, reason) in &life.silent {
            if Some(*shard) == giver {
                self.why.push(format!("its receipt comes from shard {shard}, which does not answer: {reason}"));
            }
            if Some(*shard) == needed {
                self.why.push(format!("shard {shard} has to take it and does not answer: {reason}"));
                self.can.push(format!("wait for shard {shard}: relays hand it over as soon as it is back"));
            }
        }
    }

    /// Of a message over a bridge: its carriers are no relays, and it ends by no clock.
    fn add_bridge(&mut self, life: &Life, way: Way) {
        let id = life.message.as_ref().map(|message| message.v3_id().to_string()).unwrap_or_default();
        let asked =
            if life.heard.words.is_empty() { "; this node was told of neither (setting `bridges`)" } else { "" };
        self.why.push(format!("attestors vouch for it once its block is final, and a carrier takes it over{asked}"));
        self.why.extend(life.heard.hops.iter().map(|told| hop(&told.hop)));
        for (number, word) in life.heard.words.iter().enumerate() {
            let why = word.why.as_ref().map(|why| format!("bridge node {number} says: {why}"));
            let silent = word.silent.as_ref().map(|reason| format!("bridge node {number} does not answer: {reason}"));
            self.why.extend(why.into_iter().chain(silent));
        }
        self.can.push(format!("ask on the carrier's host: `dovetail bridge why {id}`"));
        if way == Way::Out && life.destination.is_none() {
            self.can.push(
                "wait: it has no deadline there and does not come back by itself; its recipient there says what it answers"
                    .to_owned(),
            );
        }
    }

    fn add_deadline(&mut self, life: &Life, way: Way, now: Time) {
        let Some(message) = life.message.as_ref().filter(|_| way == Way::Out) else { return };
        if life.is_silent(life.destination) {
            // It may have arrived: whoever sent it again would send it twice.
            self.can.push("do not send it again before it is known whether it has arrived".to_owned());
            return;
        }
        if now > message.deadline {
            let late = since(now, message.deadline);
            self.why.push(format!(
                "its deadline passed {late} ago: its destination will refuse it, and its source refund it"
            ));
            self.can.push(
                "nothing is needed: its value comes back with the refusal; send it again with a later deadline"
                    .to_owned(),
            );
        } else {
            let left = since(message.deadline, now);
            self.can.push(format!("wait: its deadline is in {left}, and after it its value comes back"));
        }
    }

    fn add_relays(&mut self, life: &Life, way: Way, now: Time) {
        if life.sights.is_empty() {
            self.why.push("this node knows no relay, so it cannot say what relays do (setting `relays`)".to_owned());
        }
        for (number, sight) in life.sights.iter().enumerate() {
            match sight {
                Sight::Seen(trace) => self.add_relay(number, trace.events.last(), now),
                Sight::Unseen => self.why.push(format!("relay {number} has not seen it")),
                Sight::Silent(reason) => self.why.push(format!("relay {number} does not answer: {reason}")),
            }
        }
        let is_carried = life.sights.iter().any(|sight| matches!(sight, Sight::Seen(trace) if is_alive(&trace.events)));
        if !is_carried {
            self.can.push(by_hand(life, way));
        }
    }

    fn add_relay(&mut self, number: usize, last: Option<&TraceEvent>, now: Time) {
        let Some(event) = last else { return };
        let ago = since(now, event.time);
        let detail = if event.detail.is_empty() { String::new() } else { format!(": {}", event.detail) };
        let words = match event.stage {
            TraceStage::Accepted => format!("relay {number} took it in {ago} ago and has not handed it over yet"),
            TraceStage::Sent => format!("relay {number} handed it over {ago} ago and waits for the answer"),
            TraceStage::Retrying => {
                let tries = event.attempt_number;
                format!("relay {number} could not hand it over {ago} ago (try {tries}) and tries again{detail}")
            }
            TraceStage::Delivered => format!("relay {number} has the receipt of its delivery since {ago}"),
            TraceStage::Acknowledging => format!("relay {number} handed the delivery to its source {ago} ago{detail}"),
            TraceStage::Acknowledged => format!("relay {number} says that its life is over since {ago}"),
            TraceStage::Revived => format!("relay {number} was told {ago} ago to try again"),
            TraceStage::Dead => {
                self.can.push(format!(
                    "ask who runs relay {number} to put it back (dovetail bridge dead-letters retry), once the cause is gone"
                ));
                format!("relay {number} gave it up {ago} ago{detail}: a dead letter")
            }
        };
        self.why.push(words);
    }
}

fn where_it_is(life: &Life, way: Way) -> String {
    let named = |shard: Option<ShardId>| shard.map_or("a foreign chain".to_owned(), |shard| format!("shard {shard}"));
    let needed = if way == Way::Out { life.destination } else { life.source };
    match way {
        Way::Out if life.is_silent(needed) => format!(
            "it was put in the outbox of {}; whether {needed} has consumed it is unknown: {needed} is silent",
            named(life.source),
            needed = named(needed)
        ),
        Way::Back if life.is_silent(needed) => format!(
            "{} consumed it; whether {needed} has heard of that is unknown: {needed} is silent",
            named(life.destination),
            needed = named(needed)
        ),
        Way::Out => format!(
            "it is in the outbox of {}, and {} has not consumed it",
            named(life.source),
            named(life.destination)
        ),
        Way::Back => {
            format!("{} consumed it, and {} has not heard of that", named(life.destination), named(life.source))
        }
    }
}

/// A transaction on the foreign chain, in words.
fn hop(hop: &Hop) -> String {
    let step = match hop.step {
        Step::Dispatched => "sent it",
        Step::Processed => "delivers it",
        Step::Answered => "tells its sender its end",
    };
    let named = hop.transaction.map_or("a transaction".to_owned(), |hash| format!("transaction {hash}"));
    let block = hop.block.map_or("a block".to_owned(), |number| format!("block {number}"));
    match hop.state {
        Standing::UnderWay => format!("{named} that {step} there is under way and in no block yet"),
        Standing::Mined => format!("{named} that {step} there is in {block}, which may still go"),
        Standing::Reverted => format!("{named} that {step} there reverted in {block}"),
        Standing::Final => format!("{named} that {step} there is in {block}, which is final"),
    }
}

/// Whether a relay with these events goes on.
fn is_alive(events: &[TraceEvent]) -> bool {
    events.last().is_some_and(|event| event.stage != TraceStage::Dead)
}

/// What anybody can do without a relay.
fn by_hand(life: &Life, way: Way) -> String {
    let (kind, from) = match way {
        Way::Out => ("message", life.source),
        Way::Back => ("delivery", life.destination),
    };
    let from = from.map_or(String::new(), |shard| format!(" --shard {shard}"));
    format!(
        "carry it yourself: `dovetail receipt export --kind {kind}{from}`, then hand the receipt to any relay (SubmitReceipts)"
    )
}

fn since(now: Time, then: Time) -> String {
    let Millis(ms) = now.since(then);
    match ms / 1_000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::super::bridges::{Heard, Told, Word};
    use super::super::sample::message;
    use super::*;
    use primitives::Height;
    use proof::Message;
    use wire::relay::Trace;
    use wire::shard::Mark;

    fn life(stage: Option<TraceStage>, detail: &str) -> Life {
        let event = |stage| TraceEvent { time: Time(10_000), stage, attempt_number: 3, detail: detail.to_owned() };
        let sight = |stage| Sight::Seen(Trace { message: message(), events: vec![event(stage)] });
        Life {
            message: Some(message()),
            source: Some(ShardId(0)),
            destination: Some(ShardId(2)),
            dispatched: Some(Mark { height: Height(5), time: Time(1_000) }),
            sights: stage.map(sight).into_iter().collect(),
            ..Life::default()
        }
    }

    fn told(life: &Life, now: u64) -> String {
        let waiting = Waiting::of(life, Time(now)).unwrap();
        format!("{}|{}", waiting.why.join(". "), waiting.can.join(". "))
    }

    #[test]
    fn a_dead_letter_is_explained_with_what_can_be_done() {
        let text = told(&life(Some(TraceStage::Dead), "the recipient has no code"), 20_000);
        assert!(text.contains("gave it up 10 s ago: the recipient has no code: a dead letter"), "{text}");
        assert!(
            text.contains("dead-letters retry") && text.contains("receipt export --kind message --shard 0"),
            "{text}"
        );
    }

    #[test]
    fn a_message_for_a_silent_shard_says_which() {
        let mut life = life(Some(TraceStage::Retrying), "unavailable");
        life.silent.push((ShardId(2), "has not answered for 9 s".to_owned()));
        let text = told(&life, 20_000);
        assert!(text.contains("shard 2 has to take it and does not answer"), "{text}");
        assert!(text.contains("tries again: unavailable") && !text.contains("carry it yourself"), "{text}");
        assert!(text.contains("whether shard 2 has consumed it is unknown: shard 2 is silent"), "{text}");
        assert!(!told(&life, 400_000).contains("send it again with"), "it may have arrived");
    }

    #[test]
    fn a_silent_source_is_not_said_to_have_heard_nothing() {
        let mut life = life(Some(TraceStage::Acknowledging), "");
        life.delivered = Some(Mark { height: Height(9), time: Time(9_000) });
        life.silent.push((ShardId(0), "has not answered for 9 s".to_owned()));
        let text = told(&life, 20_000);
        assert!(text.contains("whether shard 0 has heard of that is unknown: shard 0 is silent"), "{text}");
        let Sight::Seen(trace) = &mut life.sights[0] else { panic!("it was seen") };
        trace.events[0].stage = TraceStage::Acknowledged;
        assert_eq!(Waiting::of(&life, Time(20_000)), None);
    }

    #[test]
    fn one_past_its_deadline_will_be_refunded() {
        let text = told(&life(None, ""), 400_000);
        assert!(text.contains("its deadline passed 5 min ago") && text.contains("refund"), "{text}");
    }

    #[test]
    fn one_over_a_bridge_is_neither_promised_a_refund_nor_sent_to_a_relay() {
        let mut life = life(None, "");
        life.message = Some(Message { destination: 31_337, ..message() });
        life.destination = None;
        let text = told(&life, 400_000);
        let command = format!("dovetail bridge why {}", life.message.as_ref().unwrap().v3_id());
        assert!(text.contains("a foreign chain has not consumed it") && text.contains(&command), "{text}");
        assert!(!text.contains("refund") && !text.contains("relay") && !text.contains("receipt export"), "{text}");
    }

    #[test]
    fn one_over_a_bridge_is_told_where_its_transaction_is_and_what_the_bridge_says() {
        let mut life = life(None, "");
        life.message = Some(Message { destination: 31_337, ..message() });
        life.destination = None;
        assert!(told(&life, 20_000).contains("this node was told of neither (setting `bridges`)"));
        let transaction = alloy_primitives::B256::repeat_byte(7);
        let hop = Hop {
            step: Step::Processed,
            state: Standing::Mined,
            transaction: Some(transaction),
            block: Some(42),
            block_hash: None,
        };
        let silent = Word { silent: Some("no answer in time".to_owned()), why: None };
        let words = vec![silent, Word { silent: None, why: Some("it was put aside".to_owned()) }];
        life.heard = Heard { words, hops: vec![Told { hop, by: [1].into() }] }.into();
        let text = told(&life, 20_000);
        let mined = format!("transaction {transaction} that delivers it there is in block 42, which may still go");
        assert!(text.contains(&mined) && !text.contains("told of neither"), "{text}");
        assert!(text.contains("bridge node 0 does not answer: no answer in time"), "{text}");
        assert!(text.contains("bridge node 1 says: it was put aside"), "{text}");
    }

    #[test]
    fn one_that_is_consumed_waits_for_its_acknowledgement() {
        let mut life = life(Some(TraceStage::Delivered), "");
        life.delivered = Some(Mark { height: Height(9), time: Time(9_000) });
        let text = told(&life, 20_000);
        assert!(text.contains("shard 2 consumed it, and shard 0 has not heard of that"), "{text}");
        life.acknowledged = life.delivered;
        assert_eq!(Waiting::of(&life, Time(20_000)), None);
    }
}
