//! What somebody who pays nothing takes from others: a measurement, not a check. `docs/decisions/0022` has its figures.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, Bytes};
use dovetail_tests::cluster::{Cluster, End, Submission};
use dovetail_tests::processes::Processes;
use dovetail_tests::stage::{Ground, Stage, nonce};
use dovetail_tests::stranger::Attempt;
use fixtures::wallet::{Call, Wallet};
use primitives::{Millis, Time};

/// How long each phase lasts.
const PHASE: Millis = Millis(60_000);

/// How long locks live at most: a deadline lies at most 30 s ahead of a shard's time.
const LOCK_LIFE: Millis = Millis(29_000);

/// The same of locks on fees that are read: at most 3 s.
const FEES_LOCK_LIFE: Millis = Millis(2_800);

/// Between two tries of who locks.
const TRY_PAUSE: Millis = Millis(250);

/// A user who sends the same again and again, one after the other.
struct User {
    wallet: Wallet,
    call: Call,
    under_way: Option<Submission>,
    committed: u64,
}

impl User {
    fn new(wallet: &Wallet, call: Call) -> Self {
        Self { wallet: wallet.clone(), call, under_way: None, committed: 0 }
    }

    fn go_on(&mut self, cluster: &mut Processes) {
        if let Some(submission) = self.under_way {
            let Some(end) = cluster.end(submission) else { return };
            self.committed += u64::from(matches!(end, End::Committed(_)));
        }
        let bytes = signed(cluster, &mut self.wallet, &self.call);
        self.under_way = Some(cluster.submit(0, &[bytes]).unwrap());
    }
}

/// Locks what `call` touches, and never decides. His transaction never commits, so it costs him nothing and he can sign it again.
struct Locker {
    wallet: Wallet,
    call: Call,
    life: Millis,
    again: Time,
    times: u64,
}

impl Locker {
    fn go_on(&mut self, cluster: &mut Processes) {
        if cluster.now() < self.again {
            return;
        }
        self.again = cluster.now().after(TRY_PAUSE);
        let bytes = signed(cluster, &mut self.wallet, &self.call);
        let Ok(mut attempt) = Attempt::at(cluster, &[bytes], self.life) else { return };
        let verdicts = attempt.prepare_all(cluster);
        self.times += u64::from(verdicts.is_ok_and(|verdicts| verdicts.values().all(commit::Verdict::is_yes)));
    }
}

/// The call under the nonce that is next now.
fn signed(cluster: &mut Processes, wallet: &mut Wallet, call: &Call) -> Bytes {
    wallet.set_nonce(nonce(cluster, wallet.address()).unwrap());
    wallet.sign(call).unwrap()
}

/// What each of `users` commits in a phase, and how often the locker got his locks.
fn phase(cluster: &mut Processes, mut users: [User; 2], mut locker: Option<Locker>) -> ([u64; 2], u64) {
    let end = cluster.now().after(PHASE);
    while cluster.now() < end {
        for user in &mut users {
            user.go_on(cluster);
        }
        if let Some(locker) = &mut locker {
            locker.go_on(cluster);
        }
        cluster.pass();
    }
    (users.map(|user| user.committed), locker.map_or(0, |locker| locker.times))
}

/// Two users without and with the locker beside them, on a network of three shards.
fn measure(life: Millis, locks: impl Fn(&Stage) -> Call) {
    let mut cluster = Processes::start(&Ground::new().unwrap()).unwrap();
    let stage = Stage::set(&mut cluster).unwrap();
    let (people, contracts) = (&stage.people, &stage.contracts);
    let popular = || User::new(&people.alice, contracts.count_all());
    let other = || User::new(&people.bob, contracts.give_gold(people.carol.address(), 1));
    let locker = Locker { wallet: people.erin.clone(), call: locks(&stage), life, again: Time(0), times: 0 };
    let (without, _) = phase(&mut cluster, [popular(), other()], None);
    let (with, times) = phase(&mut cluster, [popular(), other()], Some(locker));
    println!("committed in {PHASE}, without and with him:");
    println!("  who raises all counters {} {}", without[0], with[0]);
    println!("  who gives gold          {} {}", without[1], with[1]);
    println!("  he had his locks {times} times");
}

#[test]
#[ignore = "a measurement of two minutes: cargo nextest run --workspace --test abuse --run-ignored only --no-capture"]
fn a_locker_of_a_popular_key() {
    measure(LOCK_LIFE, |stage| stage.contracts.count_all());
}

#[test]
#[ignore = "a measurement of two minutes: cargo nextest run --workspace --test abuse --run-ignored only --no-capture"]
fn a_reader_of_the_beneficiarys_balance() {
    measure(FEES_LOCK_LIFE, |_| {
        // PUSH20 beneficiary, BALANCE, PUSH1 0, SSTORE, STOP.
        let beneficiary = Address::with_last_byte(0xfe);
        let code = [&[0x73][..], beneficiary.as_slice(), &[0x31, 0x60, 0, 0x55, 0]].concat();
        Call::create(code)
    });
}
