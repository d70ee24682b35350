//! From the logs of a shard's own mailbox to messages for its outbox.
//!
//!   Dispatch(bytes32 indexed id, bytes message, uint64 gasLimit, uint64 deadlineMs, uint256 value)
//!
//! Promise: a log of the own mailbox becomes one message with the id that the contract computed, or the whole transaction
//! is refused; logs of any other address become nothing, whatever they look like.
//! Knows nothing of attempts and blocks.

use crate::limits::MESSAGES_PER_PAYLOAD_COUNT_MAX;
use alloy_primitives::{Address, B256, U256, keccak256};
use evm::{Log, Outcome, Placement};
use primitives::{NetworkId, ShardId, Time};
use proof::{Message, MessageError, MessageId, domain_of, shard_of};
use std::collections::BTreeSet;
use std::sync::LazyLock;

static DISPATCH: LazyLock<B256> = LazyLock::new(|| keccak256("Dispatch(bytes32,bytes,uint64,uint64,uint256)"));

/// Why a transaction that calls the mailbox is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// The log's data is not the ABI encoding of a dispatch: another contract stands at the mailbox's address.
    #[error("the mailbox's log is not a dispatch")]
    Malformed,
    /// The packed message is none.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The contract's id is not the message's.
    #[error("the mailbox says id {claimed}, the message has {computed}")]
    Id {
        /// What the log says.
        claimed: B256,
        /// What the message is.
        computed: MessageId,
    },
    /// The message claims to come from another domain.
    #[error("the message says it comes from domain {actual:#x}, this is {expected:#x}")]
    Origin {
        /// This shard's domain.
        expected: u32,
        /// What the message says.
        actual: u32,
    },
    /// Nobody could deliver it, and nobody could say that it expired.
    #[error("domain {destination:#x} is no shard of this network, and no route leads there")]
    UnknownDestination {
        /// Where it wants to go.
        destination: u32,
    },
    /// Wei of this network do not exist on a foreign chain.
    #[error("domain {destination:#x} is a foreign chain's: a message to it carries no value")]
    ForeignValue {
        /// Where it wants to go.
        destination: u32,
    },
    /// Its value could not be given back by one shard alone: a balance of the beneficiary is in fragments on all shards.
    #[error("{sender} receives the network's fees and cannot send value with a message")]
    Beneficiary {
        /// Who sends.
        sender: Address,
    },
    /// More messages than [`MESSAGES_PER_PAYLOAD_COUNT_MAX`].
    #[error("{actual} messages, at most {MESSAGES_PER_PAYLOAD_COUNT_MAX} are allowed")]
    TooMany {
        /// How many.
        actual: usize,
    },
}

/// A shard's mailbox.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    /// The network.
    pub(crate) network: NetworkId,
    /// The shard it is of.
    pub(crate) shard: ShardId,
    /// Who receives the network's fees.
    pub(crate) beneficiary: Address,
    /// Domains of foreign chains that a route leads to.
    pub(crate) foreign: BTreeSet<u32>,
}

impl Mailbox {
    /// Its address.
    pub(crate) fn address(&self) -> Address {
        evm::mailbox_address(self.shard)
    }

    /// The messages that `outcomes` send through it, in order.
    pub(crate) fn messages(&self, outcomes: &[Outcome], placement: &Placement) -> Result<Vec<Message>, DispatchError> {
        let logs = outcomes.iter().flat_map(|outcome| &outcome.logs);
        let own = logs.filter(|log| log.address == self.address() && log.topics.first() == Some(&*DISPATCH));
        let messages: Vec<Message> = own.map(|log| self.message(log, placement)).collect::<Result<_, _>>()?;
        if messages.len() > MESSAGES_PER_PAYLOAD_COUNT_MAX {
            return Err(DispatchError::TooMany { actual: messages.len() });
        }
        Ok(messages)
    }

    fn message(&self, log: &Log, placement: &Placement) -> Result<Message, DispatchError> {
        let (claimed, packed, gas_limit, deadline, value) = decode(log).ok_or(DispatchError::Malformed)?;
        let message = Message::from_packed(packed, gas_limit, deadline, value)?;
        if message.id().0 != claimed {
            return Err(DispatchError::Id { claimed, computed: message.id() });
        }
        let expected = domain_of(self.network, self.shard);
        if message.origin != expected {
            return Err(DispatchError::Origin { expected, actual: message.origin });
        }
        let sender = Address::from_word(message.sender);
        if !message.value.is_zero() && sender == self.beneficiary {
            return Err(DispatchError::Beneficiary { sender });
        }
        match shard_of(self.network, message.destination) {
            Some(shard) if shard.0 < placement.shards_count() => Ok(message),
            None if self.foreign.contains(&message.destination) => without_value(message),
            _ => Err(DispatchError::UnknownDestination { destination: message.destination }),
        }
    }
}

/// A message for a foreign chain, where no wei of ours can come to be.
fn without_value(message: Message) -> Result<Message, DispatchError> {
    if message.value.is_zero() {
        Ok(message)
    } else {
        Err(DispatchError::ForeignValue { destination: message.destination })
    }
}

/// Id, packed message, gas limit, deadline and value of a dispatch log, if its data is the one encoding of them.
fn decode(log: &Log) -> Option<(B256, &[u8], u64, Time, U256)> {
    let [_, id] = log.topics[..] else { return None };
    let word = |index: usize| log.data.get(index * 32..index * 32 + 32).map(U256::from_be_slice);
    // Four head words, then the dynamic bytes: their length, themselves, zeros up to a whole word.
    if word(0)? != U256::from(4 * 32) {
        return None;
    }
    let length = usize::try_from(word(4)?).ok()?;
    let packed = log.data.get(160..160_usize.checked_add(length)?)?;
    let padding = log.data.get(160 + length..)?;
    if padding.len() != (32 - length % 32) % 32 || padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some((id, packed, u64::try_from(word(1)?).ok()?, Time(u64::try_from(word(2)?).ok()?), word(3)?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use evm::Status;

    const NETWORK: NetworkId = NetworkId(1337);

    fn mailbox() -> Mailbox {
        Mailbox {
            network: NETWORK,
            shard: ShardId(1),
            beneficiary: Address::repeat_byte(0xfe),
            foreign: [31_337].into(),
        }
    }

    fn placement() -> Placement {
        Placement::new(1, 4, [(Address::repeat_byte(0xa1), ShardId(1))].into()).unwrap()
    }

    fn messages(logs: Vec<Log>) -> Result<Vec<Message>, DispatchError> {
        mailbox().messages(&[outcome(logs)], &placement())
    }

    fn message() -> Message {
        Message {
            nonce: 3,
            origin: domain_of(NETWORK, ShardId(1)),
            sender: Address::repeat_byte(0xa1).into_word(),
            destination: domain_of(NETWORK, ShardId(2)),
            recipient: Address::repeat_byte(0xb2).into_word(),
            body: b"hello".to_vec(),
            gas_limit: 100_000,
            deadline: Time(5_000),
            value: U256::from(9),
        }
    }

    fn log(message: &Message) -> Log {
        let packed = message.packed();
        let mut data = Vec::new();
        data.extend(U256::from(128).to_be_bytes::<32>());
        data.extend(U256::from(message.gas_limit).to_be_bytes::<32>());
        data.extend(U256::from(message.deadline.0).to_be_bytes::<32>());
        data.extend(message.value.to_be_bytes::<32>());
        data.extend(U256::from(packed.len()).to_be_bytes::<32>());
        data.extend(&packed);
        data.resize(data.len().next_multiple_of(32), 0);
        Log { address: mailbox().address(), topics: vec![*DISPATCH, message.id().0], data: data.into() }
    }

    fn outcome(logs: Vec<Log>) -> Outcome {
        Outcome {
            transaction: None,
            kind: 2,
            status: Status::Success,
            gas_used: 1,
            gas_price: 1,
            output: Vec::new().into(),
            logs,
            created: None,
        }
    }

    #[test]
    fn a_dispatch_log_is_a_message() {
        assert_eq!(messages(vec![log(&message())]), Ok(vec![message()]));
    }

    #[test]
    fn a_log_of_another_address_is_no_message() {
        let forged = Log { address: Address::repeat_byte(1), ..log(&message()) };
        assert_eq!(messages(vec![forged]), Ok(vec![]));
    }

    #[test]
    fn a_message_to_no_shard_is_refused() {
        let lost = Message { destination: 1, ..message() };
        let refused = messages(vec![log(&lost)]);
        assert_eq!(refused, Err(DispatchError::UnknownDestination { destination: 1 }));
    }

    #[test]
    fn a_message_to_a_foreign_chain_leaves_without_value_alone() {
        let out = Message { destination: 31_337, ..message() };
        let refused = messages(vec![log(&out)]);
        assert_eq!(refused, Err(DispatchError::ForeignValue { destination: 31_337 }));
        let free = Message { value: U256::ZERO, ..out };
        assert_eq!(messages(vec![log(&free)]), Ok(vec![free]));
    }

    #[test]
    fn value_of_a_sender_elsewhere_is_taken() {
        let away = Address::repeat_byte(0xa2);
        let placement = Placement::new(1, 4, [(away, ShardId(2))].into()).unwrap();
        let sent = Message { sender: away.into_word(), ..message() };
        assert_eq!(mailbox().messages(&[outcome(vec![log(&sent)])], &placement), Ok(vec![sent]));
    }

    #[test]
    fn value_of_the_beneficiary_is_refused() {
        let beneficiary = Address::repeat_byte(0xfe);
        let placement = Placement::new(1, 4, [(beneficiary, ShardId(1))].into()).unwrap();
        let sent = Message { sender: beneficiary.into_word(), ..message() };
        let refused = mailbox().messages(&[outcome(vec![log(&sent)])], &placement);
        assert_eq!(refused, Err(DispatchError::Beneficiary { sender: beneficiary }));
    }

    #[test]
    fn an_id_that_is_not_the_messages_is_refused() {
        let mut forged = log(&message());
        forged.topics[1] = B256::repeat_byte(7);
        assert!(matches!(messages(vec![forged]), Err(DispatchError::Id { .. })));
    }

    #[test]
    fn data_that_is_cut_or_padded_is_refused() {
        let whole = log(&message());
        for length in 0..whole.data.len() {
            let cut = Log { data: whole.data[..length].to_vec().into(), ..whole.clone() };
            assert_eq!(messages(vec![cut]), Err(DispatchError::Malformed), "{length}");
        }
        let padded = Log { data: [&whole.data[..], &[0; 32]].concat().into(), ..whole };
        assert_eq!(messages(vec![padded]), Err(DispatchError::Malformed));
    }

    #[test]
    fn too_many_messages_are_refused() {
        let logs = (0..=MESSAGES_PER_PAYLOAD_COUNT_MAX).map(|_| log(&message())).collect();
        assert!(matches!(messages(logs), Err(DispatchError::TooMany { .. })));
    }
}
