//! The relay's machine: what it holds in memory, how it opens on a store, and one step.

use crate::{
    command::Command,
    draft::{Draft, own},
    input::{Input, Reply, Send, Ticket},
    intake::Page,
    lane::{Bounds, Gap, GapChange, Lane, LaneId, LaneState, Posture, Queued, Route},
    peer::Peer,
    record::{DeadLetter, Leg},
    settings::{Settings, spaces},
    share::Duty,
    source::Source,
};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Machine, NetworkId, Output, Read, ShardId, Space, Time, encode};
use proof::MessageId;
use std::collections::BTreeMap;

/// The store format this machine reads and writes.
const STORE_VERSION: u32 = 1;

/// How many entries are read at once when a store is opened.
const SCAN_COUNT_MAX: usize = 1024;

const IDENTITY_KEY: &[u8] = b"identity";

/// Why a relay does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The store belongs to another network.
    #[error("the store is of network {actual}, not of network {expected}: give it a folder of its own")]
    Network {
        /// The network of the settings.
        expected: NetworkId,
        /// The network of the store.
        actual: NetworkId,
    },
    /// The store was written by another version.
    #[error("the store has format {actual}, this relay knows {STORE_VERSION}: run the version that wrote it")]
    Version {
        /// The store's format.
        actual: u32,
    },
    /// A bound that must not be zero is zero.
    #[error("the setting {name} must not be zero")]
    Zero {
        /// Which.
        name: &'static str,
    },
}

/// Whose store it is, and its running numbers.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Identity {
    version: u32,
    network: NetworkId,
    /// The oldest ended message that is remembered.
    pub(crate) ended_first: u64,
    /// The number of the next one.
    pub(crate) ended_next: u64,
}

/// A relay between the shards of one network.
#[derive(Debug)]
pub struct Relay {
    pub(crate) settings: Settings,
    pub(crate) identity: Identity,
    identity_stored: bool,
    pub(crate) lanes: BTreeMap<LaneId, Lane>,
    pub(crate) sources: BTreeMap<ShardId, Source>,
    pub(crate) peers: BTreeMap<ShardId, Peer>,
    pub(crate) next_number: u64,
    pub(crate) next_batch: u64,
    /// When this relay came back: what was said before may have been carried by others.
    pub(crate) returned_at: Time,
    /// Until when it is plain why it did nothing: the last step, or what that asked to be woken at.
    idle_until: Option<Time>,
}

/// One step under way.
#[derive(Debug)]
pub(crate) struct Step<'r, R> {
    pub(crate) now: Time,
    pub(crate) draft: Draft<'r, R>,
    pub(crate) sends: Vec<Send>,
    pub(crate) replies: Vec<Reply>,
}

impl Relay {
    /// The relay whose state is in the store that `read` reads; a new one if the store is empty.
    ///
    /// What was under way when the store was last written is sent again.
    ///
    /// # Errors
    /// [`OpenError`]: the store is another network's or version's, or a bound is zero.
    pub fn open(settings: Settings, read: &impl Read) -> Result<Self, OpenError> {
        check(&settings)?;
        let stored: Option<Identity> =
            read.get(spaces::IDENTITY, IDENTITY_KEY).map(|bytes| own(spaces::IDENTITY, &bytes));
        let identity_stored = stored.is_some();
        let network = settings.network;
        let identity = stored.unwrap_or(Identity { version: STORE_VERSION, network, ended_first: 0, ended_next: 0 });
        if identity.version != STORE_VERSION {
            return Err(OpenError::Version { actual: identity.version });
        }
        if identity.network != network {
            return Err(OpenError::Network { expected: network, actual: identity.network });
        }
        let lanes = all_lanes(&settings);
        let sources = settings.shards.iter().map(|shard| (*shard, Source::new())).collect();
        let peers = settings.shards.iter().map(|shard| (*shard, Peer::new())).collect();
        let mut relay = Self {
            settings,
            identity,
            identity_stored,
            lanes,
            sources,
            peers,
            next_number: 0,
            next_batch: 0,
            returned_at: Time(0),
            idle_until: None,
        };
        relay.load(read);
        relay.assert_valid();
        Ok(relay)
    }

    fn load(&mut self, read: &impl Read) {
        for (key, value) in scan_all(read, spaces::LANES) {
            let id = own(spaces::LANES, &key);
            let lane = new_lane(&self.settings, id, own::<LaneState>(spaces::LANES, &value));
            self.lanes.insert(id, lane);
        }
        for (key, value) in scan_all(read, spaces::GAPS) {
            self.lane(own(spaces::GAPS, &key)).set_gap(Some(own::<Gap>(spaces::GAPS, &value)));
        }
        for (key, value) in scan_all(read, spaces::QUEUE) {
            let (lane, id): (LaneId, MessageId) = own(spaces::QUEUE, &key);
            let queued: Queued = own(spaces::QUEUE, &value);
            self.next_number = self.next_number.max(queued.number + 1);
            self.lane(lane).insert(id, queued, Posture::Unsure);
        }
        for (_, value) in scan_all(read, spaces::DEAD) {
            let letter: DeadLetter = own(spaces::DEAD, &value);
            self.next_number = self.next_number.max(letter.number + 1);
            if let Some(lane) = self.lane_of_letter(&letter) {
                self.lane(lane).bury(&letter);
            }
        }
        for lane in self.lanes.values_mut() {
            lane.take_changed();
            lane.take_gap_change();
        }
    }

    /// The lane with this id, which is made if a former configuration had it and this one does not.
    pub(crate) fn lane(&mut self, id: LaneId) -> &mut Lane {
        let settings = &self.settings;
        self.lanes.entry(id).or_insert_with(|| new_lane(settings, id, LaneState::new()))
    }

    /// The route between two domains, if both are shards of this network.
    pub(crate) fn route(&self, source: u32, destination: u32) -> Option<Route> {
        let shard = |domain| proof::shard_of(self.settings.network, domain);
        Some(Route { source: shard(source)?, destination: shard(destination)? })
    }

    pub(crate) fn lane_of_letter(&self, letter: &DeadLetter) -> Option<LaneId> {
        let route = self.route(letter.source, letter.destination)?;
        Some(if letter.leg == Leg::Out { LaneId::out(route) } else { LaneId::back(route) })
    }

    /// Whether this relay carries between both ends of `route`.
    pub(crate) fn knows(&self, route: Route) -> bool {
        self.settings.shards.contains(&route.source) && self.settings.shards.contains(&route.destination)
    }

    pub(crate) fn draw_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn take<R: Read>(&mut self, input: Input, step: &mut Step<'_, R>) {
        match input {
            Input::Page { shard, from, leaves, next, head } => {
                self.take_page(shard, &Page { from, leaves, next, head }, step);
            }
            Input::FetchFailed { shard, reason } => self.fetch_failed(shard, &reason, step),
            Input::News { shard } => self.sources.get_mut(&shard).into_iter().for_each(Source::news),
            Input::Submit { ticket, carried } => {
                let result = self.submit(&carried, step);
                step.replies.push(Reply::Submitted { ticket, result });
            }
            Input::Answered { batch, answers } => self.answered(batch, answers, step),
            Input::Unreachable { batch, reason } => self.unreachable(batch, &reason, step),
            Input::Command { ticket, command } => self.command(ticket, &command, step),
            Input::Tick => {}
        }
    }

    /// A relay that was stopped, or starts, does not know what others did meanwhile.
    fn notice_absence<R: Read>(&mut self, step: &mut Step<'_, R>) {
        if self.idle_until.is_some_and(|until| step.now <= until.after(self.settings.grace)) {
            return;
        }
        self.returned_at = step.now;
        for (id, lane) in &mut self.lanes {
            if lane.come_back() {
                step.sends.push(id.yielded());
            }
        }
    }

    fn command<R: Read>(&mut self, ticket: Ticket, command: &Command, step: &mut Step<'_, R>) {
        let result = self.obey(command, step);
        step.replies.push(Reply::Commanded { ticket, result });
    }

    /// Asks each source that has something to be asked.
    fn fetch<R: Read>(&mut self, step: &mut Step<'_, R>) {
        let shards: Vec<_> = self.sources.keys().copied().collect();
        for shard in shards {
            let cursors = self.open_cursors(shard);
            let plan = self.sources.get_mut(&shard).and_then(|source| source.plan(&cursors, step.now, &self.settings));
            if let Some(cursor) = plan {
                step.sends.push(Send::FetchOutbox { shard, cursor, count_max: self.settings.page_count_max });
            }
        }
    }

    /// Where the lanes from `shard` read that have room.
    fn open_cursors(&mut self, shard: ShardId) -> Vec<crate::Cursor> {
        let lanes = lanes_from(&self.settings, shard);
        let mut open = Vec::new();
        for id in lanes {
            open.extend(self.lanes.get_mut(&id).into_iter().flat_map(Lane::open_places).map(|(_, cursor)| cursor));
        }
        open
    }

    fn store_changes<R: Read>(&mut self, before: &Identity, step: &mut Step<'_, R>) {
        for (id, lane) in &mut self.lanes {
            if let Some(state) = lane.take_changed() {
                step.draft.put_value(spaces::LANES, &encode(id), state);
            }
            match lane.take_gap_change() {
                Some(GapChange::Open(gap)) => step.draft.put_value(spaces::GAPS, &encode(id), &gap),
                Some(GapChange::Closed) => step.draft.delete(spaces::GAPS, &encode(id)),
                None => {}
            }
        }
        if !self.identity_stored || self.identity != *before {
            step.draft.put_value(spaces::IDENTITY, IDENTITY_KEY, &self.identity);
            self.identity_stored = true;
        }
    }

    fn wake(&mut self) -> Option<Time> {
        let shards: Vec<_> = self.sources.keys().copied().collect();
        let fetches: Vec<_> = shards.iter().filter(|shard| !self.open_cursors(**shard).is_empty()).collect();
        let fetches = fetches.into_iter().filter_map(|shard| self.sources.get(shard).map(Source::wake)).min();
        fetches.into_iter().chain(self.wake_to_carry()).min()
    }

    fn assert_valid(&self) {
        if cfg!(debug_assertions) {
            self.lanes.values().for_each(Lane::assert_valid);
            let under_way: usize = self.lanes.values().map(Lane::under_way_count).sum();
            let batched: usize = self.peers.values().map(Peer::parcels_count).sum();
            assert!(under_way <= batched, "what is under way is in a batch, whose end brings it back");
        }
    }
}

impl Machine for Relay {
    type Input = Input;
    type Send = Send;
    type Reply = Reply;

    fn step(&mut self, now: Time, inputs: Vec<Input>, read: &impl Read) -> Output<Send, Reply> {
        let before = self.identity.clone();
        let mut step = Step { now, draft: Draft::new(read), sends: Vec::new(), replies: Vec::new() };
        self.notice_absence(&mut step);
        for input in inputs {
            self.take(input, &mut step);
        }
        self.expire(&mut step);
        self.carry(&mut step);
        self.fetch(&mut step);
        self.store_changes(&before, &mut step);
        self.assert_valid();
        let wake = self.wake();
        self.idle_until = Some(wake.map_or(now, |wake| wake.max(now)));
        Output { writes: step.draft.into_writes(), sends: step.sends, replies: step.replies, wake }
    }
}

fn check(settings: &Settings) -> Result<(), OpenError> {
    let bounds = [
        ("network", settings.network.0),
        ("queue_count_max", settings.queue_count_max as u64),
        ("patience_count", u64::from(settings.patience_count)),
        ("stuck_count_max", settings.stuck_count_max as u64),
        ("dead_letters_count_max", settings.dead_letters_count_max as u64),
        ("ended_count_max", settings.ended_count_max),
        ("batch_count_max", settings.batch_count_max as u64),
        ("batches_under_way_count_max", settings.batches_under_way_count_max as u64),
        ("look_count_max", settings.look_count_max as u64),
        ("grace", settings.grace.0),
        ("page_count_max", u64::from(settings.page_count_max)),
        ("poll", settings.poll.0),
        ("answer", settings.answer.0),
    ];
    match bounds.into_iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(OpenError::Zero { name }),
        None => Ok(()),
    }
}

fn all_lanes(settings: &Settings) -> BTreeMap<LaneId, Lane> {
    let ids = settings.shards.iter().flat_map(|from| lanes_from(settings, *from));
    ids.map(|id| (id, new_lane(settings, id, LaneState::new()))).collect()
}

fn new_lane(settings: &Settings, id: LaneId, state: LaneState) -> Lane {
    let duty = Duty::new(settings.share.rank(id.route()), id.leg, settings.grace);
    Lane::new(state, Bounds::of(settings), duty)
}

/// The lanes that read `from`'s outbox.
pub(crate) fn lanes_from(settings: &Settings, from: ShardId) -> impl Iterator<Item = LaneId> {
    settings.shards.iter().flat_map(move |to| [Leg::Out, Leg::Back].map(|leg| LaneId { from, to: *to, leg }))
}

/// Every entry of `space`, in key order.
pub(crate) fn scan_all(read: &impl Read, space: Space) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    loop {
        let from = entries.last().map_or(Vec::new(), |(key, _)| [key.as_slice(), &[0]].concat());
        let page = read.scan(space, &[], &from, SCAN_COUNT_MAX);
        let count = page.len();
        entries.extend(page);
        if count < SCAN_COUNT_MAX {
            return entries;
        }
    }
}
