// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A guardian may stop what is new; what is under way is nobody's to stop.
abstract contract Pausable {
    /// `caller` is not the guardian.
    error NotGuardian(address caller);
    /// Nothing new is taken on.
    error Paused();

    event PauseSet(bool paused);

    address public immutable guardian;
    bool public paused;

    modifier whenNotPaused() {
        if (paused) revert Paused();
        _;
    }

    constructor() {
        guardian = msg.sender;
    }

    function setPaused(bool paused_) external {
        if (msg.sender != guardian) revert NotGuardian(msg.sender);
        paused = paused_;
        emit PauseSet(paused_);
    }
}
