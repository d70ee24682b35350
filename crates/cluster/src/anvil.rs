//! An anvil of one's own with Hyperlane's unmodified contracts on it: the foreign chain of demo and tests.
//!
//! Promise: a real process on a free port of the loopback; when this is dropped, it is gone.

use crate::Reservation;
use crate::rpc::Rpc;
use alloy_primitives::{Address, B256, Bytes, U64};
use alloy_sol_types::SolCall;
use eyre::{Result, WrapErr, ensure, eyre};
use fixtures::hyperlane::{self, ForeignMailbox, IsmFactory};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Anvil's chain id, and the Hyperlane domain that its mailbox gets.
pub const CHAIN_ID: u64 = 31_337;

/// The secret key of anvil's second account, which pays for deliveries: public knowledge.
pub const CARRIER_KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// What each transaction may use: not every node estimates where it is not told.
const GAS_LIMIT: &str = "0x5b8d80";

/// How long anvil may take to listen.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long anvil may take to mine a transaction.
const MINED_TIMEOUT: Duration = Duration::from_secs(20);

/// A running anvil, or another node of the same kind.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    url: String,
    rpc: Rpc,
    _reservation: Reservation,
    /// Its first account, which it signs for.
    pub deployer: Address,
}

/// What of Hyperlane stands on it.
#[derive(Debug, Clone, Copy)]
pub struct Hyperlane {
    /// The mailbox.
    pub mailbox: Address,
    /// Its tree.
    pub hook: Address,
    /// Who decides what comes in.
    pub ism: Address,
}

/// Where the binary is: what `DOVETAIL_ANVIL` names, what npm put beside the end-to-end tests, or what is on the path.
pub fn program() -> Option<PathBuf> {
    let named = std::env::var_os("DOVETAIL_ANVIL").map(PathBuf::from);
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/node_modules/@foundry-rs");
    let packed = ["linux-amd64", "linux-arm64"].map(|platform| packages.join(format!("anvil-{platform}/bin/anvil")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join("anvil"));
    named.into_iter().chain(packed).chain(installed).find(|program| program.is_file())
}

impl Anvil {
    /// Starts the binary `program` with more `arguments`.
    pub async fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        // It prints a line for every call otherwise.
        command.arg("--quiet").args(arguments);
        Self::start_as(command, ["--host", "127.0.0.1", "--port"]).await
    }

    /// Starts another node of the same accounts and chain id, that is told by these arguments, and a port after them, where to listen.
    pub async fn start_as(mut command: Command, listen: [&str; 3]) -> Result<Self> {
        let mut reservation = Reservation::default();
        let port = reservation.port()?.port();
        let child = command
            .args(listen)
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .wrap_err_with(|| format!("cannot start {}", command.get_program().display()))?;
        let url = format!("http://127.0.0.1:{port}");
        let rpc = Rpc::new(&url);
        let mut anvil = Self { child, url, rpc, _reservation: reservation, deployer: Address::ZERO };
        anvil.deployer = *anvil.accounts().await?.first().ok_or_else(|| eyre!("anvil has no account"))?;
        Ok(anvil)
    }

    /// The accounts that it signs for, once it answers.
    async fn accounts(&mut self) -> Result<Vec<Address>> {
        let give_up = Instant::now() + READY_TIMEOUT;
        loop {
            if let Ok(accounts) = self.rpc.request("eth_accounts", json!([])).await {
                return Ok(accounts);
            }
            ensure!(self.child.try_wait()?.is_none(), "anvil ended before it listened");
            ensure!(Instant::now() < give_up, "anvil did not listen within {READY_TIMEOUT:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its JSON-RPC endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same, to call.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Deploys this init code from its first account.
    pub async fn deploy(&self, code: Bytes) -> Result<Address> {
        let receipt = self.transact(json!({ "from": self.deployer, "data": code, "gas": GAS_LIMIT })).await?;
        serde_json::from_value(receipt["contractAddress"].clone()).wrap_err("no contract was made")
    }

    /// Calls `to` from its first account; the receipt's gas.
    pub async fn send(&self, to: Address, call: &impl SolCall) -> Result<u64> {
        let data = Bytes::from(call.abi_encode());
        let call = json!({ "from": self.deployer, "to": to, "data": data, "gas": GAS_LIMIT });
        let gas: U64 = serde_json::from_value(self.transact(call).await?["gasUsed"].clone())?;
        Ok(gas.to())
    }

    /// What a view function answers.
    pub async fn view<C: SolCall>(&self, to: Address, call: &C) -> Result<C::Return> {
        let output = self.rpc.call(to, call.abi_encode().into()).await?;
        C::abi_decode_returns(&output).wrap_err_with(|| format!("{} of {to}", C::SIGNATURE))
    }

    async fn transact(&self, transaction: Value) -> Result<Value> {
        let hash: B256 = self.rpc.request("eth_sendTransaction", json!([transaction])).await?;
        let give_up = Instant::now() + MINED_TIMEOUT;
        loop {
            let receipt: Value = self.rpc.request("eth_getTransactionReceipt", json!([hash])).await?;
            if !receipt.is_null() {
                ensure!(receipt["status"] == "0x1", "transaction {hash} reverted");
                return Ok(receipt);
            }
            ensure!(Instant::now() < give_up, "transaction {hash} was not mined within {MINED_TIMEOUT:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Deploys Hyperlane, with a message-id multisig ISM that needs `threshold` of `validators`.
    pub async fn deploy_hyperlane(&self, validators: &[Address], threshold: u8) -> Result<Hyperlane> {
        self.deploy_hyperlane_with(hyperlane::ism_factory()?, validators, threshold).await
    }

    /// The same with an ISM of the factory that this init code makes.
    pub async fn deploy_hyperlane_with(
        &self,
        ism_factory: Bytes,
        validators: &[Address],
        threshold: u8,
    ) -> Result<Hyperlane> {
        let mailbox = self.deploy(hyperlane::mailbox(CHAIN_ID as u32)?).await?;
        let hook = self.deploy(hyperlane::merkle_tree_hook(mailbox)?).await?;
        let idle = self.deploy(hyperlane::pausable_hook()?).await?;
        let factory = self.deploy(ism_factory).await?;
        let values = validators.to_vec();
        self.send(factory, &IsmFactory::deployCall { values: values.clone(), threshold }).await?;
        let ism = self.view(factory, &IsmFactory::getAddressCall { values, threshold }).await?;
        let initialize = ForeignMailbox::initializeCall {
            owner: self.deployer,
            defaultIsm: ism,
            defaultHook: idle,
            requiredHook: hook,
        };
        self.send(mailbox, &initialize).await?;
        Ok(Hyperlane { mailbox, hook, ism })
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
