// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Mailbox} from "./Mailbox.sol";
import {Delivery, MessageReceiver, OnlyMailbox} from "./MessageReceiver.sol";

/// A demo sender: sends through its shard's mailbox and writes down how each message ended.
contract Ping is MessageReceiver, OnlyMailbox {
    /// `id` was never sent, or has ended before.
    error NotWaiting(bytes32 id);
    /// No message ends so.
    error UnknownStatus(uint8 status);
    /// A sender does not receive messages.
    error NotReceiver();

    event Sent(bytes32 indexed id, uint32 destination, bytes32 recipient);
    event Ended(bytes32 indexed id, uint8 status, uint256 refund);

    enum State {
        Unknown,
        Waiting,
        Delivered,
        Failed,
        Expired
    }

    mapping(bytes32 id => State) public stateOf;
    mapping(bytes32 id => uint256 amount) public refundOf;
    uint256 public sentCount;
    uint256 public deliveredCount;
    uint256 public failedCount;
    uint256 public expiredCount;

    constructor(address mailbox_) OnlyMailbox(mailbox_) {}

    /// Sends `body` with this call's value.
    function send(uint32 destination, bytes32 recipient, bytes calldata body, uint64 gasLimit, uint64 deadlineMs)
        external
        payable
        returns (bytes32 id)
    {
        return dispatch(destination, recipient, body, gasLimit, deadlineMs, msg.value);
    }

    /// Sends `count` messages without value in one transaction; their bodies are 0, 1, 2… as 32 bytes.
    function sendMany(uint32 destination, bytes32 recipient, uint256 count, uint64 gasLimit, uint64 deadlineMs)
        external
    {
        for (uint256 i = 0; i < count; i++) {
            dispatch(destination, recipient, abi.encode(i), gasLimit, deadlineMs, 0);
        }
    }

    function handle(uint32, bytes32, bytes calldata) external payable onlyMailbox {
        revert NotReceiver();
    }

    function handleDelivery(bytes32 id, uint8 status) external payable onlyMailbox {
        if (stateOf[id] != State.Waiting) revert NotWaiting(id);
        if (status == Delivery.DELIVERED) {
            stateOf[id] = State.Delivered;
            deliveredCount += 1;
        } else if (status == Delivery.FAILED) {
            stateOf[id] = State.Failed;
            failedCount += 1;
        } else if (status == Delivery.EXPIRED) {
            stateOf[id] = State.Expired;
            expiredCount += 1;
        } else {
            revert UnknownStatus(status);
        }
        refundOf[id] = msg.value;
        emit Ended(id, status, msg.value);
    }

    function dispatch(
        uint32 destination,
        bytes32 recipient,
        bytes memory body,
        uint64 gasLimit,
        uint64 deadlineMs,
        uint256 value
    ) private returns (bytes32 id) {
        id = Mailbox(mailbox).dispatch{value: value}(destination, recipient, body, gasLimit, deadlineMs);
        stateOf[id] = State.Waiting;
        sentCount += 1;
        emit Sent(id, destination, recipient);
    }
}
