//! Questions to other shards about attempts whose decision is late (R8).

use crate::checks;
use crate::node::Node;
use commit::{Descriptor, VoteProof};
use host::{Class, Handout};
use primitives::ShardId;
use shard::{Checks, Input, Reply, Send};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use wire::client::{ClientSettings, ConnectError, Connection};
use wire::participant::{ParticipantClient, VoteAnswer};

/// A client for every other shard; they connect when first used.
pub(crate) fn connect(node: &Node) -> Result<BTreeMap<ShardId, ParticipantClient>, ConnectError> {
    let others = node.network.endpoints.iter().filter(|(shard, _)| **shard != node.me);
    let open = |endpoint: &String| Connection::open(&ClientSettings::plain(endpoint.clone()));
    others.map(|(shard, endpoint)| Ok((*shard, ParticipantClient::new(open(endpoint)?)))).collect()
}

/// Carries the machine's questions to its peers and their answers back, until the host ends.
pub(crate) async fn carry(
    node: Arc<Node>,
    peers: BTreeMap<ShardId, ParticipantClient>,
    mut handouts: mpsc::Receiver<Handout<Send, Reply>>,
) {
    while let Some(handout) = handouts.recv().await {
        let mut questions: BTreeMap<ShardId, Vec<Descriptor>> = BTreeMap::new();
        for Send::AskVotes { to, descriptor } in handout.sends {
            questions.entry(to).or_default().push(descriptor);
        }
        for (to, descriptors) in questions {
            let Some(peer) = peers.get(&to).cloned() else { continue };
            tokio::spawn(ask(Arc::clone(&node), to, peer, descriptors));
        }
    }
}

/// One call. What fails is asked again by the machine's own schedule.
async fn ask(node: Arc<Node>, to: ShardId, peer: ParticipantClient, descriptors: Vec<Descriptor>) {
    let asked = descriptors.len();
    let answers = match peer.request_abort(&descriptors).await {
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
