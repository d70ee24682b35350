//! Bad input gets a clear error, and nothing is lost: what no unit test can show, over real processes and gRPC.
//!
//! A refusal is a reason that a program can act on and a sentence that says what to do. Held elsewhere, where it is cheaper
//! to hold in all its variants:
//!
//! | input | held in |
//! |---|---|
//! | a store of a newer format, damaged, behind its guard | `crates/store/tests/{opening, damage}.rs` |
//! | a full disk: new work refused, decisions taken | `crates/store/tests/opening.rs`, `crates/host/tests/host.rs`, `store::room` |
//! | a failed read or sync: nothing leaves any more | `crates/host/tests/host.rs` |
//! | any bit of a receipt changed, cut or added | `crates/proof/src/attacks.rs` |
//! | a duplicated signer and a certificate under quorum, in sets of several validators | `crates/proof/src/attacks.rs` |
//! | a vote of another epoch, shard, attempt, kind | `crates/wire/tests/claims.rs` |
//! | any bytes as any message, and each bound of each field | `crates/wire/tests/{claims, grpc}.rs`, `wire::bounds` |
//! | missing token, peer not allowed, TLS without certificate | `crates/wire/tests/grpc.rs` |
//! | unknown variables of the environment, wrong types | `host::settings` |
//! | too many nonces of one sender waiting | `coordinator::senders` |
//! | forks that lack a transaction type, fee rules, bundles | `crates/evm/tests/refusals.rs` |
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, sol};
use cluster::client::{Client, Ended};
use cluster::{Cluster, Node, Plan};
use commit::VoteProof;
use dovetail_tests::testnet::{DESTINATION, SOURCE, Testnet, program};
use evm::{Data, Environment, Payload, Status};
use eyre::Result;
use fixtures::contracts::Ping;
use fixtures::wallet::{Call, Wallet};
use primitives::{AttemptId, Digest, Epoch, ShardId, Time};
use proof::{Receipt, domain_of};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};
use wire::participant::{DecisionClaim, VoteAnswer};
use wire::{Reason, Rejection};

sol! {
    error BodyTooLong(uint256 length, uint256 max);
}

// ---- a running network -----------------------------------------------------------------------------------------------

/// What the cases over one network share.
struct Case {
    net: Testnet,
    client: Client,
}

impl Case {
    fn network(&self) -> u64 {
        self.net.cluster.network().params.network.0
    }

    /// A user at the nonce that its home has.
    async fn user(&self) -> Wallet {
        let mut user = self.net.users[0].clone();
        user.set_nonce(self.client.rpc().nonce(user.address()).await.unwrap());
        user
    }

    /// Submits what must be refused for `reason`, over gRPC and over JSON-RPC; gives the sentence. Nothing may come of it.
    async fn refused(&self, signed: Bytes, reason: Reason) -> String {
        let before = self.user().await.nonce();
        let Ended::Refused(rejection) = self.client.submit(signed.clone()).await.unwrap() else {
            panic!("it committed, and {reason} was due");
        };
        assert_eq!(rejection.reason, reason, "{rejection}");
        let params = serde_json_array(&signed);
        let error = self.client.rpc().request::<B256>("eth_sendRawTransaction", params).await.unwrap_err();
        assert!(format!("{error:#}").contains(&rejection.message), "JSON-RPC says {error:#}, gRPC {rejection}");
        assert_eq!(self.user().await.nonce(), before, "a refused transaction took a nonce");
        rejection.message
    }

    /// A decision that was carried out, as its coordinator has it.
    async fn decision(&self) -> DecisionClaim {
        let mut user = self.user().await;
        let swap = self.net.contracts.market.swap(user.address(), U256::from(1), U256::ZERO);
        let settled = self.client.succeed(&mut user, &swap).await.unwrap();
        let submission = self.client.coordinator().submission(settled.id).await.unwrap();
        submission.decision.expect("a swap is decided across shards")
    }

    async fn decide(&self, claim: DecisionClaim) -> Rejection {
        let shard = *claim.descriptor.participants.keys().next().unwrap();
        let answers = self.client.participant(shard).decide(vec![claim]).await;
        answers.and_then(|mut answers| answers.remove(0)).unwrap_err()
    }
}

fn serde_json_array(signed: &Bytes) -> serde_json::Value {
    serde_json::json!([signed])
}

fn swap_of(case: &Case, user: &Wallet) -> Call {
    case.net.contracts.market.swap(user.address(), U256::from(1), U256::ZERO)
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

async fn wrong_chain_id(case: &Case) {
    let mut stranger = Wallet::development(case.network() + 1, 100).unwrap();
    let said = case.refused(stranger.sign(&swap_of(case, &stranger)).unwrap(), Reason::WrongChainId).await;
    says(&said, &["chain 31338", "this network is chain 31337", "check the wallet's network"]);
}

async fn bad_signature(case: &Case) {
    let mut user = case.user().await;
    // The last field is s; above the group's order it is nobody's.
    let mut signed = user.sign(&swap_of(case, &user)).unwrap().to_vec();
    while signed[signed.len() - 33] != 0xa0 {
        signed = user.sign(&swap_of(case, &user)).unwrap().to_vec();
    }
    let end = signed.len();
    signed[end - 32..].fill(0xff);
    let said = case.refused(signed.into(), Reason::BadSignature).await;
    says(&said, &["signature", "no sender"]);
}

async fn bytes_that_are_no_transaction(case: &Case) {
    let said = case.refused(Bytes::from_static(b"\x02not a transaction"), Reason::Malformed).await;
    says(&said, &["malformed transaction"]);
}

async fn transaction_over_the_size_bound(case: &Case) {
    let mut user = case.user().await;
    let call = Call::to(Address::ZERO, vec![1; evm::TRANSACTION_BYTES_MAX]);
    let Ended::Refused(rejection) = case.client.submit(user.sign(&call).unwrap()).await.unwrap() else {
        panic!("it committed");
    };
    assert_eq!(rejection.reason, Reason::OverBound, "{rejection}");
    says(&rejection.message, &[&evm::TRANSACTION_BYTES_MAX.to_string()]);
}

async fn nonce_too_low(case: &Case) {
    let mut user = case.user().await;
    user.set_nonce(0);
    let said = case.refused(user.sign(&swap_of(case, &user)).unwrap(), Reason::NonceTooLow).await;
    says(&said, &["nonce 0 is too low", "the sender's next is"]);
}

/// A shard says so at once; a coordinator waits for the nonces before, and then both commit.
async fn nonce_too_high(case: &Case) {
    let mut user = case.user().await;
    let next = user.nonce();
    user.set_nonce(next + 1);
    let late = user.sign(&swap_of(case, &user)).unwrap();
    let network = case.net.cluster.network();
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    // To itself: one participant.
    let own = user.clone().sign(&Call::to(user.address(), Vec::new())).unwrap();
    let local = Payload::signed(Environment::Slot(network.params.slot_at(Time(millis))), Data(own));
    let home = case.client.shard(network.placement.shard_of(user.address()));
    let rejection = home.submit_local(&[local]).await.unwrap().remove(0).unwrap_err();
    assert_eq!(rejection.reason, Reason::NonceTooHigh, "{rejection}");
    let waiting = tokio::spawn({
        let (client, late) = (case.client.clone(), late.clone());
        async move { client.submit(late).await }
    });
    user.set_nonce(next);
    let swap = swap_of(case, &user);
    case.client.succeed(&mut user, &swap).await.unwrap();
    waiting.await.unwrap().unwrap().committed().unwrap();
}

async fn no_funds(case: &Case) {
    let mut poor = Wallet::development(case.network(), 9_999).unwrap();
    let said = case.refused(poor.sign(&swap_of(case, &poor)).unwrap(), Reason::InsufficientFunds).await;
    says(&said, &["insufficient funds", "wei needed, the sender has 0"]);
}

async fn gas_over_the_limit(case: &Case) {
    let mut user = case.user().await;
    let call = swap_of(case, &user).with_gas_limit(100_000_000);
    let said = case.refused(user.sign(&call).unwrap(), Reason::GasLimitTooHigh).await;
    says(&said, &["gas limit 100000000 is over the maximum of"]);
}

async fn gas_under_the_intrinsic_cost(case: &Case) {
    let mut user = case.user().await;
    let call = swap_of(case, &user).with_gas_limit(1_000);
    let said = case.refused(user.sign(&call).unwrap(), Reason::IntrinsicGasTooLow).await;
    says(&said, &["gas limit 1000 is under the"]);
}

async fn the_same_transaction_again(case: &Case) {
    let mut user = case.user().await;
    let signed = user.sign(&swap_of(case, &user)).unwrap();
    case.client.submit(signed.clone()).await.unwrap().committed().unwrap();
    let said = case.refused(signed, Reason::AlreadyKnown).await;
    says(&said, &["already known"]);
}

#[allow(clippy::unused_async, reason = "every case is called alike")]
async fn unknown_shard(case: &Case) {
    let network = case.net.cluster.network_path();
    let id = B256::repeat_byte(7).to_string();
    let out = case.net.dir().join("none.receipt");
    let said = failed(
        &["receipt", "export", "--kind", "vote", "--id", &id, "--shard", "9", "--network"],
        &[&network, Path::new("--out"), &out],
    );
    says(&said, &["shard 9 is not in the network", "shards 0 to 3"]);
    assert!(!out.exists());
}

async fn unknown_attempt(case: &Case) {
    let attempt = AttemptId(Digest::new([7; 32]));
    let answers = case.client.participant(ShardId(0)).query_votes(vec![attempt]).await.unwrap();
    assert_eq!(answers, [Ok(VoteAnswer::Unknown)]);
    let (network, out) = (case.net.cluster.network_path(), case.net.dir().join("none.receipt"));
    let id = B256::repeat_byte(7).to_string();
    let said = failed(
        &["receipt", "export", "--kind", "vote", "--id", &id, "--shard", "0", "--network"],
        &[&network, Path::new("--out"), &out],
    );
    says(&said, &["shard 0 has no Vote leaf about 0x0707"]);
    assert!(!out.exists());
}

async fn unknown_transaction_and_message(case: &Case) {
    let unknown = B256::repeat_byte(7);
    let rejection = case.client.coordinator().submission(unknown).await.unwrap_err();
    assert_eq!(rejection.reason, Reason::NotFound, "{rejection}");
    let rejection = case.client.shard(ShardId(1)).outcome(unknown).await.unwrap_err();
    assert_eq!(rejection.reason, Reason::NotFound, "{rejection}");
    let said = failed(&["trace", &unknown.to_string(), "--network"], &[&case.net.cluster.network_path()]);
    says(&said, &["no shard of this network knows message", "check the id and the network file"]);
}

async fn message_over_the_size_bound(case: &Case) {
    let mut user = case.user().await;
    // `BODY_BYTES_MAX` of `contracts/src/Mailbox.sol`; what receipts carry leaves room above it.
    let bound = 16 << 10;
    assert!(bound <= proof::MESSAGE_BODY_BYTES_MAX);
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64 + 60_000;
    let send = Ping::sendCall {
        destination: domain_of(case.net.cluster.network().params.network, DESTINATION),
        recipient: case.net.contracts.pong.into_word(),
        body: vec![1; bound + 1].into(),
        gasLimit: 100_000,
        deadlineMs: deadline,
    };
    let call = Call::to(case.net.contracts.ping, send.abi_encode());
    let settled = case.client.send(&mut user, &call).await.unwrap();
    let outcome = settled.first().unwrap();
    assert_eq!(outcome.status, Status::Reverted);
    let reason = BodyTooLong::abi_decode(&outcome.output).unwrap();
    assert_eq!((reason.length, reason.max), (U256::from(bound + 1), U256::from(bound)));
    let count = case.client.view(case.net.contracts.ping, &Ping::sentCountCall {}).await.unwrap();
    assert_eq!(count, U256::ZERO, "shard {SOURCE} sent it");
}

/// A request whose field 1 is `bytes`, whatever the method takes there.
async fn raw(endpoint: String, method: &'static str, bytes: Vec<u8>) -> tonic::Status {
    let channel = tonic::transport::Endpoint::from_shared(endpoint).unwrap().connect().await.unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Vec<u8>, Vec<u8>>::default();
    grpc.unary(tonic::Request::new(bytes), method.parse().unwrap(), codec).await.unwrap_err()
}

async fn malformed_protobuf(case: &Case) {
    // The height is a number there.
    let endpoint = case.net.cluster.endpoint(Node::Executor(0));
    let status = raw(endpoint, "/dovetail.v1.ShardService/GetBlocks", vec![0xff; 40]).await;
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
    assert_eq!(Rejection::from(status).reason, Reason::Malformed);
}

async fn oversized_protobuf(case: &Case) {
    let endpoint = case.net.cluster.endpoint(Node::Executor(0));
    let status = raw(endpoint, "/dovetail.v1.ParticipantService/QueryVotes", vec![1; 40 << 20]).await;
    let rejection = Rejection::from(status);
    assert_eq!(rejection.reason, Reason::OverBound, "{rejection}");
    // It still serves.
    case.client.shard(ShardId(0)).status().await.unwrap();
}

async fn vote_of_a_wrong_epoch_in_a_decision(case: &Case) {
    let sound = case.decision().await;
    // A vote travels as its receipt: what it says of its epoch is under the certificate, and so is the certificate's.
    let claim = with_certificate(sound.clone(), |certificate| certificate.epoch = Epoch(2));
    let rejection = case.decide(claim).await;
    assert_eq!(rejection.reason, Reason::WrongEpoch, "{rejection}");
    says(&rejection.message, &["certificate of epoch 2 for a header of epoch 1"]);
    // The descriptor binds the epoch as well: another one is another attempt.
    let mut claim = sound.clone();
    claim.descriptor.participants.values_mut().for_each(|epoch| *epoch = Epoch(2));
    let rejection = case.decide(claim).await;
    assert!(!rejection.message.is_empty() && !rejection.is_retryable(), "{rejection}");
    // The decision itself is taken as often as it comes.
    let shard = *sound.descriptor.participants.keys().next().unwrap();
    case.client.participant(shard).decide(vec![sound]).await.unwrap().remove(0).unwrap();
}

/// The decision with the certificate of its first vote changed.
fn with_certificate(mut claim: DecisionClaim, change: impl FnOnce(&mut proof::Certificate)) -> DecisionClaim {
    let VoteProof { evidence, .. } = &mut claim.votes[0];
    let mut receipt = Receipt::from_bytes(evidence).unwrap();
    change(&mut receipt.certificate);
    *evidence = receipt.to_bytes();
    claim
}

async fn duplicated_signer(case: &Case) {
    let claim = with_certificate(case.decision().await, |certificate| {
        certificate.signatures.push(certificate.signatures[0]);
    });
    let rejection = case.decide(claim).await;
    assert_eq!(rejection.reason, Reason::BadReceipt, "{rejection}");
    says(&rejection.message, &["2 signatures of 1 signers"]);
}

async fn certificate_under_quorum(case: &Case) {
    let claim = with_certificate(case.decision().await, |certificate| {
        certificate.signers.fill(0);
        certificate.signatures.clear();
    });
    let rejection = case.decide(claim).await;
    assert_eq!(rejection.reason, Reason::BadReceipt, "{rejection}");
    says(&rejection.message, &["0 signers where the quorum is 1"]);
}

async fn decision_with_a_vote_missing(case: &Case) {
    let mut claim = case.decision().await;
    claim.votes.pop();
    let rejection = case.decide(claim).await;
    assert_eq!(rejection.reason, Reason::Undecided, "{rejection}");
}

/// One network for all of them; each is named when it fails, and none keeps the others from being tried.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_network_refuses_bad_input_with_a_reason_and_goes_on() {
    let net = Testnet::start(1, 1).await.unwrap();
    let client = net.cluster.client(0).unwrap();
    let case = std::sync::Arc::new(Case { net, client });
    let mut failed = Vec::new();
    macro_rules! cases {
        ($($name:ident),* $(,)?) => {$({
            let case = std::sync::Arc::clone(&case);
            if tokio::spawn(async move { $name(&case).await }).await.is_err() {
                failed.push(stringify!($name));
            }
        })*};
    }
    cases!(
        wrong_chain_id,
        bad_signature,
        bytes_that_are_no_transaction,
        transaction_over_the_size_bound,
        nonce_too_low,
        nonce_too_high,
        no_funds,
        gas_over_the_limit,
        gas_under_the_intrinsic_cost,
        the_same_transaction_again,
        unknown_shard,
        unknown_attempt,
        unknown_transaction_and_message,
        message_over_the_size_bound,
        malformed_protobuf,
        oversized_protobuf,
        vote_of_a_wrong_epoch_in_a_decision,
        duplicated_signer,
        certificate_under_quorum,
        decision_with_a_vote_missing,
    );
    assert!(failed.is_empty(), "see above for each: {failed:?}");
    // After all of it the network works.
    let mut user = case.user().await;
    let swap = swap_of(&case, &user);
    case.client.succeed(&mut user, &swap).await.unwrap();
}

// ---- a process that must not start -----------------------------------------------------------------------------------

/// Runs `dovetail` to its end.
fn dovetail(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(program().unwrap()).args(arguments).args(paths).output().unwrap()
}

/// What it says when it refuses; it must end with status 1, and not by a panic.
fn failed(arguments: &[&str], paths: &[&Path]) -> String {
    let output = dovetail(arguments, paths);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?} ended with {}:\n{said}", output.status);
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// The files of a network of two shards, one of which ran once, so that its store and its keys are there.
struct Files {
    dir: tempfile::TempDir,
    cluster: Option<Cluster>,
}

impl Files {
    fn made() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let plan = Plan { coordinators: 0, relays: 0, program: program()?, ..Plan::development(2)? };
        let cluster = Cluster::start(plan, dir.path())?;
        Ok(Self { dir, cluster: Some(cluster) })
    }

    fn stopped() -> Result<Self> {
        let mut files = Self::made()?;
        let nodes = [Node::Executor(0), Node::Executor(1)];
        files
            .cluster
            .iter_mut()
            .try_for_each(|cluster| nodes.into_iter().try_for_each(|node| cluster.terminate(node)))?;
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The settings of shard 0 with `change` made to them and other ports, as a file.
    fn settings(&self, change: impl FnOnce(&mut toml::Table)) -> PathBuf {
        let text = std::fs::read_to_string(self.path("executor-0.toml")).unwrap();
        let mut table: toml::Table = text.parse().unwrap();
        for field in ["listen", "metrics_listen"] {
            table.insert(field.to_owned(), "127.0.0.1:0".into());
        }
        change(&mut table);
        let path = self.path("changed.toml");
        std::fs::write(&path, table.to_string()).unwrap();
        path
    }

    /// What the executor says to settings with this change, before it ends with status 1.
    fn refused(&self, change: impl FnOnce(&mut toml::Table)) -> String {
        failed(&["executor", "--config"], &[&self.settings(change)])
    }

    /// The same with one field set to a path of this network.
    fn refused_with(&self, field: &str, name: &str) -> String {
        self.refused(|table| drop(table.insert(field.to_owned(), self.path(name).display().to_string().into())))
    }
}

#[test]
fn two_processes_on_one_store_are_refused_and_the_first_goes_on() {
    let mut files = Files::made().unwrap();
    let said = files.refused(|_| ());
    says(
        &said,
        &["another process", "has the store at", "executor-0", "stop it, or give this one a folder of its own"],
    );
    let mut cluster = files.cluster.take().unwrap();
    cluster.wait_ready(Node::Executor(0)).unwrap();
    cluster.stop().unwrap();
}

#[test]
fn a_store_of_another_shard_is_refused_unchanged() {
    let mut files = Files::stopped().unwrap();
    let said = files.refused_with("data", "executor-1");
    says(
        &said,
        &["belongs to executor shard 1", "not to executor shard 0", "point the configuration to the right folder"],
    );
    // A newcomer's key in the place of the old: the store is not its own.
    let said = files.refused_with("key", "executor-1.key");
    says(&said, &["check `key` and the network file's validators"]);
    // The rightful owner still opens it.
    let mut cluster = files.cluster.take().unwrap();
    cluster.restart(Node::Executor(1)).unwrap();
    cluster.wait_ready(Node::Executor(1)).unwrap();
}

#[test]
fn a_field_that_nobody_knows_is_refused_with_its_name_and_line() {
    let files = Files::stopped().unwrap();
    let said = files.refused(|table| drop(table.insert("shards".to_owned(), 4.into())));
    says(&said, &["changed.toml, line", "unknown field `shards`", "expected one of"]);
}

#[test]
fn a_shard_that_the_network_lacks_is_refused() {
    let files = Files::stopped().unwrap();
    let said = files.refused(|table| drop(table.insert("shard".to_owned(), 9.into())));
    says(&said, &["shard 9 is not in the network", "shards 0 to 1"]);
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let files = Files::stopped().unwrap();
    let key = files.path("executor-0.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = files.refused(|_| ());
    says(&said, &["mode 0644", "chmod 600", "executor-0.key"]);
    let said = failed(&["keys", "show"], &[&key]);
    says(&said, &["mode 0644", "chmod 600"]);
}

#[test]
fn a_key_may_come_from_the_environment_but_not_twice() {
    let files = Files::made().unwrap();
    let key = std::fs::read_to_string(files.path("executor-0.key")).unwrap();
    let said = |settings: &Path, key: Option<&str>| {
        let mut command = Command::new(program().unwrap());
        command.args(["executor", "--config"]).arg(settings).env_remove("DOVETAIL_KEY");
        let output = command.envs(key.map(|key| ("DOVETAIL_KEY", key))).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let named = files.settings(|_| ());
    says(&said(&named, Some(&key)), &["two keys", "executor-0.key", "DOVETAIL_KEY", "take one of them away"]);
    let unnamed = files.settings(|table| drop(table.remove("key")));
    says(&said(&unnamed, None), &["no key", "`key`", "DOVETAIL_KEY"]);
    says(&said(&unnamed, Some("0x12")), &["the environment variable DOVETAIL_KEY", "64 hexadecimal digits"]);
    // The right key is believed: what stops it is the shard that runs already.
    says(&said(&unnamed, Some(&key)), &["another process", "has the store at"]);
}

#[test]
fn a_file_that_is_missing_is_refused_by_name() {
    let files = Files::stopped().unwrap();
    says(&files.refused_with("network", "nowhere.toml"), &["cannot read", "nowhere.toml", "No such file"]);
    says(&files.refused_with("key", "nowhere.key"), &["the key file", "nowhere.key", "No such file"]);
    let said = failed(&["executor", "--config"], &[&files.path("nothing.toml")]);
    says(&said, &["the settings file", "nothing.toml", "No such file"]);
    for kind in ["coordinator", "relay"] {
        let said = failed(&[kind, "--config"], &[&files.path("nothing.toml")]);
        says(&said, &["the settings file", "nothing.toml"]);
    }
}

#[test]
fn a_network_file_with_a_fault_is_refused_by_what_is_wrong() {
    let files = Files::stopped().unwrap();
    let sound = std::fs::read_to_string(files.path("network.toml")).unwrap();
    let faults = [
        ("slot_ms = 250", "slot_ms = 1", "allowed are 50 to 60000"),
        ("network = 31337", "network = 0", "network id 0 is never valid"),
        ("shard = 1", "shard = 7", "shards are numbered from 0 without gaps"),
        ("fork = \"osaka\"", "fork = \"tokyo\"", "tokyo"),
        ("slot_ms = 250", "slot_ms = 250\nslots = 3", "unknown field `slots`"),
    ];
    for (from, to, expected) in faults {
        assert!(sound.contains(from), "{from} is not in\n{sound}");
        std::fs::write(files.path("faulty.toml"), sound.replacen(from, to, 1)).unwrap();
        says(&files.refused_with("network", "faulty.toml"), &[expected]);
    }
}

#[test]
fn a_port_that_is_taken_is_refused_by_its_address() {
    let files = Files::stopped().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for field in ["listen", "metrics_listen"] {
        let said = files.refused(|table| drop(table.insert(field.to_owned(), address.clone().into())));
        says(&said, &[&address]);
    }
}
