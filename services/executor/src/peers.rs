//! The other shards: questions about attempts whose decision is late (R8) and about what they have seen of this one (R14), and
//! whether they are there at all and what their clocks show.

use crate::checks;
use crate::convert;
use crate::evidence;
use crate::node::Node;
use commit::VoteProof;
use host::{Class, Handout, Health, OtherClocks, PEER_SILENT_MAX, Peer, Security, SecurityError};
use primitives::ShardId;
use shard::{Checks, Input, Reply, Send};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wire::Rejection;
use wire::client::Deadlines;
use wire::participant::{AbortRequest, ParticipantClient, VoteAnswer};
use wire::shard::ShardClient;

/// Between two looks at whether a peer is there.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// The same while this process starts, so that it soon knows what the others' clocks show.
const FIRST_LOOK_PAUSE: Duration = Duration::from_millis(100);

/// How long a look waits for an answer.
const LOOK_DEADLINE: Duration = PEER_SILENT_MAX;

/// Another shard's two services over one connection.
#[derive(Debug, Clone)]
pub(crate) struct Other {
    participant: ParticipantClient,
    shard: ShardClient,
}

/// Clients for every other shard; they connect when first used.
pub(crate) fn connect(node: &Node, security: &Security) -> Result<BTreeMap<ShardId, Other>, SecurityError> {
    let others = node.network.endpoints.iter().filter(|(shard, _)| **shard != node.me);
    let open = |endpoint: &String| {
        let connection = security.connect(endpoint)?;
        let looks = connection.with_deadlines(Deadlines { read: LOOK_DEADLINE, ..Deadlines::default() });
        Ok::<_, SecurityError>(Other {
            participant: ParticipantClient::new(connection),
            shard: ShardClient::new(looks),
        })
    };
    others.map(|(shard, endpoint)| Ok((*shard, open(endpoint)?))).collect()
}

/// Looks after every other shard for as long as the process lives, so that an operator is told by whom this one is left
/// alone, and so that its clock does not run away from theirs. Who is silent is asked all the same.
pub(crate) fn watch(node: &Arc<Node>, peers: &BTreeMap<ShardId, Other>, health: &Health, clocks: &OtherClocks) {
    for (shard, other) in peers {
        let look = Look {
            shard: *shard,
            client: other.shard.clone(),
            peer: health.peer(format!("shard {shard}")),
            node: Arc::clone(node),
            clocks: clocks.clone(),
        };
        tokio::spawn(look.again_and_again());
    }
}

/// What looks after one peer.
#[derive(Debug)]
struct Look {
    shard: ShardId,
    client: ShardClient,
    peer: Peer,
    node: Arc<Node>,
    clocks: OtherClocks,
}

impl Look {
    async fn again_and_again(self) {
        let begun = Instant::now();
        loop {
            self.once().await;
            let is_starting = !self.clocks.has_heard() && begun.elapsed() < PEER_SILENT_MAX;
            tokio::time::sleep(if is_starting { FIRST_LOOK_PAUSE } else { LOOK_PAUSE }).await;
        }
    }

    async fn once(&self) {
        let asked = self.clocks.steady();
        match self.client.status().await {
            Ok(status) => match self.node.terms.check(&status.terms) {
                Ok(()) => {
                    self.peer.answered();
                    if let Some(clock) = status.clock {
                        self.clocks.hear(self.shard, clock, asked);
                    }
                }
                Err(other) => self.peer.refused(&other),
            },
            Err(rejection) => self.peer.failed(&rejection),
        }
    }
}

/// Carries the machine's questions to its peers and their answers back, and does what it asks of its host, until the host
/// ends.
pub(crate) async fn carry(
    node: Arc<Node>,
    peers: BTreeMap<ShardId, Other>,
    mut handouts: mpsc::Receiver<Handout<Send, Reply>>,
) {
    while let Some(handout) = handouts.recv().await {
        let mut questions: BTreeMap<ShardId, Vec<AbortRequest>> = BTreeMap::new();
        for send in handout.sends {
            match send {
                Send::AskVotes { to, descriptor, waits } => {
                    let waits = convert::vote_proof(&waits).ok();
                    questions.entry(to).or_default().push(AbortRequest { descriptor, waits });
                }
                Send::AskSighting { to } => {
                    if let Some(peer) = peers.get(&to).cloned() {
                        tokio::spawn(ask_sighting(Arc::clone(&node), to, peer));
                    }
                }
                Send::Shown => node.fate.shown(),
                Send::Behind(behind) => node.fate.behind(behind),
                Send::Evidence(evidence) => evidence::keep(&node, &evidence),
            }
        }
        for (to, requests) in questions {
            let Some(peer) = peers.get(&to) else { continue };
            tokio::spawn(ask(Arc::clone(&node), to, peer.participant.clone(), requests));
        }
    }
}

/// One call. What fails is asked again by the machine's own schedule.
async fn ask(node: Arc<Node>, to: ShardId, peer: ParticipantClient, requests: Vec<AbortRequest>) {
    let asked = requests.len();
    let answers = match peer.request_abort(requests).await {
        Ok(answers) => answers,
        Err(rejection) => {
            tracing::warn!(peer = %to, asked, %rejection, "a peer did not say how it voted");
            return;
        }
    };
    let votes: Vec<VoteProof> = answers.into_iter().flatten().filter_map(vote_of).collect();
    let check = |checks: &Checks, vote| Ok(checks.votes(vec![vote]));
    let Ok(checked) = checks::each(&node.checks, votes, check).await else { return };
    let votes: Vec<_> = checked.into_iter().flatten().flatten().collect();
    tracing::info!(peer = %to, asked, votes = votes.len(), "a peer said how it voted");
    // A host that stops takes no more; whoever it is after a restart asks again.
    let _ = node.handle.tell(Class::UnderWay, Input::Votes(votes)).await;
}

fn vote_of(answer: VoteAnswer) -> Option<VoteProof> {
    match answer {
        VoteAnswer::Vote { proof, .. } => Some(proof),
        VoteAnswer::Unknown => None,
    }
}

/// One call. A peer that does not answer, or answers what is not certified, is asked again by the machine's own schedule.
async fn ask_sighting(node: Arc<Node>, to: ShardId, peer: Other) {
    let seen = async {
        let newest = peer.shard.sighting(node.me).await?;
        let checked = newest.map(|newest| node.checks.certified(newest.into()));
        Ok::<_, Rejection>(checked.transpose()?.map(Box::new))
    };
    match seen.await {
        Ok(newest) => {
            let height = newest.as_ref().map(|newest| newest.header.height.0);
            tracing::debug!(peer = %to, height, "a peer said what it has seen of this shard");
            let _ = node.handle.tell(Class::UnderWay, Input::Sighting { from: Some(to), newest }).await;
        }
        Err(rejection) => tracing::info!(peer = %to, %rejection, "a peer did not say what it has seen of this shard"),
    }
}
