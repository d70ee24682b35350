//! The way out: attestors' checkpoints of messages that left, brought to the foreign mailbox as what its ISM takes.
//!
//! ```text
//!   attestors --words--> by index: m of the ISM's validators signed one checkpoint --> does its shard know its end? --yes--> settled
//!                                                                                        | no
//!     refused, or mined and reverted: again after a pause, a bounded number of times <--offer--> under way --> mined
//!       | then                                                                                                  |
//!     a letter, for a person                                     its shard hears of it by the way in (final there) --> settled
//! ```
//!
//! Promise: a message is settled when its shard says that it is, and by no block of the foreign chain that may still go: one whose
//! delivery was undone by a reorganisation is offered again. One that is refused, or reverts, holds up no other and costs the payer a
//! bounded number of transactions.

use crate::attestor::checkpoint;
use crate::attestors::Attestors;
use crate::cursor::Cursor;
use crate::desk::{Ask, Standing};
use crate::hops;
use crate::letters::{Direction, Letter, Letters};
use crate::progress::Progress;
use crate::tries::{PAUSE_SHORT_MAX, Tries};
use crate::words::{OutboundWord, WORDS_PER_ANSWER_COUNT_MAX};
use alloy_primitives::{Address, B256, U256, keccak256};
use chains::hyperlane::IsmKind;
use chains::submitter::{BlockPlace, Landed, Landing, Offered, Parcel, SubmitError, Submitted, Submitter};
use host::network::Network;
use primitives::{ShardId, Time};
use proof::{Message, MessageId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};
use wire::hops::{Hop, Sight, Standing as HopStanding, Step};
use wire::shard::ShardClient;

/// How many pages of words are heard from one attestor about one shard before the others have their turn.
const PAGES_COUNT_MAX: usize = 16;

/// How many messages of a shard may wait here that were heard from one attestor: beyond it they wait at it.
const HEARD_COUNT_MAX: usize = 4_096;

/// How many of these may be heard from nobody else yet: no more of its words are taken until others follow.
const ALONE_COUNT_MAX: usize = 1_024;

/// How long a delivery that was mined may go without its shard hearing of it before the chain is asked whether it still stands.
const FINAL_PATIENCE: Duration = Duration::from_mins(5);

/// Who validates there.
#[derive(Debug, Clone)]
pub(crate) struct Validators {
    /// In the ISM's order.
    pub(crate) addresses: Vec<Address>,
    /// How many of them it needs.
    pub(crate) threshold: usize,
    /// Of which kind it is.
    pub(crate) ism: IsmKind,
}

/// What was signed of one message under one root.
#[derive(Debug, Default)]
struct Signed {
    signatures: BTreeSet<Vec<u8>>,
    /// The message's left siblings, once somebody has said them who did not lie.
    siblings: Option<Vec<B256>>,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its shard was not asked yet whether it knows its end.
    New,
    /// It is to be offered.
    Open,
    /// A transaction is under way.
    UnderWay,
    /// It was delivered in a block that may still go.
    Landed(Instant),
}

/// A transaction that was mined, and in which block.
type Mined = (B256, Option<BlockPlace>);

/// A message that is not settled yet.
#[derive(Debug)]
struct Leaving {
    /// Root and message -> signatures.
    words: BTreeMap<(B256, Vec<u8>), Signed>,
    /// Which attestors, by number, it was heard from.
    heard_from: BTreeSet<usize>,
    since: Instant,
    stage: Stage,
    tries: Tries,
    /// When its shard is asked again.
    asks: Tries,
    /// What the chain said last.
    said: Option<String>,
    /// What delivered it, if that was sent here.
    landed: Option<Mined>,
    /// What reverted, at the payer's cost.
    reverted: Vec<Mined>,
    /// Its shard keeps no life of it, and it was delivered long ago: once more is asked whether it still is.
    is_old: bool,
    /// What a letter brought, whose words are gone.
    kept: Option<(Vec<u8>, Vec<u8>)>,
}

/// What is ready to be delivered.
struct Proven {
    id: B256,
    message: Vec<u8>,
    metadata: Vec<u8>,
}

/// The other half of a carrier.
#[derive(Debug)]
pub(crate) struct Outgoing {
    network: Network,
    validators: Validators,
    submitter: Submitter,
    shards: BTreeMap<ShardId, ShardClient>,
    attestors: Attestors,
    cursor: Cursor,
    letters: Letters,
    /// The next index of each attestor and shard.
    next: BTreeMap<(usize, u32), u32>,
    silent: BTreeMap<usize, Tries>,
    leaving: BTreeMap<(u32, u32), Leaving>,
    /// What is settled and not passed by enough attestors' places, so that a slow one's word is not a new message.
    settled: BTreeSet<(u32, u32)>,
    /// Where the message with this id is.
    places: BTreeMap<B256, (u32, u32)>,
    /// What keeps all of them.
    trouble: Option<String>,
    progress: Progress,
}

impl Outgoing {
    /// The half with its files in `data`.
    pub(crate) fn open(
        network: Network,
        validators: Validators,
        submitter: Submitter,
        shards: BTreeMap<ShardId, ShardClient>,
        attestors: Attestors,
        data: &Path,
    ) -> std::io::Result<Self> {
        Ok(Self {
            network,
            validators,
            submitter,
            shards,
            attestors,
            cursor: Cursor::open(&data.join("cursor-out.json"))?,
            letters: Letters::open(&data.join("dead-letters/out"))?,
            next: BTreeMap::new(),
            silent: BTreeMap::new(),
            leaving: BTreeMap::new(),
            settled: BTreeSet::new(),
            places: BTreeMap::new(),
            trouble: None,
            progress: Progress::default(),
        })
    }

    /// Hears every attestor, follows what is under way, and offers what is ready if it is not `paused`.
    pub(crate) async fn round(&mut self, is_paused: bool) {
        for number in 0..self.attestors.count() {
            self.hear(number).await;
        }
        self.trouble = None;
        self.ask_shards().await;
        match self.submitter.look().await {
            Ok(landed) => landed.into_iter().for_each(|landed| self.take_landing(landed)),
            Err(error) => self.trouble = Some(error.to_string()),
        }
        if !is_paused && self.trouble.is_none() {
            self.offer().await;
        }
        self.move_cursor();
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        let proven = || self.places.values().filter_map(|key| self.leaving.get(key));
        let oldest = proven().map(|leaving| leaving.since).min();
        let standing = self.progress.standing(proven().count(), oldest, self.letters.count());
        Standing { trouble: self.trouble.clone(), ..standing }
    }

    async fn hear(&mut self, number: usize) {
        if self.silent.get(&number).is_some_and(|tries| !tries.is_due(Instant::now())) {
            return;
        }
        for shard in self.shards.keys().map(|shard| shard.0).collect::<Vec<_>>() {
            if !self.hear_shard(number, shard).await {
                let silent = self.silent.entry(number).or_insert_with(|| Tries::with_pauses(PAUSE_SHORT_MAX));
                return silent.pause(Instant::now());
            }
        }
        self.silent.remove(&number);
    }

    /// Whether the attestor answered.
    async fn hear_shard(&mut self, number: usize, shard: u32) -> bool {
        for _ in 0..PAGES_COUNT_MAX {
            if !self.has_room(number, shard) {
                return true; // The rest waits where it is.
            }
            let place = (number, shard);
            let from = *self.next.entry(place).or_insert_with(|| self.cursor.index(self.attestors.url(number), shard));
            let path = format!("outbound?shard={shard}&from={from}");
            let Some(words) = self.attestors.hear::<Vec<OutboundWord>>(number, &path).await else { return false };
            let is_last = words.len() < WORDS_PER_ANSWER_COUNT_MAX;
            for word in words {
                self.note(number, shard, word);
            }
            if is_last {
                return true;
            }
        }
        true
    }

    /// Whether more of this attestor's words on this shard are taken.
    fn has_room(&self, number: usize, shard: u32) -> bool {
        let heard = self.leaving.range((shard, 0)..=(shard, u32::MAX)).map(|(_, leaving)| &leaving.heard_from);
        let of_it = heard.filter(|from| from.contains(&number));
        let (heard, alone) =
            of_it.fold((0, 0), |(heard, alone), from| (heard + 1, alone + usize::from(from.len() == 1)));
        heard < HEARD_COUNT_MAX && alone < ALONE_COUNT_MAX
    }

    fn note(&mut self, number: usize, shard: u32, word: OutboundWord) {
        let OutboundWord { index, root, message, signature, siblings } = word;
        let next = self.next.entry((number, shard)).or_insert(0);
        *next = (*next).max(index.saturating_add(1));
        let is_passed = self.cursor.passed_index_count(shard, index) >= self.validators.threshold;
        if is_passed || self.settled.contains(&(shard, index)) {
            return;
        }
        let leaving = self.leaving.entry((shard, index)).or_insert_with(Leaving::new);
        if !leaving.heard_from.insert(number) {
            return; // One word of each on each place.
        }
        let checkpoint = checkpoint(&self.network, ShardId(shard), root, index, keccak256(&message));
        let signed = leaving.words.entry((root, message.to_vec())).or_default();
        signed.signatures.insert(signature.to_vec());
        if signed.siblings.is_none() && checkpoint.is_newest_leaf(&siblings) {
            signed.siblings = Some(siblings);
        }
        let Some(Proven { id, .. }) = self.proven((shard, index)) else { return };
        self.places.insert(id, (shard, index));
        if self.letters.get(id).is_some_and(|_| self.leaving.get(&(shard, index)).is_some_and(|it| it.kept.is_none())) {
            self.forget(id); // It is for a person.
        }
    }

    /// The message at this place and its metadata, once enough validators have signed one checkpoint of it.
    fn proven(&self, (shard, index): (u32, u32)) -> Option<Proven> {
        let leaving = self.leaving.get(&(shard, index))?;
        if let Some((message, metadata)) = leaving.kept.clone() {
            return Some(Proven { id: keccak256(&message), message, metadata });
        }
        leaving.words.iter().find_map(|((root, message), signed)| {
            Message::from_packed(message, 0, Time(0), U256::ZERO).ok()?;
            let id = keccak256(message);
            let checkpoint = checkpoint(&self.network, ShardId(shard), *root, index, id);
            let signatures: Vec<Vec<u8>> = signed.signatures.iter().cloned().collect();
            let Validators { addresses, threshold, ism } = &self.validators;
            let metadata = match ism {
                IsmKind::MessageId => checkpoint.metadata(addresses, *threshold, &signatures)?,
                IsmKind::MerkleRoot => {
                    let siblings = signed.siblings.as_ref()?;
                    checkpoint.merkle_metadata(addresses, *threshold, &signatures, siblings)?
                }
            };
            Some(Proven { id, message: message.clone(), metadata })
        })
    }

    /// Asks shards about messages that are new here, and about those that were delivered.
    async fn ask_shards(&mut self) {
        let now = Instant::now();
        let wants =
            |leaving: &Leaving| matches!(leaving.stage, Stage::New | Stage::Landed(_)) && leaving.asks.is_due(now);
        let places: Vec<_> = self.places.iter().map(|(id, place)| (*id, *place)).collect();
        for (id, place) in places {
            if !self.leaving.get(&place).is_some_and(wants) {
                continue;
            }
            let Some(client) = self.shards.get(&ShardId(place.0)).cloned() else { continue };
            let life = client.message(MessageId(id)).await;
            let Some(leaving) = self.leaving.get_mut(&place) else { continue };
            leaving.asks.pause(now);
            match life {
                Ok(life) if life.acknowledged.is_some() => self.settle(id),
                Ok(_) => leaving.has_no_end(now),
                Err(rejection) if rejection.reason == wire::Reason::NotFound => self.has_no_life(place),
                Err(rejection) => self.trouble = Some(format!("shard {}: {rejection}", place.0)),
            }
        }
    }

    /// What the shard's mailbox says itself has no life there: it is settled once it was delivered long ago and still is.
    fn has_no_life(&mut self, place: (u32, u32)) {
        let Some(leaving) = self.leaving.get_mut(&place) else { return };
        match leaving.stage {
            Stage::Landed(since) if since.elapsed() > FINAL_PATIENCE => {
                (leaving.stage, leaving.is_old) = (Stage::Open, true);
            }
            Stage::New => leaving.stage = Stage::Open,
            _ => {}
        }
    }

    fn settle(&mut self, id: B256) {
        self.forget(id);
        self.progress.done();
        tracing::info!(message = %id, "a message that left is settled");
        if let Err(error) = self.letters.take(id) {
            tracing::error!(message = %id, %error, "the letter of a message that is settled cannot go");
        }
    }

    /// Nothing is to be done about it here any more.
    fn forget(&mut self, id: B256) {
        if let Some(place) = self.places.remove(&id) {
            self.leaving.remove(&place);
            self.settled.insert(place);
        }
    }

    fn take_landing(&mut self, landed: Landed) {
        let now = Instant::now();
        let Some(place) = self.places.get(&landed.id).copied() else { return };
        let Some(leaving) = self.leaving.get_mut(&place) else { return };
        match landed.landing {
            Landing::Delivered(ended) => {
                if let Submitted::Now { transaction, gas_used, block } = ended {
                    tracing::info!(message = %landed.id, %transaction, gas_used, "a message was delivered there");
                    leaving.landed = Some((transaction, block));
                }
                leaving.stage = Stage::Landed(now);
                leaving.asks = Tries::with_pauses(PAUSE_SHORT_MAX);
            }
            Landing::Displaced => leaving.stage = Stage::Open,
            Landing::Reverted { transaction, gas, block } => {
                tracing::warn!(message = %landed.id, %transaction, gas, "a delivery was mined and reverted, at the payer's cost");
                leaving.stage = Stage::Open;
                leaving.tries.reverted(gas, now);
                leaving.said = Some(format!("transaction {transaction} reverted with {gas} gas"));
                leaving.reverted.push((transaction, block));
                self.put_aside_if_over(landed.id, place);
            }
        }
    }

    /// Offers what is due, a message of each shard after the other.
    async fn offer(&mut self) {
        for place in self.due() {
            let Some(Proven { id, message, metadata }) = self.proven(place) else { continue };
            let gas_min = self.leaving.get(&place).map_or(0, |leaving| leaving.tries.gas_min());
            let parcel = Parcel { message: &message, metadata: &metadata, gas_min };
            let offered = self.submitter.offer(parcel).await;
            if matches!(offered, Err(SubmitError::Reverts(_))) && self.is_for_nobody(place, &message).await {
                self.settle(id);
                continue;
            }
            let Some(leaving) = self.leaving.get_mut(&place) else { continue };
            match offered {
                Ok(Offered::UnderWay) => leaving.stage = Stage::UnderWay,
                Ok(Offered::Before) if leaving.is_old => self.settle(id),
                Ok(Offered::Before) => {
                    leaving.stage = Stage::Landed(Instant::now());
                    leaving.asks = Tries::with_pauses(PAUSE_SHORT_MAX);
                }
                // One that its recipient refuses stays, and stands in nobody's way.
                Err(error @ (SubmitError::Reverts(_) | SubmitError::Reverted(_))) => {
                    tracing::warn!(message = %id, %error, "a message is not taken there");
                    leaving.tries.refused(Instant::now());
                    leaving.said = Some(error.to_string());
                    self.put_aside_if_over(id, place);
                }
                Err(SubmitError::Full) => return,
                Err(error) => {
                    tracing::warn!(message = %id, %error, "nothing is delivered there for now");
                    self.trouble = Some(error.to_string());
                    return;
                }
            }
        }
    }

    /// Whether the shard's mailbox tells an account without code there how its message ended: nobody can be told.
    async fn is_for_nobody(&self, place: (u32, u32), message: &[u8]) -> bool {
        let Ok(message) = Message::from_packed(message, 0, Time(0), U256::ZERO) else { return false };
        let is_own = message.sender == evm::mailbox_address(ShardId(place.0)).into_word();
        is_own && self.submitter.has_code(Address::from_word(message.recipient)).await.is_ok_and(|has_code| !has_code)
    }

    /// The places of what may be offered now, the oldest of each shard first, then the next of each.
    fn due(&self) -> Vec<(u32, u32)> {
        let now = Instant::now();
        let mut ranks: BTreeMap<u32, usize> = BTreeMap::new();
        let mut due = Vec::new();
        let proven: BTreeSet<(u32, u32)> = self.places.values().copied().collect();
        for place in proven {
            let is_due = |leaving: &Leaving| leaving.stage == Stage::Open && leaving.tries.is_due(now);
            if self.leaving.get(&place).is_some_and(is_due) {
                let rank = ranks.entry(place.0).or_default();
                due.push((*rank, place));
                *rank += 1;
            }
        }
        due.sort_unstable();
        due.into_iter().map(|(_, place)| place).collect()
    }

    fn put_aside_if_over(&mut self, id: B256, place: (u32, u32)) {
        let Some(leaving) = self.leaving.get(&place).filter(|leaving| leaving.tries.is_over()) else { return };
        let (why, tries) = (leaving.said.clone().unwrap_or_default(), leaving.tries.count());
        let Some(Proven { message, metadata, .. }) = self.proven(place) else { return };
        let (direction, (shard, index)) = (Direction::Out, place);
        let letter =
            Letter { id, direction, shard, index, message: message.into(), proof: metadata.into(), why, tries };
        match self.letters.keep(letter) {
            Ok(true) => {
                tracing::error!(message = %id, "a message was put aside: see `dovetail bridge dead-letters`");
                self.forget(id);
            }
            Ok(false) => tracing::error!(message = %id, "there are too many letters: a message is tried on and on"),
            Err(error) => tracing::error!(message = %id, %error, "a letter cannot be kept"),
        }
    }

    /// For each attestor and shard: up to what was heard, or to the first of it that is not settled.
    fn move_cursor(&mut self) {
        for ((number, shard), next) in &self.next {
            let heard = self.leaving.range((*shard, 0)..=(*shard, u32::MAX));
            let mut open = heard.filter(|(_, leaving)| leaving.heard_from.contains(number));
            let first = open.next().map_or(*next, |((_, index), _)| *index);
            self.cursor.set_index(self.attestors.url(*number), *shard, first.min(*next));
        }
        let (cursor, threshold) = (&self.cursor, self.validators.threshold);
        self.settled.retain(|(shard, index)| cursor.passed_index_count(*shard, *index) < threshold);
        if let Err(error) = self.cursor.save() {
            tracing::error!(%error, "the cursor cannot be kept: a restart asks again");
        }
    }

    /// Does what an operator asks.
    pub(crate) async fn obey(&mut self, ask: &Ask) -> serde_json::Value {
        match ask {
            Ask::Letters => serde_json::json!(self.letters.all().collect::<Vec<_>>()),
            Ask::Letter(id) => serde_json::json!(self.letters.get(*id)),
            Ask::Retry { id, gas } => self.retry(*id, *gas).await,
            Ask::Drop { id, reason } => match self.letters.drop_one(*id, reason) {
                Ok(letter) => serde_json::json!(letter),
                Err(error) => serde_json::json!({ "error": error.to_string() }),
            },
            Ask::Rescan { way: Direction::In, .. } => serde_json::Value::Null,
            Ask::Rescan { from, .. } => self.hear_again(*from),
            Ask::Why(id) => match self.why_here(*id) {
                Some(why) => serde_json::json!(why),
                None => serde_json::json!(self.life(*id).await),
            },
            Ask::Hops(id) => serde_json::json!(self.sight(*id)),
        }
    }

    /// Hears again what attestors said of places from this one on. What is settled is asked of its shard, and not offered again.
    fn hear_again(&mut self, from: u64) -> serde_json::Value {
        let first = u32::try_from(from).unwrap_or(u32::MAX);
        for ((number, shard), next) in &mut self.next {
            *next = (*next).min(first);
            self.cursor.set_index(self.attestors.url(*number), *shard, *next);
        }
        let still_heard: BTreeSet<_> = self.places.values().copied().collect();
        self.leaving.retain(|place, _| place.1 < first || still_heard.contains(place));
        self.settled.retain(|(_, index)| *index < first);
        serde_json::json!({ "rescans": from })
    }

    /// Puts a letter under way again, with at least this much gas. It stays a letter until its message is settled.
    async fn retry(&mut self, id: B256, gas_min: u64) -> serde_json::Value {
        let Some(letter) = self.letters.get(id).cloned() else { return serde_json::Value::Null };
        let (message, metadata) = (letter.message.to_vec(), letter.proof.to_vec());
        let offered = self.submitter.offer(Parcel { message: &message, metadata: &metadata, gas_min }).await;
        let stage = match offered {
            Err(refused) => return serde_json::json!({ "error": refused.to_string() }),
            Ok(Offered::Before) => Stage::Landed(Instant::now()),
            Ok(Offered::UnderWay) => Stage::UnderWay,
        };
        let (place, mut leaving) = ((letter.shard, letter.index), Leaving::new());
        (leaving.stage, leaving.tries) = (stage, Tries::with_gas(gas_min));
        leaving.kept = Some((message, metadata));
        self.leaving.insert(place, leaving);
        self.places.insert(id, place);
        serde_json::json!({ "retried": id })
    }

    /// The transactions there of a message, and of what tells a message from there its end; and why it waits.
    fn sight(&self, id: B256) -> Sight {
        let step = |(shard, _): &(u32, u32), own: B256, leaving: &Leaving| {
            let is_answer = |(_, message): &(B256, Vec<u8>)| hops::answered(*shard, message) == Some(id);
            let answers = || leaving.words.keys().any(is_answer).then_some(Step::Answered);
            if own == id { Some(Step::Processed) } else { answers() }
        };
        let about = self.places.iter().filter_map(|(own, place)| {
            let leaving = self.leaving.get(place)?;
            Some((step(place, *own, leaving)?, *own, leaving))
        });
        let hops = about.flat_map(|(step, own, leaving)| self.hops(step, own, leaving)).collect();
        Sight { hops, why: self.why_here(id), ..Sight::default() }
    }

    fn hops(&self, step: Step, id: B256, leaving: &Leaving) -> Vec<Hop> {
        let mined = |state| move |(transaction, block): &Mined| hops::hop((step, state), *transaction, *block);
        let reverted = leaving.reverted.iter().map(mined(HopStanding::Reverted));
        let landed = leaving.landed.iter().filter(|_| matches!(leaving.stage, Stage::Landed(_)));
        let under_way = self.submitter.under_way(id).last();
        let under_way = under_way.map(|transaction| hops::hop((step, HopStanding::UnderWay), *transaction, None));
        reverted.chain(landed.map(mined(HopStanding::Mined))).chain(under_way).collect()
    }

    /// Where a message is on its way out, in words, as far as it is known without asking anybody.
    fn why_here(&self, id: B256) -> Option<String> {
        let is_retried = self.places.contains_key(&id);
        if let Some(letter) = self.letters.get(id).filter(|_| !is_retried) {
            return Some(format!("it was put aside after {} tries: {}", letter.tries, letter.why));
        }
        if let Some(leaving) = self.places.get(&id).and_then(|place| self.leaving.get(place)) {
            return Some(leaving.in_words(self.trouble.as_deref()));
        }
        let is_it = |leaving: &&Leaving| leaving.words.keys().any(|(_, message)| keccak256(message) == id);
        if let Some(leaving) = self.leaving.values().find(is_it) {
            let signed = leaving.words.values().map(|signed| signed.signatures.len()).max().unwrap_or(0);
            let needed = self.validators.threshold;
            return Some(format!("{signed} validators have signed a checkpoint of it, and {needed} have to"));
        }
        None
    }

    /// What the shards know of it.
    async fn life(&self, id: B256) -> Option<String> {
        for (shard, client) in &self.shards {
            let Ok(life) = client.message(MessageId(id)).await else { continue };
            return Some(match (life.dispatched, life.acknowledged, life.delivered, life.status) {
                (Some(_), Some(end), _, status) => {
                    format!("shard {shard} sent it and knows its end since block {}: {status:?}", end.height)
                }
                (Some(sent), None, ..) => {
                    format!(
                        "shard {shard} sent it in block {}; no attestor has told this carrier of it yet",
                        sent.height
                    )
                }
                (None, _, Some(consumed), status) => {
                    format!("shard {shard} consumed it in block {}: {status:?} {}", consumed.height, life.detail)
                }
                _ => format!("shard {shard} knows it, and nothing of its way"),
            });
        }
        None
    }
}

impl Leaving {
    fn new() -> Self {
        Self {
            words: BTreeMap::new(),
            heard_from: BTreeSet::new(),
            since: Instant::now(),
            stage: Stage::New,
            tries: Tries::with_gas(0),
            asks: Tries::with_pauses(PAUSE_SHORT_MAX),
            said: None,
            landed: None,
            reverted: Vec::new(),
            is_old: false,
            kept: None,
        }
    }

    /// Its shard does not know its end: it is to be offered, or offered again where what was delivered may be undone.
    fn has_no_end(&mut self, now: Instant) {
        match self.stage {
            Stage::New => self.stage = Stage::Open,
            Stage::Landed(since) if now.duration_since(since) > FINAL_PATIENCE => self.stage = Stage::Open,
            _ => {}
        }
    }

    fn in_words(&self, trouble: Option<&str>) -> String {
        let said = self.said.as_deref().unwrap_or("nothing was said against it");
        match self.stage {
            Stage::New => "it is signed; its shard is asked whether it knows its end".to_owned(),
            Stage::Open => {
                let trouble = trouble.map(|trouble| format!("; nothing is delivered there for now: {trouble}"));
                let (tries, trouble) = (self.tries.count(), trouble.unwrap_or_default());
                format!("it is signed and was tried in vain {tries} times: {said}{trouble}")
            }
            Stage::UnderWay => "a transaction for it is under way there and not mined yet".to_owned(),
            Stage::Landed(since) => format!(
                "it was delivered there {} s ago, in a block that its attestors do not call final yet, or have not told its shard of",
                since.elapsed().as_secs()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_that_its_shard_does_not_hear_of_is_offered_again_when_its_block_should_be_final() {
        let start = Instant::now();
        let mut leaving = Leaving { stage: Stage::Landed(start), ..Leaving::new() };
        leaving.has_no_end(start + FINAL_PATIENCE);
        assert_eq!(leaving.stage, Stage::Landed(start));
        leaving.has_no_end(start + FINAL_PATIENCE + Duration::from_secs(1));
        assert_eq!(leaving.stage, Stage::Open);
    }

    #[test]
    fn what_its_shard_does_not_know_the_end_of_is_offered_and_what_is_under_way_is_left_alone() {
        let mut leaving = Leaving::new();
        leaving.has_no_end(Instant::now());
        assert_eq!(leaving.stage, Stage::Open);
        leaving.stage = Stage::UnderWay;
        leaving.has_no_end(Instant::now());
        assert_eq!(leaving.stage, Stage::UnderWay);
    }
}
