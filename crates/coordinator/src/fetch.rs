//! Values on their way from the shards that own them.
//!
//! A value that several submissions lack is asked for once. An answer that does not come is asked for again, and after the
//! patience for its shard those that wait for it are told.

use crate::cache::Stamp;
use crate::claims::Turn;
use crate::input::Send;
use crate::settings::Timing;
use alloy_primitives::{Address, B256};
use evm::{Missing, Placement, StateKey};
use primitives::{ShardId, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Most keys in one fetch.
pub const FETCH_KEYS_COUNT_MAX: usize = 1024;
/// Most codes in one fetch.
pub const FETCH_CODES_COUNT_MAX: usize = 32;
/// Most proofs of codes in one fetch.
pub const FETCH_PROOFS_COUNT_MAX: usize = 16;

/// Names a fetch; this machine chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

#[derive(Debug)]
struct Fetch {
    shard: ShardId,
    keys: Vec<StateKey>,
    codes: BTreeMap<B256, Missing>,
    /// Accounts whose codes are to be proven; then neither keys nor codes.
    proofs: Vec<Address>,
    asked: Stamp,
    /// When it was first asked: the shard's patience runs from here.
    since: Time,
    /// When to ask again.
    due: Time,
    waiters: BTreeSet<Turn>,
}

impl Fetch {
    fn send(&self, fetch: FetchId) -> Send {
        let shard = self.shard;
        if !self.proofs.is_empty() {
            return Send::FetchProofs { shard, fetch, accounts: self.proofs.clone() };
        }
        Send::Fetch { shard, fetch, keys: self.keys.clone(), codes: self.codes.keys().copied().collect() }
    }

    fn wanted(&self) -> impl Iterator<Item = Missing> {
        let keys = self.keys.iter().map(|key| Missing::Key(*key));
        let proofs = self.proofs.iter().map(|account| Missing::CodeProof(*account));
        keys.chain(self.codes.values().copied()).chain(proofs)
    }
}

/// A fetch that came to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) shard: ShardId,
    pub(crate) asked: Stamp,
    pub(crate) proofs: Vec<Address>,
    pub(crate) waiters: BTreeSet<Turn>,
}

/// What time brings.
#[derive(Debug)]
pub(crate) struct Due {
    /// Asked again.
    pub(crate) sends: Vec<Send>,
    /// Given up.
    pub(crate) ended: Vec<Ended>,
    /// Who has left something unanswered for too long.
    pub(crate) silent: BTreeSet<ShardId>,
}

/// All fetches on their way.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    next: u64,
    open: BTreeMap<FetchId, Fetch>,
    wanted: BTreeMap<Missing, FetchId>,
    timers: BTreeSet<(Time, FetchId)>,
}

impl Fetches {
    /// Has `missing` fetched for `turn`; says what it waits for, and what is to be sent.
    pub(crate) fn want(
        &mut self,
        turn: Turn,
        missing: &BTreeSet<Missing>,
        placement: &Placement,
        (now, stamp, timing): (Time, Stamp, &Timing),
    ) -> (BTreeSet<FetchId>, Vec<Send>) {
        let mut waits = BTreeSet::new();
        let mut by_shard: BTreeMap<ShardId, (Vec<StateKey>, BTreeMap<B256, Missing>)> = BTreeMap::new();
        let mut proofs: BTreeMap<ShardId, Vec<Address>> = BTreeMap::new();
        for wanted in missing {
            if let Some(fetch) = self.wanted.get(wanted) {
                waits.insert(*fetch);
                continue;
            }
            match wanted {
                Missing::Key(key) => by_shard.entry(placement.owner(*key)).or_default().0.push(*key),
                Missing::CodeProof(account) => proofs.entry(placement.shard_of(*account)).or_default().push(*account),
                Missing::Code { account, hash } => {
                    by_shard.entry(placement.shard_of(*account)).or_default().1.insert(*hash, *wanted);
                }
            }
        }
        let due = now.after(timing.answer);
        let fetch = |shard| Fetch {
            shard,
            keys: Vec::new(),
            codes: Codes::new(),
            proofs: Vec::new(),
            asked: stamp,
            since: now,
            due,
            waiters: BTreeSet::new(),
        };
        let values = by_shard.into_iter().flat_map(|(shard, (keys, codes))| {
            chunks(&keys, codes).into_iter().map(move |(keys, codes)| Fetch { keys, codes, ..fetch(shard) })
        });
        let proofs = proofs.iter().flat_map(|(shard, accounts)| {
            let part = |accounts: &[Address]| Fetch { proofs: accounts.to_vec(), ..fetch(*shard) };
            accounts.chunks(FETCH_PROOFS_COUNT_MAX).map(part).collect::<Vec<_>>()
        });
        let mut sends = Vec::new();
        for fetch in values.chain(proofs) {
            let id = self.open(fetch);
            sends.extend(self.open.get(&id).map(|fetch| fetch.send(id)));
            waits.insert(id);
        }
        for id in &waits {
            if let Some(fetch) = self.open.get_mut(id) {
                fetch.waiters.insert(turn);
            }
        }
        (waits, sends)
    }

    /// Ends a fetch that was answered. `None` for one that is not open, which was answered before.
    pub(crate) fn end(&mut self, id: FetchId) -> Option<Ended> {
        let fetch = self.open.remove(&id)?;
        self.timers.remove(&(fetch.due, id));
        for wanted in fetch.wanted() {
            self.wanted.remove(&wanted);
        }
        Some(Ended { shard: fetch.shard, asked: fetch.asked, proofs: fetch.proofs, waiters: fetch.waiters })
    }

    /// A fetch failed: it is asked again a little later.
    pub(crate) fn failed(&mut self, id: FetchId, now: Time, timing: &Timing) {
        if let Some(fetch) = self.open.get_mut(&id) {
            self.timers.remove(&(fetch.due, id));
            fetch.due = fetch.due.min(now.after(timing.backoff_max));
            self.timers.insert((fetch.due, id));
        }
    }

    /// Nobody but the others waits for it any more.
    pub(crate) fn unwant(&mut self, turn: Turn, fetches: &BTreeSet<FetchId>) {
        for id in fetches {
            if let Some(fetch) = self.open.get_mut(id) {
                fetch.waiters.remove(&turn);
            }
        }
    }

    /// Asks again what is due, and gives up what has been asked for too long.
    pub(crate) fn due(&mut self, now: Time, timing: &Timing) -> Due {
        let due: Vec<FetchId> = self.timers.iter().take_while(|(time, _)| *time <= now).map(|(_, id)| *id).collect();
        let (mut sends, mut ended, mut silent) = (Vec::new(), Vec::new(), BTreeSet::new());
        for id in due {
            let Some(fetch) = self.open.get_mut(&id) else { continue };
            if now.since(fetch.since) >= timing.answer {
                silent.insert(fetch.shard);
            }
            if now.since(fetch.since) >= timing.patience || fetch.waiters.is_empty() {
                ended.extend(self.end(id));
                continue;
            }
            self.timers.remove(&(fetch.due, id));
            fetch.due = now.after(timing.answer);
            self.timers.insert((fetch.due, id));
            sends.push(fetch.send(id));
        }
        Due { sends, ended, silent }
    }

    /// Whose answer an open fetch is.
    pub(crate) fn shard_of(&self, id: FetchId) -> Option<ShardId> {
        self.open.get(&id).map(|fetch| fetch.shard)
    }

    /// Who waits for values of one shard.
    pub(crate) fn waiters(&self, shard: ShardId) -> BTreeSet<Turn> {
        let fetches = self.open.values().filter(|fetch| fetch.shard == shard);
        fetches.flat_map(|fetch| &fetch.waiters).copied().collect()
    }

    /// When something is due next.
    pub(crate) fn wake(&self) -> Option<Time> {
        self.timers.first().map(|(time, _)| *time)
    }

    fn open(&mut self, fetch: Fetch) -> FetchId {
        let id = FetchId(self.next);
        self.next += 1;
        for wanted in fetch.wanted() {
            self.wanted.insert(wanted, id);
        }
        self.timers.insert((fetch.due, id));
        self.open.insert(id, fetch);
        id
    }
}

type Codes = BTreeMap<B256, Missing>;

/// Keys and codes in as many parts as the bounds of one fetch ask for.
fn chunks(keys: &[StateKey], codes: Codes) -> Vec<(Vec<StateKey>, Codes)> {
    let codes: Vec<(B256, Missing)> = codes.into_iter().collect();
    let mut keys = keys.chunks(FETCH_KEYS_COUNT_MAX);
    let mut codes = codes.chunks(FETCH_CODES_COUNT_MAX);
    std::iter::from_fn(|| {
        let (keys, codes) = (keys.next(), codes.next());
        (keys.is_some() || codes.is_some())
            .then(|| (keys.unwrap_or_default().to_vec(), codes.unwrap_or_default().iter().copied().collect()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};

    const TIMING: Timing = Timing {
        attempt: primitives::Millis(1),
        answer: primitives::Millis(100),
        patience: primitives::Millis(250),
        backoff_min: primitives::Millis(1),
        backoff_max: primitives::Millis(20),
        backoff_late: primitives::Millis(40),
        lifetime: primitives::Millis(1_000),
        nonce: primitives::Millis(1),
        nonce_poll: primitives::Millis(1),
        nonce_poll_late: primitives::Millis(1),
    };

    fn placement() -> Placement {
        let pinned = [(Address::repeat_byte(1), ShardId(0)), (Address::repeat_byte(2), ShardId(1))].into();
        Placement::new(1, 2, pinned).expect("two shards")
    }

    fn want(fetches: &mut Fetches, turn: u64, keys: &[(u8, u64)]) -> (BTreeSet<FetchId>, Vec<Send>) {
        let slot =
            |(byte, slot): &(u8, u64)| Missing::Key(StateKey::Slot(Address::repeat_byte(*byte), U256::from(*slot)));
        let missing = keys.iter().map(slot).collect();
        fetches.want(Turn(turn), &missing, &placement(), (Time(1), Stamp(1), &TIMING))
    }

    #[test]
    fn a_value_that_two_lack_is_asked_for_once() {
        let mut fetches = Fetches::default();
        let (first, sends) = want(&mut fetches, 1, &[(1, 0), (2, 0)]);
        assert_eq!((first.len(), sends.len()), (2, 2), "one for each shard");
        let (second, sends) = want(&mut fetches, 2, &[(1, 0)]);
        assert!(sends.is_empty() && second.is_subset(&first));
        let ended = fetches.end(*second.first().expect("one")).expect("open");
        assert_eq!(ended.waiters, [Turn(1), Turn(2)].into());
    }

    #[test]
    fn a_fetch_is_cut_at_its_bound() {
        let mut fetches = Fetches::default();
        let keys: Vec<_> = (0..=FETCH_KEYS_COUNT_MAX as u64).map(|slot| (1, slot)).collect();
        assert_eq!(want(&mut fetches, 1, &keys).1.len(), 2);
    }

    #[test]
    fn what_is_not_answered_is_asked_again_and_in_the_end_given_up() {
        let mut fetches = Fetches::default();
        want(&mut fetches, 1, &[(1, 0)]);
        let mut asked = 0;
        loop {
            let now = fetches.wake().expect("a timer");
            let Due { sends, ended, silent } = fetches.due(now, &TIMING);
            assert_eq!(silent, [ShardId(0)].into());
            asked += sends.len();
            if let [ended] = &ended[..] {
                assert_eq!((ended.shard, ended.waiters.clone(), asked), (ShardId(0), [Turn(1)].into(), 2));
                assert!(now.since(Time(1)) >= TIMING.patience);
                break;
            }
        }
        assert_eq!(fetches.wake(), None);
    }
}
