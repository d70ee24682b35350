// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// Points that their owners give to each other.
contract Ledger {
    event Given(address indexed from, address indexed to, uint256 points);

    error TooFew(uint256 has, uint256 wanted);

    mapping(address => uint256) public points;
    uint256 public immutable begun = block.number;

    constructor(uint256 supply) {
        points[msg.sender] = supply;
    }

    function give(address to, uint256 amount) external {
        if (points[msg.sender] < amount) revert TooFew(points[msg.sender], amount);
        points[msg.sender] -= amount;
        points[to] += amount;
        emit Given(msg.sender, to, amount);
    }
}

/// Made by another contract, with ether.
contract Safe {
    address public immutable owner;

    constructor(address owner_) payable {
        owner = owner_;
    }

    function open() external {
        require(msg.sender == owner, "not the owner");
        payable(owner).transfer(address(this).balance);
    }
}

contract Safes {
    event Made(address safe);

    function make(address owner, bytes32 salt) external payable returns (Safe safe) {
        safe = new Safe{salt: salt, value: msg.value}(owner);
        emit Made(address(safe));
    }
}
