//! A block on a network of real processes: gRPC between them, RocksDB under the shards.
//!
//! ```text
//!  genesis: pre-state spread by placement ──> network of processes
//!                                                  │
//!  each payload ── submit, follow to its end ────> coordinator: prepare, vote, decide
//!  outcomes <──────────────────────────────────────┤
//!  union of states <─── reads ─────────────────────┘     and then the oracle, on the stores
//! ```

use crate::replay::counts::{BlockRun, Committed, Tally};
use crate::replay::subject::Subject;
use crate::replay::{Placed, network, verdict};
use cluster::union;
use cluster::{Cluster, Node};
use evm::Payload;
use eyre::{Result, WrapErr, eyre};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use primitives::AttemptId;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use wire::Reason;
use wire::client::{ClientSettings, Connection};
use wire::coordinator::{CoordinatorClient, LifeStage, Submission, SubmissionId};

/// How long one payload may take from its submission to its end.
const PAYLOAD_TIMEOUT: Duration = Duration::from_mins(2);

/// Starts a network of `program`, which is `dovetail`, under the empty folder `dir`, replays the block on it, compares, stops it, and asks the oracle.
///
/// # Errors
/// A [`crate::replay::BlockMismatch`] or [`judge::OracleError`] if the block is not reproduced; others if a process fails.
pub(crate) async fn run(subject: &Subject, placed: &Placed, program: &Path, dir: &Path) -> Result<BlockRun> {
    let plan = network::plan(&subject.block, placed, program.to_owned())?;
    let folder = dir.to_owned();
    // Starting and stopping wait for processes, which is not for a thread that serves others.
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(plan, &folder)).await??;
    let network = cluster.network().clone();
    let replayed = replay_on(&cluster, subject, placed.in_flight).await;
    tokio::task::spawn_blocking(move || cluster.stop()).await??;
    let run = replayed?;
    let stores = judge::stores(&network, dir);
    let oracle = tokio::task::spawn_blocking(move || judge::check(&network, &stores)).await?;
    oracle.wrap_err("the oracle disagrees")?;
    Ok(run)
}

/// Replays the block on a running network that started from its pre-state.
async fn replay_on(cluster: &Cluster, subject: &Subject, in_flight: usize) -> Result<BlockRun> {
    let coordinator = cluster.endpoint(Node::Coordinator(0));
    let coordinator = CoordinatorClient::new(Connection::open(&ClientSettings::plain(coordinator))?);
    let (mut tally, mut schedule) = (Tally::new(subject.payloads.len()), subject.schedule(in_flight));
    let started = Instant::now();
    let mut open = FuturesUnordered::new();
    while !schedule.is_done() {
        while let Some(index) = schedule.next() {
            open.push(commit_in_time(&coordinator, &subject.payloads[index]).map(move |end| (index, end)));
        }
        let Some((index, committed)) = open.next().await else { break };
        let committed = committed.wrap_err_with(|| format!("payload {index} of the block"))?;
        tally.add(index, &subject.payloads[index], committed)?;
        schedule.committed(index);
    }
    tally.counts.elapsed = started.elapsed();
    let (plain, shards) = (&subject.plain, cluster.network().placement.shards_count());
    let block = &subject.block;
    let after =
        union::read(cluster.network(), block.pre_state(), plain.evm.state(), block.header().beneficiary).await?;
    let reproduced = verdict::check(block, &tally.outcomes(), plain, &after)?;
    Ok(BlockRun { shards, counts: tally.counts, reproduced })
}

async fn commit_in_time(coordinator: &CoordinatorClient, payload: &Payload) -> Result<Committed> {
    let committed = tokio::time::timeout(PAYLOAD_TIMEOUT, commit(coordinator, payload)).await;
    committed.map_err(|_| eyre!("no end within {PAYLOAD_TIMEOUT:?}")).and_then(|result| result)
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
    let participants = submission.participants.len();
    Ok(Committed { outcomes: submission.outcomes, participants, proven_codes: 0, tries: attempts.len() })
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
