// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// What happened to a message, as the mailbox tells its sender.
library Delivery {
    /// The recipient ran to its end and keeps the value.
    uint8 internal constant DELIVERED = 1;
    /// The recipient reverted or ran out of gas; the value is back with this call.
    uint8 internal constant FAILED = 2;
    /// The deadline passed first; the value is back with this call.
    uint8 internal constant EXPIRED = 3;
}

/// A contract that sends or receives messages.
///
/// The shard calls both functions in the name of its mailbox; an implementation must refuse every other caller, else anyone
/// can forge a message. `OnlyMailbox` below does so.
interface MessageReceiver {
    /// Takes a message of `sender` in domain `origin`, with its value. A revert fails this delivery and no other.
    function handle(uint32 origin, bytes32 sender, bytes calldata body) external payable;

    /// Learns how the message `id`, which this contract sent, ended (`Delivery`). A refund comes as value.
    function handleDelivery(bytes32 id, uint8 status) external payable;
}

/// Knows the mailbox of its own shard and lets nobody else in.
abstract contract OnlyMailbox {
    /// `caller` is not the mailbox.
    error NotMailbox(address caller);

    address public immutable mailbox;

    modifier onlyMailbox() {
        if (msg.sender != mailbox) revert NotMailbox(msg.sender);
        _;
    }

    constructor(address mailbox_) {
        mailbox = mailbox_;
    }
}
