// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Counter} from "./Counter.sol";

/// Calls other contracts, wherever they live: in turn, into a revert it survives, and back into itself.
contract Caller {
    event Visited(uint256 depth, uint256 visits);
    event Survived(bytes reason);

    uint256 public visits;

    /// Raises every counter by one; returns the sum of the new counts.
    function incrementAll(Counter[] calldata counters) external returns (uint256 sum) {
        for (uint256 i = 0; i < counters.length; i++) {
            sum += counters[i].increment(1);
        }
    }

    /// Raises `kept` by one; lets `failing` revert and goes on. Returns the revert's bytes.
    function survive(Counter kept, Counter failing) external returns (bytes memory reason) {
        kept.increment(1);
        try failing.fail(1) {}
        catch (bytes memory reason_) {
            reason = reason_;
        }
        emit Survived(reason);
    }

    /// Re-entrancy in the open: calls `other`, which calls back, `depth` times in all.
    ///
    /// Each frame counts its visit on the way in and, on the way out, adds the visits it now sees as a decimal digit of
    /// `trace`: an inner frame's writes must show in the outer frames of the same contract.
    function bounce(Caller other, uint256 depth) external returns (uint256 trace) {
        visits += 1;
        emit Visited(depth, visits);
        if (depth > 0) trace = other.bounce(this, depth - 1);
        return trace * 10 + visits;
    }
}
