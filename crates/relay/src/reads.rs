//! What operators and those who wait for a message read, from a snapshot of the store.

use crate::{
    draft::{own, receipt_key},
    lane::{Cursor, LaneId, LaneState, Queued, Route},
    record::{DeadLetter, Event, Leg, Life, Record},
    relay::scan_all,
    settings::spaces,
};
use primitives::{Read, Time, encode};
use proof::{DeliveryStatus, MessageId};
use std::collections::BTreeMap;

/// A message's life as this relay saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The canonical message; nothing if only its delivery was seen.
    pub message: Option<Vec<u8>>,
    /// The domain it comes from.
    pub source: u32,
    /// The domain it goes to.
    pub destination: u32,
    /// Where it is in its life.
    pub life: Life,
    /// How it ended at its destination, once that is proven.
    pub status: Option<DeliveryStatus>,
    /// Its story, oldest first.
    pub events: Vec<Event>,
}

/// The life of `id`, unless this relay never saw it or has forgotten it.
pub fn trace(read: &impl Read, id: MessageId) -> Option<Trace> {
    let record: Record = own(spaces::RECORDS, &read.get(spaces::RECORDS, id.0.as_slice())?);
    let Record { source, destination, life, status, events, .. } = record;
    let message = read.get(spaces::MESSAGES, id.0.as_slice());
    Some(Trace { message, source, destination, life, status, events })
}

/// How many of what waits are looked at for the oldest: of more, it is the oldest of some that their ids pick.
const QUEUED_LOOKED_COUNT_MAX: usize = 1_024;

/// How a route stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteStatus {
    /// Which route.
    pub route: Route,
    /// Whether an operator stopped it.
    pub paused: bool,
    /// The first leaf of the source's outbox that the route has not looked at for messages.
    pub cursor: Cursor,
    /// Messages and deliveries waiting or under way.
    pub queued_count: u64,
    /// Dead letters of both legs.
    pub dead_count: u64,
    /// Messages whose delivery was proven to this relay.
    pub delivered_count: u64,
    /// Messages acknowledged at their origin by this relay.
    pub acknowledged_count: u64,
    /// Since when what waits longest has; where more than 1,024 wait on a leg, what of some of them has.
    pub oldest: Option<Time>,
    /// When something last moved; zero when nothing has.
    pub progress: Time,
    /// The last failure that nothing has succeeded since, for a person; or empty.
    pub last_error: String,
}

/// Every route that something was written about, by source and destination.
pub fn routes(read: &impl Read) -> Vec<RouteStatus> {
    let entries = scan_all(read, spaces::LANES);
    let lanes: BTreeMap<LaneId, LaneState> =
        entries.iter().map(|(key, value)| (own(spaces::LANES, key), own(spaces::LANES, value))).collect();
    let route_of = |id: &LaneId| match id.leg {
        Leg::Out => Route { source: id.from, destination: id.to },
        Leg::Back => Route { source: id.to, destination: id.from },
    };
    let routes: std::collections::BTreeSet<_> = lanes.keys().map(route_of).collect();
    let state = |id: LaneId| lanes.get(&id).cloned().unwrap_or(LaneState::new());
    let status_of = |route| {
        let (out, back) = (LaneId::out(route), LaneId::back(route));
        let oldest = [out, back].into_iter().filter_map(|lane| oldest(read, lane)).min();
        RouteStatus { oldest, ..status(route, state(out), state(back)) }
    };
    routes.into_iter().map(status_of).collect()
}

/// When this relay took in what arrived first of what waits on a lane.
fn oldest(read: &impl Read, lane: LaneId) -> Option<Time> {
    let queue = read.scan(spaces::QUEUE, &encode(&lane), &[], QUEUED_LOOKED_COUNT_MAX);
    let number = |value: &[u8]| own::<Queued>(spaces::QUEUE, value).number;
    let (key, _) = queue.iter().min_by_key(|(_, value)| number(value))?;
    let (_, id): (LaneId, MessageId) = own(spaces::QUEUE, key);
    let record: Record = own(spaces::RECORDS, &read.get(spaces::RECORDS, id.0.as_slice())?);
    record.events.first().map(|event| event.time)
}

fn status(route: Route, out: LaneState, back: LaneState) -> RouteStatus {
    RouteStatus {
        route,
        paused: out.flow == crate::lane::Flow::Paused,
        cursor: out.cursor,
        queued_count: out.queued_count + back.queued_count,
        dead_count: out.dead_count + back.dead_count,
        delivered_count: out.done_count,
        acknowledged_count: back.done_count,
        oldest: None,
        progress: out.progress.max(back.progress),
        last_error: if out.last_error.is_empty() { back.last_error } else { out.last_error },
    }
}

/// A dead letter, its message and the receipt that would be carried: canonical bytes; the former are empty if only its delivery was seen.
pub fn dead_letter(read: &impl Read, id: MessageId) -> Option<(DeadLetter, Vec<u8>, Vec<u8>)> {
    let letter: DeadLetter = own(spaces::DEAD, &read.get(spaces::DEAD, id.0.as_slice())?);
    let message = read.get(spaces::MESSAGES, id.0.as_slice()).unwrap_or_default();
    let receipt = read.get(spaces::RECEIPTS, &receipt_key(letter.leg, id))?;
    Some((letter, message, receipt))
}

/// Up to `count_max` dead letters by message id, those after `after`.
pub fn dead_letters(read: &impl Read, after: Option<MessageId>, count_max: usize) -> Vec<DeadLetter> {
    let from = after.map_or(Vec::new(), |id| [id.0.as_slice(), &[0]].concat());
    let entries = read.scan(spaces::DEAD, &[], &from, count_max);
    entries.iter().map(|(_, value)| own(spaces::DEAD, value)).collect()
}
