//! `dovetail bridge conserve`: an asset's two ledgers side by side, from their own contracts and nobody's messages.
//!
//! ```text
//!   there: what the vault holds  >=  what it owes (`locked`)
//!   here:                            what it owes  >=  what its twin has outstanding;   the difference is under way
//! ```
//!
//! Promise: an asset that is short on either side is an error, and so an exit status. What is under way moves between two looks, so a
//! shortage counts only if it is there [`LOOKS_COUNT`] times.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, sol};
use chains::endpoint::Endpoint;
use clap::Args;
use eyre::{Result, WrapErr, bail};
use serde_json::json;
use std::time::Duration;

/// How often a shortage has to be seen.
const LOOKS_COUNT: u32 = 3;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

sol! {
    interface Home {
        function token() external view returns (address);
        function locked() external view returns (uint256);
    }

    interface Fungible {
        function balanceOf(address holder) external view returns (uint256);
        function totalSupply() external view returns (uint256);
    }
}

/// Which asset, and where its ledgers are read.
#[derive(Debug, Args)]
pub(super) struct Asset {
    /// The vault, on the foreign chain.
    #[arg(long)]
    vault: Address,
    /// Its twin, on this network.
    #[arg(long)]
    twin: Address,
    /// JSON-RPC of the foreign chain.
    #[arg(long)]
    there: String,
    /// JSON-RPC of this network.
    #[arg(long)]
    here: String,
    /// Fails too while something is under way.
    #[arg(long)]
    settled: bool,
}

/// What both sides say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Books {
    held: U256,
    owed: U256,
    outstanding: U256,
}

impl Books {
    /// What is wrong with them, if something is.
    fn fault(self, settled: bool) -> Option<String> {
        let Self { held, owed, outstanding } = self;
        if held < owed {
            return Some(format!("the vault holds {held} and owes {owed}"));
        }
        if owed < outstanding {
            return Some(format!("the vault owes {owed} and its twin has {outstanding} outstanding"));
        }
        (settled && owed != outstanding).then(|| format!("{} are under way", owed - outstanding))
    }
}

/// Compares.
pub(super) async fn run(asset: &Asset) -> Result<()> {
    let (there, here) = (Endpoint::new(&asset.there)?, Endpoint::new(&asset.here)?);
    let token = view(&there, asset.vault, &Home::tokenCall {}).await?;
    for look in 1.. {
        let books = look_at(asset, (&there, token), &here).await?;
        let Books { held, owed, outstanding } = books;
        let Some(fault) = books.fault(asset.settled) else {
            host::say!(
                "vault holds {held}, owes {owed}; twin outstanding {outstanding}; {} under way",
                owed - outstanding
            );
            return Ok(());
        };
        if look == LOOKS_COUNT {
            bail!("not conserved, {LOOKS_COUNT} times: {fault}");
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

async fn look_at(asset: &Asset, (there, token): (&Endpoint, Address), here: &Endpoint) -> Result<Books> {
    let before = view(here, asset.twin, &Fungible::totalSupplyCall {}).await?;
    let owed = view(there, asset.vault, &Home::lockedCall {}).await?;
    let held = view(there, token, &Fungible::balanceOfCall { holder: asset.vault }).await?;
    let after = view(here, asset.twin, &Fungible::totalSupplyCall {}).await?;
    // What was minted meanwhile was locked after `owed` was read, and what was burnt meanwhile may be paid out already.
    Ok(Books { held, owed, outstanding: before.min(after) })
}

async fn view<C: SolCall>(endpoint: &Endpoint, to: Address, call: &C) -> Result<C::Return> {
    let call = json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
    let answer: Bytes = endpoint.call("eth_call", json!([call, "latest"])).await?;
    C::abi_decode_returns(&answer).wrap_err_with(|| format!("{} of {to} is no answer", C::SIGNATURE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(held: u64, owed: u64, outstanding: u64) -> Books {
        Books { held: U256::from(held), owed: U256::from(owed), outstanding: U256::from(outstanding) }
    }

    #[test]
    fn an_asset_that_is_short_on_either_side_is_a_fault() {
        assert_eq!(books(10, 10, 10).fault(true), None);
        assert_eq!(books(12, 10, 10).fault(true), None, "somebody gave the vault something");
        assert!(books(9, 10, 10).fault(false).is_some());
        assert!(books(10, 10, 11).fault(false).is_some());
    }

    #[test]
    fn what_is_under_way_is_a_fault_only_where_all_should_be_settled() {
        assert_eq!(books(10, 10, 7).fault(false), None);
        assert_eq!(books(10, 10, 7).fault(true).as_deref(), Some("3 are under way"));
    }
}
