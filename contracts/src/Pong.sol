// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MessageReceiver, OnlyMailbox} from "./MessageReceiver.sol";

/// A demo recipient: keeps every message in the order it came, and counts how often each came.
contract Pong is MessageReceiver, OnlyMailbox {
    /// This recipient was told to refuse.
    error Refused();
    /// A recipient sends no messages.
    error NotSender();

    event Received(uint32 indexed origin, bytes32 indexed sender, uint256 index, bytes body, uint256 value);

    struct Message {
        uint32 origin;
        bytes32 sender;
        uint256 value;
        bytes body;
    }

    /// All messages, first come first.
    Message[] public received;
    /// How often a message of this origin, sender and body (`keyOf`) came. Above one is a double delivery, if bodies are unique.
    mapping(bytes32 key => uint256) public countOf;
    bool public refusing;

    constructor(address mailbox_) OnlyMailbox(mailbox_) {}

    function handle(uint32 origin, bytes32 sender, bytes calldata body) external payable onlyMailbox {
        if (refusing) revert Refused();
        emit Received(origin, sender, received.length, body, msg.value);
        received.push(Message(origin, sender, msg.value, body));
        countOf[keyOf(origin, sender, body)] += 1;
    }

    function handleDelivery(bytes32, uint8) external payable onlyMailbox {
        revert NotSender();
    }

    /// From now on refuses every message, or takes them again.
    function setRefusing(bool refusing_) external {
        refusing = refusing_;
    }

    function receivedCount() external view returns (uint256) {
        return received.length;
    }

    function keyOf(uint32 origin, bytes32 sender, bytes calldata body) public pure returns (bytes32) {
        return keccak256(abi.encode(origin, sender, body));
    }
}
