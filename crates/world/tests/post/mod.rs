//! A network whose contracts send messages: Ping on one shard, Pong on another, a mailbox on each.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use crate::users::{NETWORK, genesis, params, sign, spread, user};
use alloy_primitives::{Address, TxKind, U256, keccak256};
use dovetail_world::{Plan, World};
use evm::{Environment, NetworkParams, Payload, Placement, Status};
use primitives::{Height, Millis, ShardId};
use proof::{LeafKind, Receipt, domain_of};
use shard::{GenesisAccount, LeafPlace, queries};

pub const PING_SHARD: ShardId = ShardId(0);
pub const PONG_SHARD: ShardId = ShardId(1);

pub struct Post {
    pub world: World,
    ping: Address,
    pong: Address,
    nonce: u64,
}

/// Bytes of a compiled contract.
fn artifact(name: &str, field: &str) -> Vec<u8> {
    let path = format!("{}/../../contracts/artifacts/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    alloy_primitives::hex::decode(json[field].as_str().unwrap()).unwrap()
}

fn word(value: u64) -> [u8; 32] {
    U256::from(value).to_be_bytes::<32>()
}

impl Post {
    /// Ping and Pong deployed by ordinary transactions of users 0 and 1.
    pub fn start(relays: usize) -> Self {
        let (sender, recipient) = (user(0).address().create(0), user(1).address().create(0));
        let mut pinned = spread(3);
        pinned.extend([(sender, PING_SHARD), (recipient, PONG_SHARD)]);
        let mut accounts = genesis(3);
        for shard in (0..3).map(ShardId) {
            let code = artifact("Mailbox", "deployedBytecode");
            let mailbox = GenesisAccount { nonce: 1, code: code.into(), ..GenesisAccount::default() };
            accounts.insert(evm::mailbox_address(shard), mailbox);
        }
        let placement = Placement::new(1, 3, pinned).unwrap();
        // Nothing is burnt, so that value is seen to be conserved.
        let params = NetworkParams { base_fee: 0, ..params() };
        let world = World::start(Plan { relays, ..Plan::new(params, placement, accounts) }).unwrap();
        let mut post = Self { world, ping: sender, pong: recipient, nonce: 0 };
        for (from, shard, name) in [(0, PING_SHARD, "Ping"), (1, PONG_SHARD, "Pong")] {
            let code = [artifact(name, "bytecode"), evm::mailbox_address(shard).into_word().to_vec()].concat();
            post.commit(sign(from, TxKind::Create, U256::ZERO, code, 0));
        }
        post.nonce = 1;
        post
    }

    fn commit(&mut self, transaction: Vec<u8>) {
        let slot = Environment::Slot(self.world.plan().params.slot_at(self.world.now()));
        let ticket = self.world.submit(0, Payload::signed(slot, transaction)).unwrap();
        let limit = self.world.now().after(Millis(30_000));
        assert!(self.world.run_until(limit, |world| world.end(ticket).is_some()));
        let committed = self.world.end(ticket).unwrap().as_ref().unwrap();
        assert_eq!(committed.outcomes[0].status, Status::Success, "{:?}", committed.outcomes);
    }

    /// Ping sends a message with value to Pong; its receipt.
    pub fn send(&mut self, value: U256, patience: Millis) -> Receipt {
        let deadline = self.world.now().after(patience);
        let mut call = keccak256("send(uint32,bytes32,bytes,uint64,uint64)")[..4].to_vec();
        call.extend(word(u64::from(domain_of(NETWORK, PONG_SHARD))));
        call.extend(self.pong.into_word());
        call.extend(word(5 * 32));
        call.extend(word(500_000));
        call.extend(word(deadline.0));
        call.extend(word(5));
        call.extend(b"hello");
        call.extend([0; 27]);
        self.commit(sign(0, TxKind::Call(self.ping), value, call, self.nonce));
        self.nonce += 1;
        let from = LeafPlace { height: Height(0), index: 0 };
        let store = self.world.shard(PING_SHARD).store();
        let mut page = queries::outbox_page(store, from, 100, &[LeafKind::Message].into()).unwrap();
        page.leaves.pop().unwrap().1
    }

    /// How many messages Pong has run.
    pub fn received(&self) -> U256 {
        self.world.state().slots.get(&(self.pong, U256::ZERO)).copied().unwrap_or_default()
    }

    /// What Ping has got back.
    pub fn refunded(&self) -> U256 {
        self.world.state().accounts[&self.ping].balance
    }

    /// All value there is; what is in flight is held by its source's mailbox.
    pub fn supply(&self) -> U256 {
        let balances = self.world.state().accounts.into_values().map(|account| account.balance);
        balances.fold(U256::ZERO, |sum, balance| sum + balance)
    }
}
