//! `dovetail replay`: real Ethereum blocks through coordinator and shards, compared with their own headers.
//!
//! ```text
//!  file ── load ──> block ── genesis: pre-state spread by placement ──> network of processes
//!                     │                                                     │
//!                     ├── each payload in block order ── submit, wait ────> coordinator: prepare, vote, decide
//!                     │                                                     │
//!                     ├── outcomes: gas, bloom, receipts root  <────────────┤
//!                     └── union of states: postDigest          <── reads ───┘     and then the oracle, on the stores
//! ```
//!
//! Promise (I9, I16): a block that is reported as reproduced has the gas, logs, receipts and state of Ethereum mainnet,
//! whatever the placement; anything else is an error that says what differs first.

mod file;
mod network;
mod state;
mod verdict;

pub use file::{FileError, load};
pub use network::GenesisError;
pub use verdict::BlockMismatch;

use crate::cluster::{Cluster, Node};
use crate::oracle::{self, plain::Plain};
use evm::mainnet::{MainnetBlock, Reproduced};
use evm::{Outcome, Payload, PayloadVerifier, TransactionKind};
use eyre::{Result, WrapErr, eyre};
use futures_util::StreamExt;
use primitives::{AttemptId, Verified};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wire::Reason;
use wire::client::{ClientSettings, Connection};
use wire::coordinator::{CoordinatorClient, LifeStage, Submission, SubmissionId};

/// How long one payload may take from its submission to its end.
const PAYLOAD_TIMEOUT: Duration = Duration::from_mins(2);

/// Replays real Ethereum blocks.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many shards the block's state is spread over.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    shards: u32,
    /// Places every account of the block at random by this seed instead of by its hash.
    #[arg(long)]
    placement_seed: Option<u64>,
    /// Keeps stores and logs in this folder, which must not have those of an earlier replay.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Block files, `<number>.json.zst`.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// How a block is replayed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many shards.
    pub shards: u32,
    /// Accounts are placed at random by this seed; none: by hash.
    pub placement_seed: Option<u64>,
    /// The program to start: `dovetail` itself.
    pub program: PathBuf,
}

/// A block that was reproduced.
#[derive(Debug, Clone)]
pub struct BlockReport {
    /// Its number.
    pub number: u64,
    /// The fork it ran under.
    pub fork: String,
    /// Over how many shards.
    pub shards: u32,
    /// Signed transactions.
    pub transactions: usize,
    /// Of these, how many had more than one participant.
    pub crossed: usize,
    /// Participants of all signed transactions together.
    pub participants: usize,
    /// Attempts beyond the first of a submission, over all submissions.
    pub retried: usize,
    /// From the first submission to the last commit.
    pub elapsed: Duration,
    /// What was compared with the header.
    pub reproduced: Reproduced,
    /// What the oracle found in the stores.
    pub oracle: oracle::Report,
}

impl BlockReport {
    /// Of a hundred signed transactions, how many crossed shards.
    #[allow(clippy::cast_precision_loss, reason = "counts for people to read")]
    pub fn crossed_percent(&self) -> f64 {
        100.0 * self.crossed as f64 / self.transactions.max(1) as f64
    }

    /// How many participants a signed transaction had on average.
    #[allow(clippy::cast_precision_loss, reason = "counts for people to read")]
    pub fn participants_mean(&self) -> f64 {
        self.participants as f64 / self.transactions.max(1) as f64
    }
}

impl fmt::Display for BlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let receipts = if self.reproduced.receipts_root { ", receipts root" } else { "" };
        let requests = if self.reproduced.requests_hash { ", requests hash" } else { "" };
        write!(
            f,
            "block {} ({}): {} transactions over {} shards, {:.0} % crossed, {:.2} participants each, {} attempts \
             retried, {:.1} s: gas used {}, logs bloom{receipts}{requests} and post-state equal",
            self.number,
            self.fork,
            self.transactions,
            self.shards,
            self.crossed_percent(),
            self.participants_mean(),
            self.retried,
            self.elapsed.as_secs_f64(),
            self.reproduced.gas_used,
        )
    }
}

/// Replays every file and prints a line for each.
///
/// # Errors
/// If one of them was not reproduced; the others are replayed all the same.
pub async fn run(arguments: Arguments) -> Result<()> {
    let settings = Settings {
        shards: arguments.shards,
        placement_seed: arguments.placement_seed,
        program: std::env::current_exe().wrap_err("this program has no path")?,
    };
    let mut failures = 0;
    for path in &arguments.files {
        match replay_file(path, &settings, arguments.keep.as_deref()).await {
            Ok(report) => println!("{report}"),
            Err(error) => {
                failures += 1;
                let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
                println!("{}: NOT REPRODUCED: {}", path.display(), causes.join(": "));
            }
        }
    }
    match (failures, arguments.files.len()) {
        (0, _) => Ok(()),
        (failures, all) => Err(eyre!("{failures} of {all} blocks were not reproduced")),
    }
}

async fn replay_file(path: &Path, settings: &Settings, keep: Option<&Path>) -> Result<BlockReport> {
    let block = load(path)?;
    let Some(keep) = keep else {
        let dir = tempfile::tempdir().wrap_err("no temporary folder")?;
        return replay_block(&block, settings, dir.path()).await;
    };
    let dir = keep.join(block.number().to_string());
    // Stores of an earlier network have other keys and another state.
    if dir.exists() {
        return Err(eyre!("{} exists: name another folder to keep this replay in", dir.display()));
    }
    replay_block(&block, settings, &dir).await
}

/// Starts a network under the empty folder `dir`, replays `block` on it, compares, stops it, and asks the oracle.
///
/// # Errors
/// A [`BlockMismatch`] or [`oracle::OracleError`] if the block is not reproduced; a [`GenesisError`] if its file lacks
/// something to start from; others if a process fails.
pub async fn replay_block(block: &MainnetBlock, settings: &Settings, dir: &Path) -> Result<BlockReport> {
    let plan = network::plan(block, settings)?;
    let folder = dir.to_owned();
    // Starting and stopping wait for processes, which is not for a thread that serves others.
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(plan, &folder)).await??;
    let network = cluster.network().clone();
    let replayed = replay_on(&cluster, block).await;
    tokio::task::spawn_blocking(move || cluster.stop()).await??;
    let report = replayed?;
    let stores = oracle::stores(&network, dir);
    let oracle = tokio::task::spawn_blocking(move || oracle::check(&network, &stores)).await?;
    Ok(BlockReport { oracle: oracle.wrap_err("the oracle disagrees")?, ..report })
}

/// Replays `block` on a running network that started from its pre-state.
async fn replay_on(cluster: &Cluster, block: &MainnetBlock) -> Result<BlockReport> {
    let coordinator = cluster.endpoint(Node::Coordinator(0));
    let coordinator = CoordinatorClient::new(Connection::open(&ClientSettings::plain(coordinator))?);
    let mut tally = Tally::default();
    let started = Instant::now();
    for (index, payload) in block.payloads().iter().enumerate() {
        let committed = tokio::time::timeout(PAYLOAD_TIMEOUT, commit(&coordinator, payload)).await;
        let committed = committed.map_err(|_| eyre!("no end within {PAYLOAD_TIMEOUT:?}")).and_then(|result| result);
        tally.add(payload, committed.wrap_err_with(|| format!("payload {index} of the block"))?);
    }
    let elapsed = started.elapsed();
    let plain = run_plain(block)?;
    let after = state::read(cluster.network(), block, plain.evm.state()).await?;
    let reproduced = verdict::check(block, &tally.outcomes, &plain, &after)?;
    Ok(BlockReport {
        number: block.number(),
        fork: block.spec().to_string(),
        shards: cluster.network().placement.shards_count(),
        transactions: tally.transactions,
        crossed: tally.crossed,
        participants: tally.participants,
        retried: tally.retried,
        elapsed,
        reproduced,
        oracle: oracle::Report::default(),
    })
}

/// The block on one plain EVM: which accounts it wipes, which values it touches, and what to name when something
/// differs.
#[derive(Debug)]
pub(crate) struct PlainRun {
    /// The EVM after the block.
    pub(crate) evm: Plain,
    /// What each payload did.
    pub(crate) outcomes: Vec<Outcome>,
}

fn run_plain(block: &MainnetBlock) -> Result<PlainRun> {
    let verifier = PayloadVerifier::new(block.params());
    let mut evm = Plain::new(block.params(), block.pre_state().clone());
    let mut outcomes = Vec::new();
    for payload in block.payloads() {
        let recovered = Verified::by(&verifier, payload)?;
        outcomes.extend(evm.run(&recovered).wrap_err("the block does not run on one plain EVM either")?);
    }
    Ok(PlainRun { evm, outcomes })
}

/// What is counted over a block.
#[derive(Debug, Default)]
struct Tally {
    outcomes: Vec<Outcome>,
    transactions: usize,
    crossed: usize,
    participants: usize,
    retried: usize,
}

impl Tally {
    fn add(&mut self, payload: &Payload, committed: Committed) {
        if matches!(payload.transactions[..], [TransactionKind::Signed(_)]) {
            self.transactions += 1;
            self.crossed += usize::from(committed.participants > 1);
            self.participants += committed.participants;
        }
        self.retried += committed.attempts.saturating_sub(1);
        self.outcomes.extend(committed.outcomes);
    }
}

/// How a payload was committed.
#[derive(Debug)]
struct Committed {
    outcomes: Vec<Outcome>,
    participants: usize,
    attempts: usize,
}

/// Submits a payload and follows it to its end.
async fn commit(coordinator: &CoordinatorClient, payload: &Payload) -> Result<Committed> {
    let id = match coordinator.submit_payload(payload).await {
        Ok(id) => id,
        Err(rejection) => return Err(eyre!("it was refused: {rejection}")),
    };
    let (submission, attempts) = follow(coordinator, id).await?;
    if submission.last.stage != LifeStage::Committed {
        let why = submission.rejection.map_or(submission.last.detail, |rejection| rejection.to_string());
        return Err(eyre!("{id} was refused: {why}"));
    }
    if submission.outcomes.len() != payload.transactions.len() {
        let (expected, actual) = (payload.transactions.len(), submission.outcomes.len());
        return Err(eyre!("{id} committed with {actual} outcomes where {expected} were due"));
    }
    let participants = submission.participants.len();
    Ok(Committed { outcomes: submission.outcomes, participants, attempts: attempts.len() })
}

/// Follows a submission to its final event, over as many streams as that takes; gives the attempts it saw too.
async fn follow(coordinator: &CoordinatorClient, id: SubmissionId) -> Result<(Submission, BTreeSet<AttemptId>)> {
    let (mut after, mut attempts) = (0, BTreeSet::new());
    loop {
        let mut events = Box::pin(coordinator.watch(id, after).await?);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    after = event.number;
                    attempts.extend(event.attempt);
                    if event.stage.is_final() {
                        return Ok((coordinator.submission(id).await?, attempts));
                    }
                }
                Err(rejection) if rejection.reason == Reason::Unavailable => break,
                Err(rejection) => return Err(rejection.into()),
            }
        }
    }
}
