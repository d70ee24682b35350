// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A shard's way out: a contract says something to a contract of another domain, and the shard makes it an outbox leaf.
///
///   sender --dispatch--> mailbox --Dispatch log--> shard: outbox leaf --relay--> the recipient's shard
///
///   message = version 1 | nonce 4 | origin 4 | sender 32 | destination 4 | recipient 32 | body     (Hyperlane v3, packed)
///   id      = keccak256(message | gasLimit 8 | deadlineMs 8 | value 32)                            (big-endian)
///
/// Promise: no two messages of one mailbox have one id; what it is paid stays here until the delivery is known.
/// A predeploy, one for each shard, at 0x…d07e followed by the shard's number in four bytes; it has no constructor, so it takes
/// its domain from its own address and the chain id. Knows nothing of receipts, relays or how a message ends.
contract Mailbox {
    /// The body has `length` bytes where at most `max` are allowed.
    error BodyTooLong(uint256 length, uint256 max);
    /// A message to nobody.
    error ZeroRecipient();
    /// The block's time is already at or past the deadline, both in milliseconds.
    error DeadlinePassed(uint256 timeMs, uint64 deadlineMs);

    /// `message` was accepted. `value` wei of its sender are held for it.
    event Dispatch(bytes32 indexed id, bytes message, uint64 gasLimit, uint64 deadlineMs, uint256 value);

    uint8 public constant VERSION = 3;
    uint256 public constant BODY_BYTES_MAX = 16 * 1024;

    /// The nonce of the next message, from 0.
    uint32 public nonce;

    /// Sends `body` to `recipient` in domain `destination` with the value of this call; returns the message's id.
    ///
    /// The recipient gets `gasLimit` gas, and until `deadlineMs` (Unix time in milliseconds) to be reached.
    function dispatch(
        uint32 destination,
        bytes32 recipient,
        bytes calldata body,
        uint64 gasLimit,
        uint64 deadlineMs
    ) external payable returns (bytes32 id) {
        if (body.length > BODY_BYTES_MAX) revert BodyTooLong(body.length, BODY_BYTES_MAX);
        if (recipient == 0) revert ZeroRecipient();
        uint256 timeMs = block.timestamp * 1000;
        if (timeMs >= deadlineMs) revert DeadlinePassed(timeMs, deadlineMs);
        bytes32 sender = bytes32(uint256(uint160(msg.sender)));
        bytes memory message =
            abi.encodePacked(VERSION, nonce, localDomain(), sender, destination, recipient, body);
        nonce += 1;
        id = keccak256(abi.encodePacked(message, gasLimit, deadlineMs, msg.value));
        emit Dispatch(id, message, gasLimit, deadlineMs, msg.value);
    }

    /// The domain of the shard this mailbox stands on.
    function localDomain() public view returns (uint32) {
        uint32 network = uint32(block.chainid % 2 ** 12);
        uint32 shard = uint32(uint160(address(this)));
        return 0xD0000000 | network << 16 | shard;
    }
}
