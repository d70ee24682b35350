//! The demo's contracts: their interfaces, and the bytecode that `contracts/build.mjs` compiled.

use alloy_primitives::Bytes;
use alloy_sol_types::sol;
use eyre::{Result, WrapErr, eyre};

sol! {
    /// `contracts/src/Token.sol`
    #[derive(Debug)]
    interface Token {
        constructor(string name, string symbol);
        event Transfer(address indexed from, address indexed to, uint256 amount);
        function mint(address to, uint256 amount) external;
        function approve(address spender, uint256 amount) external returns (bool);
        function transfer(address to, uint256 amount) external returns (bool);
        function balanceOf(address holder) external view returns (uint256);
    }

    /// `contracts/src/Pair.sol`
    #[derive(Debug)]
    interface Pair {
        constructor(address token0, address token1);
        event Swap(address indexed sender, address indexed to, uint256 in0, uint256 in1, uint256 out0, uint256 out1);
        function reserve0() external view returns (uint256);
        function reserve1() external view returns (uint256);
        function quote(address tokenIn, uint256 amountIn) external view returns (uint256);
    }

    /// `contracts/src/Router.sol`
    #[derive(Debug)]
    interface Router {
        error InsufficientOutput(uint256 amountOut, uint256 amountOutMin);
        function addLiquidity(address pair, uint256 amount0, uint256 amount1, address to, uint256 deadline) external returns (uint256);
        function swapExactTokensForTokens(uint256 amountIn, uint256 amountOutMin, address tokenIn, address pair, address to, uint256 deadline) external returns (uint256);
    }

    /// `contracts/src/Mailbox.sol`
    #[derive(Debug)]
    interface Mailbox {
        event Dispatch(bytes32 indexed id, bytes message, uint64 gasLimit, uint64 deadlineMs, uint256 value);
    }

    /// `contracts/src/Caller.sol`
    #[derive(Debug)]
    interface Caller {
        function incrementAll(address[] counters) external returns (uint256);
    }

    /// `contracts/src/Ping.sol`
    #[derive(Debug)]
    interface Ping {
        constructor(address mailbox);
        function send(uint32 destination, bytes32 recipient, bytes body, uint64 gasLimit, uint64 deadlineMs) external payable returns (bytes32);
        function sendMany(uint32 destination, bytes32 recipient, uint256 count, uint64 gasLimit, uint64 deadlineMs) external;
        function sentCount() external view returns (uint256);
        function deliveredCount() external view returns (uint256);
        function failedCount() external view returns (uint256);
        function expiredCount() external view returns (uint256);
        function stateOf(bytes32 id) external view returns (uint8);
        function refundOf(bytes32 id) external view returns (uint256);
    }

    /// `contracts/src/Pong.sol`
    #[derive(Debug)]
    interface Pong {
        constructor(address mailbox);
        function receivedCount() external view returns (uint256);
        function countOf(bytes32 key) external view returns (uint256);
        function setRefusing(bool refusing) external;
    }
}

macro_rules! artifact {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../contracts/artifacts/", $name, ".json")))
    };
}

/// A compiled contract.
#[derive(Debug, Clone, Copy)]
pub struct Artifact {
    name: &'static str,
    json: &'static str,
}

impl Artifact {
    /// `Token`.
    pub const TOKEN: Self = Self::of(artifact!("Token"));
    /// `Pair`.
    pub const PAIR: Self = Self::of(artifact!("Pair"));
    /// `Router`.
    pub const ROUTER: Self = Self::of(artifact!("Router"));
    /// `Mailbox`, a predeploy of each shard.
    pub const MAILBOX: Self = Self::of(artifact!("Mailbox"));
    /// `Caller`.
    pub const CALLER: Self = Self::of(artifact!("Caller"));
    /// `Counter`.
    pub const COUNTER: Self = Self::of(artifact!("Counter"));
    /// `Ping`.
    pub const PING: Self = Self::of(artifact!("Ping"));
    /// `Pong`.
    pub const PONG: Self = Self::of(artifact!("Pong"));

    const fn of((name, json): (&'static str, &'static str)) -> Self {
        Self { name, json }
    }

    /// Its init code, followed by the ABI-encoded constructor arguments.
    pub fn init_code(self, arguments: &[u8]) -> Result<Bytes> {
        Ok([self.code("bytecode")?.as_slice(), arguments].concat().into())
    }

    /// Its code as a genesis puts it in place; complete only for contracts without immutables.
    pub fn deployed_code(self) -> Result<Bytes> {
        Ok(self.code("deployedBytecode")?.into())
    }

    fn code(self, field: &str) -> Result<Vec<u8>> {
        let artifact: serde_json::Value = serde_json::from_str(self.json)?;
        let text = artifact[field].as_str().ok_or_else(|| eyre!("artifact {} has no {field}", self.name))?;
        hex::decode(text.trim_start_matches("0x")).wrap_err_with(|| format!("{field} of artifact {}", self.name))
    }
}
