//! Refunds of senders on other shards: each goes there as a message of the mailbox itself, like every other message.
//!
//!   source                                                          the sender's shard
//!   failed, expired: the mailbox dispatches what it held  --------> handleDelivery(id, status) with the value; if that fails,
//!       |                                                           the value into the account
//!       | <--- delivery leaf, which never says failed ------------- |
//!   held value burnt
//!
//! Promise (I8, I14): the value is in flight with one message or with the next, from the batch that takes the first's end until
//! it is minted where its owner lives; what carries it is carried, consumed and ended once as messages are, and cannot fail or expire.
//! A return is known by its sender: nobody but its shard calls in a mailbox's name.
//! Knows nothing of refunds on the own shard ([`crate::acknowledgements`]).

use crate::acknowledgements::{end_of, handle_delivery_call};
use crate::applied::Cause;
use crate::execution::RunRefusal;
use crate::inbox::{End, abi_call, offset, ran};
use crate::input::Busy;
use crate::ledger;
use crate::limits::HANDLE_DELIVERY_GAS;
use crate::messages::HandlerEnd;
use crate::shard::Work;
use alloy_primitives::{Address, B256, U256};
use evm::{Funding, RecoveredPayload, StateKey, SystemTransaction, mailbox_address};
use primitives::{NetworkId, Read, Time};
use proof::{DeliveryStatus, Message, MessageId, domain_of, shard_of};

/// The deadline of a return: none. It is the last millisecond of the year 9999, so that whoever prints it prints a date.
pub const RETURN_DEADLINE: Time = Time(253_402_300_799_999);

/// Whether a message carries a refund to its owner: the mailbox of the shard that it comes from sent it itself.
pub(crate) fn is_return(network: NetworkId, message: &Message) -> bool {
    shard_of(network, message.origin).is_some_and(|origin| message.sender == mailbox_address(origin).into_word())
}

impl<R: Read> Work<'_, '_, R> {
    /// Sends what the mailbox holds for a message that ended so to its sender's shard.
    pub(crate) fn send_back(
        &mut self,
        id: MessageId,
        message: &Message,
        status: DeliveryStatus,
    ) -> Result<HandlerEnd, Busy> {
        let mailbox = self.shard.mailbox.address();
        let there = self.shard.placement.shard_of(Address::from_word(message.sender));
        let gas_limit = HANDLE_DELIVERY_GAS.min(self.shard.params.gas_limit);
        let told = Message {
            destination: domain_of(self.shard.params.network, there),
            recipient: message.sender,
            body: end_of(id, status),
            gas_limit,
            deadline: RETURN_DEADLINE,
            ..message.clone()
        };
        let payload = self.system(SystemTransaction::Call {
            caller: mailbox,
            target: mailbox,
            input: dispatch_call(&told).into(),
            gas_limit,
            value: message.value,
            funding: Funding::Caller,
        });
        match self.run_system(&payload) {
            Err(RunRefusal::Busy(busy)) => Err(busy),
            Ok(run) if run.messages.len() == 1 => {
                let returned = run.messages[0].id();
                self.shard.value.refund(message.value);
                self.apply_run(Cause::Acknowledgement(id), &payload, run);
                Ok(HandlerEnd::Returned(returned))
            }
            // The mailbox takes this call as long as it is a mailbox, which only a cheat can change: then it keeps what it has.
            Ok(_) | Err(_) => {
                self.shard.value.refund(message.value);
                Ok(HandlerEnd::Elsewhere)
            }
        }
    }

    /// How a return ends here: told to its owner with the value, or with the value put into its account.
    pub(crate) fn take_back(&mut self, message: &Message) -> Result<End, Busy> {
        let owner = Address::from_word(message.recipient);
        self.check_read([StateKey::Account(owner)])?;
        if ledger::account(&self.ledger.staged, owner).is_some_and(|account| account.has_code()) {
            let payload = self.system(SystemTransaction::Call {
                caller: self.shard.mailbox.address(),
                target: owner,
                input: handle_delivery_call(&message.body).into(),
                gas_limit: message.gas_limit,
                value: message.value,
                funding: Funding::Minted,
            });
            match self.run_system(&payload).map(|run| ran(payload, run)) {
                Err(RunRefusal::Busy(busy)) => return Err(busy),
                Ok(end) if end.status == DeliveryStatus::Delivered => return Ok(end),
                Ok(_) | Err(_) => {}
            }
        }
        let payload = self.system(SystemTransaction::Increase { balances: vec![(owner, message.value)] });
        match self.run_system(&payload) {
            Ok(run) => Ok(ran(payload, run)),
            Err(RunRefusal::Busy(busy)) => Err(busy),
            Err(refusal) => Ok(End::without_run(DeliveryStatus::Failed, &format!("{refusal:?}"))),
        }
    }

    /// What this shard itself brings about, where and when it runs that.
    pub(crate) fn system(&self, transaction: SystemTransaction) -> RecoveredPayload {
        RecoveredPayload::system(self.own_environment(), transaction)
    }
}

/// The mailbox's `dispatch` of this message, ABI encoded.
fn dispatch_call(message: &Message) -> Vec<u8> {
    let word = |value: u64| B256::from(U256::from(value));
    let (to, gas, deadline) = (word(message.destination.into()), word(message.gas_limit), word(message.deadline.0));
    let head = [to, message.recipient, offset(5), gas, deadline];
    abi_call("dispatch(uint32,bytes32,bytes,uint64,uint64)", &head, &message.body)
}
