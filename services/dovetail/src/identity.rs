//! Whether a node that answers is the one that the network file speaks of.
//!
//! Goes by what nodes say of themselves: a mistake in a file or an endpoint is found, a node that lies is not. A relay of an earlier
//! build says what it is, and not which network it is of.

use crate::status::patient;
use eyre::{Result, eyre};
use futures_util::future::try_join_all;
use host::Security;
use host::network::Network;
use primitives::{Digest, NetworkId, ShardId};
use wire::client::Connection;
use wire::coordinator::{self, CoordinatorClient};
use wire::node::{NodeClient, NodeState};
use wire::shard::{ShardClient, ShardStatus, Terms};

/// What coordinators call themselves.
pub(crate) const COORDINATOR: &str = "coordinator";
/// What relays call themselves.
pub(crate) const RELAY: &str = "relay";

/// What the node of `shard` calls itself.
pub(crate) fn shard_name(shard: ShardId) -> String {
    format!("shard {shard}")
}

/// In words, that `node` is not the one that is `expected`; none if it is.
pub(crate) fn other_node(expected: &str, node: &NodeState) -> Option<String> {
    (node.name != expected).then(|| format!("it is not {expected}: it says it is {}", node.name))
}

/// In words, that a shard is another one or of another network; none if it is not.
pub(crate) fn other_shard(network: &Network, shard: ShardId, status: &ShardStatus) -> Option<String> {
    if status.shard != shard {
        return Some(format!("it is not shard {shard}: it says it is shard {}", status.shard));
    }
    other_terms(network, &status.terms)
}

fn other_terms(network: &Network, terms: &Terms) -> Option<String> {
    network.terms().check(terms).err().map(|terms| format!("it is of another network: {terms}"))
}

/// In words, that a node is of another network by what every node says; none if it is not, or does not say it.
pub(crate) fn other_network(network: &Network, node: &NodeState) -> Option<String> {
    let ours = (network.params.network, network.genesis_digest);
    let theirs = node.of.filter(|theirs| *theirs != ours)?;
    let told = |(network, genesis): (NetworkId, Digest)| format!("network {network}, genesis {genesis}");
    Some(format!("it is of another network: there: {}; here: {}", told(theirs), told(ours)))
}

/// In words, that a coordinator is of another network; none if it is not.
pub(crate) fn other_coordinator(network: &Network, told: &coordinator::Network) -> Option<String> {
    let (here, there) = (network.params.network, told.params.network);
    if here != there {
        return Some(format!("it is of another network: there: network {there}; here: network {here}"));
    }
    let is_same = network.params == told.params && network.placement == told.placement;
    (!is_same).then(|| format!("it is of another network {here}: its parameters or its placement are others"))
}

/// Asks every shard which it is. One that does not answer is no reason to ask the others nothing.
///
/// # Errors
/// If one that answers is another shard, or of another network.
pub(crate) async fn check_shards(network: &Network, security: &Security) -> Result<()> {
    let ask = |(shard, endpoint): (&ShardId, &String)| {
        let (shard, endpoint) = (*shard, endpoint.clone());
        async move {
            let client = ShardClient::new(patient(security, &endpoint).map_err(|reason| eyre!(reason))?);
            let status = client.status().await.ok();
            match status.and_then(|status| other_shard(network, shard, &status)) {
                Some(difference) => Err(eyre!("shard {shard} at {endpoint}: {difference}")),
                None => Ok(()),
            }
        }
    };
    try_join_all(network.endpoints.iter().map(ask)).await.map(drop)
}

/// Asks a node of any kind of which network it is.
///
/// # Errors
/// If it does not answer, or is of another network.
pub(crate) async fn check_node(network: &Network, connection: &Connection) -> Result<()> {
    let node = NodeClient::new(connection.clone()).state().await?;
    let difference = match node.name.as_str() {
        COORDINATOR => other_coordinator(network, &CoordinatorClient::new(connection.clone()).network().await?),
        RELAY => other_network(network, &node),
        _ => other_terms(network, &ShardClient::new(connection.clone()).status().await?.terms),
    };
    difference.map_or(Ok(()), |difference| Err(eyre!("{}: {difference}", node.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use proof::SecretKey;

    fn network(chain_id: u64) -> Network {
        sample::network(chain_id, &[SecretKey::from_bytes(&[7; 32]).unwrap()])
    }

    fn told(network: &Network) -> coordinator::Network {
        let (params, placement) = (network.params.clone(), network.placement.clone());
        coordinator::Network { params, placement, shards: Vec::new() }
    }

    #[test]
    fn a_coordinator_of_another_chain_id_is_told_with_both() {
        let (ours, other) = (network(5), network(6));
        assert_eq!(other_coordinator(&ours, &told(&ours)), None);
        let difference = other_coordinator(&ours, &told(&other)).unwrap();
        assert!(difference.contains("there: network 6; here: network 5"), "{difference}");
    }

    #[test]
    fn a_coordinator_of_the_same_chain_id_and_other_parameters_is_told() {
        let ours = network(5);
        let mut other = told(&ours);
        other.params.base_fee += 1;
        assert!(other_coordinator(&ours, &other).is_some());
    }

    #[test]
    fn a_relay_of_another_network_is_told_with_both_and_one_that_does_not_say_is_let_pass() {
        let (ours, other) = (network(5), network(6));
        let mut relay = sample::node(RELAY, primitives::Time(0));
        assert_eq!(other_network(&ours, &relay), None);
        relay.of = Some((ours.params.network, ours.genesis_digest));
        assert_eq!(other_network(&ours, &relay), None);
        relay.of = Some((other.params.network, other.genesis_digest));
        let difference = other_network(&ours, &relay).unwrap();
        assert!(difference.contains("there: network 6") && difference.contains("here: network 5"), "{difference}");
        relay.of = Some((ours.params.network, other.genesis_digest));
        assert!(other_network(&ours, &relay).is_some(), "an earlier life of the network under the same id");
    }

    #[test]
    fn a_shard_of_another_network_is_told_in_the_words_of_a_start() {
        let (ours, other) = (network(5), network(6));
        assert_eq!(other_terms(&ours, &ours.terms()), None);
        let difference = other_terms(&ours, &other.terms()).unwrap();
        assert!(difference.contains("there: network 6") && difference.contains("here: network 5"), "{difference}");
    }
}
