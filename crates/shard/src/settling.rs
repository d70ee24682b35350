//! Decided attempts whose records may go: when all who take part have certified that nothing is open there any more.
//!
//! ```text
//!   decided --> ATTEMPTS and SETTLING, in the batch of the decision
//!                     |  headers of the other participants: settled through the deadline
//!                     '------> both go, with some later block (R7: whoever asks now gets no vote)
//! ```
//!
//! Promise (R7): a record goes only in a batch that also has, or follows on one that has, the certified headers it rests on, so
//! a shard that comes back from that batch knows that the attempt is settled and casts no second vote on it. What does not go
//! yet is what was decided since the others' newest headers: none is kept for the sake of shards that it does not concern.
//! Knows nothing of votes and headers: `commit` says what is settled.

use crate::blocks::Tip;
use crate::limits::SETTLED_PER_STEP_COUNT_MAX;
use crate::queries;
use crate::spaces::{self, ATTEMPTS, META, SETTLING, TIP};
use crate::staged::{Staged, get_value};
use commit::{Descriptor, Participant};
use primitives::{AttemptId, Digest, Read, ShardId, Time};
use std::collections::BTreeMap;

/// The decided attempts on the disk, by who else takes part. One entry for each set of shards, however many attempts.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    groups: BTreeMap<Vec<ShardId>, Oldest>,
}

/// The oldest of a group: nothing is before it, so no scan begins at what was removed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Oldest {
    deadline: Time,
    attempt: AttemptId,
}

impl Settling {
    /// Those that the store has.
    pub(crate) fn open(read: &impl Read) -> Self {
        let mut settling = Self::default();
        let mut from = Vec::new();
        while let Some((key, _)) = read.scan(SETTLING, &[], &from, 1).pop() {
            let Some((others, oldest)) = parts(&key) else { return settling };
            from = [&spaces::settling_prefix(&others)[..], &[u8::MAX; 41]].concat(); // After all keys of the group.
            settling.groups.insert(others, oldest);
        }
        settling
    }

    /// Has the record of an attempt that was just decided on shard `me` go one day.
    pub(crate) fn keep<R: Read>(&mut self, me: ShardId, descriptor: &Descriptor, staged: &mut Staged<'_, R>) {
        let others: Vec<ShardId> = descriptor.participants.keys().copied().filter(|shard| *shard != me).collect();
        let this = Oldest { deadline: descriptor.deadline, attempt: descriptor.id() };
        staged.put(SETTLING, spaces::settling_key(&others, this.deadline, this.attempt), Vec::new());
        let oldest = self.groups.entry(others).or_insert(this);
        *oldest = this.min(*oldest);
    }

    /// Takes away what is settled at `now`, which is the time of the block that this batch makes.
    pub(crate) fn prune<R: Read>(&mut self, participant: &Participant, now: Time, staged: &mut Staged<'_, R>) {
        let mut room = SETTLED_PER_STEP_COUNT_MAX;
        let is_settled =
            |others: &[ShardId], at: Oldest| participant.is_settled(others.iter().copied(), at.deadline, now);
        self.groups.retain(|others, oldest| {
            if room == 0 || !is_settled(others, *oldest) {
                return true;
            }
            let from = spaces::settling_key(others, oldest.deadline, oldest.attempt);
            for (key, _) in staged.scan(SETTLING, &spaces::settling_prefix(others), &from, room + 1) {
                let Some((_, at)) = parts(&key) else { return true };
                if room == 0 || !is_settled(others, at) {
                    *oldest = at;
                    return true;
                }
                room -= 1;
                staged.delete(ATTEMPTS, spaces::attempt_key(at.attempt));
                staged.delete(SETTLING, key);
            }
            false
        });
    }
}

/// Whether an attempt of which the store has no record is over on all its shards, by all that the store knows: the machine gives no
/// vote on it either.
pub fn is_settled(read: &impl Read, mut participant: Participant, descriptor: &Descriptor) -> bool {
    let now = get_value(read, META, TIP).map_or(Time(0), |tip: Tip| tip.time);
    let me = participant.shard;
    let others = || descriptor.participants.keys().copied().filter(|shard| *shard != me);
    if now < descriptor.deadline {
        return false; // Most are not that old, and nothing has to be read of them.
    }
    for newest in others().filter_map(|shard| queries::sighting(read, shard)) {
        participant.note_settled(newest.header.shard, newest.header.settled_through);
    }
    participant.is_settled(others(), descriptor.deadline, now)
}

/// Who else takes part, and which attempt it is.
fn parts(key: &[u8]) -> Option<(Vec<ShardId>, Oldest)> {
    let (count, rest) = key.split_at_checked(2)?;
    let count = usize::from(u16::from_be_bytes(count.try_into().ok()?));
    let (shards, rest) = rest.split_at_checked(4 * count)?;
    let (deadline, attempt) = rest.split_at_checked(8)?;
    let others = shards.as_chunks().0.iter().map(|shard| ShardId(u32::from_be_bytes(*shard))).collect();
    let attempt = AttemptId(Digest::new(attempt.try_into().ok()?));
    Some((others, Oldest { deadline: Time(spaces::number_of(deadline)), attempt }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::{Epoch, Memory, NetworkId};
    use std::collections::BTreeSet;

    const ME: ShardId = ShardId(0);

    fn descriptor(number: u32, others: &[u32], deadline: u64) -> Descriptor {
        let shards = others.iter().copied().map(ShardId).chain([ME]);
        Descriptor {
            network: NetworkId(1),
            participants: shards.map(|shard| (shard, Epoch(1))).collect(),
            homes: BTreeSet::from([ME]),
            payload: Digest::new([1; 32]),
            number,
            deadline: Time(deadline),
        }
    }

    /// A store that has these decided attempts.
    fn store(settling: &mut Settling, decided: &[Descriptor]) -> Memory {
        let mut store = Memory::default();
        let writes = {
            let mut staged = Staged::new(&store);
            for descriptor in decided {
                staged.put(ATTEMPTS, spaces::attempt_key(descriptor.id()), vec![1]);
                settling.keep(ME, descriptor, &mut staged);
            }
            staged.into_writes()
        };
        store.commit(&writes);
        store
    }

    fn prune(settling: &mut Settling, participant: &Participant, now: u64, store: &mut Memory) {
        let writes = {
            let mut staged = Staged::new(store);
            settling.prune(participant, Time(now), &mut staged);
            staged.into_writes()
        };
        store.commit(&writes);
    }

    fn participant(settled: &[(u32, u64)]) -> Participant {
        let mut participant = Participant::new(NetworkId(1), ME, BTreeMap::new());
        for (shard, through) in settled {
            participant.note_settled(ShardId(*shard), Time(*through));
        }
        participant
    }

    #[test]
    fn a_record_goes_when_all_others_are_settled_and_the_deadline_is_past_here() {
        let mut settling = Settling::default();
        let decided = [descriptor(1, &[1], 100), descriptor(2, &[1], 200), descriptor(3, &[1, 2], 100)];
        let mut store = store(&mut settling, &decided);
        prune(&mut settling, &participant(&[(1, 150)]), 99, &mut store);
        assert_eq!(store.count(ATTEMPTS), 3, "its own deadline is not past");
        prune(&mut settling, &participant(&[(1, 99), (2, 500)]), 500, &mut store);
        assert_eq!(store.count(ATTEMPTS), 3, "shard 1 may have something open");
        prune(&mut settling, &participant(&[(1, 100)]), 500, &mut store);
        assert_eq!(store.count(ATTEMPTS), 2, "of shard 2 nothing is known");
        prune(&mut settling, &participant(&[(1, 500), (2, 500)]), 500, &mut store);
        assert_eq!((store.count(ATTEMPTS), store.count(SETTLING), settling.groups.len()), (0, 0, 0));
    }

    #[test]
    fn a_shard_that_is_gone_keeps_the_records_of_nobody_else() {
        let mut settling = Settling::default();
        let mut store = store(&mut settling, &[descriptor(1, &[1], 100), descriptor(2, &[2], 300)]);
        prune(&mut settling, &participant(&[(2, 900)]), 900, &mut store);
        assert_eq!((store.count(ATTEMPTS), settling.groups.len()), (1, 1));
    }

    #[test]
    fn what_one_block_does_not_take_the_next_does_after_a_restart_too() {
        let mut settling = Settling::default();
        let count = SETTLED_PER_STEP_COUNT_MAX as u32 + 10;
        let decided: Vec<Descriptor> = (1..=count).map(|number| descriptor(number, &[1], u64::from(number))).collect();
        let mut store = store(&mut settling, &decided);
        let settled = participant(&[(1, 10_000)]);
        prune(&mut settling, &settled, 10_000, &mut store);
        assert_eq!(store.count(ATTEMPTS), 10);
        let mut opened = Settling::open(&store);
        assert_eq!(opened.groups, settling.groups);
        prune(&mut opened, &settled, 10_000, &mut store);
        assert_eq!((store.count(ATTEMPTS), store.count(SETTLING)), (0, 0));
    }

    #[test]
    fn what_is_decided_late_is_found_before_what_has_gone() {
        let mut settling = Settling::default();
        let mut store = store(&mut settling, &[descriptor(1, &[1], 100), descriptor(2, &[1], 300)]);
        let settled = participant(&[(1, 200)]);
        prune(&mut settling, &settled, 200, &mut store);
        let writes = {
            let mut staged = Staged::new(&store);
            settling.keep(ME, &descriptor(3, &[1], 50), &mut staged);
            staged.into_writes()
        };
        store.commit(&writes);
        prune(&mut settling, &settled, 200, &mut store);
        assert_eq!(store.count(SETTLING), 1, "the later one is left");
    }
}
