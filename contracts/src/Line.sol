// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Channel} from "./Channel.sol";
import {OnlyMailbox} from "./MessageReceiver.sol";

/// A demo end of a channel: sends, and keeps what it takes in the order in which it takes it.
contract Line is Channel {
    /// This end was told to refuse.
    error Refused(bytes content);

    /// All that was taken, the first first, and the wei that came with each.
    bytes[] public taken;
    uint256[] public values;
    /// The content that is refused.
    bytes public refused;

    constructor(address mailbox_) OnlyMailbox(mailbox_) {}

    /// Says `content` with this call's value.
    function say(uint32 destination, bytes32 recipient, bytes calldata content, uint64 gasLimit, uint64 deadlineMs)
        external
        payable
        returns (bytes32 id)
    {
        return send(destination, recipient, content, gasLimit, deadlineMs, msg.value);
    }

    /// From now on refuses this content; nothing with an empty one.
    function refuse(bytes calldata content) external {
        refused = content;
    }

    function count() external view returns (uint256) {
        return taken.length;
    }

    function take(uint32, bytes32, bytes memory content, uint256 value) internal override {
        if (refused.length > 0 && keccak256(refused) == keccak256(content)) revert Refused(content);
        taken.push(content);
        values.push(value);
    }
}
