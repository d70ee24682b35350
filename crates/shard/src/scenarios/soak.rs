//! Many attempts at once, interleaved at random, with restarts and lost coordinators; then one plain EVM must agree (I9).

use super::world::{Crash, ETHER, NETWORK, World, artifact, mailbox_code, user};
use crate::{Answer, GenesisAccount, GenesisAccounts, Input, Prepare};
use alloy_primitives::{Address, TxKind, U256, keccak256};
use commit::{Decision, DecisionProof, VoteProof};
use primitives::{ShardId, Verified};
use proof::{Fact, LeafKind, domain_of};
use std::collections::{BTreeMap, BTreeSet};

const SHARDS_COUNT: u32 = 3;
const USERS_COUNT: u8 = 6;
const COUNTERS_COUNT: u8 = 6;

/// A generator of numbers that a seed repeats.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// An attempt under way: who has voted, and what they said.
struct Running {
    prepare: Prepare,
    votes: BTreeMap<ShardId, Verified<VoteProof>>,
    told: BTreeSet<ShardId>,
}

struct Soak {
    world: World,
    dice: Dice,
    genesis: evm::State,
    running: Vec<Running>,
    messages: Vec<Verified<Fact>>,
    commits: usize,
    aborts: usize,
}

fn counter(number: u8) -> Address {
    Address::with_last_byte(0x80 + number)
}

fn caller() -> Address {
    Address::with_last_byte(0xca)
}

fn word(value: u64) -> [u8; 32] {
    U256::from(value).to_be_bytes::<32>()
}

impl Soak {
    fn new(seed: u64) -> Self {
        let with_code = |code: Vec<u8>| GenesisAccount { nonce: 1, code: code.into(), ..Default::default() };
        let mut accounts: GenesisAccounts = (1..=USERS_COUNT)
            .map(|seed| {
                (user(seed).address(), GenesisAccount { balance: ETHER * U256::from(100), ..Default::default() })
            })
            .collect();
        accounts.extend(
            (0..COUNTERS_COUNT).map(|number| (counter(number), with_code(artifact("Counter", "deployedBytecode")))),
        );
        accounts.insert(caller(), with_code(artifact("Caller", "deployedBytecode")));
        accounts
            .extend((0..SHARDS_COUNT).map(|shard| (evm::mailbox_address(ShardId(shard)), with_code(mailbox_code()))));
        let users = (1..=USERS_COUNT).map(|seed| (user(seed).address(), ShardId(u32::from(seed) % SHARDS_COUNT)));
        let counters = (0..COUNTERS_COUNT).map(|number| (counter(number), ShardId(u32::from(number) % SHARDS_COUNT)));
        let world = World::with_accounts(SHARDS_COUNT, users.chain(counters), &accounts);
        let genesis = world.union();
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { world, dice, genesis, running: Vec::new(), messages: Vec::new(), commits: 0, aborts: 0 }
    }

    fn pick(&mut self, count: u8) -> u8 {
        self.dice.roll(u64::from(count)) as u8
    }

    /// Starts a transfer, a call that raises some counters, or a message with value.
    fn begin(&mut self) {
        let from = user(self.pick(USERS_COUNT) + 1);
        let bytes = match self.dice.roll(4) {
            0 => self.message(&from),
            1 => {
                let to = user(self.pick(USERS_COUNT) + 1).address();
                self.world.sign(&from, TxKind::Call(to), U256::from(1 + self.dice.roll(1000)), Vec::new())
            }
            _ => self.raise(&from),
        };
        let payload = self.world.payload(&[bytes]);
        let prepare = self.world.attempt(&payload, 1);
        match prepare.descriptor.participants.keys().copied().collect::<Vec<_>>()[..] {
            [only] => {
                let answer = self.world.ask(only, |ticket| Input::Local { ticket, payload: Box::new(payload.clone()) });
                self.commits += usize::from(matches!(answer, Answer::Executed { .. }));
            }
            _ => self.running.push(Running { prepare, votes: BTreeMap::new(), told: BTreeSet::new() }),
        }
    }

    fn raise(&mut self, from: &alloy_signer_local::PrivateKeySigner) -> Vec<u8> {
        let count = 1 + self.dice.roll(3);
        let mut call = keccak256("incrementAll(address[])")[..4].to_vec();
        call.extend(word(32));
        call.extend(word(count));
        for _ in 0..count {
            let number = self.pick(COUNTERS_COUNT);
            call.extend(counter(number).into_word());
        }
        self.world.sign(from, TxKind::Call(caller()), U256::ZERO, call)
    }

    fn message(&mut self, from: &alloy_signer_local::PrivateKeySigner) -> Vec<u8> {
        let home = self.world.placement.shard_of(from.address());
        let to = user(self.pick(USERS_COUNT) + 1).address();
        let mut call = keccak256("dispatch(uint32,bytes32,bytes,uint64,uint64)")[..4].to_vec();
        call.extend(word(u64::from(domain_of(NETWORK, self.world.placement.shard_of(to)))));
        call.extend(to.into_word());
        let deadline = self.world.now.0 + 1_000 + self.dice.roll(40_000);
        for value in [5 * 32, 100_000, deadline, 0] {
            call.extend(word(value));
        }
        self.world.sign(from, TxKind::Call(evm::mailbox_address(home)), U256::from(7), call)
    }

    /// One more vote of one attempt, or one more shard told of its decision.
    fn advance(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let index = self.dice.roll(self.running.len() as u64) as usize;
        let Running { prepare, votes, told } = &mut self.running[index];
        let descriptor = &prepare.descriptor;
        if let Ok(proof) = DecisionProof::new(descriptor.clone(), votes.values().cloned().collect()) {
            let untold = descriptor.participants.keys().find(|shard| !told.contains(shard)).copied();
            let Some(shard) = untold else {
                match proof.decide() {
                    Decision::Commit => self.commits += 1,
                    Decision::Abort => self.aborts += 1,
                }
                self.running.swap_remove(index);
                return;
            };
            told.insert(shard);
            let answer = self.world.ask(shard, |ticket| Input::Decision { ticket, proof: Box::new(proof.clone()) });
            assert!(matches!(answer, Answer::Decided { .. }), "{answer:?}");
            return;
        }
        let homes_missing: Vec<_> = descriptor.homes.iter().filter(|home| !votes.contains_key(home)).copied().collect();
        let missing = descriptor.participants.keys().filter(|shard| !votes.contains_key(shard)).copied();
        let Some(shard) = homes_missing.first().copied().or_else(|| missing.into_iter().next()) else { return };
        prepare.homes = votes.values().filter(|vote| descriptor.homes.contains(&vote.vote.shard)).cloned().collect();
        let prepare = prepare.clone();
        let answer = self.world.prepare(shard, &prepare);
        let vote = self.world.vote(&answer);
        self.running[index].votes.insert(shard, vote);
    }

    /// Delivers what is on the way, some of it twice, and brings back how it ended.
    fn relay(&mut self) {
        self.messages =
            (0..SHARDS_COUNT).flat_map(|shard| self.world.facts(ShardId(shard), LeafKind::Message)).collect();
        for fact in self.messages.clone() {
            let message = proof::Message::from_fact(&fact).unwrap();
            let to = proof::shard_of(NETWORK, message.destination).unwrap();
            let answer = self.world.deliver(to, &fact);
            if matches!(answer, Answer::Delivered { .. }) {
                let delivery = self.world.delivery_fact(&answer);
                self.world.acknowledge(fact.shard, &delivery);
            }
        }
    }

    fn tick(&mut self) {
        for shard in (0..SHARDS_COUNT).map(ShardId) {
            self.world.step(shard, vec![Input::Tick]);
            self.world.answer_questions(shard);
            self.world.advance(shard);
        }
    }

    fn act(&mut self) {
        match self.dice.roll(41) {
            0..10 => self.begin(),
            10..36 => self.advance(),
            36 => self.world.restart(ShardId((self.dice.0 % u64::from(SHARDS_COUNT)) as u32)),
            37 => self.relay(),
            38 => {
                // Power fails at the next write, before or after it is synced.
                let batch = self.world.batches + 1;
                let before = self.dice.roll(2) == 0;
                self.world.crash = if before { Crash::Before { batch } } else { Crash::After { batch } };
            }
            39 => {
                let lost = self.dice.roll(4) as usize; // A coordinator dies with what it knows.
                self.running.truncate(self.running.len().saturating_sub(lost));
            }
            _ => {
                self.world.wait(self.dice.0 % 4000);
                self.tick();
            }
        }
    }

    /// Lets time and the participants finish everything, then brings all messages home.
    fn finish(&mut self) {
        self.running.clear();
        for _ in 0..10 {
            self.world.wait(20_000);
            self.tick();
        }
        self.world.assert_quiet();
        self.relay();
    }

    /// What inputs of the past may not change: locks, attempts, messages, and what was applied.
    fn standing(&self) -> Vec<(usize, usize, u64, crate::ValueTotals, usize)> {
        let of = |node: &super::world::Node| {
            let machine = &node.machine;
            let consumed = node.store.count(crate::spaces::CONSUMED);
            (machine.locks_count(), machine.live_count(), machine.applied_count, machine.value, consumed)
        };
        self.world.nodes.values().map(of).collect()
    }

    /// Hands in everything once more, to machines that have just started and at a later time: nothing happens (I13). A
    /// prepare or an abort request whose no has gone by then gets another no (R5), and that is all.
    fn replay(&mut self) {
        self.world.wait(3_600_000);
        let standing = self.standing();
        for shard in (0..SHARDS_COUNT).map(ShardId) {
            self.world.restart(shard);
        }
        for (shard, input) in std::mem::take(&mut self.world.recorded) {
            self.world.step(shard, vec![input]);
        }
        assert_eq!(self.standing(), standing, "an input of the past changed something");
    }

    /// What the mailboxes hold is what is in flight, and nothing is in flight.
    fn check_mailboxes(&self) {
        for (shard, node) in &self.world.nodes {
            assert_eq!(node.machine.value.in_flight, U256::ZERO);
            assert_eq!(self.world.balance(evm::mailbox_address(*shard)), U256::ZERO);
        }
    }
}

#[test]
fn what_shards_do_at_random_is_what_one_evm_does_in_their_order() {
    let (mut commits, mut aborts, mut delivered, mut crashes) = (0, 0, 0, 0);
    for seed in 1..=12 {
        let mut soak = Soak::new(seed);
        let supply = soak.world.supply();
        for _ in 0..250 {
            soak.act();
        }
        soak.finish();
        soak.check_mailboxes();
        soak.replay();
        let (union, oracle) = (soak.world.union().settled(), soak.world.oracle(&soak.genesis));
        assert_eq!(union.accounts, oracle.accounts, "seed {seed}");
        assert_eq!(union.slots, oracle.slots, "seed {seed}");
        assert_eq!(soak.world.supply(), supply, "seed {seed}: value is conserved (I8)");
        commits += soak.commits;
        aborts += soak.aborts;
        delivered += soak.messages.len();
        crashes += soak.world.crashes;
    }
    let counts = format!("{commits} commits, {aborts} aborts, {delivered} messages, {crashes} crashes");
    assert!(commits > 200 && aborts > 50 && delivered > 20 && crashes > 20, "{counts}");
}
