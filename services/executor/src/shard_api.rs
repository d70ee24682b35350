//! `ShardService` on the machine and on snapshots of its store.

use crate::checks;
use crate::convert;
use crate::node::{Node, unexpected};
use alloy_primitives::{Address, B256, U256, hex};
use evm::{Environments, Payload, StateKey, SystemTransaction};
use host::Class;
use primitives::{Height, Millis, Read, ShardId, Slot, Time, Verified};
use proof::{Admission, Fact, ForeignReceipt, LeafKind, MessageId, Receipt};
use shard::{Answer, Cheat, Input, Kept, LeafPlace, OutcomeRecord, PastError, queries};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use wire::participant::Answers;
use wire::shard::{
    CertifiedBlock, Delivered, LockCounts, LogPage, Mark, MessageLife, OldLeaves, OutboxLeaf, OutboxPage,
    OutcomeCursor, OutcomePage, OutcomePlace, OutcomeQuery, ShardApi, ShardStatus, StateProof, StateProofs, StateRead,
};
use wire::state::{ReadValue, StateValue};
use wire::{Reason, Rejection};

impl ShardApi for Node {
    async fn status(&self) -> Result<ShardStatus, Rejection> {
        let Attested { open, time: attested, height } = self.attest().await?;
        let reader = self.handle.reader();
        let newest = queries::header(&reader.snapshot(), height);
        let validators = self.network.validators(self.me).map_err(|_| not_found("validators"))?;
        Ok(ShardStatus {
            network: self.network.params.network,
            shard: self.me,
            validators: validators.clone(),
            head: height,
            head_time: newest.as_ref().map_or(Time(0), |(header, _)| header.time),
            attested,
            open,
            history: queries::kept_from(&reader.snapshot()),
            clock: Some(host::wall()),
            header: newest.map(|(header, _)| header),
            placement_version: self.network.placement.version(),
            environments: self.network.params.environments,
            terms: self.terms.clone(),
        })
    }

    async fn submit_local(&self, payloads: Vec<Payload>) -> Result<Answers<Vec<OutcomeRecord>>, Rejection> {
        self.clocks.settled().await;
        let checked = checks::each(&self.checks, payloads, |checks, payload| Ok(checks.payload(payload)?)).await?;
        let input = |ticket, payload| Input::Local { ticket, payload: Box::new(payload) };
        let outcomes = |answer| match answer {
            Answer::Executed { outcomes } => Ok(outcomes),
            Answer::LocalRefused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        };
        Ok(self.ask_each(|_| Class::New, checked, input, outcomes).await)
    }

    async fn read_state(
        &self,
        keys: Vec<StateKey>,
        code_hashes: BTreeSet<B256>,
        after: Option<Slot>,
    ) -> Result<StateRead, Rejection> {
        if let Some(key) = keys.iter().find(|key| self.network.placement.owner(**key) != self.me) {
            let owner = self.network.placement.owner(*key);
            let text = format!("{key} belongs to shard {owner}, this is shard {}", self.me);
            return Err(Rejection::new(Reason::WrongShard, text));
        }
        self.read(keys.iter().copied()).await?;
        // This first: what the slot holds is in the snapshot then.
        if let Some(slot) = after {
            self.check_closed(slot).await?;
        }
        let reader = self.handle.reader();
        let snapshot = reader.snapshot();
        let values = match after {
            Some(slot) => values_after(&snapshot, &keys, slot)?,
            None => keys.iter().map(|key| read_value(&snapshot, key)).collect(),
        };
        let status = queries::status(&snapshot).ok_or_else(|| not_found("genesis"))?;
        let codes = code_hashes.into_iter();
        let codes =
            codes.filter_map(|hash| Some((hash, queries::code(&snapshot, hash)?.into()))).collect::<BTreeMap<_, _>>();
        Ok(StateRead { height: status.tip.height, time: status.tip.time, values, codes })
    }

    async fn prove_state(&self, address: Address, slots: Vec<U256>) -> Result<StateProofs, Rejection> {
        let slots = slots.into_iter().map(|slot| StateKey::Slot(address, slot));
        let keys: Vec<StateKey> = std::iter::once(StateKey::Account(address)).chain(slots).collect();
        self.read(keys.iter().copied()).await?;
        let reader = self.handle.reader();
        let snapshot = reader.snapshot();
        let account = queries::account(&snapshot, address);
        if keys.len() > 1 && self.network.params.computes_storage(address, account.as_ref()) {
            let text = format!("the storage of {address} is the ring of block hashes, which is computed (EIP-2935)");
            return Err(Rejection::new(Reason::Unsupported, text));
        }
        let proven = queries::prove_state(&snapshot, &keys)
            .map_err(|error| Rejection::new(Reason::StoreFailed, error.to_string()))?
            .ok_or_else(|| not_found("a certified block"))?;
        if self.base.is_some() {
            check_proven(&snapshot, &keys, proven.header.state_height)?;
        }
        let proof = |value: queries::ProvenValue| StateProof {
            value: value.value.unwrap_or_default(),
            proof: primitives::encode(&value.proof),
        };
        Ok(StateProofs {
            header: proven.header,
            certificate: proven.certificate,
            proofs: proven.values.into_iter().map(proof).collect(),
        })
    }

    async fn outcome(&self, transaction: B256) -> Result<OutcomeRecord, Rejection> {
        let reader = self.handle.reader();
        let snapshot = reader.snapshot();
        queries::outcome(&snapshot, transaction).ok_or_else(|| not_kept(&snapshot, "the transaction"))
    }

    async fn own_call(&self, transaction: B256) -> Result<SystemTransaction, Rejection> {
        let reader = self.handle.reader();
        let snapshot = reader.snapshot();
        let call = queries::own_call(&snapshot, transaction);
        call.ok_or_else(|| not_kept(&snapshot, "a call of the protocol's own"))
    }

    async fn locks(&self) -> Result<LockCounts, Rejection> {
        match self.ask(Class::UnderWay, |ticket| Input::CountLocks { ticket }).await? {
            Answer::Locks(counts) => Ok(counts),
            other => Err(unexpected(&other)),
        }
    }

    async fn outcomes(&self, query: OutcomeQuery) -> Result<OutcomePage, Rejection> {
        // This first: what is attested now bounds every block that the snapshot may miss.
        let Attested { open, .. } = self.attest().await?;
        let from = query.cursor.unwrap_or_else(|| OutcomeCursor::at(query.from));
        let to = query.to.unwrap_or(open);
        let page = queries::outcomes(&self.handle.reader().snapshot(), from, to, query.count_max)?;
        Ok(OutcomePage { outcomes: page.outcomes, next: page.next, open })
    }

    async fn tell_log(&self, from: OutcomePlace, count_max: usize) -> Result<LogPage, Rejection> {
        // This first: what is attested now bounds every block that the snapshot may miss.
        let Attested { open, .. } = self.attest().await?;
        Ok(LogPage { told: queries::told(&self.handle.reader().snapshot(), from, count_max)?, open })
    }

    async fn cheat(&self, cheat: Cheat) -> Result<Slot, Rejection> {
        match self.ask(Class::New, |ticket| Input::Cheat { ticket, cheat: Box::new(cheat) }).await? {
            Answer::Cheated { slot, .. } => Ok(slot),
            Answer::CheatRefused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    async fn blocks(&self, from: Height, count_max: usize) -> Result<Vec<CertifiedBlock>, Rejection> {
        let headers = queries::headers(&self.handle.reader().snapshot(), from, count_max);
        Ok(headers.into_iter().map(|(header, certificate)| CertifiedBlock { header, certificate }).collect())
    }

    async fn wait_block(&self, height: Height) -> Result<(), Rejection> {
        let mut committed = self.handle.committed();
        loop {
            committed.mark_unchanged();
            let tip = queries::status(&self.handle.reader().snapshot()).map(|status| status.tip.height);
            if tip >= Some(height) {
                return Ok(());
            }
            let stopped = |_| Rejection::new(Reason::Unavailable, "the process is stopping");
            committed.changed().await.map_err(stopped)?;
        }
    }

    async fn outbox(
        &self,
        cursor: LeafPlace,
        count_max: usize,
        kinds: BTreeSet<LeafKind>,
        old: OldLeaves,
    ) -> Result<OutboxPage, Rejection> {
        let reader = self.handle.reader();
        let page = match old {
            OldLeaves::All => queries::outbox_page(&reader.snapshot(), cursor, count_max, &kinds)?,
            OldLeaves::Open => queries::open_outbox_page(&reader.snapshot(), cursor, count_max, &kinds),
        };
        self.departures.note(&page.leaves);
        let leaf = |(place, receipt)| OutboxLeaf { place, receipt };
        Ok(OutboxPage { leaves: page.leaves.into_iter().map(leaf).collect(), next: page.next, head: page.head })
    }

    async fn receipt(&self, kind: LeafKind, id: B256) -> Result<Receipt, Rejection> {
        let reader = self.handle.reader();
        let snapshot = reader.snapshot();
        let place = queries::leaf_place(&snapshot, kind, id.0).ok_or_else(|| not_kept(&snapshot, "the leaf"))?;
        queries::receipt(&snapshot, place).ok_or_else(convert::lost)
    }

    async fn message(&self, id: MessageId) -> Result<MessageLife, Rejection> {
        let reader = self.handle.reader();
        let snapshot = reader.snapshot();
        let life = queries::message(&snapshot, id);
        if life.sent.is_none() && life.consumed.is_none() {
            return Err(not_kept(&snapshot, "the message"));
        }
        Ok(message_life(life))
    }

    async fn sighting(&self, shard: ShardId) -> Result<Option<CertifiedBlock>, Rejection> {
        match self.ask(Class::UnderWay, |ticket| Input::Recall { ticket, shard }).await? {
            Answer::Sighting { newest } => Ok(newest.map(|newest| (*newest).into())),
            other => Err(unexpected(&other)),
        }
    }

    async fn show_sighting(&self, newest: CertifiedBlock) -> Result<Height, Rejection> {
        let newest = Some(Box::new(self.checks.certified(newest.into())?));
        let _ = self.handle.tell(Class::UnderWay, Input::Sighting { from: None, newest }).await;
        Ok(queries::status(&self.handle.reader().snapshot()).map_or(Height(0), |status| status.tip.height))
    }

    async fn deliver(&self, receipts: Vec<Receipt>) -> Result<Answers<Delivered>, Rejection> {
        self.clocks.settled().await;
        let checked = checks::each(&self.checks, receipts, |checks, receipt| Ok(checks.fact(receipt)?)).await?;
        Ok(self.ask_each(deliver_class, checked, deliver_input, delivered).await)
    }

    async fn admit(&self, receipts: Vec<ForeignReceipt>) -> Result<Answers<Delivered>, Rejection> {
        self.clocks.settled().await;
        let checked = checks::each(&self.checks, receipts, |checks, receipt| Ok(checks.admission(receipt)?)).await?;
        let input = |ticket, admission| Input::Admit { ticket, admission: Box::new(admission) };
        Ok(self.ask_each(admission_class, checked, input, delivered).await)
    }
}

impl Node {
    /// Up to when all is told here.
    async fn attest(&self) -> Result<Attested, Rejection> {
        match self.ask(Class::UnderWay, |ticket| Input::Attest { ticket }).await? {
            Answer::Attested { open, time, height } => {
                self.floor.note(time.after(Millis(1)))?;
                self.open.fetch_max(open.0, Ordering::Relaxed);
                Ok(Attested { open, time, height })
            }
            other => Err(unexpected(&other)),
        }
    }
}

impl Node {
    /// Fails unless the state after `slot` is what it will be for ever.
    async fn check_closed(&self, slot: Slot) -> Result<(), Rejection> {
        if self.network.params.environments == Environments::Replay {
            let text = "a network that replays another chain's blocks keeps no historical state";
            return Err(Rejection::new(Reason::HistoryUnavailable, text));
        }
        if slot.0 < self.open.load(Ordering::Relaxed) || slot < self.attest().await?.open {
            return Ok(());
        }
        let text = format!("shard {} has not closed block {slot} yet", self.me);
        Err(Rejection::new(Reason::Unavailable, text))
    }
}

/// Up to when all is told by this shard.
struct Attested {
    /// The first network block that is not closed.
    open: Slot,
    /// No block to come has a time at or before this one.
    time: Time,
    /// The newest block.
    height: Height,
}

/// A message begins something here; a delivery ends something.
fn deliver_class(fact: &Verified<Fact>) -> Class {
    if fact.leaf.kind == LeafKind::Delivery { Class::UnderWay } else { Class::New }
}

fn admission_class(admission: &Verified<Admission>) -> Class {
    match **admission {
        Admission::Processed(_) => Class::UnderWay,
        Admission::Message { .. } => Class::New,
    }
}

fn deliver_input(ticket: shard::Ticket, fact: Verified<Fact>) -> Input {
    match fact.leaf.kind {
        LeafKind::Delivery => Input::Acknowledge { ticket, fact: Box::new(fact) },
        // What is no message is refused by the machine, with its reason.
        LeafKind::Message | LeafKind::Vote | LeafKind::Outcome => Input::Deliver { ticket, fact: Box::new(fact) },
    }
}

fn delivered(answer: Answer) -> Result<Delivered, Rejection> {
    match answer {
        Answer::Delivered { receipt, novelty, .. } => {
            Ok(Delivered { novelty, height: receipt.header.height, receipt: Some(*receipt) })
        }
        Answer::Acknowledged { height, novelty, .. } => Ok(Delivered { novelty, height, receipt: None }),
        Answer::DeliverRefused(refusal) => Err(refusal.into()),
        Answer::AcknowledgeRefused(refusal) => Err(refusal.into()),
        other => Err(unexpected(&other)),
    }
}

fn read_value(read: &impl Read, key: &StateKey) -> ReadValue {
    let value = match key {
        StateKey::Account(address) => StateValue::Account(queries::account(read, *address)),
        StateKey::Slot(address, slot) => StateValue::Slot(queries::slot(read, *address, *slot)),
        StateKey::Fees(fees) => StateValue::Fees(queries::fees(read, fees.beneficiary)),
    };
    ReadValue { value, locked_by: queries::locked_by(read, key) }
}

/// What `keys` were after `slot`, which nothing changes any more.
fn values_after(read: &impl Read, keys: &[StateKey], slot: Slot) -> Result<Vec<ReadValue>, Rejection> {
    let refused = |error: PastError| {
        let reason = match error {
            PastError::Pruned { .. } => Reason::HistoryUnavailable,
            PastError::Undecided { .. } => Reason::Unavailable,
        };
        Rejection::new(reason, error.to_string())
    };
    let stored = queries::values_after(read, keys, slot).map_err(refused)?;
    let value = |(key, stored): (&StateKey, Option<Vec<u8>>)| match key {
        StateKey::Account(_) => StateValue::Account(stored.as_deref().map(queries::account_of)),
        StateKey::Slot(..) => StateValue::Slot(stored.as_deref().map(queries::word).unwrap_or_default()),
        StateKey::Fees(_) => StateValue::Fees(stored.as_deref().map(queries::word).unwrap_or_default()),
    };
    let values = keys.iter().zip(stored).map(value);
    Ok(values.map(|value| ReadValue { value, locked_by: None }).collect())
}

/// Fails if one of `keys` was read from the forked chain after block `height`: the state then does not have it, and would show that
/// nothing is there.
fn check_proven(read: &impl Read, keys: &[StateKey], height: Height) -> Result<(), Rejection> {
    match keys.iter().find(|key| queries::read_at(read, **key).is_none_or(|at| at > height)) {
        Some(key) => {
            Err(not_found(&format!("a state root with {key}, which was read from the forked chain just now,")))
        }
        None => Ok(()),
    }
}

fn message_life(life: queries::MessageLife) -> MessageLife {
    let (sent, consumed) = (life.sent, life.consumed);
    let end = sent.as_ref().and_then(|sent| sent.end.as_ref());
    let delivery = consumed.as_ref().map(|record| &record.delivery).or(end.map(|end| &end.delivery));
    MessageLife {
        dispatched: sent.as_ref().map(|sent| Mark { height: sent.leaf.height, time: sent.time }),
        delivered: consumed.as_ref().map(|record| Mark { height: record.leaf.height, time: record.time }),
        acknowledged: end.map(|end| Mark { height: end.height, time: end.time }),
        status: delivery.map(|delivery| delivery.status),
        detail: delivery.map(|delivery| readable(&delivery.detail)).unwrap_or_default(),
        message: sent.map(|sent| sent.message).or(consumed.map(|record| record.message)),
    }
}

/// Bytes of a stranger's contract as a text that loses none of them: themselves where they are printable, in hex otherwise.
fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => hex::encode_prefixed(bytes),
    }
}

/// There is no such thing, or there was and it is kept no longer: whoever asks is told from where on all is there.
fn not_kept(read: &impl Read, what: &str) -> Rejection {
    let kept = Kept::read(read);
    if kept.is_all() {
        return not_found(what);
    }
    let text =
        format!("{what} is not here: this node keeps what ran from block {} on, and an archive keeps all", kept.first);
    Rejection::new(Reason::NotFound, text).with("first", kept.first)
}

fn not_found(what: &str) -> Rejection {
    Rejection::new(Reason::NotFound, format!("{what} is not known here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_recipient_said_is_text_where_it_is_and_else_hex_that_loses_nothing() {
        assert_eq!(readable("no güns".as_bytes()), "no güns");
        assert_eq!(readable(&[]), "");
        assert_eq!(readable(&[0xcf, 0x47, 0x91, 0x81, 0x00, 0x0b]), "0xcf479181000b");
        assert_eq!(readable(b"cut\0"), "0x63757400");
    }
}
