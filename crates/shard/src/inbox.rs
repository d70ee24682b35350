//! Messages for this shard: each runs its recipient once, or is provably refused, and never stands in the way of others.
//!
//!   fact --> for us? --> consumed before? --> deadline? --> run: handle(origin, sender, body) --> delivery leaf
//!            | refused   | that delivery      | Expired    | Failed: reverted, out of gas, left the shard; a refund never (`returns`)
//!                                                          | busy: a key it needs is locked; it waits (`waiting`)
//!
//! Promise (I14): the set of consumed messages is state, written in the batch of the run; a message in it is answered
//! with its delivery. It leaves the set when its origin has certified that it has taken its end, and from then on it is refused by
//! that: it runs no second time, and nobody is told of another end.
//! Knows nothing of relays: whoever brings the receipt.

use crate::applied::Cause;
use crate::blocks::Entry;
use crate::execution::{OwnRun, RunRefusal};
use crate::input::{AcknowledgeRefusal, Answer, Busy, DeliverRefusal, Novelty, Pending};
use crate::limits::{HANDLE_DELIVERY_GAS, STEP_GAS_MAX, WAITING_RUNS_PER_STEP_COUNT_MAX};
use crate::messages::ConsumedRecord;
use crate::returns::is_return;
use crate::shard::Work;
use crate::spaces::{self, CONSUMED};
use crate::staged::get_value;
use crate::waiting::{Brought, WaiterId};
use alloy_primitives::{Address, B256, U256, keccak256};
use evm::{Funding, RecoveredPayload, Status, SystemTransaction};
use primitives::{Read, Verified};
use proof::{Admission, Delivery, DeliveryStatus, Fact, LeafKind, Message, MessageId, domain_of, shard_of};

/// Whether a step left something for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// Nothing.
    None,
    /// Something: the next step should come at once.
    Some,
}

/// How a message ends, and the run to apply if it was delivered.
pub(crate) struct End {
    pub(crate) status: DeliveryStatus,
    detail: Vec<u8>,
    gas_used: u64,
    run: Option<(RecoveredPayload, OwnRun)>,
}

impl End {
    pub(crate) fn without_run(status: DeliveryStatus, detail: &str) -> Self {
        Self { status, detail: detail.as_bytes().to_vec(), gas_used: 0, run: None }
    }
}

impl<R: Read> Work<'_, '_, R> {
    /// Runs what waited for a lock that is free now; whether more of it is to follow in the next step.
    pub(crate) fn run_waiting(&mut self) -> Backlog {
        let (mut runs_count, mut gas) = (0, 0_u64);
        for (id, what) in self.shard.waiting.ready(&self.shard.locks) {
            if runs_count >= WAITING_RUNS_PER_STEP_COUNT_MAX || gas >= STEP_GAS_MAX {
                return Backlog::Some;
            }
            runs_count += 1;
            gas = gas.saturating_add(if id.kind == LeafKind::Delivery { HANDLE_DELIVERY_GAS } else { gas_of(&what) });
            let busy = self.run_brought(&what);
            self.attend_to(id, busy, || what);
        }
        Backlog::None
    }

    /// Tries what waited once more; what it met, if it met something again.
    fn run_brought(&mut self, what: &Brought) -> Option<Busy> {
        match what {
            Brought::Fact(fact) if fact.leaf.kind == LeafKind::Delivery => {
                self.acknowledge(fact).err().and_then(|refusal| refusal.busy())
            }
            Brought::Fact(fact) => self.deliver(fact).err().and_then(|refusal| refusal.busy()),
            Brought::Foreign(admission) => match &**admission {
                Admission::Message { message, id } => {
                    self.take_in(*id, message.clone()).err().and_then(|refusal| refusal.busy())
                }
                Admission::Processed(processed) => self.conclude(processed).err().and_then(|refusal| refusal.busy()),
            },
        }
    }

    /// After a message or a delivery was tried: it waits if it met a lock, and no longer if it came to its end. Whatever
    /// else it met, a relay brings it again.
    pub(crate) fn attend(&mut self, fact: &Verified<Fact>, busy: Option<Busy>) {
        if busy.is_none() && self.shard.waiting.is_empty() {
            return; // Nobody waits, so nobody leaves.
        }
        let message = match fact.leaf.kind {
            LeafKind::Delivery => Delivery::from_fact(fact).map(|delivery| delivery.message),
            LeafKind::Message | LeafKind::Vote | LeafKind::Outcome => {
                Message::from_fact(fact).map(|message| message.id())
            }
        };
        let Ok(message) = message else { return };
        self.attend_to(WaiterId { kind: fact.leaf.kind, message }, busy, || Brought::Fact(Box::new(fact.clone())));
    }

    /// The same; `what` is made where it has to wait, which few have to.
    fn attend_to(&mut self, id: WaiterId, busy: Option<Busy>, what: impl FnOnce() -> Brought) {
        match busy {
            Some(Busy::Locked { key, wanted, .. }) => self.shard.waiting.wait(id, &what(), key, wanted, self.time),
            _ => self.shard.waiting.leave(id),
        }
    }

    /// Whether the lock that one met before is held still: then it need not run to find that out.
    pub(crate) fn check_hindrance(&self, kind: LeafKind, message: MessageId) -> Result<(), Busy> {
        match self.shard.waiting.hindrance(WaiterId { kind, message }, &self.shard.locks) {
            Some(busy) => Err(busy),
            None => Ok(()),
        }
    }

    /// Consumes a message, or finds that it was consumed before.
    pub(crate) fn deliver(&mut self, fact: &Fact) -> Result<Pending, DeliverRefusal> {
        let message = Message::from_fact(fact)?;
        let expected = domain_of(self.shard.params.network, self.shard.me);
        if message.destination != expected {
            return Err(DeliverRefusal::WrongDestination { expected, actual: message.destination });
        }
        self.take_in(message.id(), message)
    }

    /// The same for what a foreign chain's attestors vouch for (I21): a message, which is known by its v3 id, so that it is one message
    /// whatever terms its route has; or the end there of one of ours. Either waits for a lock that it meets.
    pub(crate) fn admit(&mut self, admission: &Verified<Admission>) -> Pending {
        let (actual, expected) = (admission.destination(), domain_of(self.shard.params.network, self.shard.me));
        if actual != expected {
            return Answer::DeliverRefused(DeliverRefusal::WrongDestination { expected, actual }).into();
        }
        match &**admission {
            Admission::Message { message, id } => {
                let taken = self.take_in(*id, message.clone());
                let waiter = WaiterId { kind: LeafKind::Message, message: *id };
                let busy = taken.as_ref().err().and_then(DeliverRefusal::busy);
                self.attend_to(waiter, busy, || Brought::Foreign(admission.clone()));
                taken.unwrap_or_else(|refusal| Answer::DeliverRefused(refusal).into())
            }
            Admission::Processed(processed) => {
                let taken = self.conclude(processed);
                if let Some(message) = self.left(processed) {
                    let waiter = WaiterId { kind: LeafKind::Delivery, message };
                    let busy = taken.as_ref().err().and_then(AcknowledgeRefusal::busy);
                    self.attend_to(waiter, busy, || Brought::Foreign(admission.clone()));
                }
                taken.unwrap_or_else(Answer::AcknowledgeRefused).into()
            }
        }
    }

    fn take_in(&mut self, id: MessageId, message: Message) -> Result<Pending, DeliverRefusal> {
        let key = spaces::message_key(id);
        if let Some(ConsumedRecord { delivery, leaf, .. }) = get_value(&self.ledger.staged, CONSUMED, &key) {
            return Ok(Pending::Delivery { delivery, place: leaf, novelty: Novelty::Already });
        }
        if let Some(before) = self.is_over(&message) {
            return Err(DeliverRefusal::Over { message: id, nonce: message.nonce, before });
        }
        self.shard.check_lag()?;
        let end = self.run_message(id, &message)?;
        Ok(self.consume(id, message, end))
    }

    /// Whether the shard that sent a message has certified that it has taken its end, and before which nonce that of all: then the
    /// message was consumed here, and the record of it may have gone.
    fn is_over(&self, message: &Message) -> Option<u32> {
        let origin = shard_of(self.shard.params.network, message.origin)?;
        let before = if origin == self.shard.me {
            self.shard.unended.ended_before()
        } else {
            self.shard.seen.newest(origin)?.header.ended_before
        };
        (message.nonce < before).then_some(before)
    }

    /// How the message would end now; changes nothing.
    fn run_message(&mut self, id: MessageId, message: &Message) -> Result<End, Busy> {
        if self.time > message.deadline {
            return Ok(End::without_run(DeliveryStatus::Expired, "")); // R10: by block time.
        }
        let failed = |why: &str| Ok(End::without_run(DeliveryStatus::Failed, why));
        self.check_hindrance(LeafKind::Message, id)?;
        let recipient = Address::from_word(message.recipient);
        if recipient.into_word() != message.recipient {
            return failed("the recipient is not an address");
        }
        if self.shard.placement.shard_of(recipient) != self.shard.me {
            return failed("the recipient is not on this shard");
        }
        if message.gas_limit > self.shard.params.gas_limit {
            return failed("the gas limit is over the network's");
        }
        if is_return(self.shard.params.network, message) {
            return self.take_back(message);
        }
        let call = SystemTransaction::Call {
            caller: self.shard.mailbox.address(),
            target: recipient,
            input: handle_call(message).into(),
            gas_limit: message.gas_limit,
            value: message.value,
            funding: Funding::Minted,
        };
        let payload = self.system(call);
        match self.run_system(&payload) {
            Ok(run) => Ok(ran(payload, run)),
            Err(RunRefusal::Busy(busy)) => Err(busy),
            Err(RunRefusal::NotLocal(_)) => failed("the recipient called beyond its shard"),
            Err(RunRefusal::Dispatch(error)) => failed(&error.to_string()),
            Err(RunRefusal::Execute(error)) => failed(&error.to_string()),
        }
    }

    /// Writes down that the message has ended so, with what its run did.
    fn consume(&mut self, id: MessageId, message: Message, end: End) -> Pending {
        let delivery = Delivery::named(id, &message, end.status, &end.detail, end.gas_used);
        if let Some((payload, run)) = end.run {
            self.shard.value.mint(message.value);
            self.apply_run(Cause::Delivery(id), &payload, run);
        }
        let leaf = self.draft.push_leaf(LeafKind::Delivery, delivery.to_bytes());
        self.draft.push_entry(Entry::Delivered { message: id, status: end.status });
        let record = ConsumedRecord { message, delivery: delivery.clone(), leaf, time: self.time };
        self.ledger.staged.put_value(CONSUMED, spaces::message_key(id), &record);
        Pending::Delivery { delivery, place: leaf, novelty: Novelty::New }
    }
}

/// How much gas the handler of a message that waited may take.
fn gas_of(what: &Brought) -> u64 {
    match what {
        Brought::Fact(fact) => Message::from_fact(fact).map_or(0, |message| message.gas_limit),
        Brought::Foreign(admission) => match &**admission {
            Admission::Message { message, .. } => message.gas_limit,
            Admission::Processed(_) => 0,
        },
    }
}

/// A run that did not succeed changes nothing: its value was never minted.
pub(crate) fn ran(payload: RecoveredPayload, run: OwnRun) -> End {
    let outcome = run.executed.effects.outcomes.first();
    let (detail, gas_used) = outcome.map_or((Vec::new(), 0), |outcome| (outcome.output.to_vec(), outcome.gas_used));
    if outcome.is_some_and(|outcome| outcome.status == Status::Success) {
        End { status: DeliveryStatus::Delivered, detail, gas_used, run: Some((payload, run)) }
    } else {
        End { status: DeliveryStatus::Failed, detail, gas_used, run: None }
    }
}

/// `handle(uint32 origin, bytes32 sender, bytes body)`, ABI encoded.
fn handle_call(message: &Message) -> Vec<u8> {
    let origin = U256::from(message.origin).into();
    abi_call("handle(uint32,bytes32,bytes)", &[origin, message.sender, offset(3)], &message.body)
}

/// A call of a function that takes bytes, ABI encoded: `head` has a word for each argument, and [`offset`] in place of the bytes.
pub(crate) fn abi_call(signature: &str, head: &[B256], body: &[u8]) -> Vec<u8> {
    let mut call = keccak256(signature)[..4].to_vec();
    call.extend(head.iter().flatten());
    call.extend(U256::from(body.len()).to_be_bytes::<32>());
    call.extend(body);
    call.resize(4 + (call.len() - 4).next_multiple_of(32), 0);
    call
}

/// The word that stands for bytes after a head of so many words.
pub(crate) fn offset(words_count: u64) -> B256 {
    U256::from(words_count * 32).into()
}
