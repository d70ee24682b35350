// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// How much of an asset may pass in a time: what is used drains evenly, all of a full cap in one window.
///
/// Promise: whatever parts an amount is split into, and whoever sends them, no more than `cap` passes at once, and no more than twice
/// `cap` in any window. A cap of the largest number is none.
library Velocity {
    /// `amount` does not pass now: `left` does.
    error OverCap(uint256 amount, uint256 left);
    /// Nothing would ever pass.
    error NoCap();

    struct Meter {
        uint256 cap;
        uint64 window;
        uint64 since;
        uint256 used;
    }

    /// A meter for this cap, in units, and window, in seconds.
    function set(Meter storage meter, uint256 cap, uint64 window) internal {
        if (cap == 0 || window == 0) revert NoCap();
        (meter.cap, meter.window) = (cap, window);
    }

    /// What passes now.
    function left(Meter storage meter) internal view returns (uint256) {
        return meter.cap - usedNow(meter);
    }

    /// Lets `amount` pass, or reverts.
    function pass(Meter storage meter, uint256 amount) internal {
        if (meter.cap == type(uint256).max) return;
        uint256 used = usedNow(meter);
        if (amount > meter.cap - used) revert OverCap(amount, meter.cap - used);
        (meter.used, meter.since) = (used + amount, uint64(block.timestamp));
    }

    function usedNow(Meter storage meter) private view returns (uint256) {
        uint256 seconds_ = block.timestamp - meter.since;
        if (seconds_ >= meter.window) return 0;
        // At most `cap` is used, so this is less than `cap` and does not overflow where `cap` times a window does not.
        uint256 drained = meter.cap / meter.window * seconds_ + meter.cap % meter.window * seconds_ / meter.window;
        return meter.used > drained ? meter.used - drained : 0;
    }
}
