//! Messages and wei: each message ran once or was given back, and nothing came of nothing.

use crate::plain::{self, Flow};
use crate::{Contents, Unit};
use alloy_primitives::{Address, B256, U256, keccak256};
use evm::{
    Environments, Funding, NetworkParams, Outcome, Placement, State, SystemTransaction, TransactionKind,
    mailbox_address,
};
use primitives::ShardId;
use proof::{Delivery, DeliveryStatus, Message, MessageId};
use shard::{Cause, ConsumedRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

static DISPATCH: LazyLock<B256> = LazyLock::new(|| keccak256("Dispatch(bytes32,bytes,uint64,uint64,uint256)"));

/// Why the messages do not add up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// A mailbox logged a dispatch and its shard has no such message, or the reverse.
    #[error("message {message} of shard {shard} is {}", if *.logged { "logged by its mailbox and not in its outbox" } else { "in its outbox and its mailbox never logged it" })]
    Dispatched {
        /// Which.
        message: MessageId,
        /// Whose.
        shard: ShardId,
        /// Whether the log has it; else the outbox does.
        logged: bool,
    },
    /// A shard consumed a message that nobody sent, or another than was sent, and no route leads to where it says it comes from.
    #[error("shard {shard} consumed message {message}, which no shard sent, and no chain that a route leads to")]
    Unsent {
        /// Which.
        message: MessageId,
        /// Where.
        shard: ShardId,
    },
    /// What ran as a message's delivery is not the call that the message asks for.
    #[error("what was run as the delivery of message {message} is not the call that it asks for")]
    Call {
        /// Which.
        message: MessageId,
    },
    /// I14: two shards consumed one message.
    #[error("message {message} was consumed by more than one shard")]
    ConsumedTwice {
        /// Which.
        message: MessageId,
    },
    /// I14: a message is recorded as delivered and did not run, or ran and is not recorded so.
    #[error("message {message} was {}", if *.ran { "run and is not recorded as delivered" } else { "recorded as delivered and never run" })]
    Ran {
        /// Which.
        message: MessageId,
        /// Whether it ran.
        ran: bool,
    },
    /// I8: the refund of a sender on another shard did not leave for there, left twice, or something left as such a refund that is none.
    #[error("the refund for message {message} of shard {shard} is {}", if *.owed { "owed to its sender on another shard and not on its way there as it must be" } else { "on its way to another shard and owed to nobody" })]
    Returned {
        /// Which message ended.
        message: MessageId,
        /// Whose.
        shard: ShardId,
        /// Whether it is owed; else it was sent.
        owed: bool,
    },
    /// A source settled a message otherwise than its destination says.
    #[error("the source of message {message} took another end than its destination gave")]
    End {
        /// Which.
        message: MessageId,
    },
    /// I8: a shard's own count of messages' wei is not what its messages add up to.
    #[error("shard {shard} counts {actual} wei {what} by messages, its messages add up to {expected}")]
    Totals {
        /// Whose.
        shard: ShardId,
        /// Minted, burnt or in flight.
        what: &'static str,
        /// By its messages.
        expected: U256,
        /// By its own count.
        actual: U256,
    },
    /// I8: a mailbox holds less than its messages in flight need.
    #[error("the mailbox of shard {shard} holds {balance} wei, its messages in flight carry {in_flight}")]
    Escrow {
        /// Whose.
        shard: ShardId,
        /// What it holds.
        balance: U256,
        /// What it needs.
        in_flight: U256,
    },
    /// I8: the wei of all accounts are not those of genesis with all that came and went.
    #[error("all accounts hold {actual} wei, genesis and all that came and went make {expected}")]
    Sum {
        /// By the books.
        expected: U256,
        /// What there is.
        actual: U256,
    },
}

/// What the messages add up to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) dispatched: usize,
    pub(crate) under_way: usize,
    pub(crate) foreign: usize,
}

/// All that messages left behind.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    pub(crate) params: &'a NetworkParams,
    pub(crate) placement: &'a Placement,
    /// Domains of foreign chains that a route leads to.
    pub(crate) foreign: &'a BTreeSet<u32>,
    pub(crate) contents: &'a BTreeMap<ShardId, Contents>,
    pub(crate) units: &'a [Unit],
    /// What every transaction did on one EVM.
    pub(crate) outcomes: &'a [Outcome],
}

impl Ledger<'_> {
    /// Checks every message and every wei.
    pub(crate) fn check(&self, union: &State, genesis: U256, flow: Flow) -> Result<Tally, MessageFault> {
        self.check_dispatched()?;
        let consumed = self.consumed()?;
        self.check_ran(&consumed)?;
        self.check_calls(&consumed)?;
        self.check_ends(&consumed)?;
        self.check_returned()?;
        for (shard, contents) in self.contents {
            check_totals(*shard, contents, union)?;
        }
        self.check_sum(union, genesis, flow)?;
        let sent = || self.contents.values().flat_map(|contents| contents.sent.values());
        Ok(Tally {
            dispatched: sent().count(),
            under_way: sent().filter(|record| record.end.is_none()).count(),
            foreign: consumed.values().filter(|record| self.foreign.contains(&record.message.origin)).count(),
        })
    }

    /// What mailboxes logged on one EVM is what the shards put into their outboxes.
    fn check_dispatched(&self) -> Result<(), MessageFault> {
        let logs = self.outcomes.iter().flat_map(|outcome| &outcome.logs);
        let mut logged: BTreeSet<(ShardId, MessageId)> = BTreeSet::new();
        for log in logs.filter(|log| log.topics.first() == Some(&*DISPATCH)) {
            let id = log.topics.get(1).map(|id| MessageId(*id));
            logged.extend(self.placement.mailbox_shard(log.address).zip(id));
        }
        let sent = self.contents.iter().flat_map(|(shard, contents)| contents.sent.keys().map(|id| (*shard, *id)));
        let sent: BTreeSet<_> = sent.collect();
        match logged.symmetric_difference(&sent).next() {
            Some(&(shard, message)) => {
                Err(MessageFault::Dispatched { message, shard, logged: logged.contains(&(shard, message)) })
            }
            None => Ok(()),
        }
    }

    /// Every message that was consumed, which was sent so and to there.
    fn consumed(&self) -> Result<BTreeMap<MessageId, &ConsumedRecord>, MessageFault> {
        let mut all = BTreeMap::new();
        for (shard, contents) in self.contents {
            for (message, record) in &contents.consumed {
                let sent = self.contents.values().find_map(|contents| contents.sent.get(message));
                let was_sent = sent.is_some_and(|sent| sent.message == record.message);
                let here = proof::domain_of(self.params.network, *shard);
                if !(was_sent || self.is_foreign(*message, record)) || record.message.destination != here {
                    return Err(MessageFault::Unsent { message: *message, shard: *shard });
                }
                if all.insert(*message, record).is_some() {
                    return Err(MessageFault::ConsumedTwice { message: *message });
                }
            }
        }
        Ok(all)
    }

    /// Whether a shard may have this from a foreign chain (I21). That it was sent there, its attestors said and no store can show; all
    /// that it did here is replayed from the record.
    fn is_foreign(&self, message: MessageId, record: &ConsumedRecord) -> bool {
        let Message { origin, value, .. } = record.message;
        self.foreign.contains(&origin) && message.0 == record.message.v3_id() && value.is_zero()
    }

    /// Each delivery ran the very call that its message asks for, in the name of its shard's mailbox.
    fn check_calls(&self, consumed: &BTreeMap<MessageId, &ConsumedRecord>) -> Result<(), MessageFault> {
        for unit in self.units {
            let Cause::Delivery(message) = unit.cause else { continue };
            let asked = consumed.get(&message).map(|record| self.calls(&record.message)).unwrap_or_default();
            let ran = unit.payload.as_ref().map(|payload| &payload.transactions[..]);
            if !asked.iter().any(|call| ran == Some(std::slice::from_ref(call))) {
                return Err(MessageFault::Call { message });
            }
        }
        Ok(())
    }

    /// What a message asks for: its recipient's handler. A refund asks for the handler of whom it is owed to, or else for his account.
    fn calls(&self, message: &Message) -> Vec<TransactionKind> {
        let Some(shard) = proof::shard_of(self.params.network, message.destination) else { return Vec::new() };
        let is_refund = self.is_refund(message);
        let target = Address::from_word(message.recipient);
        let call = SystemTransaction::Call {
            caller: mailbox_address(shard),
            target,
            input: if is_refund { told(&message.body) } else { handled(message) }.into(),
            gas_limit: message.gas_limit,
            value: message.value,
            funding: Funding::Minted,
        };
        let credit = is_refund.then(|| SystemTransaction::Increase { balances: vec![(target, message.value)] });
        std::iter::once(call).chain(credit).map(TransactionKind::System).collect()
    }

    /// Whether a shard's mailbox itself sent this.
    fn is_refund(&self, message: &Message) -> bool {
        let origin = proof::shard_of(self.params.network, message.origin);
        origin.is_some_and(|origin| message.sender == mailbox_address(origin).into_word())
    }

    /// I8: what mailboxes sent themselves is what they owed to senders on other shards, each once, with the whole value, and to the owner.
    fn check_returned(&self) -> Result<(), MessageFault> {
        for (shard, contents) in self.contents {
            let mut owed: BTreeMap<Vec<u8>, (MessageId, &Message)> = BTreeMap::new();
            for (id, record) in &contents.sent {
                let Some(end) = &record.end else { continue };
                let home = self.placement.shard_of(Address::from_word(record.message.sender));
                if !is_delivered(end.delivery.status) && !record.message.value.is_zero() && home != *shard {
                    let body = [id.0.0, B256::with_last_byte(end.delivery.status as u8).0].concat();
                    owed.insert(body, (*id, &record.message));
                }
            }
            let fault = |message, owed| MessageFault::Returned { message, shard: *shard, owed };
            for (id, record) in &contents.sent {
                let back = &record.message;
                if !self.is_refund(back) {
                    continue;
                }
                let (message, of) = owed.remove(&back.body).ok_or(fault(*id, false))?;
                let home = self.placement.shard_of(Address::from_word(of.sender));
                let there = proof::domain_of(self.params.network, home);
                let is_lost = record.end.as_ref().is_some_and(|end| !is_delivered(end.delivery.status));
                if is_lost || (back.recipient, back.value, back.destination) != (of.sender, of.value, there) {
                    return Err(fault(message, true));
                }
            }
            if let Some((message, _)) = owed.into_values().next() {
                return Err(fault(message, true));
            }
        }
        Ok(())
    }

    fn check_ran(&self, consumed: &BTreeMap<MessageId, &ConsumedRecord>) -> Result<(), MessageFault> {
        let ran = self.units.iter().filter_map(|unit| match unit.cause {
            Cause::Delivery(message) => Some(message),
            _ => None,
        });
        let ran: BTreeSet<MessageId> = ran.collect();
        let delivered = consumed.iter().filter(|(_, record)| is_delivered(record.delivery.status));
        let delivered: BTreeSet<MessageId> = delivered.map(|(message, _)| *message).collect();
        match ran.symmetric_difference(&delivered).next() {
            Some(message) => Err(MessageFault::Ran { message: *message, ran: ran.contains(message) }),
            None => Ok(()),
        }
    }

    fn check_ends(&self, consumed: &BTreeMap<MessageId, &ConsumedRecord>) -> Result<(), MessageFault> {
        for (message, record) in self.contents.values().flat_map(|contents| &contents.sent) {
            let said = consumed.get(message).map(|record| record.delivery.clone());
            // A foreign chain's attestors say that a message was processed there, and nothing else.
            let is_foreign = self.foreign.contains(&record.message.destination);
            let said = said.or(is_foreign.then(|| Delivery::of(&record.message, DeliveryStatus::Delivered, &[], 0)));
            let taken = record.end.as_ref().map(|end| &end.delivery);
            if taken.is_some() && taken != said.as_ref() {
                return Err(MessageFault::End { message: *message });
            }
        }
        Ok(())
    }

    /// What there is, is genesis and what messages moved, less what was burnt. Of a replayed chain what its blocks' own
    /// rewards created comes on top.
    fn check_sum(&self, union: &State, genesis: U256, flow: Flow) -> Result<(), MessageFault> {
        let values = || self.contents.values().map(|contents| contents.value);
        let (created, taken) = match self.params.environments {
            Environments::Slots | Environments::Cheats => {
                (values().map(|value| value.minted).sum(), values().map(|value| value.burnt).sum())
            }
            Environments::Replay => (flow.created, flow.taken),
        };
        let actual = plain::total(union);
        let expected = genesis + created - taken - flow.fees - flow.destroyed;
        if actual == expected { Ok(()) } else { Err(MessageFault::Sum { expected, actual }) }
    }
}

/// A shard's own count of messages' wei is what its messages add up to, and its mailbox holds what is in flight.
fn check_totals(shard: ShardId, contents: &Contents, union: &State) -> Result<(), MessageFault> {
    let minted = contents.consumed.values().filter(|record| is_delivered(record.delivery.status));
    let minted: U256 = minted.map(|record| record.message.value).sum();
    let sent = |ended: fn(Option<DeliveryStatus>) -> bool| -> U256 {
        let status = |record: &shard::SentRecord| record.end.as_ref().map(|end| end.delivery.status);
        let wanted = contents.sent.values().filter(|record| ended(status(record)));
        wanted.map(|record| record.message.value).sum()
    };
    let burnt = sent(|end| end.is_some_and(is_delivered));
    let in_flight = sent(|end| end.is_none());
    let counted = &contents.value;
    for (what, expected, actual) in [
        ("minted", minted, counted.minted),
        ("burnt", burnt, counted.burnt),
        ("in flight", in_flight, counted.in_flight),
    ] {
        if expected != actual {
            return Err(MessageFault::Totals { shard, what, expected, actual });
        }
    }
    let mailbox = union.accounts.get(&mailbox_address(shard));
    let balance = mailbox.map_or(U256::ZERO, |account| account.balance);
    if balance < in_flight { Err(MessageFault::Escrow { shard, balance, in_flight }) } else { Ok(()) }
}

/// `handle` of a message.
fn handled(message: &Message) -> Vec<u8> {
    let word = |value: U256| value.to_be_bytes::<32>();
    let mut input = keccak256("handle(uint32,bytes32,bytes)")[..4].to_vec();
    input.extend(word(U256::from(message.origin)));
    input.extend(message.sender);
    input.extend(word(U256::from(96)));
    input.extend(word(U256::from(message.body.len())));
    input.extend(&message.body);
    input.resize(input.len() + (32 - message.body.len() % 32) % 32, 0);
    input
}

/// `handleDelivery` with these arguments.
fn told(arguments: &[u8]) -> Vec<u8> {
    [&keccak256("handleDelivery(bytes32,uint8)")[..4], arguments].concat()
}

fn is_delivered(status: DeliveryStatus) -> bool {
    status == DeliveryStatus::Delivered
}
