//! What a receipt proves, in words.

use crate::trace::{date, readable};
use alloy_primitives::{Address, B256, hex};
use commit::{VOTE_BYTES_MAX, Verdict, Vote};
use eyre::{Result, WrapErr, eyre};
use primitives::{Verified, decode};
use proof::{Delivery, Fact, LEAF_BODY_BYTES_MAX, LeafKind, Message};
use shard::OutcomeLeaf;
use std::fmt;

/// A believed leaf and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    fact: Fact,
    meaning: Meaning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    Vote(Vote),
    Message(Box<Message>),
    Delivery(Box<Delivery>),
    Outcome(OutcomeLeaf),
}

impl Statement {
    /// What `fact` says.
    ///
    /// # Errors
    /// If its leaf is none of its kind, or speaks for another shard: certified nonsense.
    pub(crate) fn of(fact: Verified<Fact>) -> Result<Self> {
        let fact = fact.into_inner();
        let body = &fact.leaf.body;
        let meaning = match fact.leaf.kind {
            LeafKind::Vote => {
                let vote: Vote = decode(body, VOTE_BYTES_MAX).wrap_err("the certified leaf is no vote")?;
                if (vote.shard, vote.epoch) != (fact.shard, fact.epoch) {
                    return Err(eyre!("shard {} votes in the name of shard {}", fact.shard, vote.shard));
                }
                Meaning::Vote(vote)
            }
            LeafKind::Message => {
                Meaning::Message(Box::new(Message::from_fact(&fact).wrap_err("the certified leaf is no message")?))
            }
            LeafKind::Delivery => {
                Meaning::Delivery(Box::new(Delivery::from_fact(&fact).wrap_err("the certified leaf is no delivery")?))
            }
            LeafKind::Outcome => {
                Meaning::Outcome(decode(body, LEAF_BODY_BYTES_MAX).wrap_err("the certified leaf is no outcome")?)
            }
        };
        Ok(Self { fact, meaning })
    }

    /// The fact.
    pub fn fact(&self) -> &Fact {
        &self.fact
    }

    /// The attempt, message or transaction it is about.
    pub fn about(&self) -> B256 {
        match &self.meaning {
            Meaning::Vote(vote) => B256::new(*vote.attempt.0.as_bytes()),
            Meaning::Message(message) => message.id().0,
            Meaning::Delivery(delivery) => delivery.message.0,
            Meaning::Outcome(leaf) => leaf.transaction,
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fact { network, shard, epoch, height, time, index, header_digest, .. } = &self.fact;
        writeln!(f, "proven: shard {shard} of network {network} said so in block {height} at {}", date(*time))?;
        writeln!(f, "  leaf {index} of its outbox, certified by its validators of epoch {epoch}")?;
        writeln!(f, "  header {header_digest}")?;
        match &self.meaning {
            Meaning::Vote(vote) => {
                writeln!(f, "  vote on attempt {}", vote.attempt)?;
                match &vote.verdict {
                    Verdict::Yes => write!(f, "  verdict yes"),
                    Verdict::No(refusal) => write!(f, "  verdict no: {refusal}"),
                }
            }
            Meaning::Message(message) => write_message(f, message),
            Meaning::Delivery(delivery) => {
                writeln!(f, "  delivery of message {}", delivery.message)?;
                writeln!(f, "  from {} in domain {:#x}", party(delivery.sender), delivery.origin)?;
                writeln!(f, "  status {:?}, {} gas used", delivery.status, delivery.gas_used)?;
                write!(f, "  detail {}", readable(&delivery.detail))
            }
            Meaning::Outcome(leaf) => {
                writeln!(f, "  outcome of transaction {}", leaf.transaction)?;
                match leaf.attempt {
                    Some(attempt) => writeln!(f, "  committed by attempt {attempt}")?,
                    None => writeln!(f, "  committed by this shard alone")?,
                }
                writeln!(f, "  status {:?}, {} gas used", leaf.status, leaf.gas_used)?;
                write!(f, "  digest of the whole outcome {}", leaf.outcome)
            }
        }
    }
}

fn write_message(f: &mut fmt::Formatter<'_>, message: &Message) -> fmt::Result {
    writeln!(f, "  message {}", message.id())?;
    writeln!(f, "  from {} in domain {:#x}, nonce {}", party(message.sender), message.origin, message.nonce)?;
    writeln!(f, "  to {} in domain {:#x}", party(message.recipient), message.destination)?;
    writeln!(f, "  {} wei, {} gas, deadline {}", message.value, message.gas_limit, date(message.deadline))?;
    write!(f, "  body {}", hex::encode_prefixed(&message.body))
}

/// An address where the 32 bytes are one.
fn party(word: B256) -> String {
    let address = Address::from_word(word);
    if address.into_word() == word { address.to_string() } else { word.to_string() }
}
