//! Clients of all shards.

use host::network::Network;
use primitives::ShardId;
use std::collections::BTreeMap;
use wire::client::{ClientSettings, ConnectError, Connection};
use wire::participant::ParticipantClient;
use wire::shard::ShardClient;
use wire::{Reason, Rejection};

/// One shard's two services over one connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) shard: ShardClient,
    pub(crate) participant: ParticipantClient,
}

/// All shards of the network; they connect when first used.
#[derive(Debug)]
pub(crate) struct Shards(BTreeMap<ShardId, Peer>);

impl Shards {
    /// For `network`.
    pub(crate) fn connect(network: &Network) -> Result<Self, ConnectError> {
        let open = |(shard, endpoint): (&ShardId, &String)| {
            let connection = Connection::open(&ClientSettings::plain(endpoint.clone()))?;
            let participant = ParticipantClient::new(connection.clone());
            Ok((*shard, Peer { shard: ShardClient::new(connection), participant }))
        };
        Ok(Self(network.endpoints.iter().map(open).collect::<Result<_, _>>()?))
    }

    /// One shard's clients.
    pub(crate) fn peer(&self, shard: ShardId) -> Result<&Peer, Rejection> {
        let unknown = || Rejection::new(Reason::UnknownShard, format!("shard {shard} is not in the network"));
        self.0.get(&shard).ok_or_else(unknown)
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ShardId, &Peer)> {
        self.0.iter().map(|(shard, peer)| (*shard, peer))
    }
}
