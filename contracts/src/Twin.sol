// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Erc20} from "./Erc20.sol";
import {Mailbox} from "./Mailbox.sol";
import {MessageReceiver, OnlyMailbox} from "./MessageReceiver.sol";
import {Pausable} from "./Pausable.sol";
import {Velocity} from "./Velocity.sol";

/// A foreign token's twin on a shard: an ERC-20 whose supply is what its vault has locked.
///
///   vault's message --> mint, as fast as the cap lets it; over it the message fails and the vault gives back
///   sendHome: burn, message with a deadline --> vault pays out, or past the deadline sends a message that mints it again
///
/// Promise: only the vault's messages mint, and what is sent home is burnt first. Paused, nothing more is sent home, and what is under
/// way arrives.
/// Knows nothing of how messages are proven: only its shard's mailbox may call `handle`.  Source: EIP-20.
contract Twin is Erc20, MessageReceiver, OnlyMailbox, Pausable {
    using Velocity for Velocity.Meter;

    /// A message of somebody else.
    error NotVault(uint32 origin, bytes32 sender);
    /// No account of this network has this name.
    error NotAccount(bytes32 to);

    uint64 private constant RELEASE_GAS = 200_000;

    uint32 public immutable domain;
    bytes32 public immutable vault;
    Velocity.Meter private minted;

    /// `cap` units may be minted in `window` seconds.
    constructor(address mailbox_, uint32 domain_, bytes32 vault_, uint256 cap, uint64 window)
        Erc20("Twin", "TWIN")
        OnlyMailbox(mailbox_)
    {
        (domain, vault) = (domain_, vault_);
        minted.set(cap, window);
    }

    /// Mints what the vault has locked, or has sent back.
    function handle(uint32 origin, bytes32 sender, bytes calldata body) external payable onlyMailbox {
        if (origin != domain || sender != vault) revert NotVault(origin, sender);
        (bytes32 to, uint256 amount) = abi.decode(body, (bytes32, uint256));
        if (uint256(to) >> 160 != 0 || to == 0) revert NotAccount(to);
        minted.pass(amount);
        create(address(uint160(uint256(to))), amount);
    }

    /// A message home needs no answer: the vault pays from its own ledger.
    function handleDelivery(bytes32, uint8) external payable onlyMailbox {}

    /// Burns `amount` of the caller's, to be paid out to `to` by the vault until `deadlineMs` (Unix time in milliseconds); what the
    /// vault has not paid out by then comes back to the caller here.
    function sendHome(address to, uint256 amount, uint64 deadlineMs) external whenNotPaused returns (bytes32 id) {
        destroy(msg.sender, amount);
        bytes32 from = bytes32(uint256(uint160(msg.sender)));
        bytes memory body = abi.encode(to, amount, from, deadlineMs);
        return Mailbox(mailbox).dispatch(domain, vault, body, RELEASE_GAS, deadlineMs);
    }

    /// How much may be minted now.
    function mintable() external view returns (uint256) {
        return minted.left();
    }
}
