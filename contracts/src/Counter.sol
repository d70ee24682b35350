// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A number that anyone may raise.
contract Counter {
    /// Asked to fail, with the count as it would have been.
    error Failed(uint256 count);

    event Incremented(address indexed by, uint256 count);

    uint256 public count;

    /// Raises the count by `amount`; returns the new count.
    function increment(uint256 amount) external returns (uint256) {
        count += amount;
        emit Incremented(msg.sender, count);
        return count;
    }

    /// Raises the count, then reverts: none of it stays.
    function fail(uint256 amount) external {
        count += amount;
        revert Failed(count);
    }
}
