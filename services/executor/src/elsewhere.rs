//! Whether another node serves this shard already: two would sign a block each of one height (R14).
//!
//! Promise: a node that answers where the network expects this shard keeps a second one from starting, and a copy of its store from
//! being put back. One that stands still, or is reached at another address, is not seen so: what is left then is what the other
//! shards have seen.

use crate::Error;
use host::Security;
use host::network::Network;
use primitives::{Height, ShardId};
use std::time::Duration;
use wire::client::Deadlines;
use wire::shard::ShardClient;

/// How long the address may take to answer; where nobody listens a start waits for a third of a second.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Another node serves the shard.
#[derive(Debug, thiserror::Error)]
#[error(
    "shard {shard} is served by a node that is running, at {endpoint}, with block {head}: a second one would sign other blocks of the same heights. \
     End that node first; a copy of its store is put back where it ran, or after it is gone for good"
)]
pub struct ServedElsewhere {
    /// Which shard.
    pub shard: ShardId,
    /// Where the network has it.
    pub endpoint: String,
    /// Its newest block.
    pub head: Height,
}

/// Fails if a node of shard `me` answers at the shard's own address. Ask before this process listens there.
pub(crate) async fn check(network: &Network, security: &Security, me: ShardId) -> Result<(), Error> {
    let Some(endpoint) = network.endpoints.get(&me) else { return Ok(()) };
    let connection = security.connect(endpoint)?.with_deadlines(Deadlines { read: ANSWER_MAX, ..Deadlines::default() });
    match ShardClient::new(connection).status().await {
        Ok(status) if status.shard == me && status.network == network.params.network => {
            Err(ServedElsewhere { shard: me, endpoint: endpoint.clone(), head: status.head }.into())
        }
        // What else is there, the attempt to listen says.
        Ok(_) | Err(_) => Ok(()),
    }
}
