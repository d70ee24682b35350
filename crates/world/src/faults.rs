//! What may go wrong, how often, and what did.
//!
//! ```text
//!   at each message        drop, duplicate, reorder, delay, reset          by chance
//!   at each synced batch   torn write, failed fsync                        by chance
//!   now and then           partitions, slow link, crashes, dead shard, pause, power loss, bit flip, misdirected write, full disk,
//!                          disk stall, restored store, clocks, twin coordinator, lying coordinator, replaying peer, unknown key,
//!                          forging relay
//! ```
//!
//! Promise: which kinds a seed has and how often they strike follows from the seed; each kind is counted when it struck, and
//! with how much work in flight. A kind that a run had but that never struck, or struck a network at rest only, does not
//! count as covered, and [`Counts::uncovered`] says so.
//!
//! Not here: lying RPCs, because there are no external chains yet; an equivocating shard, because one validator who signs
//! two things is a shard that nobody can help (`byzantine` has it, and shows what others can prove).

use crate::Dice;
use primitives::Millis;
use std::collections::BTreeMap;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in reports.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// A message is lost; its caller hears of it when its deadline has passed.
    Drop "message drop";
    /// A call arrives twice.
    Duplicate "message duplicate";
    /// A message is overtaken by those sent after it.
    Reorder "message reorder";
    /// A message takes seconds.
    Delay "message delay";
    /// A call of which a part of the items arrives, and the caller hears that it failed.
    Reset "reset mid-stream";
    /// Nothing passes from one party to another; the other way it does.
    OneWayPartition "one-way partition";
    /// Nothing passes between two groups of parties.
    Partition "full partition";
    /// Messages between two parties take a hundred times as long.
    SlowLink "slow link";
    /// A process is killed, and starts again.
    Crash "crash";
    /// A process is killed each time soon after it starts.
    CrashLoop "crash loop";
    /// A shard is down for longer than its attempts live: what others began with it, and what waits for it, has to end
    /// without it as far as it can.
    DeadShard "dead shard";
    /// A process stands still, and goes on.
    Pause "pause";
    /// Power fails while a batch is written: a part of its record is there, which opening finds and drops.
    TornWrite "torn write";
    /// Power fails, and batches that were not synced are lost, the last or several.
    LostUnsynced "lost unsynced write";
    /// A bit of a record flips: the next read or opening finds it, and the disk is replaced.
    BitFlip "bit flip";
    /// A batch lands in another's place: the next opening finds it, and the disk is replaced.
    Misdirected "misdirected write";
    /// A disk has no room: its node refuses new work, and goes on with what is under way.
    FullDisk "full disk";
    /// A sync fails: the process stops, and whether the batch is there is open until it starts again.
    FailedFsync "failed fsync";
    /// A disk takes seconds for each batch.
    DiskStall "disk stall";
    /// A clock goes ahead all at once.
    ClockJump "clock jump";
    /// A clock is off.
    ClockSkew "clock skew";
    /// A clock stands still.
    ClockFreeze "clock freeze";
    /// A second coordinator runs on a copy of another's log.
    TwinCoordinator "twin coordinator";
    /// A coordinator makes attempts of its own at others' payloads, commits here, aborts there, or stops.
    LyingCoordinator "lying coordinator";
    /// Somebody says again what others said before.
    Replay "replaying peer";
    /// Somebody hands in votes under a key that is no validator's, or a validator's of another shard.
    UnknownKey "unknown key";
    /// A shard starts on an old copy of its store, its signer's mark gone.
    RestoredStore "restored store";
    /// A relay carries messages and words of delivery that it changed, or had certified by who has no say about them.
    ForgingRelay "forging relay";
    /// A shard's clock is hours ahead of all others'.
    ClockFarAhead "clock far ahead";
}

/// How often each kind strikes: per million of messages or batches, or the mean time between two strikes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    chances: BTreeMap<Kind, u32>,
    pauses: BTreeMap<Kind, Millis>,
    /// The one crash of a run that is about this crash alone.
    pub crash: Option<CrashPoint>,
}

/// Where one machine loses power, once: at the n-th batch it writes, over all its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPoint {
    /// Which machine.
    pub party: crate::Party,
    /// Which of its batches, from 1.
    pub batch: u64,
    /// On which side of it.
    pub side: Side,
    /// How much of what was not synced is lost.
    pub tail: Tail,
}

/// On which side of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The step is made, nothing of it is on the disk.
    Before,
    /// The batch is on the disk, nothing of the step was handed out.
    After,
}

/// What a loss of power leaves of batches that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tail {
    /// All: only the process died.
    Kept,
    /// Half of them, the earlier.
    Halved,
    /// None.
    Lost,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// Nothing but this one crash, if it is one.
    pub fn crashing(crash: Option<CrashPoint>) -> Self {
        Self { crash, ..Self::default() }
    }

    /// Each kind with even odds, and how often it strikes, all drawn from `dice`.
    pub fn drawn(dice: &mut Dice) -> Self {
        let mut faults = Self::default();
        for kind in Kind::ALL {
            let (is_there, strength) = (dice.chance(500_000), dice.below(3));
            if is_there {
                faults = faults.with(*kind, strength);
            }
        }
        faults
    }

    /// These and `kind`: rarely with strength 0, often with 2.
    #[must_use]
    pub fn with(mut self, kind: Kind, strength: u64) -> Self {
        let factor = [1, 4, 16][strength.min(2) as usize];
        match kind {
            Kind::Drop | Kind::Duplicate | Kind::Delay | Kind::Reset => {
                self.chances.insert(kind, 3_000 * factor);
            }
            Kind::Reorder => {
                self.chances.insert(kind, 20_000 * factor);
            }
            Kind::TornWrite | Kind::FailedFsync => {
                self.chances.insert(kind, 1_000 * factor);
            }
            _ => {
                self.pauses.insert(kind, Millis(48_000 / u64::from(factor)));
            }
        }
        self
    }

    /// How often in a million `kind` strikes.
    pub(crate) fn chance(&self, kind: Kind) -> u32 {
        self.chances.get(&kind).copied().unwrap_or(0)
    }

    /// The kinds that strike now and then, with their mean pause.
    pub(crate) fn pauses(&self) -> impl Iterator<Item = (Kind, Millis)> + '_ {
        self.pauses.iter().map(|(kind, pause)| (*kind, *pause))
    }

    /// The mean pause of one kind.
    pub(crate) fn pause(&self, kind: Kind) -> Option<Millis> {
        self.pauses.get(&kind).copied()
    }

    /// Every kind that may strike.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.chances.keys().chain(self.pauses.keys()).copied()
    }

    /// The same crash point, and nothing by chance any more.
    pub(crate) fn end(&mut self) {
        self.chances.clear();
        self.pauses.clear();
    }
}

/// How often one kind struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// All times.
    pub fired: u64,
    /// With at least [`WORK_COUNT_MIN`] submissions, attempts and messages in flight.
    pub under_load: u64,
    /// The most work in flight.
    pub work_max: u64,
}

/// How much work in flight makes a fault count.
pub const WORK_COUNT_MIN: u64 = 3;

/// How often each kind struck.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts(BTreeMap<Kind, Count>);

impl Counts {
    /// One more of `kind`, with so much work in flight.
    pub(crate) fn note(&mut self, kind: Kind, work: u64) {
        let count = self.0.entry(kind).or_default();
        count.fired += 1;
        count.under_load += u64::from(work >= WORK_COUNT_MIN);
        count.work_max = count.work_max.max(work);
    }

    /// How often `kind` struck.
    pub fn of(&self, kind: Kind) -> Count {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            let sum = self.0.entry(*kind).or_default();
            sum.fired += count.fired;
            sum.under_load += count.under_load;
            sum.work_max = sum.work_max.max(count.work_max);
        }
    }

    /// The kinds of `enabled` that never struck under load: a run that had them does not cover them.
    pub fn uncovered(&self, enabled: impl IntoIterator<Item = Kind>) -> Vec<Kind> {
        enabled.into_iter().filter(|kind| self.of(*kind).under_load == 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_a_network_at_rest_covers_nothing() {
        let mut counts = Counts::default();
        counts.note(Kind::Crash, 0);
        counts.note(Kind::Drop, WORK_COUNT_MIN);
        assert_eq!(counts.uncovered([Kind::Crash, Kind::Drop, Kind::Pause]), [Kind::Crash, Kind::Pause]);
    }

    #[test]
    fn seeds_draw_different_faults_and_one_seed_the_same() {
        let drawn = |seed| Faults::drawn(&mut Dice::new(seed));
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let all: std::collections::BTreeSet<Kind> =
            (0..20).flat_map(|seed| drawn(seed).kinds().collect::<Vec<_>>()).collect();
        assert_eq!(all.len(), Kind::ALL.len());
    }
}
