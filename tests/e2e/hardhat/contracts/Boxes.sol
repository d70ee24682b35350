// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";

/// A value behind a proxy, which its owner may exchange the code of.
contract Box is Initializable, UUPSUpgradeable {
    error NotTheOwner(address who);

    address public owner;
    uint256 public value;

    event Stored(uint256 value);

    constructor() {
        _disableInitializers();
    }

    function initialize(address owner_) external initializer {
        owner = owner_;
    }

    function store(uint256 value_) external virtual {
        value = value_;
        emit Stored(value_);
    }

    function _authorizeUpgrade(address) internal view override {
        require(msg.sender == owner, NotTheOwner(msg.sender));
    }
}

/// Stores twice as much.
contract DoubleBox is Box {
    function store(uint256 value_) external override {
        value = 2 * value_;
        emit Stored(value);
    }
}
