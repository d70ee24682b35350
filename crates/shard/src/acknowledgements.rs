//! How own messages ended: their value is settled once, and their sender is told once.
//!
//!   delivered        -> tell the sender; burn what the mailbox held
//!   failed, expired  -> tell the sender and give it the value with the call; if that fails, put it into its account;
//!                       a sender on another shard gets it there ([`crate::returns`])
//!
//! Promise (I8, I14): the end of a message is taken once, from its destination alone; the value is never with both sides
//! and never with neither. A sender whose handler fails loses the call, not the value.
//! Knows nothing of who brings the receipt.

use crate::applied::Cause;
use crate::blocks::Entry;
use crate::execution::RunRefusal;
use crate::input::{AcknowledgeRefusal, Answer, Busy, Novelty};
use crate::ledger;
use crate::limits::HANDLE_DELIVERY_GAS;
use crate::messages::{Acknowledgement, HandlerEnd, SentRecord};
use crate::retention::Kept;
use crate::shard::Work;
use crate::spaces::{self, LEFT, SENT};
use crate::staged::get_value;
use alloy_primitives::{Address, U256, keccak256};
use evm::{Funding, LockMode, StateKey, Status, SystemTransaction};
use primitives::Read;
use proof::{Delivery, DeliveryStatus, Fact, LeafKind, Message, MessageId, Processed};
use std::collections::BTreeMap;

impl<R: Read> Work<'_, '_, R> {
    /// Takes the end of an own message, or finds that it was taken before.
    pub(crate) fn acknowledge(&mut self, fact: &Fact) -> Result<Answer, AcknowledgeRefusal> {
        let delivery = Delivery::from_fact(fact)?;
        let sent = self.sent(delivery.message)?;
        self.take_end(sent, delivery)
    }

    /// The same for one that left for a foreign chain, whose attestors say that it was processed there (I21). Of one that was not
    /// nobody says anything: its mailbox keeps no deadline, so it may still be processed.
    pub(crate) fn conclude(&mut self, processed: &Processed) -> Result<Answer, AcknowledgeRefusal> {
        let message = MessageId(processed.id);
        let message = self.left(processed).ok_or_else(|| self.unknown(message))?;
        let sent = self.sent(message)?;
        let delivery = Delivery {
            destination: processed.domain,
            ..Delivery::of(&sent.message, DeliveryStatus::Delivered, &[], 0)
        };
        self.take_end(sent, delivery)
    }

    /// The message that left under this id.
    pub(crate) fn left(&self, processed: &Processed) -> Option<MessageId> {
        get_value(&self.ledger.staged, LEFT, &spaces::message_key(MessageId(processed.id)))
    }

    fn sent(&self, message: MessageId) -> Result<SentRecord, AcknowledgeRefusal> {
        let sent = get_value(&self.ledger.staged, SENT, &spaces::message_key(message));
        sent.ok_or_else(|| self.unknown(message))
    }

    /// Of a message that is not known here: it never was sent, or it ended and was forgotten. In neither case is there an end to take.
    fn unknown(&self, message: MessageId) -> AcknowledgeRefusal {
        let kept = Kept::read(&self.ledger.staged);
        if kept.is_all() {
            AcknowledgeRefusal::UnknownMessage { message }
        } else {
            AcknowledgeRefusal::Over { message, first: kept.first }
        }
    }

    fn take_end(&mut self, mut sent: SentRecord, delivery: Delivery) -> Result<Answer, AcknowledgeRefusal> {
        let id = delivery.message;
        let (expected, actual) = (sent.message.destination, delivery.destination);
        if expected != actual {
            return Err(AcknowledgeRefusal::WrongDestination { expected, actual });
        }
        if let Some(end) = &sent.end {
            return Ok(Answer::Acknowledged { message: id, height: end.height, novelty: Novelty::Already });
        }
        self.check_hindrance(LeafKind::Delivery, id)?;
        let handler = self.settle(id, &sent.message, delivery.status)?;
        let height = self.draft.height();
        self.draft.push_entry(Entry::Acknowledged { message: id, status: delivery.status });
        sent.end = Some(Acknowledgement { delivery, height, time: self.time, handler });
        self.ledger.staged.put_value(SENT, spaces::message_key(id), &sent);
        self.shard.unended.ended(sent.message.nonce, &mut self.ledger.staged);
        Ok(Answer::Acknowledged { message: id, height, novelty: Novelty::New })
    }

    /// Tells the sender and settles the value, or is busy before anything has happened.
    fn settle(&mut self, id: MessageId, message: &Message, status: DeliveryStatus) -> Result<HandlerEnd, Busy> {
        let sender = Address::from_word(message.sender);
        let is_refund = status != DeliveryStatus::Delivered;
        if is_refund && !message.value.is_zero() && self.shard.placement.shard_of(sender) != self.shard.me {
            return self.send_back(id, message, status);
        }
        self.check_read([StateKey::Account(sender)])?;
        if !message.value.is_zero() {
            // What follows the call touches these alone, so that it cannot meet a lock half way.
            self.check_free(&[self.shard.mailbox.address(), sender])?;
        }
        let refund = if is_refund { message.value } else { U256::ZERO };
        let handler = self.tell_sender(id, sender, status, refund)?;
        if is_refund {
            if handler != HandlerEnd::Ran {
                self.move_held(id, message.value, Some(sender));
            }
            self.shard.value.refund(message.value);
        } else {
            self.move_held(id, message.value, None);
            self.shard.value.burn(message.value);
        }
        Ok(handler)
    }

    fn check_free(&self, accounts: &[Address]) -> Result<(), Busy> {
        let wanted: BTreeMap<_, _> =
            accounts.iter().map(|account| (StateKey::Account(*account), LockMode::Exclusive)).collect();
        match self.shard.locks.conflict(&wanted) {
            Some(conflict) => Err(Busy::locked(conflict)),
            None => Ok(()),
        }
    }

    /// Calls the sender's `handleDelivery` with bounded gas.
    fn tell_sender(
        &mut self,
        id: MessageId,
        sender: Address,
        status: DeliveryStatus,
        refund: U256,
    ) -> Result<HandlerEnd, Busy> {
        if self.shard.placement.shard_of(sender) != self.shard.me {
            return Ok(HandlerEnd::Elsewhere);
        }
        let has_code = || ledger::account(&self.ledger.staged, sender).is_some_and(|account| account.has_code());
        if sender == self.shard.mailbox.address() || !has_code() {
            return Ok(HandlerEnd::NoCode);
        }
        let payload = self.system(SystemTransaction::Call {
            caller: self.shard.mailbox.address(),
            target: sender,
            input: handle_delivery_call(&end_of(id, status)).into(),
            gas_limit: HANDLE_DELIVERY_GAS.min(self.shard.params.gas_limit),
            value: refund,
            funding: Funding::Caller,
        });
        match self.run_system(&payload) {
            Ok(run) if run.executed.effects.outcomes.iter().all(|outcome| outcome.status == Status::Success) => {
                self.apply_run(Cause::Acknowledgement(id), &payload, run);
                Ok(HandlerEnd::Ran)
            }
            Err(RunRefusal::Busy(busy)) => Err(busy),
            Ok(_) | Err(_) => Ok(HandlerEnd::Failed),
        }
    }

    /// Takes what the mailbox held for a message, and puts it into an account if there is one to put it.
    fn move_held(&mut self, id: MessageId, value: U256, to: Option<Address>) {
        if value.is_zero() {
            return;
        }
        let burn = SystemTransaction::Burn { account: self.shard.mailbox.address(), value };
        let increase = to.map(|account| SystemTransaction::Increase { balances: vec![(account, value)] });
        for transaction in [Some(burn), increase].into_iter().flatten() {
            let payload = self.system(transaction);
            let run = self.run_own(&payload);
            // Both accounts are this shard's and free; the mailbox holds the value since the message was sent.
            debug_assert!(run.is_ok(), "settling {id}: {run:?}");
            if let Ok(run) = run {
                self.apply_run(Cause::Acknowledgement(id), &payload, run);
            }
        }
    }
}

/// `handleDelivery(bytes32 id, uint8 status)` with these arguments.
pub(crate) fn handle_delivery_call(end: &[u8]) -> Vec<u8> {
    [&keccak256("handleDelivery(bytes32,uint8)")[..4], end].concat()
}

/// How a message ended, ABI encoded: the status is the number that the delivery's leaf has.
pub(crate) fn end_of(id: MessageId, status: DeliveryStatus) -> Vec<u8> {
    [id.0.0, U256::from(status as u8).to_be_bytes::<32>()].concat()
}
