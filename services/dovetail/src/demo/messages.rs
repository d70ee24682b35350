//! Messages between contracts of two shards: delivered, refused by their recipient, expired; each with receipts.
//!
//! ```text
//! shard 0: ping ── mailbox ──leaf──> relay ──> shard 2: inbox ── pong
//!          ping <─ handleDelivery ── relay <──leaf── delivered | failed | expired
//! ```

use super::report::{Report, same};
use super::stage::Stage;
use crate::credentials::Credentials;
use crate::receipt;
use alloy_primitives::{Address, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use cluster::Node;
use cluster::client::{Client, until};
use evm::mailbox_address;
use eyre::{Result, ensure};
use fixtures::contracts::{Artifact, Ping, Pong};
use fixtures::wallet::{Call, Wallet};
use primitives::{ShardId, Time};
use proof::{DeliveryStatus, LeafKind, MessageId, domain_of};
use std::time::{Duration, SystemTime};

/// Where the sender lives.
pub(super) const SOURCE: ShardId = ShardId(0);
/// Where the recipient lives.
pub(super) const DESTINATION: ShardId = ShardId(2);
/// Gas for the recipient of one message.
pub(super) const HANDLE_GAS: u64 = 400_000;
/// How long a message that is to arrive has for it.
const AMPLE: Duration = Duration::from_mins(2);
/// How long one has that is to expire.
const SCANT: Duration = Duration::from_secs(2);
/// Wei that travel with a message.
const VALUE: u64 = 1_000_000_007;

/// The contracts that exchange messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Correspondents {
    pub(crate) ping: Address,
    pub(crate) pong: Address,
}

impl Correspondents {
    /// Those that `deployer` creates with its next two transactions.
    pub(crate) fn of(deployer: &Wallet) -> Self {
        let contract = |number| deployer.address().create(deployer.nonce() + number);
        Self { ping: contract(0), pong: contract(1) }
    }

    /// Where they live.
    pub(crate) fn pins(&self) -> [(Address, u32); 2] {
        [(self.ping, SOURCE.0), (self.pong, DESTINATION.0)]
    }

    /// Creates them, in the order that [`Correspondents::of`] expects.
    pub(crate) async fn deploy(&self, client: &Client, deployer: &mut Wallet) -> Result<()> {
        let contracts = [(Artifact::PING, SOURCE, self.ping), (Artifact::PONG, DESTINATION, self.pong)];
        for (artifact, shard, expected) in contracts {
            let code = artifact.init_code(&mailbox_address(shard).abi_encode())?;
            let created = client.succeed(deployer, &Call::create(code)).await?;
            same("the new contract's address", &created.first()?.created, &Some(expected))?;
        }
        Ok(())
    }
}

/// What sender and recipient have counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    received: U256,
    delivered: U256,
    failed: U256,
    expired: U256,
}

impl Stage {
    fn domain(&self, shard: ShardId) -> u32 {
        domain_of(self.network().params.network, shard)
    }

    async fn counts(&self) -> Result<Counts> {
        let (client, Correspondents { ping, pong }) = (&self.client, self.correspondents);
        Ok(Counts {
            received: client.view(pong, &Pong::receivedCountCall {}).await?,
            delivered: client.view(ping, &Ping::deliveredCountCall {}).await?,
            failed: client.view(ping, &Ping::failedCountCall {}).await?,
            expired: client.view(ping, &Ping::expiredCountCall {}).await?,
        })
    }

    /// How often the recipient got a message with this body.
    pub(super) async fn count_of(&self, body: &[u8]) -> Result<U256> {
        let sender = self.correspondents.ping.into_word();
        let key = keccak256((self.domain(SOURCE), sender, Bytes::copy_from_slice(body)).abi_encode_params());
        self.client.view(self.correspondents.pong, &Pong::countOfCall { key }).await
    }

    /// The postmaster makes ping send `body` with [`VALUE`] wei.
    async fn send(&mut self, body: &[u8], deadline: Time) -> Result<MessageId> {
        let call = Ping::sendCall {
            destination: self.domain(DESTINATION),
            recipient: self.correspondents.pong.into_word(),
            body: Bytes::copy_from_slice(body),
            gasLimit: HANDLE_GAS,
            deadlineMs: deadline.0,
        };
        let call = Call::to(self.correspondents.ping, call.abi_encode()).with_value(U256::from(VALUE));
        let sent = self.client.succeed(&mut self.postmaster, &call).await?;
        Ok(MessageId(Ping::sendCall::abi_decode_returns(&sent.first()?.output)?))
    }

    async fn set_refusing(&mut self, refusing: bool) -> Result<()> {
        let call = Call::to(self.correspondents.pong, Pong::setRefusingCall { refusing }.abi_encode());
        self.client.succeed(&mut self.postmaster, &call).await.map(|_| ())
    }

    async fn refund(&self, id: MessageId) -> Result<U256> {
        self.client.view(self.correspondents.ping, &Ping::refundOfCall { id: id.0 }).await
    }
}

/// The time `life` from now.
pub(super) fn from_now(life: Duration) -> Result<Time> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Time((now + life).as_millis() as u64))
}

/// The receipt of the message, exported, checked by a process that knows only validators' keys, and tampered with.
async fn proven(stage: &Stage, id: MessageId) -> Result<(String, ())> {
    let folder = tempfile::tempdir()?;
    let (file, network) = (folder.path().join("message.receipt"), stage.cluster.network_path());
    let security = Credentials::default().open(stage.network())?;
    receipt::export((stage.network(), &security), LeafKind::Message, id.0, SOURCE, &file).await?;
    let arguments = ["receipt", "verify", &file.display().to_string(), "--network", &network.display().to_string()];
    let said = command(&arguments).await?;
    ensure!(said.contains(&id.to_string()), "it proves something else:\n{said}");
    let bytes = std::fs::read(&file)?;
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        ensure!(receipt::verify(&changed, stage.network()).is_err(), "it verifies with byte {place} changed");
    }
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    std::fs::write(&file, changed)?;
    ensure!(command(&arguments).await.is_err(), "dovetail receipt verify takes a changed file");
    Ok((format!("{} bytes; each of them changed, each time refused", bytes.len()), ()))
}

pub(super) async fn show(stage: &mut Stage, report: &mut Report) {
    report.section("Messages with receipts");
    report.claim("sender and recipient are deployed on two shards", deployed(stage)).await;
    if let Some(id) = report.claim("a message arrives once and is acknowledged", delivered(stage)).await {
        if let Some(life) = report.claim("its whole life can be told", traced(stage, id)).await {
            report.say(life);
        }
        report.claim("its receipt verifies offline, and with no byte changed", proven(stage, id)).await;
    }
    report.claim("a message whose recipient reverts fails and is refunded", refused(stage)).await;
    report.claim("a message that no relay carries in time expires and is refunded", expired(stage)).await;
}

async fn deployed(stage: &mut Stage) -> Result<(String, ())> {
    let correspondents = stage.correspondents;
    correspondents.deploy(&stage.client, &mut stage.postmaster).await?;
    Ok((format!("ping on shard {SOURCE}, pong on shard {DESTINATION}"), ()))
}

async fn delivered(stage: &mut Stage) -> Result<(String, MessageId)> {
    let (body, before) = (b"hello, shard", stage.counts().await?);
    let id = stage.send(body, from_now(AMPLE)?).await?;
    let (life, status) = stage.client.acknowledged(SOURCE, id).await?;
    same("how it ended", &status, &DeliveryStatus::Delivered)?;
    let expected = Counts { received: before.received + U256::ONE, delivered: before.delivered + U256::ONE, ..before };
    same("what both have counted", &stage.counts().await?, &expected)?;
    same("how often this message arrived", &stage.count_of(body).await?, &U256::ONE)?;
    let held = stage.client.rpc().balance(stage.correspondents.pong).await?;
    same("the recipient's wei", &held, &U256::from(VALUE))?;
    let took = match (life.dispatched, life.acknowledged) {
        (Some(from), Some(to)) => to.time.since(from.time).0,
        _ => eyre::bail!("shard {SOURCE} does not say when it was sent and acknowledged"),
    };
    Ok((format!("{VALUE} wei with it; there and back in {took} ms"), id))
}

/// What `dovetail trace` prints.
async fn traced(stage: &Stage, id: MessageId) -> Result<(String, String)> {
    let (id, network) = (id.to_string(), stage.cluster.network_path().display().to_string());
    let relays = [stage.cluster.endpoint(Node::Relay(0)), stage.cluster.endpoint(Node::Relay(1))];
    let output = command(&["trace", &id, "--network", &network, "--relay", &relays[0], "--relay", &relays[1]]).await?;
    for word in ["dispatched", "delivered", "acknowledged"] {
        ensure!(output.contains(word), "{word} is not among what it says:\n{output}");
    }
    Ok((format!("dovetail trace {id}"), output))
}

/// Runs this program once more, as a user would; gives what it printed.
async fn command(arguments: &[&str]) -> Result<String> {
    let output = tokio::process::Command::new(std::env::current_exe()?).args(arguments).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "dovetail {} ended with {}: {said}", arguments[0], output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Pong reverts: the message fails, and its value comes back.
async fn refused(stage: &mut Stage) -> Result<(String, ())> {
    stage.set_refusing(true).await?;
    let before = stage.counts().await?;
    let id = stage.send(b"refuse me", from_now(AMPLE)?).await?;
    let (_, status) = stage.client.acknowledged(SOURCE, id).await?;
    stage.set_refusing(false).await?;
    same("how it ended", &status, &DeliveryStatus::Failed)?;
    let expected = Counts { failed: before.failed + U256::ONE, ..before };
    same("what both have counted", &stage.counts().await?, &expected)?;
    same("the refund", &stage.refund(id).await?, &U256::from(VALUE))?;
    Ok((format!("failed, {VALUE} wei back with the sender"), ()))
}

/// Both relays are down until the deadline has passed at the destination, which then says so.
async fn expired(stage: &mut Stage) -> Result<(String, ())> {
    for relay in 0..2 {
        stage.cluster.kill(Node::Relay(relay))?;
    }
    let before = stage.counts().await?;
    let deadline = from_now(SCANT)?;
    let id = stage.send(b"too late", deadline).await?;
    let destination = stage.client.shard(DESTINATION).clone();
    until("the deadline at the destination", || async {
        let passed = destination.status().await?.attested > deadline;
        Ok(passed.then_some(()))
    })
    .await?;
    for relay in 0..2 {
        stage.cluster.restart(Node::Relay(relay))?;
    }
    let (_, status) = stage.client.acknowledged(SOURCE, id).await?;
    same("how it ended", &status, &DeliveryStatus::Expired)?;
    let expected = Counts { expired: before.expired + U256::ONE, ..before };
    same("what both have counted", &stage.counts().await?, &expected)?;
    same("the refund", &stage.refund(id).await?, &U256::from(VALUE))?;
    Ok((format!("expired with both relays down, {VALUE} wei back with the sender"), ()))
}
