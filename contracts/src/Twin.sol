// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Mailbox} from "./Mailbox.sol";
import {MessageReceiver, OnlyMailbox} from "./MessageReceiver.sol";

/// A foreign token's twin on a shard: an ERC-20 whose supply is what its vault has locked.
///
/// Promise: only the vault's messages mint, and what is sent home is burnt first.
/// Knows nothing of how messages are proven: only its shard's mailbox may call `handle`.  Source: EIP-20.
contract Twin is MessageReceiver, OnlyMailbox {
    /// A message of somebody else.
    error NotVault(uint32 origin, bytes32 sender);
    /// `holder` has `balance` where `amount` is needed.
    error InsufficientBalance(address holder, uint256 balance, uint256 amount);
    /// `holder` lets `spender` take `allowance` where `amount` is needed.
    error InsufficientAllowance(address holder, address spender, uint256 allowance, uint256 amount);
    /// No account of this network has this name.
    error NotAccount(bytes32 to);

    event Transfer(address indexed from, address indexed to, uint256 amount);
    event Approval(address indexed holder, address indexed spender, uint256 amount);

    uint8 public constant decimals = 18;
    uint64 private constant RELEASE_GAS = 200_000;

    uint32 public immutable domain;
    bytes32 public immutable vault;
    uint256 public totalSupply;
    mapping(address holder => uint256) public balanceOf;
    mapping(address holder => mapping(address spender => uint256)) public allowance;

    constructor(address mailbox_, uint32 domain_, bytes32 vault_) OnlyMailbox(mailbox_) {
        (domain, vault) = (domain_, vault_);
    }

    /// Mints what the vault has locked.
    function handle(uint32 origin, bytes32 sender, bytes calldata body) external payable onlyMailbox {
        if (origin != domain || sender != vault) revert NotVault(origin, sender);
        (bytes32 to, uint256 amount) = abi.decode(body, (bytes32, uint256));
        if (uint256(to) >> 160 != 0 || to == 0) revert NotAccount(to);
        address holder = address(uint160(uint256(to)));
        totalSupply += amount;
        balanceOf[holder] += amount;
        emit Transfer(address(0), holder, amount);
    }

    /// A message home needs no answer: the vault pays from its own ledger.
    function handleDelivery(bytes32, uint8) external payable onlyMailbox {}

    /// Burns `amount` of the caller's, to be paid out to `to` by the vault.
    function sendHome(address to, uint256 amount) external returns (bytes32 id) {
        take(msg.sender, amount);
        totalSupply -= amount;
        emit Transfer(msg.sender, address(0), amount);
        return Mailbox(mailbox).dispatch(domain, vault, abi.encode(to, amount), RELEASE_GAS, type(uint64).max);
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed < amount) revert InsufficientAllowance(from, msg.sender, allowed, amount);
        allowance[from][msg.sender] = allowed - amount;
        move(from, to, amount);
        return true;
    }

    function move(address from, address to, uint256 amount) private {
        if (to == address(0)) revert NotAccount(0);
        take(from, amount);
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }

    function take(address from, uint256 amount) private {
        uint256 balance = balanceOf[from];
        if (balance < amount) revert InsufficientBalance(from, balance, amount);
        balanceOf[from] = balance - amount;
    }
}
