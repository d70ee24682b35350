// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Erc20} from "./Erc20.sol";

/// An ERC-20 token whose owner may mint.
///
/// Promise: the sum of all balances equals `totalSupply`; only `mint` raises it and nothing lowers it.
/// Knows nothing of shards, pairs or routers.  Source: EIP-20.
contract Token is Erc20 {
    /// `caller` is not the owner.
    error NotOwner(address caller);

    address public immutable owner;

    constructor(string memory name_, string memory symbol_) Erc20(name_, symbol_) {
        owner = msg.sender;
    }

    /// Makes `amount` new units for `to`.
    function mint(address to, uint256 amount) external {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        create(to, amount);
    }
}
