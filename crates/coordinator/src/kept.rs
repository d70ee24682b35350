//! What outlives the coordinator's process: accepted submissions that have not ended, and why others ended without a commit.
//!
//! ```text
//!   run ── may be worked on ──> KEPT ──────> client hears its hash
//!                                 │ the last event
//!                                 └──> (gone) ── refused ──> REFUSED, the last REFUSALS_COUNT_MAX
//! ```
//!
//! Promise: a hash that was given is in one of both until it has a receipt. Written with the step that accepts, so before
//! anybody is told; not synced, as all of this store (`docs/decisions/0010`): a process that dies keeps it, a machine that
//! loses power may not. A host hands [`kept`] in again when it starts.
//!
//! Only what is signed and runs at the slot of its own time is kept: a replay's payloads belong to whoever replays.

use crate::pending::Pending;
use crate::refusal::Refusal;
use crate::settings::{KEPT_BYTES_MAX, REFUSALS_COUNT_MAX};
use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use commit::coordinator::OpenError;
use evm::{PAYLOAD_BYTES_MAX, Payload, Step};
use primitives::{Read, Space, Time, Write, decode, encode};
use std::collections::{BTreeMap, VecDeque};

/// Accepted submissions that have not ended: the hash of the first transaction to the payload.
pub const KEPT: Space = Space("coordinator_kept");
/// Accepted submissions that ended without a commit: running number to [`Refused`].
pub const REFUSED: Space = Space("coordinator_refused");

/// Entries read from the store at a time.
const SCAN_COUNT: usize = 256;
/// Most bytes of the words of one refusal.
const REASON_BYTES_MAX: usize = 512;
/// Most bytes of one refusal: as many hashes as a payload has transactions, and the words.
const REFUSED_BYTES_MAX: usize = REASON_BYTES_MAX + 64 * evm::BATCH_COUNT_MAX + 64;

/// An accepted submission that ended without a commit.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Refused {
    transactions: Vec<[u8; 32]>,
    /// When it ended, by the coordinator's clock.
    pub time: Time,
    /// Why.
    pub reason: String,
}

impl Refused {
    /// The hashes of its transactions.
    pub fn transactions(&self) -> impl Iterator<Item = B256> + '_ {
        self.transactions.iter().map(|hash| B256::new(*hash))
    }
}

/// The submissions that a coordinator accepted and that have not ended: hand them in again.
///
/// # Errors
/// [`OpenError`] for a store that was written by something else.
pub fn kept(read: &impl Read) -> Result<Vec<Payload>, OpenError> {
    entries(read, KEPT, PAYLOAD_BYTES_MAX).map(|entries| entries.into_iter().map(|(_, payload)| payload).collect())
}

/// The last refusals of accepted submissions, oldest first.
///
/// # Errors
/// [`OpenError`] for a store that was written by something else.
pub fn refused(read: &impl Read) -> Result<Vec<Refused>, OpenError> {
    entries(read, REFUSED, REFUSED_BYTES_MAX).map(|entries| entries.into_iter().map(|(_, refused)| refused).collect())
}

/// The coordinator's own count of both.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    bytes: usize,
    /// Of the last life, not handed in again yet: the bytes of each.
    recovered: BTreeMap<B256, usize>,
    numbers: VecDeque<u64>,
}

impl Keeper {
    pub(crate) fn open(read: &impl Read) -> Result<Self, OpenError> {
        let payloads: Vec<(Vec<u8>, Payload)> = entries(read, KEPT, PAYLOAD_BYTES_MAX)?;
        let recovered: BTreeMap<B256, usize> = payloads
            .iter()
            .map(|(key, payload)| Ok((hash(key)?, encode(payload).len())))
            .collect::<Result<_, OpenError>>()?;
        let refusals: Vec<(Vec<u8>, Refused)> = entries(read, REFUSED, REFUSED_BYTES_MAX)?;
        let number = |key: &[u8]| <[u8; 8]>::try_from(key).map(u64::from_be_bytes);
        let numbers = refusals
            .iter()
            .map(|(key, _)| number(key).map_err(|_| damaged(REFUSED, key, "the key is not a number")))
            .collect::<Result<_, _>>()?;
        Ok(Self { bytes: recovered.values().sum(), recovered, numbers })
    }

    /// A submission that was accepted in the last life is accepted in this one.
    pub(crate) fn recall(&mut self, pending: &mut Pending) {
        pending.kept = key(pending).and_then(|hash| self.recovered.remove(&hash));
    }

    /// Writes an accepted submission down, once.
    ///
    /// # Errors
    /// [`Refusal::Busy`] at the bound.
    pub(crate) fn keep(&mut self, pending: &mut Pending, writes: &mut Vec<Write>) -> Result<(), Refusal> {
        if pending.kept.is_some() {
            return Ok(());
        }
        let Some(hash) = key(pending) else { return Ok(()) };
        let bytes = encode(pending.payload.payload());
        if self.bytes + bytes.len() > KEPT_BYTES_MAX {
            return Err(Refusal::Busy);
        }
        self.bytes += bytes.len();
        pending.kept = Some(bytes.len());
        writes.push(Write::put(KEPT, hash.0, bytes));
        Ok(())
    }

    /// Takes a submission that ended out again; of a refused one the reason stays.
    pub(crate) fn end(&mut self, pending: &Pending, refusal: Option<&Refusal>, now: Time, writes: &mut Vec<Write>) {
        let (Some(bytes), Some(hash)) = (pending.kept, key(pending)) else { return };
        self.bytes = self.bytes.saturating_sub(bytes);
        writes.push(Write::delete(KEPT, hash.0));
        let Some(refusal) = refusal else { return };
        if self.numbers.len() >= REFUSALS_COUNT_MAX
            && let Some(oldest) = self.numbers.pop_front()
        {
            writes.push(Write::delete(REFUSED, oldest.to_be_bytes()));
        }
        let number = self.numbers.back().map_or(0, |last| last + 1);
        self.numbers.push_back(number);
        let transactions = pending.hashes().map(|hash| hash.0).collect();
        let refused = Refused { transactions, time: now, reason: words(refusal) };
        writes.push(Write::put(REFUSED, number.to_be_bytes(), encode(&refused)));
    }
}

/// What an accepted submission is kept by: a transaction is in one submission at a time.
fn key(pending: &Pending) -> Option<B256> {
    let is_signed = pending.payload.steps().iter().all(|step| matches!(step, Step::Signed(_)));
    pending.hashes().next().filter(|_| is_signed && pending.runs_in_slots())
}

fn hash(key: &[u8]) -> Result<B256, OpenError> {
    B256::try_from(key).map_err(|_| damaged(KEPT, key, "the key is not a hash"))
}

fn words(refusal: &Refusal) -> String {
    let mut words = refusal.to_string();
    let end = (0..=REASON_BYTES_MAX.min(words.len())).rev().find(|end| words.is_char_boundary(*end));
    words.truncate(end.unwrap_or(0));
    words
}

fn entries<T: BorshDeserialize>(
    read: &impl Read,
    space: Space,
    bytes_max: usize,
) -> Result<Vec<(Vec<u8>, T)>, OpenError> {
    let (mut entries, mut from) = (Vec::new(), Vec::new());
    loop {
        let page = read.scan(space, &[], &from, SCAN_COUNT);
        let Some((last, _)) = page.last() else { return Ok(entries) };
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in page {
            let entry = decode(&value, bytes_max).map_err(|error| damaged(space, &key, &error.to_string()))?;
            entries.push((key, entry));
        }
    }
}

fn damaged(space: Space, key: &[u8], reason: &str) -> OpenError {
    OpenError { space, key: alloy_primitives::hex::encode(key), reason: reason.to_owned() }
}
