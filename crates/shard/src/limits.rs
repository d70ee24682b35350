//! Every bound of a shard that is not a message's or a lock's own.
//!
//! Promise (I19): no queue, table or message of the machine grows without one of these.

use primitives::Millis;

/// Most inputs that one step takes; those beyond are answered busy.
pub const INPUTS_PER_STEP_COUNT_MAX: usize = 8192;

/// Most gas that the inputs of one step may ask for together; what is beyond is told to come again. Some 0.2 s of
/// executing: votes and decisions wait no longer than that for transactions of this shard alone, and for messages.
pub const STEP_GAS_MAX: u64 = 500_000_000;

/// Most undecided attempts at one time; a prepare beyond is answered busy, decisions always go through.
pub const ATTEMPTS_LIVE_COUNT_MAX: usize = 65_536;

/// Most noes that are kept at one time; a prepare beyond is answered busy. A no is kept until its attempt's deadline and a
/// minute have passed.
pub const TOMBSTONES_COUNT_MAX: usize = 1_048_576;

/// Most of them to abort requests that show a participant's yes. Each is kept for a minute at least, so that is some 130 a
/// second; whoever waits asks again.
pub const ABORTS_WAITED_COUNT_MAX: usize = 8_192;

/// Most of them to abort requests that show nothing: some 60 a second. With the bound before it this is what strangers can
/// have signed, and they cannot take the room of those that wait.
pub const ABORTS_UNFOUNDED_COUNT_MAX: usize = 4_096;

/// Most of them that one block takes away.
pub const TOMBSTONES_PER_STEP_COUNT_MAX: usize = 1_024;

/// Most records of settled attempts that one block takes away.
pub const SETTLED_PER_STEP_COUNT_MAX: usize = 256;

/// Most messages that the transactions of one payload may send.
pub const MESSAGES_PER_PAYLOAD_COUNT_MAX: usize = 64;

/// For how long keys that new work met locked are counted together; this span and the one before are told.
pub const HEAT_SPAN: Millis = Millis(300_000);

/// Most keys that are counted in one such span, some 200 bytes each.
pub const HEAT_KEYS_COUNT_MAX: usize = 256;

/// Most of them that are told at once.
pub const HOT_KEYS_TOLD_COUNT_MAX: usize = 16;

/// Most questions about late attempts in one step; the rest follow in the next.
pub const ASKS_PER_STEP_COUNT_MAX: usize = 256;

/// How long after its end a slot is still taken (R10): queue and two phases fit in it, and what does not runs again. Then
/// nothing new comes into the slot any more.
pub const SLOT_BEHIND_MAX: Millis = Millis(1_000);

/// How far ahead of the shard's block time a slot may begin (R10): skew between machines.
pub const SLOT_AHEAD_MAX: Millis = Millis(500);

/// For how many times as long as an attempt held a fragment of fees that it read, no other gets one to read: so those who pay
/// fees, which is everybody, are held up for a tenth of the time at most.
pub const FEES_READ_PAUSE_FACTOR: u64 = 9;

/// Most keys whose newest slots are remembered, some 150 bytes each. One more, and the newest slot counts for every key.
pub const RECENT_KEYS_COUNT_MAX: usize = 262_144;

/// How long after its end a slot is closed whatever is undecided (I20): longer than an attempt takes whose parties live.
pub const SLOT_CLOSED_MAX: Millis = Millis(3_000);

const _: () = assert!(SLOT_BEHIND_MAX.0 < SLOT_CLOSED_MAX.0, "what is taken is not closed yet");

/// Gas of the call that tells a sender how its message ended. What it does beyond it is undone; the value is safe.
pub const HANDLE_DELIVERY_GAS: u64 = 500_000;

/// Most messages and deliveries that wait for a lock; those beyond are tried by relays alone.
pub const WAITING_COUNT_MAX: usize = 1_024;

/// Most of them that wait for one key, so that no key takes all places.
pub const WAITING_PER_KEY_COUNT_MAX: usize = 64;

/// Most bytes of their bodies.
pub const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most keys that one of them may meet before it is left to relays.
pub const WAITING_KEYS_COUNT_MAX: usize = 16;

/// Most of them that one step runs; the rest follow in the next.
pub const WAITING_RUNS_PER_STEP_COUNT_MAX: usize = 64;

/// How long a message waits for a lock before new attempts have to leave its keys to it.
pub const WAITING_PATIENCE: Millis = Millis(2_000);

/// For how long they have to: in that time every attempt that holds one of its keys has met its deadline and, unless a
/// shard is gone, was decided.
pub const WAITING_CLAIM: Millis = Millis(commit::participant::DEADLINE_AHEAD_MAX.0 + 5_000);

/// Most fresh values given as a hint with a stale no.
pub const HINT_VALUES_COUNT_MAX: usize = 64;

/// Most accounts checked by the debug self-check of one step; larger tables are checked every
/// [`SELF_CHECK_EVERY_STEPS_COUNT`] steps.
pub const SELF_CHECK_COUNT_MAX: usize = 512;

/// How often a large table is checked in debug builds.
pub const SELF_CHECK_EVERY_STEPS_COUNT: u64 = 256;
