//! A message's life out of what shards and relays say, and what it waits for.

use alloy_primitives::{Address, B256};
use primitives::{Height, Millis, NetworkId, ShardId, Time};
use proof::{DeliveryStatus, Message, MessageId, shard_of};
use std::collections::BTreeSet;
use std::fmt::{self, Write};
use wire::relay::{Trace, TraceEvent, TraceStage};
use wire::shard::{Mark, MessageLife};

/// Where something happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a block of a shard, at its attested time.
    Shard(ShardId, Height),
    /// At a relay, by its clock.
    Relay(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(shard, height) => write!(f, "shard {shard} block {height}"),
            Self::Relay(name) => f.write_str(name),
        }
    }
}

/// One event of a life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// When.
    pub time: Time,
    /// Which of several at one time comes first: a message is dispatched before a relay sees it.
    order: u8,
    /// Where.
    pub place: Place,
    /// What, in words.
    pub what: String,
}

/// What a relay knows of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelaySight {
    /// Nothing.
    Unseen,
    /// Its story's last event.
    Seen(TraceEvent),
    /// Its story without an event.
    Silent,
}

/// What is known of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    id: MessageId,
    network: NetworkId,
    message: Option<Message>,
    events: Vec<Event>,
    delivered: Option<Mark>,
    acknowledged: Option<Mark>,
    status: Option<DeliveryStatus>,
    is_known: bool,
    relays: Vec<(String, RelaySight)>,
    /// All that a relay saw happen.
    stages: Vec<TraceStage>,
    silent: Vec<(String, String)>,
    /// Shards that do not know it and have forgotten what is old and over.
    forgetful: BTreeSet<ShardId>,
}

impl Life {
    /// Nothing known yet.
    pub fn new(id: MessageId, network: NetworkId) -> Self {
        Self {
            id,
            network,
            message: None,
            events: Vec::new(),
            delivered: None,
            acknowledged: None,
            status: None,
            is_known: false,
            relays: Vec::new(),
            stages: Vec::new(),
            silent: Vec::new(),
            forgetful: BTreeSet::new(),
        }
    }

    /// Whose life it is.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// By what id a foreign chain at one of its ends has it.
    pub fn foreign_id(&self) -> B256 {
        self.message.as_ref().map_or(self.id.0, Message::v3_id)
    }

    /// Whether a shard or a relay knows the message.
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// Whether the message's source knows how it ended: nothing follows. A relay's word stands for a silent source; one that has forgotten
    /// the message knew its end.
    pub fn is_over(&self) -> bool {
        let is_forgotten = self.source().is_some_and(|source| self.forgetful.contains(&source));
        self.acknowledged.is_some() || is_forgotten || self.relay_says_for(self.source(), &[TraceStage::Acknowledged])
    }

    /// Whether its destination consumed it. An acknowledgement proves that, whoever is silent.
    fn is_consumed(&self) -> bool {
        let after = [TraceStage::Delivered, TraceStage::Acknowledging, TraceStage::Acknowledged];
        self.delivered.is_some() || self.is_over() || self.relay_says_for(self.destination(), &after)
    }

    /// Whether a relay saw one of `stages`, where `shard`, who knows it best, is silent.
    fn relay_says_for(&self, shard: Option<ShardId>, stages: &[TraceStage]) -> bool {
        self.silent_one(shard).is_some() && self.stages.iter().any(|stage| stages.contains(stage))
    }

    fn source(&self) -> Option<ShardId> {
        shard_of(self.network, self.message.as_ref()?.origin)
    }

    fn destination(&self) -> Option<ShardId> {
        shard_of(self.network, self.message.as_ref()?.destination)
    }

    /// The name of this shard if it did not answer.
    fn silent_one(&self, shard: Option<ShardId>) -> Option<String> {
        let name = format!("shard {}", shard?);
        self.silent.iter().any(|(silent, _)| *silent == name).then_some(name)
    }

    /// Who did not answer, and why.
    pub fn silent(&self) -> impl Iterator<Item = (&str, &str)> {
        self.silent.iter().map(|(name, why)| (name.as_str(), why.as_str()))
    }

    /// Adds what a shard knows.
    pub fn add_shard(&mut self, shard: ShardId, known: MessageLife) {
        self.is_known = true;
        let sends_value = known.message.as_ref().is_some_and(|message| !message.value.is_zero());
        if let Some(mark) = known.dispatched {
            self.add(mark.time, 0, Place::Shard(shard, mark.height), "dispatched: its receipt can be had".to_owned());
        }
        if let Some(mark) = known.delivered {
            let what = delivery(known.status, &known.detail);
            self.add(mark.time, 3, Place::Shard(shard, mark.height), what);
        }
        if let Some(mark) = known.acknowledged {
            let what = settlement(known.status, sends_value);
            self.add(mark.time, 6, Place::Shard(shard, mark.height), what.to_owned());
        }
        self.delivered = self.delivered.or(known.delivered);
        self.acknowledged = self.acknowledged.or(known.acknowledged);
        self.status = self.status.or(known.status);
        self.message = self.message.take().or(known.message);
    }

    /// Adds a relay's story.
    pub fn add_relay(&mut self, name: String, trace: Trace) {
        self.is_known = true;
        self.stages.extend(trace.events.iter().map(|event| event.stage));
        let sight = trace.events.last().cloned().map_or(RelaySight::Silent, RelaySight::Seen);
        for event in trace.events {
            let what = relay_event(&event);
            self.add(event.time, order_of(event.stage), Place::Relay(name.clone()), what);
        }
        self.message = self.message.take().or(Some(trace.message));
        self.relays.push((name, sight));
    }

    /// Adds a relay that has never seen the message.
    pub fn add_unseen(&mut self, name: String) {
        self.relays.push((name, RelaySight::Unseen));
    }

    /// Adds a shard that does not know the message and has forgotten what is old and over.
    pub fn add_forgetful(&mut self, shard: ShardId) {
        self.forgetful.insert(shard);
    }

    /// Adds who did not answer.
    pub fn add_silent(&mut self, name: String, why: String) {
        self.silent.push((name, why));
    }

    fn add(&mut self, time: Time, order: u8, place: Place, what: String) {
        self.events.push(Event { time, order, place, what });
    }

    /// The events in order of time.
    pub fn events(&self) -> Vec<Event> {
        let mut events = self.events.clone();
        events.sort();
        events
    }

    /// What the message waits for; none once its life is over.
    pub fn waits_for(&self, now: Time) -> Option<String> {
        if self.is_over() {
            return None;
        }
        let (mut text, is_due) = self.where_it_is();
        let overdue = self.message.as_ref().filter(|message| is_due && now > message.deadline);
        if let Some(message) = overdue {
            let late = ago(now, message.deadline);
            let _ = write!(
                text,
                "; its deadline passed {late}, so its destination will refuse it and its source refund it"
            );
        }
        let words: Vec<String> = self.relays.iter().map(|(name, sight)| relay_words(name, sight, now)).collect();
        let none = "no relay was asked: name them with --relay".to_owned();
        let words = if words.is_empty() && self.silent.is_empty() { none } else { words.join("; ") };
        let separator = if words.is_empty() { "" } else { ": " };
        let _ = write!(text, "{separator}{words}");
        Some(text)
    }

    /// Where it is, and whether it surely has yet to arrive: what only a silent shard knows is unknown, not undone.
    fn where_it_is(&self) -> (String, bool) {
        let is_consumed = self.is_consumed();
        let silent = self.silent_one(if is_consumed { self.source() } else { self.destination() });
        match (is_consumed, silent) {
            (true, None) => ("at its destination, not acknowledged".to_owned(), false),
            (true, Some(shard)) => {
                (format!("at its destination; whether it is acknowledged is unknown, as {shard} is silent"), false)
            }
            (false, None) => ("dispatched, not delivered".to_owned(), true),
            (false, Some(shard)) => {
                (format!("dispatched; whether it is delivered is unknown, as {shard} is silent"), false)
            }
        }
    }

    /// By whose word its life is over, if it is not its source's.
    fn on_whose_word(&self) -> String {
        let silent = self.silent_one(self.source()).filter(|_| self.acknowledged.is_none());
        silent.map_or(String::new(), |shard| format!(", as a relay says; {shard} is silent"))
    }

    /// The whole life, for a person.
    pub fn told(&self, now: Time) -> String {
        let mut text = format!("message {}\n", self.id);
        if let Some(message) = &self.message {
            text.push_str(&self.head(message));
        }
        let events = self.events();
        let start = events.first().map_or(Time(0), |event| event.time);
        for Event { time, place, what, .. } in &events {
            let since = time.since(start);
            let _ = writeln!(text, "  {}  {:>9}  {:<18}  {what}", clock(*time), format!("+{since}"), place.to_string());
        }
        for (name, why) in &self.silent {
            let _ = writeln!(text, "  {name} does not answer: {why}");
        }
        for shard in &self.forgetful {
            let _ = writeln!(text, "  shard {shard} keeps nothing of it any more, or never did");
        }
        let end = match (self.waits_for(now), events.last()) {
            (Some(waits), _) => waits,
            (None, last) => {
                let took = last.map_or(Millis(0), |event| event.time.since(start));
                format!("{}: over after {took}{}", self.status.map_or("ended", word), self.on_whose_word())
            }
        };
        let _ = writeln!(text, "  {end}");
        text
    }

    fn head(&self, message: &Message) -> String {
        let shard = |domain| {
            shard_of(self.network, domain).map_or(format!("domain {domain:#x}"), |shard| format!("shard {shard}"))
        };
        format!(
            "  from {} on {}\n  to {} on {}\n  nonce {}, {} bytes, {} wei, {} gas, deadline {}\n",
            Address::from_word(message.sender),
            shard(message.origin),
            Address::from_word(message.recipient),
            shard(message.destination),
            message.nonce,
            message.body.len(),
            message.value,
            message.gas_limit,
            date(message.deadline),
        )
    }
}

fn word(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Failed => "failed",
        DeliveryStatus::Expired => "expired",
    }
}

fn delivery(status: Option<DeliveryStatus>, detail: &str) -> String {
    match status {
        Some(DeliveryStatus::Delivered) => "delivered: the recipient ran".to_owned(),
        Some(DeliveryStatus::Failed) => format!("failed: the recipient did not take it{}", because(detail)),
        Some(DeliveryStatus::Expired) => "expired: it came after its deadline and did not run".to_owned(),
        None => "consumed".to_owned(),
    }
}

fn settlement(status: Option<DeliveryStatus>, sends_value: bool) -> &'static str {
    match (status, sends_value) {
        (Some(DeliveryStatus::Delivered), true) => "acknowledged: its value now is the recipient's alone",
        (Some(DeliveryStatus::Failed | DeliveryStatus::Expired), true) => "acknowledged: its value is refunded",
        _ => "acknowledged: its sender was told",
    }
}

fn order_of(stage: TraceStage) -> u8 {
    match stage {
        TraceStage::Accepted => 1,
        TraceStage::Sent | TraceStage::Retrying | TraceStage::Dead | TraceStage::Revived => 2,
        TraceStage::Delivered => 4,
        TraceStage::Acknowledging => 5,
        TraceStage::Acknowledged => 7,
    }
}

fn stage(stage: TraceStage) -> &'static str {
    match stage {
        TraceStage::Accepted => "took its receipt in",
        TraceStage::Sent => "handed it to its destination",
        TraceStage::Retrying => "will try again",
        TraceStage::Delivered => "has the receipt of its delivery",
        TraceStage::Acknowledging => "handed the delivery to its source",
        TraceStage::Acknowledged => "is done: the source has taken it",
        TraceStage::Dead => "gave it up",
        TraceStage::Revived => "was told to try again",
    }
}

fn relay_event(event: &TraceEvent) -> String {
    let number = event.attempt_number;
    let number = if number > 0 { format!(" (try {number})") } else { String::new() };
    let detail = match event.stage {
        TraceStage::Retrying | TraceStage::Dead => because(&event.detail),
        _ => said(&event.detail),
    };
    format!("{}{number}{detail}", stage(event.stage))
}

fn relay_words(name: &str, sight: &RelaySight, now: Time) -> String {
    match sight {
        RelaySight::Unseen => format!("{name} has not seen it"),
        RelaySight::Silent => format!("{name} has nothing to tell"),
        RelaySight::Seen(event) => {
            let order = if event.stage == TraceStage::Dead {
                "; put it back with `dovetail bridge dead-letters retry`"
            } else {
                ""
            };
            format!("{name} {}, {}{order}", relay_event(event), ago(now, event.time))
        }
    }
}

/// A reason, if there is one.
fn because(detail: &str) -> String {
    after(", because ", detail)
}

/// More to the same, if there is more.
fn said(detail: &str) -> String {
    after(": ", detail)
}

/// `detail` after `before`, without what a terminal would take for commands; nothing if that leaves nothing.
fn after(before: &str, detail: &str) -> String {
    let readable: String = detail.chars().filter(|letter| !letter.is_control() && *letter != '\u{fffd}').collect();
    let readable = readable.trim();
    if readable.is_empty() { String::new() } else { format!("{before}{readable}") }
}

fn ago(now: Time, then: Time) -> String {
    let Millis(ms) = now.since(then);
    format!("{}.{} s ago", ms / 1000, ms % 1000 / 100)
}

/// The time of day, UTC.
fn clock(Time(ms): Time) -> String {
    let seconds = ms / 1000;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60, ms % 1000)
}

/// Date and time of day, UTC.
pub(crate) fn date(time: Time) -> String {
    let (year, month, day) = civil(time.0 / 86_400_000);
    format!("{year:04}-{month:02}-{day:02} {} UTC", clock(time))
}

/// Year, month and day of a number of days since the Unix epoch.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days.saturating_add(719_468);
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let moon = (5 * of_year + 2) / 153;
    let day = of_year - (153 * moon + 2) / 5 + 1;
    let month = if moon < 10 { moon + 3 } else { moon - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;

    const NETWORK: NetworkId = NetworkId(31_337);
    const NOW: Time = Time(1_000_060_000);

    fn message() -> Message {
        Message {
            nonce: 7,
            origin: proof::domain_of(NETWORK, ShardId(0)),
            sender: Address::repeat_byte(0xa1).into_word(),
            destination: proof::domain_of(NETWORK, ShardId(2)),
            recipient: Address::repeat_byte(0xb2).into_word(),
            body: vec![1, 2, 3],
            gas_limit: 50_000,
            deadline: Time(1_000_100_000),
            value: U256::from(5),
        }
    }

    fn mark(height: u64, time: u64) -> Mark {
        Mark { height: Height(height), time: Time(time) }
    }

    fn source() -> MessageLife {
        MessageLife { message: Some(message()), dispatched: Some(mark(3, 1_000_000_000)), ..MessageLife::default() }
    }

    fn life() -> Life {
        let mut life = Life::new(message().id(), NETWORK);
        life.add_shard(ShardId(0), source());
        life
    }

    fn relay(stage: TraceStage, time: u64, detail: &str) -> Trace {
        let event = TraceEvent { time: Time(time), stage, attempt_number: 2, detail: detail.to_owned() };
        Trace { message: message(), events: vec![event] }
    }

    #[test]
    fn an_unfinished_message_says_what_it_waits_for() {
        let mut life = life();
        life.add_relay("relay-0".to_owned(), relay(TraceStage::Retrying, 1_000_058_000, "shard 2 is unavailable"));
        life.add_unseen("relay-1".to_owned());
        let waits = life.waits_for(NOW).unwrap();
        assert!(waits.starts_with("dispatched, not delivered: relay-0 will try again"), "{waits}");
        assert!(waits.contains("because shard 2 is unavailable") && waits.contains("2.0 s ago"), "{waits}");
        assert!(waits.contains("relay-1 has not seen it"), "{waits}");
    }

    #[test]
    fn a_message_past_its_deadline_says_that_it_will_be_refunded() {
        let waits = life().waits_for(Time(1_000_101_000)).unwrap();
        assert!(waits.contains("deadline passed 1.0 s ago") && waits.contains("refund"), "{waits}");
        assert!(!life().waits_for(NOW).unwrap().contains("refund"));
    }

    #[test]
    fn a_dead_letter_says_how_to_put_it_back() {
        let mut life = life();
        life.add_relay("relay-0".to_owned(), relay(TraceStage::Dead, 1_000_000_500, "refused 10 times"));
        assert!(life.waits_for(NOW).unwrap().contains("dead-letters retry"));
    }

    #[test]
    fn events_are_told_in_order_of_time_and_cause() {
        let mut life = life();
        // The relay's clock is that of the block: the order of cause decides.
        life.add_relay("relay-0".to_owned(), relay(TraceStage::Accepted, 1_000_000_000, ""));
        let end = Some(DeliveryStatus::Delivered);
        let destination =
            MessageLife { delivered: Some(mark(9, 1_000_000_200)), status: end, ..MessageLife::default() };
        life.add_shard(ShardId(2), destination);
        life.add_shard(ShardId(0), MessageLife { acknowledged: Some(mark(5, 1_000_000_400)), status: end, ..source() });
        let words: Vec<String> = life.events().into_iter().map(|event| event.what).collect();
        let starts = ["dispatched", "dispatched", "took its receipt in", "delivered", "acknowledged"];
        assert_eq!(words.len(), starts.len());
        assert!(words.iter().zip(starts).all(|(word, start)| word.starts_with(start)), "{words:?}");
        assert!(life.is_over() && life.waits_for(NOW).is_none());
        let told = life.told(NOW);
        assert!(told.contains("shard 2 block 9") && told.contains("over after 400 ms"), "{told}");
    }

    #[test]
    fn only_a_failed_try_has_a_reason() {
        let event = |stage| TraceEvent { time: Time(1), stage, attempt_number: 0, detail: "leaf 0".to_owned() };
        assert_eq!(relay_event(&event(TraceStage::Accepted)), "took its receipt in: leaf 0");
        assert_eq!(relay_event(&event(TraceStage::Dead)), "gave it up, because leaf 0");
    }

    #[test]
    fn a_failure_is_told_without_control_characters() {
        let mut life = life();
        let status = Some(DeliveryStatus::Failed);
        let detail = "\u{1b}[31mno\u{fffd}".to_owned();
        life.add_shard(
            ShardId(2),
            MessageLife { delivered: Some(mark(9, 1)), status, detail, ..MessageLife::default() },
        );
        assert!(life.told(NOW).contains("because [31mno\n"), "{}", life.told(NOW));
    }

    #[test]
    fn who_does_not_answer_is_named() {
        let mut life = life();
        life.add_silent("shard 2".to_owned(), "connection refused".to_owned());
        assert!(life.told(NOW).contains("shard 2 does not answer: connection refused"));
        let unknown = Life::new(MessageId(B256::ZERO), NETWORK);
        assert!(!unknown.is_known());
    }

    #[test]
    fn what_a_silent_source_would_know_is_unknown_until_a_relay_says_it() {
        let mut life = Life::new(message().id(), NETWORK);
        let end = Some(DeliveryStatus::Delivered);
        let delivered = Some(mark(9, 1_000_000_200));
        life.add_shard(
            ShardId(2),
            MessageLife { message: Some(message()), delivered, status: end, ..MessageLife::default() },
        );
        life.add_silent("shard 0".to_owned(), "stopped".to_owned());
        let waits = life.waits_for(NOW).unwrap();
        assert!(waits.contains("whether it is acknowledged is unknown, as shard 0 is silent"), "{waits}");
        life.add_relay("relay-0".to_owned(), relay(TraceStage::Acknowledged, 1_000_000_400, ""));
        let told = life.told(NOW);
        assert!(told.contains("delivered: over after 200 ms, as a relay says; shard 0 is silent"), "{told}");
    }

    #[test]
    fn what_its_source_has_forgotten_is_over_and_no_refund_is_promised() {
        let mut life = Life::new(message().id(), NETWORK);
        life.add_relay("relay-0".to_owned(), relay(TraceStage::Acknowledged, 1_000_000_400, ""));
        let late = Time(1_000_101_000);
        assert!(life.waits_for(late).unwrap().contains("refund"), "shards that keep all would know it");
        life.add_forgetful(ShardId(2));
        assert!(!life.is_over(), "a destination forgets what it was asked to, and its source may not");
        life.add_forgetful(ShardId(0));
        assert!(life.is_over() && life.waits_for(late).is_none());
        let told = life.told(late);
        assert!(told.contains("shard 0 keeps nothing of it any more") && told.contains("ended: over"), "{told}");
    }

    #[test]
    fn what_a_silent_destination_would_know_is_unknown_and_no_refund_is_promised() {
        let mut life = life();
        life.add_silent("shard 2".to_owned(), "stopped".to_owned());
        let waits = life.waits_for(Time(1_000_101_000)).unwrap();
        assert!(waits.starts_with("dispatched; whether it is delivered is unknown, as shard 2 is silent"), "{waits}");
        assert!(!waits.contains("refund"), "{waits}");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(Time(0)), "1970-01-01 00:00:00.000 UTC");
        assert_eq!(date(Time(951_827_696_789)), "2000-02-29 12:34:56.789 UTC");
        assert_eq!(date(Time(1_735_689_600_000)), "2025-01-01 00:00:00.000 UTC");
    }
}
