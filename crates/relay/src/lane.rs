//! One direction between two shards: where it has read to, and what waits on it.

use crate::record::{DeadLetter, Leg};
use crate::settings::Settings;
use crate::share::{Duty, Stand};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Height, Millis, ShardId, Time, encode};
use proof::MessageId;
use std::collections::{BTreeMap, BTreeSet};

/// A place in a shard's outbox: leaf `index` of block `height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Cursor {
    /// The block; 0 stands before the first.
    pub height: Height,
    /// The leaf, from 0.
    pub index: u32,
}

impl Cursor {
    /// Before everything.
    pub const START: Self = Self { height: Height(0), index: 0 };
}

/// The way of messages from one shard to another; their deliveries come back the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Where messages come from.
    pub source: ShardId,
    /// Where they go.
    pub destination: ShardId,
}

/// One direction of carrying: leaves of one kind from one shard's outbox to another's inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(crate) struct LaneId {
    pub(crate) from: ShardId,
    pub(crate) to: ShardId,
    pub(crate) leg: Leg,
}

impl LaneId {
    /// Where `route`'s messages go out.
    pub(crate) fn out(route: Route) -> Self {
        Self { from: route.source, to: route.destination, leg: Leg::Out }
    }

    /// Where their deliveries come back.
    pub(crate) fn back(route: Route) -> Self {
        Self { from: route.destination, to: route.source, leg: Leg::Back }
    }

    /// The route it is a half of.
    pub(crate) fn route(self) -> Route {
        match self.leg {
            Leg::Out => Route { source: self.from, destination: self.to },
            Leg::Back => Route { source: self.to, destination: self.from },
        }
    }

    pub(crate) fn queue_key(self, id: MessageId) -> Vec<u8> {
        encode(&(self, id))
    }
}

/// Whether an operator lets a lane carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub(crate) enum Flow {
    Running = 1,
    Paused = 2,
}

/// What the store keeps of a lane beside its queue.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct LaneState {
    /// The first leaf of the outbox that this lane has not looked at.
    pub(crate) cursor: Cursor,
    pub(crate) flow: Flow,
    pub(crate) queued_count: u64,
    pub(crate) dead_count: u64,
    /// How many parcels reached their end.
    pub(crate) done_count: u64,
    /// When something last moved; zero when nothing has.
    pub(crate) progress: Time,
    pub(crate) last_error: String,
}

impl LaneState {
    pub(crate) fn new() -> Self {
        Self {
            cursor: Cursor::START,
            flow: Flow::Running,
            queued_count: 0,
            dead_count: 0,
            done_count: 0,
            progress: Time(0),
            last_error: String::new(),
        }
    }
}

/// What a lane that reads its newest first has still to read: the leaves from `from` up to `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Gap {
    pub(crate) from: Cursor,
    pub(crate) until: Cursor,
}

/// How a gap is to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GapChange {
    /// It is this.
    Open(Gap),
    /// All of it was read.
    Closed,
}

/// Which of a lane's two places of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Its cursor.
    Front,
    /// Its gap.
    Gap,
}

/// The place of one parcel in a queue, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Queued {
    /// When it may be sent.
    pub(crate) due: Time,
    /// Breaks ties: the order of arrival.
    pub(crate) number: u64,
    /// How often it was refused.
    pub(crate) refusals: u32,
    /// How many bytes its receipt has.
    pub(crate) bytes: u32,
}

/// How a parcel is to be sent, which only matters while the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posture {
    /// In a batch with others.
    Waiting,
    /// The receiver may have it: looked up before it is sent.
    Unsure,
    /// Alone, after so many failures of batches that held nothing else: the fault may be its own.
    Alone(u32),
    /// Under way.
    UnderWay,
}

/// How much one lane holds before it reads no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    queue_count_max: usize,
    patience_count: u32,
    stuck_count_max: usize,
    dead_count_max: usize,
}

impl Bounds {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            queue_count_max: settings.queue_count_max,
            patience_count: settings.patience_count,
            stuck_count_max: settings.stuck_count_max,
            dead_count_max: settings.dead_letters_count_max,
        }
    }
}

type Place = (Time, u64, MessageId);

/// A lane in memory.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) state: LaneState,
    bounds: Bounds,
    pub(crate) duty: Duty,
    gap: Option<Gap>,
    /// The gap as the store has it.
    gap_stored: Option<Gap>,
    /// The relay was away and has not heard since how far its shard has come.
    returned: bool,
    parcels: BTreeMap<MessageId, (Queued, Posture)>,
    waiting: BTreeSet<Place>,
    unsure: BTreeSet<Place>,
    alone: BTreeSet<Place>,
    /// How many parcels were refused more often than the queue has patience for.
    stuck_count: usize,
    /// The numbers of dead letters.
    dead: BTreeSet<u64>,
    /// Full since some moment, and not yet half empty: does not read on.
    closed: bool,
    /// Changed in this step.
    dirty: bool,
}

impl Lane {
    pub(crate) fn new(state: LaneState, bounds: Bounds, duty: Duty) -> Self {
        Self {
            state,
            bounds,
            duty,
            gap: None,
            gap_stored: None,
            returned: true,
            parcels: BTreeMap::new(),
            waiting: BTreeSet::new(),
            unsure: BTreeSet::new(),
            alone: BTreeSet::new(),
            stuck_count: 0,
            dead: BTreeSet::new(),
            closed: false,
            dirty: false,
        }
    }

    /// How many parcels have a place in the queue: all but the stuck.
    fn fresh_count(&self) -> usize {
        self.parcels.len() - self.stuck_count
    }

    /// Whether a parcel that comes now has a place in the queue.
    pub(crate) fn has_place(&self) -> bool {
        self.fresh_count() < self.bounds.queue_count_max
    }

    fn is_stuck(&self, queued: Queued) -> bool {
        queued.refusals >= self.bounds.patience_count
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<Queued> {
        self.parcels.get(&id).map(|(queued, _)| *queued)
    }

    pub(crate) fn insert(&mut self, id: MessageId, queued: Queued, posture: Posture) {
        self.remove(id);
        self.dirty = true;
        self.stuck_count += usize::from(self.is_stuck(queued));
        self.parcels.insert(id, (queued, posture));
        let place = (queued.due, queued.number, id);
        match posture {
            Posture::Waiting => self.waiting.insert(place),
            Posture::Unsure => self.unsure.insert(place),
            Posture::Alone(_) => self.alone.insert(place),
            Posture::UnderWay => false,
        };
    }

    pub(crate) fn remove(&mut self, id: MessageId) -> Option<Queued> {
        let (queued, _) = self.parcels.remove(&id)?;
        self.stuck_count -= usize::from(self.is_stuck(queued));
        self.dirty = true;
        let place = (queued.due, queued.number, id);
        self.waiting.remove(&place);
        self.unsure.remove(&place);
        self.alone.remove(&place);
        Some(queued)
    }

    /// The parcels due at `now` that may travel with others, the longest due first.
    pub(crate) fn waiting(&self, now: Time) -> impl Iterator<Item = (MessageId, Queued)> {
        let due = self.waiting.iter().take_while(move |(due, _, _)| *due <= now);
        due.filter_map(|(_, _, id)| self.get(*id).map(|queued| (*id, queued)))
    }

    /// The parcels to be looked up at `now`, the longest due first; while another relay is seen to carry here, those alone that it
    /// leaves out.
    pub(crate) fn unsure(&self, now: Time) -> impl Iterator<Item = MessageId> {
        let due = self.unsure.iter().take_while(move |(due, _, _)| self.look_at(*due) <= now);
        due.map(|(_, _, id)| *id)
    }

    /// When the next parcel is to be looked up.
    pub(crate) fn next_unsure(&self) -> Option<Time> {
        self.unsure.first().map(|(due, _, _)| self.look_at(*due))
    }

    /// When a parcel that is due at `due` is looked up. What another delivers is seen in its destination's outbox, so that nothing has to
    /// be asked while it does; what another acknowledges is seen only by asking.
    fn look_at(&self, due: Time) -> Time {
        if !self.duty.stands_by() || self.duty.leg == Leg::Back {
            return due;
        }
        self.duty.believed_until().clamp(due, due.after(self.duty.forbearance()))
    }

    /// When and how a parcel goes that comes now: at once from who carries here, unless it is `old`, which others may have
    /// carried while this relay was away; from who stands by, when nobody else has carried it.
    pub(crate) fn welcome(&self, now: Time, is_old: bool) -> (Time, Posture) {
        match (self.duty.stands_by(), is_old) {
            (true, _) => (now.after(self.duty.patience), Posture::Unsure),
            (false, true) => (now, Posture::Unsure),
            (false, false) => (now, Posture::Waiting),
        }
    }

    /// How a parcel goes that was refused before: whoever is not first in order looks again whether another carried it.
    pub(crate) fn again(&self) -> Posture {
        if self.duty.stand == Stand::First { Posture::Waiting } else { Posture::Unsure }
    }

    /// How `id` is to be sent, and how often it was refused.
    pub(crate) fn posture(&self, id: MessageId) -> Option<(u32, Posture)> {
        self.parcels.get(&id).map(|(queued, posture)| (queued.refusals, *posture))
    }

    /// What waits is looked up before it is sent, `pause` after it was due.
    pub(crate) fn doubt(&mut self, pause: Millis) {
        for (due, number, id) in std::mem::take(&mut self.waiting) {
            let due = due.after(pause);
            self.unsure.insert((due, number, id));
            if let Some((queued, posture)) = self.parcels.get_mut(&id) {
                (queued.due, *posture) = (due, Posture::Unsure);
            }
        }
    }

    /// The relay was away: others may have carried what waits, and a shard may be far ahead. Says whether it carried in
    /// another's place.
    pub(crate) fn come_back(&mut self) -> bool {
        self.returned = true;
        self.doubt(Millis(0));
        self.duty.yield_place()
    }

    /// The shard is at `head`. Far ahead of a relay that was away, its newest leaves are read first, and those between
    /// beside them.
    pub(crate) fn hear_head(&mut self, head: Height, ahead_max: u64) {
        let was_away = std::mem::take(&mut self.returned);
        let from = self.state.cursor;
        if !was_away || head.0.saturating_sub(from.height.0) <= ahead_max {
            return;
        }
        let until = Cursor { height: Height(head.0.saturating_add(1)), index: 0 };
        self.set_gap(Some(Gap { from: self.gap.map_or(from, |gap| gap.from), until }));
        self.state_mut().cursor = until;
    }

    pub(crate) fn set_gap(&mut self, gap: Option<Gap>) {
        self.gap = gap.filter(|gap| gap.from < gap.until);
    }

    /// Reads these blocks once more, both ends included, and with them what lies between them and what is still to be read. Says
    /// whether any of them was read.
    pub(crate) fn read_again(&mut self, from: Height, to: Height) -> bool {
        let start = |height| Cursor { height, index: 0 };
        let (from, until) = (start(from), start(Height(to.0.saturating_add(1))).min(self.state.cursor));
        let gap = Gap { from, until };
        if from < until {
            let both = |gap: Gap, old: Gap| Gap { from: gap.from.min(old.from), until: gap.until.max(old.until) };
            self.set_gap(Some(self.gap.map_or(gap, |old| both(gap, old))));
        }
        from < until
    }

    /// What to do to the stored gap, if it changed since the last call.
    pub(crate) fn take_gap_change(&mut self) -> Option<GapChange> {
        let has_changed = std::mem::replace(&mut self.gap_stored, self.gap) != self.gap;
        has_changed.then(|| self.gap.map_or(GapChange::Closed, GapChange::Open))
    }

    /// Where it reads, of the parts that have room. What is old takes a quarter of the queue, so that it never keeps out
    /// what is new.
    pub(crate) fn open_places(&mut self) -> impl Iterator<Item = (Part, Cursor)> + use<> {
        let parts = [(Part::Front, Some(self.state.cursor)), (Part::Gap, self.gap.map(|gap| gap.from))];
        let open = parts.map(|(part, cursor)| cursor.filter(|_| self.has_room(part)).map(|cursor| (part, cursor)));
        open.into_iter().flatten()
    }

    pub(crate) fn has_room(&mut self, part: Part) -> bool {
        self.is_open() && (part == Part::Front || self.fresh_count() <= self.bounds.queue_count_max / 4)
    }

    /// The part that reads the leaf at `position`.
    pub(crate) fn part_of(&self, position: Cursor) -> Option<Part> {
        if position >= self.state.cursor {
            return Some(Part::Front);
        }
        self.gap.filter(|gap| (gap.from..gap.until).contains(&position)).map(|_| Part::Gap)
    }

    /// Everything before `next` was looked at.
    pub(crate) fn read_to(&mut self, part: Part, next: Cursor) {
        match part {
            Part::Front => self.state_mut().cursor = next,
            Part::Gap => self.set_gap(self.gap.map(|gap| Gap { from: next, ..gap })),
        }
    }

    /// The first parcel due at `now` that travels alone.
    pub(crate) fn first_alone(&self, now: Time) -> Option<(MessageId, u32)> {
        let (_, _, id) = self.alone.first().filter(|(due, _, _)| *due <= now)?;
        match self.parcels.get(id) {
            Some((_, Posture::Alone(failures))) => Some((*id, *failures)),
            _ => None,
        }
    }

    /// When the next parcel that may travel with others is due.
    pub(crate) fn next_waiting(&self) -> Option<Time> {
        self.waiting.first().map(|(due, _, _)| *due)
    }

    /// When the next parcel that travels alone is due.
    pub(crate) fn next_alone(&self) -> Option<Time> {
        self.alone.first().map(|(due, _, _)| *due)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.state.flow == Flow::Paused
    }

    /// Whether it takes leaves in; once full, not until it is half empty. What it does not take stays in its shard's
    /// outbox, so that nothing has to be forgotten for want of room.
    pub(crate) fn is_open(&mut self) -> bool {
        let (fresh, stuck) = (self.fresh_count(), self.stuck_count);
        let Bounds { queue_count_max, stuck_count_max, .. } = self.bounds;
        let full = fresh >= queue_count_max || stuck >= stuck_count_max;
        let half_empty = fresh <= queue_count_max / 2 && stuck <= stuck_count_max / 2;
        self.closed = full || self.closed && !half_empty;
        !self.closed && !self.is_full_of_dead()
    }

    /// Whether it holds as many dead letters as it may: it reads no further until an operator has put one back.
    pub(crate) fn is_full_of_dead(&self) -> bool {
        self.dead.len() >= self.bounds.dead_count_max
    }

    pub(crate) fn bury(&mut self, letter: &DeadLetter) {
        self.dirty = true;
        self.dead.insert(letter.number);
    }

    pub(crate) fn exhume(&mut self, letter: &DeadLetter) {
        self.dirty = true;
        self.dead.remove(&letter.number);
    }

    /// A parcel has come to its end. What an operator must see stays said.
    pub(crate) fn done(&mut self, now: Time) {
        self.dirty = true;
        self.state.done_count += 1;
        self.state.progress = now;
        if !self.is_full_of_dead() {
            self.state.last_error.clear();
        }
    }

    /// Changes what is stored of the lane.
    pub(crate) fn state_mut(&mut self) -> &mut LaneState {
        self.dirty = true;
        &mut self.state
    }

    /// What to store, if anything changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Option<&LaneState> {
        if !std::mem::take(&mut self.dirty) {
            return None;
        }
        self.state.queued_count = self.parcels.len() as u64;
        self.state.dead_count = self.dead.len() as u64;
        Some(&self.state)
    }

    /// How many parcels are under way.
    pub(crate) fn under_way_count(&self) -> usize {
        self.parcels.values().filter(|(_, posture)| *posture == Posture::UnderWay).count()
    }

    /// What must hold between steps.
    pub(crate) fn assert_valid(&self) {
        let placed = self.waiting.len() + self.alone.len() + self.unsure.len();
        assert_eq!(placed + self.under_way_count(), self.parcels.len(), "every parcel waits or is under way");
        assert!(self.waiting.is_disjoint(&self.alone), "no parcel waits twice");
        let stuck = self.parcels.values().filter(|(queued, _)| self.is_stuck(*queued)).count();
        assert_eq!(stuck, self.stuck_count, "the stuck are counted as they come and go");
    }
}
