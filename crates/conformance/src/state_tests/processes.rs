//! A few subtests on networks of real processes: gRPC between them, RocksDB under the shards, one network for each subtest.
//!
//! ```text
//!  pre-state ── genesis ──> processes <── submit ── signed transaction ──> committed or refused
//!                               └── reads over gRPC ──> union of states ── verdict    and then the oracle, on the stores
//! ```

use crate::state_tests::case::Case;
use crate::state_tests::network::NetworkRun;
use crate::state_tests::plain::PlainRun;
use crate::state_tests::refusal::Kind;
use alloy_primitives::Bytes;
use cluster::union;
use cluster::{Cluster, Node, Plan};
use evm::Placement;
use eyre::{Result, WrapErr, eyre};
use host::network::{EnvironmentSource, Genesis, GenesisAccount};
use std::path::Path;
use std::time::Duration;
use wire::client::{ClientSettings, Connection};
use wire::coordinator::{CoordinatorClient, LifeStage};

/// How long one transaction may take.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Runs `case` on processes of `program`, placed as `placement` says, and has the oracle look at their stores.
pub(crate) fn run(
    case: &Case<'_>,
    bytes: &Bytes,
    placement: &Placement,
    (plain, program): (&PlainRun, &Path),
) -> Result<NetworkRun> {
    let dir = tempfile::tempdir().wrap_err("no temporary folder")?;
    let cluster = Cluster::start(plan(case, placement, program)?, dir.path())?;
    let network = cluster.network().clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ran = runtime.block_on(submit(&cluster, case, bytes, plain));
    // Its connections close only while it runs or when it goes, and a process that drains waits for them.
    drop(runtime);
    cluster.stop()?;
    let run = ran?;
    judge::check(&network, &judge::stores(&network, dir.path())).wrap_err("the oracle disagrees")?;
    Ok(run)
}

fn plan(case: &Case<'_>, placement: &Placement, program: &Path) -> Result<Plan> {
    let accounts = case.scene.genesis.iter().map(|(address, account)| {
        let code = account.code.0.clone();
        let storage = account.storage.iter().filter(|(_, value)| !value.is_zero());
        let storage = storage.map(|(slot, value)| (*slot, *value)).collect();
        (
            *address,
            GenesisAccount { balance: account.balance, nonce: account.nonce, code, storage, ..Default::default() },
        )
    });
    Ok(Plan {
        network: case.chain(),
        coordinators: 1,
        relays: 0,
        fork: case.spec.to_string(),
        environments: EnvironmentSource::Replay,
        pinned: placement.pinned().iter().map(|(address, shard)| (*address, shard.0)).collect(),
        genesis: Genesis { accounts: accounts.collect(), ..Genesis::default() },
        program: program.to_owned(),
        ..Plan::new(placement.shards_count())?
    })
}

async fn submit(cluster: &Cluster, case: &Case<'_>, bytes: &Bytes, plain: &PlainRun) -> Result<NetworkRun> {
    let coordinator = cluster.endpoint(Node::Coordinator(0));
    let coordinator = CoordinatorClient::new(Connection::open(&ClientSettings::plain(coordinator))?);
    // Over the wire a refusal is a sentence: that there is one is compared, its kind is compared within one process.
    let refused = |text: String| plain.end.as_ref().err().cloned().unwrap_or(Kind::Network(text));
    let (end, participants) = match coordinator.submit_payload(&case.payload(bytes)).await {
        Err(rejection) => (Err(refused(rejection.to_string())), 0),
        Ok(id) => {
            let submission = tokio::time::timeout(TIMEOUT, coordinator.wait_final(id));
            let submission = submission.await.map_err(|_| eyre!("no end within {TIMEOUT:?}"))??;
            match (submission.last.stage, &submission.outcomes[..]) {
                (LifeStage::Committed, [outcome]) => (Ok(outcome.clone()), submission.participants.len()),
                (LifeStage::Committed, outcomes) => {
                    return Err(eyre!("{} outcomes of one transaction", outcomes.len()));
                }
                _ => (Err(refused(submission.last.detail)), 0),
            }
        }
    };
    // The oracle reads the codes from the stores.
    let beneficiary = case.params().beneficiary;
    let state = union::read(cluster.network(), &case.scene.before, &plain.state, beneficiary).await?;
    // Nobody is told over gRPC.
    Ok(NetworkRun { end, state, participants, proven_codes: 0 })
}
