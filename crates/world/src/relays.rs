//! A relay's node: fetches outbox pages, checks receipts, delivers, and tells the machine how it went.

use crate::call::{CallId, Done, Rejection, Remedy, Request, Response};
use crate::node::Node;
use crate::party::Party;
use crate::shards::place;
use crate::world::{Actor, StartError, World};
use primitives::{Memory, ShardId, Time, Write};
use proof::{MessageId, Receipt};
use relay::{Answer, BatchId, Carried, Cursor, Input, Parcel, Refusal, Relay, Reply, Send, Settings, Share, Taken};
use shard::Novelty;
use std::collections::BTreeMap;

/// A relay with its store and its calls under way.
#[derive(Debug)]
pub struct RelayParty {
    pub(crate) node: Node<Relay>,
    calls: BTreeMap<CallId, Purpose>,
}

/// What an answer is for.
#[derive(Debug)]
enum Purpose {
    Fetch { shard: ShardId, from: Cursor },
    Batch { batch: BatchId, messages: Vec<MessageId> },
    Look { batch: BatchId, messages: Vec<MessageId> },
}

impl RelayParty {
    pub(crate) fn new(node: Node<Relay>) -> Self {
        Self { node, calls: BTreeMap::new() }
    }

    /// Its machine; none while it is down.
    pub fn machine(&self) -> Option<&Relay> {
        self.node.machine.as_ref()
    }

    /// What is on its disk: [`relay::trace`] and others read it.
    pub fn store(&self) -> &Memory {
        &self.node.store
    }

    /// How many batches it wrote.
    pub fn batches(&self) -> u64 {
        self.node.batches
    }

    /// Polling is rest; a batch under way is not.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.calls.values().any(|purpose| matches!(purpose, Purpose::Batch { .. }))
    }
}

impl Actor for Relay {
    fn party(index: usize) -> Party {
        Party::Relay(index)
    }

    fn node(world: &mut World, index: usize) -> &mut Node<Self> {
        &mut world.relays[index].node
    }

    fn reopen(world: &World, index: usize, store: &Memory) -> Result<Self, StartError> {
        let shards = world.plan.placement.shards().collect();
        let poll = world.plan.relay_poll;
        let share = Share::new(index as u32, world.plan.relays as u32).unwrap_or(Share::ALONE);
        Ok(Self::open(Settings { poll, share, ..Settings::new(world.plan.params.network, shards) }, store)?)
    }

    fn attested(_: &World, _: usize, _: &Memory) -> Time {
        Time(0)
    }

    fn synced(_: &mut World, _: usize, _: &[Write]) {}

    fn hand_out(world: &mut World, index: usize, sends: Vec<Send>, _: Vec<Reply>) {
        for send in sends {
            let (shard, request, purpose) = match send {
                Send::FetchOutbox { shard, cursor, count_max } => {
                    let request = Request::Outbox { from: place(cursor), count_max: count_max as usize };
                    (shard, request, Purpose::Fetch { shard, from: cursor })
                }
                Send::Deliver { batch, shard, parcels } | Send::Acknowledge { batch, shard, parcels } => {
                    let messages = parcels.iter().map(|parcel| parcel.message).collect();
                    (shard, Request::Deliver(receipts(&parcels)), Purpose::Batch { batch, messages })
                }
                Send::Look { batch, shard, leg, messages } => {
                    (shard, Request::Has { leg, messages: messages.clone() }, Purpose::Look { batch, messages })
                }
                Send::TookOver { from, to, leg } => {
                    world.tell(Self::party(index), |_| format!("carries {leg:?} from {from} to {to} for a silent one"));
                    continue;
                }
                Send::Yielded { from, to, leg } => {
                    world.tell(Self::party(index), |_| format!("leaves {leg:?} from {from} to {to} to another"));
                    continue;
                }
                Send::Beyond { shard, read, head } => {
                    world.tell(Self::party(index), |_| {
                        format!("has read block {read} of shard {shard}, which is at {head}")
                    });
                    continue;
                }
                Send::Within { shard } => {
                    world.tell(Self::party(index), |_| format!("reads shard {shard} again"));
                    continue;
                }
            };
            let call = world.send_request(Self::party(index), shard, request);
            world.relays[index].calls.insert(call, purpose);
        }
    }

    fn died(world: &mut World, index: usize) {
        world.relays[index].calls.clear();
    }
}

/// The receipts of parcels. A relay keeps only what it has checked, so all of them decode.
fn receipts(parcels: &[Parcel]) -> Vec<Receipt> {
    parcels.iter().filter_map(|parcel| Receipt::from_bytes(&parcel.receipt).ok()).collect()
}

impl World {
    /// A shard has answered a relay.
    pub(crate) fn relay_hears(&mut self, index: usize, call: CallId, response: Response) {
        let Some(purpose) = self.relays[index].calls.remove(&call) else { return };
        let input = match (purpose, response) {
            (Purpose::Fetch { shard, from }, Response::Page { receipts, next, head }) => {
                let check = |receipt: Receipt| Carried::of(&self.receipts, receipt);
                let next = Cursor { height: next.height, index: next.index };
                match receipts.into_iter().map(check).collect::<Result<Vec<_>, _>>() {
                    Ok(leaves) => Input::Page { shard, from, leaves, next, head },
                    Err(error) => Input::FetchFailed { shard, reason: error.to_string() },
                }
            }
            (Purpose::Fetch { shard, .. }, _) => Input::FetchFailed { shard, reason: "no answer".to_owned() },
            (Purpose::Batch { batch, messages }, Response::Done(items)) => {
                let answer = |(message, item)| Answer { message, taken: self.taken(item) };
                Input::Answered { batch, answers: messages.into_iter().zip(items).map(answer).collect() }
            }
            (Purpose::Look { batch, messages }, Response::Has(has)) => {
                // The delivery itself comes from the destination's outbox.
                let taken = |has: bool| if has { Taken::Already(None) } else { Taken::Absent };
                let answer = |(message, has)| Answer { message, taken: taken(has) };
                Input::Answered { batch, answers: messages.into_iter().zip(has).map(answer).collect() }
            }
            (Purpose::Batch { batch, .. } | Purpose::Look { batch, .. }, _) => {
                Input::Unreachable { batch, reason: "no answer".to_owned() }
            }
        };
        self.give::<Relay>(index, input);
    }

    fn taken(&self, item: Result<Done, Rejection>) -> Taken {
        let checked = |receipt: Option<Box<Receipt>>| Carried::of(&self.receipts, *receipt?).ok();
        match item {
            Ok(Done::Delivered { novelty: Novelty::New, receipt }) => Taken::Now(checked(receipt)),
            Ok(Done::Delivered { novelty: Novelty::Already, receipt }) => Taken::Already(checked(receipt)),
            Ok(_) => Taken::Refused { refusal: Refusal::Retryable, reason: "an answer of another kind".to_owned() },
            Err(rejection) => {
                let refusal = match rejection.remedy {
                    Remedy::Later => Refusal::Retryable,
                    Remedy::Settled => Refusal::Over,
                    _ => Refusal::Final,
                };
                Taken::Refused { refusal, reason: rejection.text }
            }
        }
    }
}
