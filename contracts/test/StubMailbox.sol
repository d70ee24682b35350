// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

interface Handler {
    function handle(uint32 origin, bytes32 sender, bytes calldata body) external payable;
}

/// Stands in for either side's mailbox: what is dispatched is kept, and whoever asks may have anything delivered.
contract StubMailbox {
    uint256 public count;
    bytes public lastBody;
    bytes32 public lastId;

    function dispatch(uint32, bytes32, bytes calldata body) external payable returns (bytes32) {
        return keep(body);
    }

    function dispatch(uint32, bytes32, bytes calldata body, uint64, uint64) external payable returns (bytes32) {
        return keep(body);
    }

    function deliver(address to, uint32 origin, bytes32 sender, bytes calldata body) external {
        Handler(to).handle(origin, sender, body);
    }

    function keep(bytes calldata body) private returns (bytes32) {
        count += 1;
        lastBody = body;
        lastId = keccak256(abi.encode(count));
        return lastId;
    }
}
