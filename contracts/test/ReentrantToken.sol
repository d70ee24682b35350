// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Pair} from "./Pair.sol";

/// A token that calls its pair back whenever it is moved.
contract ReentrantToken {
    Pair private target;
    uint256 private move;

    function aim(Pair target_) external {
        target = target_;
    }

    function choose(uint256 move_) external {
        move = move_;
    }

    function balanceOf(address) external pure returns (uint256) {
        return 5000;
    }

    function transfer(address to, uint256) external returns (bool) {
        if (move == 0) target.swap(0, 1, to);
        if (move == 1) target.mint(to);
        if (move == 2) target.burn(1, to);
        return true;
    }
}
