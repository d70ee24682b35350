//! Clients of all shards, and how each of them is.
//!
//! Promise: a shard of another network is asked for nothing, and whoever needs a shard that does not answer is told at once,
//! by the shard's name.

use futures_util::future::try_join_all;
use host::network::Network;
use host::{Health, OtherClocks, PEER_SILENT_MAX, Security, SecurityError, Standing};
use primitives::{Height, Millis, ShardId};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use wire::client::Deadlines;
use wire::participant::ParticipantClient;
use wire::shard::{CertifiedBlock, LogPage, OtherTerms, OutcomePlace, ShardClient, ShardStatus, Terms};
use wire::{Reason, Rejection};

/// How long a shard may take to say how it is: a busy one that is slower than this counts as silent, no other.
pub(crate) const STATUS_DEADLINE: Duration = PEER_SILENT_MAX;

/// The pause before a shard that did not answer is asked again.
const MEET_PAUSE: Duration = Duration::from_millis(50);

/// A shard takes the network to be another one than this process does.
#[derive(Debug, thiserror::Error)]
#[error("shard {shard} is of another network: {terms}")]
pub struct ForeignShard {
    /// Which.
    pub shard: ShardId,
    /// Both sides.
    pub terms: OtherTerms,
}

/// One shard's two services. What ends attempts has a connection of its own, and so have votes: neither waits for streams that
/// reads have taken.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) shard: ShardClient,
    /// For votes.
    pub(crate) participant: ParticipantClient,
    /// For decisions.
    pub(crate) decisions: ParticipantClient,
    looks: ShardClient,
    standing: host::Peer,
}

/// All shards of the network; they connect when first used.
#[derive(Debug)]
pub(crate) struct Shards {
    peers: BTreeMap<ShardId, Peer>,
    terms: Terms,
    /// What the shards' clocks show: heard whenever one is looked at, which is once a second.
    clocks: OtherClocks,
}

impl Shards {
    /// For `network`, whose shards are among those that `health` speaks of.
    pub(crate) fn connect(network: &Network, security: &Security, health: &Health) -> Result<Self, SecurityError> {
        let open = |(shard, endpoint): (&ShardId, &String)| {
            let connect = || security.connect(endpoint);
            let [participant, decisions] = [connect()?, connect()?].map(ParticipantClient::new);
            let connection = connect()?;
            let looks = connection.with_deadlines(Deadlines { read: STATUS_DEADLINE, ..Deadlines::default() });
            let peer = Peer {
                participant,
                decisions,
                shard: ShardClient::new(connection),
                looks: ShardClient::new(looks),
                standing: health.peer(format!("shard {shard}")),
            };
            Ok::<_, SecurityError>((*shard, peer))
        };
        let peers = network.endpoints.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { peers, terms: network.terms(), clocks: OtherClocks::unheard() })
    }

    /// The shards' clocks, which hold this process's own when it is ahead of them all (R10).
    pub(crate) fn clocks(&self) -> OtherClocks {
        self.clocks.clone()
    }

    /// Asks every shard what it takes the network to be, before anything is served. One that does not answer in time is asked
    /// again when it does.
    ///
    /// # Errors
    /// [`ForeignShard`] for one that answers and is of another network.
    pub(crate) async fn meet(&self) -> Result<(), ForeignShard> {
        try_join_all(self.peers.iter().map(|(shard, peer)| self.meet_one(*shard, peer))).await.map(drop)
    }

    async fn meet_one(&self, shard: ShardId, peer: &Peer) -> Result<(), ForeignShard> {
        let begun = Instant::now();
        while begun.elapsed() < PEER_SILENT_MAX {
            let asked = self.clocks.steady();
            if let Ok(status) = peer.looks.status().await {
                self.terms.check(&status.terms).map_err(|terms| ForeignShard { shard, terms })?;
                self.hear(shard, &status, asked);
                peer.standing.answered();
                return Ok(());
            }
            tokio::time::sleep(MEET_PAUSE).await;
        }
        Ok(())
    }

    /// One shard's clients, whether it answers or not.
    ///
    /// # Errors
    /// For a shard that the network does not have, or that is of another network.
    pub(crate) fn peer(&self, shard: ShardId) -> Result<&Peer, Rejection> {
        let unknown = || Rejection::new(Reason::UnknownShard, format!("shard {shard} is not in the network"));
        let peer = self.peers.get(&shard).ok_or_else(unknown)?;
        match peer.standing.standing() {
            Standing::Foreign { reason } => Err(foreign(shard, &reason)),
            Standing::Unknown | Standing::Answers | Standing::Silent { .. } => Ok(peer),
        }
    }

    /// One shard's clients, if there is hope of an answer: who waits for a person does not wait for a shard that is gone.
    ///
    /// # Errors
    /// As [`Shards::peer`], and for a shard that has been silent.
    pub(crate) fn sound(&self, shard: ShardId) -> Result<&Peer, Rejection> {
        let peer = self.peer(shard)?;
        match peer.standing.standing().complaint() {
            Some(complaint) => Err(Rejection::new(Reason::Unavailable, format!("shard {shard} {complaint}"))),
            None => Ok(peer),
        }
    }

    /// Asks one shard how it is, and notes that it answered, or that it did not, or that it is of another network.
    pub(crate) async fn look(&self, shard: ShardId) -> Result<ShardStatus, Rejection> {
        let unknown = || Rejection::new(Reason::UnknownShard, format!("shard {shard} is not in the network"));
        let peer = self.peers.get(&shard).ok_or_else(unknown)?;
        let asked = self.clocks.steady();
        let status = peer.looks.status().await.inspect_err(|rejection| peer.standing.failed(rejection))?;
        match self.terms.check(&status.terms) {
            Ok(()) => {
                peer.standing.answered();
                self.hear(shard, &status, asked);
            }
            Err(terms) => {
                peer.standing.refused(&terms);
                return Err(foreign(shard, &terms.to_string()));
            }
        }
        Ok(status)
    }

    fn hear(&self, shard: ShardId, status: &ShardStatus, asked: Millis) {
        if let Some(clock) = status.clock {
            self.clocks.hear(shard, clock, asked);
        }
    }

    /// A page of one shard's log, unchecked; notes that it answered, or that it did not.
    pub(crate) async fn log(&self, shard: ShardId, from: OutcomePlace) -> Result<LogPage, Rejection> {
        let peer = self.peer(shard)?;
        let page = peer.looks.tell_log(from).await.inspect_err(|rejection| peer.standing.failed(rejection))?;
        peer.standing.answered();
        Ok(page)
    }

    /// The certified header of a shard's block: a claim.
    pub(crate) async fn header(&self, shard: ShardId, height: Height) -> Result<CertifiedBlock, Rejection> {
        let block = self.peer(shard)?.looks.blocks(height, 1).await?.pop();
        block.ok_or_else(|| Rejection::new(Reason::NotFound, format!("shard {shard} has no block {height}")))
    }

    /// How one shard is.
    pub(crate) fn standing(&self, shard: ShardId) -> Standing {
        self.peers.get(&shard).map_or(Standing::Unknown, |peer| peer.standing.standing())
    }

    /// How each shard is, in order.
    pub(crate) fn standings(&self) -> impl Iterator<Item = (ShardId, Standing)> {
        self.peers.iter().map(|(shard, peer)| (*shard, peer.standing.standing()))
    }

    /// A client of each.
    pub(crate) fn clients(&self) -> BTreeMap<ShardId, ShardClient> {
        self.peers.iter().map(|(shard, peer)| (*shard, peer.shard.clone())).collect()
    }

    /// All of them, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ShardId> {
        self.peers.keys().copied()
    }
}

fn foreign(shard: ShardId, reason: &str) -> Rejection {
    Rejection::new(Reason::WrongNetwork, format!("shard {shard} is of another network: {reason}"))
}

/// The same rejection, in the name of the shard that it came from.
pub(crate) fn named(shard: ShardId, rejection: Rejection) -> Rejection {
    let message = format!("shard {shard}: {}", rejection.message);
    Rejection { metadata: rejection.metadata, slot: rejection.slot, ..Rejection::new(rejection.reason, message) }
}
