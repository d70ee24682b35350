//! What becomes of a message on its way: how long it takes, whether it arrives, and how often.
//!
//! Promise: a call that is lost, or whose answer is, fails at its caller when its deadline has passed, as in gRPC; an answer
//! comes once at most, because it comes on the stream of its call.

use crate::call::{CallId, Request, Response};
use crate::faults::Kind;
use crate::party::Party;
use crate::queue::{Envelope, Event, Parcel};
use crate::story::describe;
use crate::world::World;
use primitives::{Millis, ShardId, Time};
use std::collections::{BTreeMap, BTreeSet};

/// How long a caller waits for an answer.
const CALL_DEADLINE: Millis = Millis(5_000);

/// The longest that a delayed message takes.
const DELAY_MAX: Millis = Millis(15_000);

/// By how much a message may be overtaken.
const REORDER_MAX: Millis = Millis(60);

/// How many times longer a slow link takes.
const SLOW_FACTOR: u64 = 100;

/// The ways between parties that are not as they should be.
#[derive(Debug, Default)]
pub(crate) struct Links {
    cut: BTreeMap<(Party, Party), Time>,
    /// Between whom a connection is refused, which the caller hears at once.
    refused: BTreeSet<(Party, Party)>,
    slow: BTreeMap<(Party, Party), Time>,
}

impl Links {
    /// Nothing passes this way until then.
    pub(crate) fn cut(&mut self, from: Party, to: Party, until: Time) {
        self.cut.insert((from, to), until);
    }

    /// Nothing passes between a caller and a party, and whoever calls hears so.
    pub(crate) fn refuse(&mut self, caller: Party, to: Party, until: Time) {
        self.cut(caller, to, until);
        self.cut(to, caller, until);
        self.refused.insert((caller, to));
    }

    /// Everything takes long this way until then.
    pub(crate) fn slow(&mut self, from: Party, to: Party, until: Time) {
        self.slow.insert((from, to), until);
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.refused.clear();
        self.slow.clear();
    }

    pub(crate) fn is_cut(&self, from: Party, to: Party, now: Time) -> bool {
        self.cut.get(&(from, to)).is_some_and(|until| now < *until)
    }

    fn is_slow(&self, from: Party, to: Party, now: Time) -> bool {
        self.slow.get(&(from, to)).is_some_and(|until| now < *until)
    }
}

impl World {
    /// Sends a call, and gives its name.
    pub(crate) fn send_request(&mut self, from: Party, shard: ShardId, request: Request) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        self.record(shard, &request);
        self.keep(from, shard, &request);
        self.tell(from, |_| format!("-> shard {shard}: {}", describe(&request)));
        self.send(from, Party::Shard(shard), Parcel::Request(call, Box::new(request)));
        call
    }

    /// Answers a call.
    pub(crate) fn respond(&mut self, from: Party, to: Party, call: CallId, response: Response) {
        self.send(from, to, Parcel::Response(call, Box::new(response)));
    }

    /// Puts a message on its way.
    pub(crate) fn send(&mut self, from: Party, to: Party, parcel: Parcel) {
        if self.links.is_cut(from, to, self.now) || self.strikes_message(Kind::Drop) {
            return self.lose(from, to, &parcel);
        }
        let parcel = self.cut_short(from, to, parcel);
        if matches!(parcel, Parcel::Request(..)) && self.strikes_message(Kind::Duplicate) {
            let delay = self.latency(from, to);
            self.queue.push(self.now.after(delay), Event::Arrive(Envelope { from, to, parcel: parcel.clone() }));
        }
        let delay = self.latency(from, to);
        self.queue.push(self.now.after(delay), Event::Arrive(Envelope { from, to, parcel }));
    }

    fn strikes_message(&mut self, kind: Kind) -> bool {
        let chance = self.plan.faults.chance(kind);
        let strikes = chance > 0 && self.network_dice.chance(chance);
        if strikes {
            self.struck(kind);
        }
        strikes
    }

    fn latency(&mut self, from: Party, to: Party) -> Millis {
        let span = self.plan.latency;
        let mut delay =
            if span.least == span.most { span.least.0 } else { self.network_dice.between(span.least.0, span.most.0) };
        if self.links.is_slow(from, to, self.now) {
            delay = delay.saturating_mul(SLOW_FACTOR);
        }
        if self.strikes_message(Kind::Reorder) {
            delay += self.network_dice.below(REORDER_MAX.0);
        }
        if self.strikes_message(Kind::Delay) {
            delay += self.network_dice.below(DELAY_MAX.0);
        }
        Millis(delay)
    }

    /// A message that does not arrive. Whoever waits for it waits until its deadline, unless its connection was refused.
    fn lose(&mut self, from: Party, to: Party, parcel: &Parcel) {
        let (caller, shard, call) = match parcel {
            Parcel::Request(call, _) => (from, to, *call),
            Parcel::Response(call, _) => (to, from, *call),
            Parcel::News(_) => return,
        };
        if self.links.refused.contains(&(caller, shard)) {
            let delay = self.latency(shard, caller);
            return self.fail_after(delay, shard, caller, call);
        }
        self.fail_later(shard, caller, call);
    }

    /// The caller gives up at its deadline, whatever the network does.
    pub(crate) fn fail_later(&mut self, shard: Party, caller: Party, call: CallId) {
        self.fail_after(CALL_DEADLINE, shard, caller, call);
    }

    fn fail_after(&mut self, delay: Millis, shard: Party, caller: Party, call: CallId) {
        let parcel = Parcel::Response(call, Box::new(Response::Failed));
        self.queue.push(self.now.after(delay), Event::Arrive(Envelope { from: shard, to: caller, parcel }));
    }

    /// A call that is reset in mid-stream: none, some or all of its items are there, and the caller hears at once that it
    /// failed.
    fn cut_short(&mut self, from: Party, to: Party, parcel: Parcel) -> Parcel {
        match parcel {
            Parcel::Request(call, request) if self.strikes_message(Kind::Reset) => {
                let kept = self.network_dice.below(request.count() as u64 + 1) as usize;
                let delay = self.latency(to, from);
                self.fail_after(delay, to, from, call);
                // Its answer is for nobody: the stream is gone.
                self.calls += 1;
                Parcel::Request(CallId(self.calls), Box::new(request.prefix(kept)))
            }
            parcel => parcel,
        }
    }
}
