// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

interface Lockable {
    function lock(bytes32 to, uint256 amount) external returns (bytes32);
}

/// A token with one bad manner at a time.
contract OddToken {
    /// 0 none, 1 a fee of a tenth, 2 reverts, 3 refuses, 4 re-enters, 5 says that it moved and did not.
    uint8 public manner;
    address public victim;
    mapping(address => uint256) public balanceOf;

    function set(uint8 manner_, address victim_) external {
        (manner, victim) = (manner_, victim_);
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address, uint256) external pure returns (bool) {
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        return move(from, to, amount);
    }

    function move(address from, address to, uint256 amount) private returns (bool) {
        if (manner == 2) revert();
        if (manner == 3) return false;
        if (manner == 4) Lockable(victim).lock(bytes32(uint256(1)), 1);
        if (manner == 5) return true;
        balanceOf[from] -= amount;
        balanceOf[to] += manner == 1 ? amount - amount / 10 : amount;
        return true;
    }
}
