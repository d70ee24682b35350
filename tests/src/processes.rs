//! A network of real processes as scenarios see it: gRPC, RocksDB, signals, and a proxy on every way between two of them.
//!
//! The scenario itself, as user and as stranger, calls shards and coordinators directly: what is cut is cut between parties.

use crate::cluster::{Cluster, Committed, CrashPoint, End, Seen, Submission, Way};
use crate::links::{Links, addresses, node};
use crate::recorder;
use crate::stage::{Ground, NETWORK, SHARDS_COUNT};
use crate::testnet::program;
use alloy_primitives::{B256, Bytes};
use cluster::client::{Client, Ended};
use cluster::{Cluster as Nodes, Plan};
use coordinator::StateValue;
use evm::{Data, NetworkParams, Placement, StateKey};
use eyre::{Result, ensure};
use judge::Report;
use primitives::{ShardId, Time};
use shard::{CodeProof, FreshValue, OutcomeRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wire::limits::{STATE_PROOF_BYTES_MAX, STATE_VALUE_BYTES_MAX};
use wire::participant::{Prepare, VoteAnswer};
use wire::shard::{OldLeaves, StateProofs};
use wire::{Reason, state};
use world::{Done, Party, Rejection, Remedy, Request, Response};

/// How often a condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// How long what is under way at the end may take among processes that are all up.
const QUIET_WITHIN: Duration = Duration::from_secs(20);

type Ends = Arc<Mutex<BTreeMap<Submission, End>>>;

/// Processes, and the lines between them.
#[derive(Debug)]
pub struct Processes {
    // Ended in this order: clients, lines, then the processes and their folder.
    clients: Vec<Client>,
    ends: Ends,
    submitted: usize,
    /// Which coordinator each submission went to.
    through: BTreeMap<Submission, usize>,
    links: Links,
    nodes: Nodes,
    middle: (usize, usize),
    runtime: Runtime,
    dir: TempDir,
}

impl Processes {
    /// Starts the network, each party with a network file of its own that leads it through its lines.
    pub fn start(ground: &Ground) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let plan = Plan {
            network: NETWORK,
            coordinators: ground.coordinators,
            relays: ground.relays,
            pinned: ground.pinned.clone(),
            genesis: ground.genesis.clone(),
            environment: vec![("DOVETAIL_COORDINATOR_ATTEMPT_MS".to_owned(), ground.attempt.0.to_string())],
            program: program()?,
            ..Plan::new(SHARDS_COUNT)?
        };
        let mut nodes = Nodes::lay_out(plan, dir.path())?;
        let runtime = Runtime::new()?;
        let middle = (ground.coordinators as usize, ground.relays as usize);
        let links = runtime.block_on(Links::wire(&nodes, &parties(middle)))?;
        nodes.start_all()?;
        let clients = {
            let _entered = runtime.enter();
            (0..ground.coordinators).map(|number| nodes.client(number)).collect::<Result<_>>()?
        };
        let (ends, through) = (Ends::default(), BTreeMap::new());
        Ok(Self { clients, ends, submitted: 0, through, links, nodes, middle, runtime, dir })
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, BTreeMap<Submission, End>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no message is under way and no attempt undecided, as far as the stores tell once the shards are stopped.
    fn quiet(&mut self) -> Result<Report> {
        let (network, stores) = (self.nodes.network().clone(), judge::stores(self.nodes.network(), self.dir.path()));
        let give_up = Instant::now() + QUIET_WITHIN;
        let parties = parties(self.middle);
        loop {
            parties.iter().rev().try_for_each(|party| self.nodes.terminate(node(*party)?))?;
            let open = match judge::check(&network, &stores) {
                Ok(report) if report.undecided == 0 && report.messages_under_way == 0 => return Ok(report),
                Ok(report) => {
                    format!("{} undecided, {} messages under way", report.undecided, report.messages_under_way)
                }
                Err(error @ judge::OracleError::Partial { .. }) => error.to_string(),
                Err(error) => return Err(error.into()),
            };
            ensure!(Instant::now() < give_up, "after {QUIET_WITHIN:?} with everybody up: {open}");
            self.nodes.start_all()?;
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Every party that runs, shards first.
fn parties((coordinators, relays): (usize, usize)) -> Vec<Party> {
    let shards = (0..SHARDS_COUNT).map(|shard| Party::Shard(ShardId(shard)));
    shards.chain((0..coordinators).map(Party::Coordinator)).chain((0..relays).map(Party::Relay)).collect()
}

impl Cluster for Processes {
    fn params(&self) -> &NetworkParams {
        &self.nodes.network().params
    }

    fn placement(&self) -> &Placement {
        &self.nodes.network().placement
    }

    fn middle(&self) -> (usize, usize) {
        self.middle
    }

    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(since.as_millis() as u64)
    }

    fn pass(&mut self) {
        std::thread::sleep(LOOK_INTERVAL);
    }

    fn submit(&mut self, coordinator: usize, transactions: &[Bytes]) -> Result<Submission> {
        let submission = Submission(self.submitted);
        self.submitted += 1;
        self.through.insert(submission, coordinator);
        let (client, ends, transactions) =
            (self.clients[coordinator].clone(), Arc::clone(&self.ends), transactions.to_vec());
        self.runtime.spawn(async move {
            let ended = match <[Bytes; 1]>::try_from(transactions) {
                Ok([transaction]) => client.submit(transaction).await,
                Err(bundle) => client.submit_bundle(bundle).await,
            };
            let end = end_of(ended);
            ends.lock().unwrap_or_else(PoisonError::into_inner).insert(submission, end);
        });
        Ok(submission)
    }

    fn end(&mut self, submission: Submission) -> Option<End> {
        let told = self.ends().get(&submission).cloned();
        let coordinator = *self.through.get(&submission)?;
        // Whoever waits on a connection to the dead hears of it late.
        if told.is_none() && !self.is_up(Party::Coordinator(coordinator)) {
            return Some(End::Lost);
        }
        told
    }

    fn look(&mut self, key: StateKey) -> Option<Seen> {
        let shard = self.placement().owner(key);
        let client = self.clients[0].shard(shard);
        let read = self.runtime.block_on(client.read_state(&[key], &BTreeSet::new())).ok()?;
        let value = read.values.first()?;
        Some(Seen { value: state_value(value.value), holder: value.locked_by })
    }

    fn code(&mut self, shard: ShardId, hash: B256) -> Option<Data> {
        let client = self.clients[0].shard(shard);
        let read = self.runtime.block_on(client.read_state(&[], &BTreeSet::from([hash]))).ok()?;
        read.codes.get(&hash).cloned()
    }

    fn outcome(&mut self, shard: ShardId, transaction: B256) -> Option<OutcomeRecord> {
        self.runtime.block_on(self.clients[0].shard(shard).outcome(transaction)).ok()
    }

    fn call(&mut self, shard: ShardId, request: Request) -> Response {
        let called = self.runtime.block_on(call(&self.clients[0], shard, request));
        called.unwrap_or(Response::Failed)
    }

    fn kill(&mut self, party: Party) -> Result<()> {
        self.nodes.kill(node(party)?)
    }

    fn restart(&mut self, party: Party) -> Result<()> {
        let node = node(party)?;
        self.nodes.reap(node);
        self.nodes.restart(node)?;
        self.nodes.wait_ready(node)
    }

    fn restart_to_die(&mut self, party: Party, point: CrashPoint) -> Result<()> {
        let node = node(party)?;
        self.nodes.reap(node);
        self.nodes.restart_with(node, &[(host::CRASH_VARIABLE.to_owned(), point.to_string())])?;
        let ready = self.nodes.wait_ready(node);
        // What it does by itself when it starts may take it there before it is ready.
        if self.nodes.has_exited(node) && self.nodes.log_tail(node).contains("crash point") { Ok(()) } else { ready }
    }

    fn is_up(&mut self, party: Party) -> bool {
        node(party).is_ok_and(|node| self.nodes.pid(node).is_some() && !self.nodes.has_exited(node))
    }

    fn pause(&mut self, party: Party) -> Result<()> {
        self.nodes.signal(node(party)?, "STOP")
    }

    fn resume(&mut self, party: Party) -> Result<()> {
        self.nodes.signal(node(party)?, "CONT")
    }

    fn cut(&mut self, caller: Party, shard: ShardId) -> Result<()> {
        self.links.cut(caller, shard)
    }

    fn silence(&mut self, caller: Party, shard: ShardId, way: Way) -> Result<()> {
        self.links.silence(caller, shard, way)
    }

    fn heal(&mut self) -> Result<()> {
        self.links.heal();
        Ok(())
    }

    fn record(&mut self) -> Result<()> {
        self.runtime.block_on(self.links.record())
    }

    fn recorded_count(&mut self) -> usize {
        self.links.recorded().len()
    }

    fn replay(&mut self) -> Result<usize> {
        let (calls, shards) = (self.links.recorded(), addresses(&self.nodes)?);
        self.runtime.block_on(recorder::replay(&calls, &shards))
    }

    fn audit(mut self) -> Result<Report> {
        self.links.heal();
        for party in parties(self.middle) {
            if !self.is_up(party) {
                self.restart(party)?;
            }
        }
        self.quiet()
    }
}

fn end_of(ended: Result<Ended>) -> End {
    match ended {
        Ok(Ended::Committed(settled)) => End::Committed(Committed {
            outcomes: settled.outcomes,
            participants: settled.participants,
            attempt: settled.attempt,
        }),
        // Nobody is there to refuse anything.
        Ok(Ended::Refused(rejection)) if rejection.reason == Reason::Unavailable => End::Lost,
        Ok(Ended::Refused(rejection)) => End::Refused(rejection.to_string()),
        // A coordinator that was killed while it was waited for, or one that came back and knows nothing.
        Err(_) => End::Lost,
    }
}

async fn call(client: &Client, shard: ShardId, request: Request) -> Result<Response, wire::Rejection> {
    let (shards, participant) = (client.shard(shard), client.participant(shard));
    Ok(match request {
        Request::Read { keys, codes } => {
            let read = shards.read_state(&keys, &codes.into_iter().collect()).await?;
            let values = read.values.iter().map(|read| state_value(read.value)).collect();
            Response::Values { values, codes: read.codes.into_values().collect() }
        }
        Request::Prove(accounts) => {
            let mut proofs = Vec::with_capacity(accounts.len());
            for account in accounts {
                proofs.push(code_proof(shards.prove_state(account, &[]).await?));
            }
            Response::Proofs(proofs)
        }
        Request::SubmitLocal(payloads) => {
            let answers = shards.submit_local(&payloads).await?;
            done(answers, Done::Executed)
        }
        Request::Prepare(claims) => {
            let prepare = |claim: world::PrepareClaim| Prepare {
                descriptor: (*claim.descriptor).clone(),
                payload: claim.payload.to_vec().into(),
                homes: claim.homes,
            };
            done(participant.prepare(claims.into_iter().map(prepare).collect()).await?, voted)
        }
        Request::RequestAbort(claims) => {
            let request = |claim: world::AbortClaim| wire::participant::AbortRequest {
                descriptor: claim.descriptor,
                waits: claim.waits,
            };
            done(participant.request_abort(claims.into_iter().map(request).collect()).await?, voted)
        }
        Request::QueryVotes(attempts) => done(participant.query_votes(attempts).await?, voted),
        Request::Decide(claims) => {
            let claim = |claim: world::DecisionClaim| wire::participant::DecisionClaim {
                descriptor: claim.descriptor,
                votes: claim.votes,
            };
            done(participant.decide(claims.into_iter().map(claim).collect()).await?, Done::Decided)
        }
        Request::Outbox { from, count_max } => {
            let kinds = BTreeSet::from([proof::LeafKind::Message, proof::LeafKind::Delivery]);
            let page =
                shards.outbox(from, u32::try_from(count_max).unwrap_or(u32::MAX), &kinds, OldLeaves::Open).await?;
            let receipts = page.leaves.into_iter().map(|leaf| leaf.receipt).collect();
            Response::Page { receipts, next: page.next, head: page.head }
        }
        Request::Has { leg, messages } => {
            let mut has = Vec::with_capacity(messages.len());
            for message in messages {
                let life = shards.message(message).await;
                has.push(life.is_ok_and(|life| match leg {
                    relay::Leg::Out => life.delivered.is_some(),
                    relay::Leg::Back => life.acknowledged.is_some(),
                }));
            }
            Response::Has(has)
        }
        Request::Sighting(of) => Response::Sighting(shards.sighting(of).await?.map(|newest| Box::new(newest.into()))),
        Request::Deliver(receipts) => done(shards.deliver(&receipts).await?, |delivered| Done::Delivered {
            novelty: delivered.novelty,
            receipt: delivered.receipt.map(Box::new),
        }),
    })
}

/// The proof of an account's code, as far as there is an account.
fn code_proof(proven: StateProofs) -> Option<CodeProof> {
    let StateProofs { header, certificate, proofs } = proven;
    let first = proofs.into_iter().next().filter(|first| !first.value.is_empty())?;
    let account = primitives::decode(&first.value, STATE_VALUE_BYTES_MAX).ok()?;
    let proof = primitives::decode(&first.proof, STATE_PROOF_BYTES_MAX).ok()?;
    Some(CodeProof { header, certificate, account, proof })
}

fn done<T>(answers: Vec<Result<T, wire::Rejection>>, done: impl Fn(T) -> Done) -> Response {
    Response::Done(answers.into_iter().map(|answer| answer.map(&done).map_err(|error| rejection(&error))).collect())
}

fn voted(answer: VoteAnswer) -> Done {
    match answer {
        VoteAnswer::Vote { proof, hint } => Done::Voted { proof, hint: hint.into_iter().map(fresh).collect() },
        // A shard answers with its own vote, decided or not.
        VoteAnswer::Unknown => Done::Unknown,
    }
}

fn fresh(hint: state::FreshValue) -> FreshValue {
    match (hint.key, hint.value) {
        (StateKey::Account(address), state::StateValue::Account(account)) => FreshValue::Account(address, account),
        (StateKey::Fees(key), state::StateValue::Fees(number) | state::StateValue::Slot(number)) => {
            FreshValue::Fees(key, number)
        }
        (StateKey::Slot(address, slot), state::StateValue::Slot(number) | state::StateValue::Fees(number)) => {
            FreshValue::Slot(address, slot, number)
        }
        (key, value) => unreachable!("wire checks that a value is of its key's kind: {key} {value:?}"),
    }
}

fn rejection(rejection: &wire::Rejection) -> Rejection {
    let remedy = match rejection.reason {
        Reason::NotLocal => Remedy::NotLocal,
        Reason::WrongEnvironment => Remedy::Environment,
        reason if reason.is_retryable() => Remedy::Later,
        _ => Remedy::Never,
    };
    Rejection { remedy, text: rejection.message.clone() }
}

fn state_value(value: state::StateValue) -> StateValue {
    match value {
        state::StateValue::Account(account) => StateValue::Account(account),
        state::StateValue::Slot(number) => StateValue::Slot(number),
        state::StateValue::Fees(wei) => StateValue::Fees(wei),
    }
}
