//! `OperatorService` of a bridge's nodes: what an operator asks a carrier or an attestor, on a gRPC port of its own. `dovetail bridge`
//! calls it.
//!
//! Promise: an answer that something is so comes after it is on the disk.

use crate::desk::{Ask, Desk};
use crate::letters::{self, Direction};
use crate::words::Words;
use alloy_primitives::{Address, B256};
use primitives::Millis;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wire::hops::Sight;
use wire::operator::{Letter, OperatorApi, Way};
use wire::{Reason, Rejection};

/// How long a half may take until its next round; less than a call may.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(50);

/// What a node says of itself beside how it stands.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) domain: u32,
    pub(crate) chain_id: u64,
    pub(crate) mailbox: Address,
}

/// Where an operator is heard.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) desk: Desk,
    pub(crate) about: About,
    /// What an attestor read. A carrier has none, and letters.
    pub(crate) words: Option<Arc<Mutex<Words>>>,
}

/// What both halves answer, the way out first; none if one has no round `within` that.
pub(crate) async fn ask_both(desk: &Desk, ask: &Ask, within: Duration) -> Option<[Value; 2]> {
    let ask_one = async |direction| {
        let heard = desk.order(direction, ask.clone())?;
        tokio::time::timeout(within, heard).await.ok()?.ok()
    };
    let (outward, inward) = tokio::join!(ask_one(Direction::Out), ask_one(Direction::In));
    Some([outward?, inward?])
}

impl OperatorApi for Office {
    async fn ways(&self) -> Result<Vec<Way>, Rejection> {
        Ok([Direction::In, Direction::Out].map(|direction| self.stands(direction)).into())
    }

    async fn letters(&self, after: Option<B256>, count_max: usize) -> Result<Vec<Letter>, Rejection> {
        let [outward, inward] = self.ask(&Ask::Letters).await?;
        let mut all = Vec::new();
        for half in [outward, inward] {
            all.extend(read::<Vec<letters::Letter>>(half)?);
        }
        all.retain(|letter| after.is_none_or(|after| letter.id > after));
        all.sort_unstable_by_key(|letter| letter.id);
        let bare = |letter| Letter { message: Vec::new(), proof: Vec::new(), ..told(letter) };
        Ok(all.into_iter().take(count_max).map(bare).collect())
    }

    async fn letter(&self, id: B256) -> Result<Letter, Rejection> {
        self.answer(&Ask::Letter(id)).await?.map(read::<letters::Letter>).ok_or_else(|| no_letter(id))?.map(told)
    }

    async fn retry(&self, id: B256, gas_min: u64) -> Result<(), Rejection> {
        self.answer(&Ask::Retry { id, gas: gas_min }).await?.map(drop).ok_or_else(|| no_letter(id))
    }

    /// Nobody can: Hyperlane's mailbox keeps no deadline, so what was not processed may still be.
    async fn refund(&self, id: B256) -> Result<(), Rejection> {
        let letter = self.letter(id).await?;
        let why = if letter.way == "in" {
            "its shard tells its sender there how it ended once it has taken it, and the sender gives back what it locked: retry it"
        } else {
            "the mailbox there keeps no deadline, so whoever has its checkpoint may have it processed at any time, and a refund would pay \
             twice. A recipient that keeps a deadline itself (contracts/src/Vault.sol) sends it back by a message of its own: retry it, and \
             that comes"
        };
        Err(Rejection::new(Reason::Unsupported, format!("{id} is not given back: {why}")))
    }

    async fn drop_letter(&self, id: B256, reason: String) -> Result<(), Rejection> {
        self.answer(&Ask::Drop { id, reason }).await?.map(drop).ok_or_else(|| no_letter(id))
    }

    async fn pause(&self, way: String, reason: String) -> Result<(), Rejection> {
        let reason = if reason.is_empty() { "by an operator".to_owned() } else { reason };
        self.set_paused(direction(&way)?, Some(reason))
    }

    async fn resume(&self, way: String) -> Result<(), Rejection> {
        self.set_paused(direction(&way)?, None)
    }

    async fn rescan(&self, way: String, from: u64, to: u64) -> Result<(), Rejection> {
        let way = direction(&way)?;
        self.answer(&Ask::Rescan { way, from, to }).await.map(drop)
    }

    async fn explain(&self, id: B256) -> Result<Sight, Rejection> {
        let chain_id = self.about.chain_id;
        if let Some(words) = &self.words {
            let hops = words.lock().unwrap_or_else(PoisonError::into_inner).hops(id);
            let unknown = || Rejection::new(Reason::NotFound, format!("this attestor read nothing of message {id}"));
            return if hops.is_empty() { Err(unknown()) } else { Ok(Sight { chain_id, hops, why: None }) };
        }
        let mut sight = Sight { chain_id, ..Sight::default() };
        for half in self.ask(&Ask::Hops(id)).await? {
            let half: Sight = read(half)?;
            sight.hops.extend(half.hops);
            sight.why = sight.why.or(half.why);
        }
        if sight.why.is_none() {
            sight.why = self.answer(&Ask::Why(id)).await?.map(read).transpose()?;
        }
        let unknown = "nobody here has heard of it: no attestor told this carrier, and no shard knows the id";
        if sight.why.is_none() && sight.hops.is_empty() {
            return Err(Rejection::new(Reason::NotFound, format!("{id}: {unknown}")));
        }
        Ok(sight)
    }
}

impl Office {
    fn stands(&self, direction: Direction) -> Way {
        let About { domain, chain_id, mailbox } = &self.about;
        let there = format!("chain {chain_id} (domain {domain}, mailbox {mailbox})");
        let standing = self.desk.standing(direction);
        Way {
            name: direction.name().to_owned(),
            ends: match direction {
                Direction::In => format!("{there} to every shard"),
                Direction::Out => format!("every shard to {there}"),
            },
            paused: self.desk.paused(direction),
            waiting_count: standing.waiting as u64,
            oldest: Millis(standing.oldest_s.saturating_mul(1000)),
            done_count: standing.done,
            moved: standing.last_done_s.map(|ago| Millis(ago.saturating_mul(1000))),
            letters_count: standing.letters as u64,
            trouble: standing.complaint().unwrap_or_default(),
        }
    }

    fn set_paused(&self, direction: Direction, reason: Option<String>) -> Result<(), Rejection> {
        let said = reason.clone();
        self.desk.set_paused(direction, reason).map_err(|error| {
            Rejection::new(
                Reason::Internal,
                format!("the pause is not on the disk, and so nothing has changed: {error}"),
            )
        })?;
        tracing::warn!(way = direction.name(), reason = said, "an operator paused or resumed a way");
        Ok(())
    }

    async fn ask(&self, ask: &Ask) -> Result<[Value; 2], Rejection> {
        if self.words.is_some() {
            return Err(Rejection::new(
                Reason::Unsupported,
                "an attestor brings nothing and has no letters: ask a carrier",
            ));
        }
        let late = || Rejection::new(Reason::Unavailable, "no round came to its end in time: ask again");
        ask_both(&self.desk, ask, ANSWER_TIMEOUT).await.ok_or_else(late)
    }

    /// The one answer that is one, if there is any.
    async fn answer(&self, ask: &Ask) -> Result<Option<Value>, Rejection> {
        let answer = self.ask(ask).await?.into_iter().find(|answer| !answer.is_null());
        match answer.as_ref().and_then(|answer| answer.get("error")) {
            Some(error) => Err(Rejection::new(Reason::Aborted, error.as_str().unwrap_or_default().to_owned())),
            None => Ok(answer),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Rejection> {
    serde_json::from_value(value).map_err(|error| Rejection::new(Reason::Internal, error.to_string()))
}

fn no_letter(id: B256) -> Rejection {
    Rejection::new(Reason::NotFound, format!("there is no letter {id}"))
}

fn direction(way: &str) -> Result<Direction, Rejection> {
    let none =
        || Rejection::new(Reason::NoRoute, format!("there is no way {way:?} here: a bridge's are \"in\" and \"out\""));
    [Direction::In, Direction::Out].into_iter().find(|direction| direction.name() == way).ok_or_else(none)
}

fn told(letter: letters::Letter) -> Letter {
    let letters::Letter { id, direction, message, proof, why, tries, .. } = letter;
    let way = direction.name().to_owned();
    Letter { id, way, tries_count: tries, why, message: message.to_vec(), proof: proof.to_vec() }
}
