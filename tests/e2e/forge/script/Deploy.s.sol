// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ledger, Safe, Safes} from "../src/Ledger.sol";
import {WithVm} from "../src/Vm.sol";

/// Deploys by transactions and by a contract, calls, and sends ether: each a transaction of its own.
contract Deploy is WithVm {
    function run() external {
        vm.startBroadcast();
        Ledger ledger = new Ledger(1_000);
        ledger.give(address(0xb0b), 7);
        Safes safes = new Safes();
        Safe safe = safes.make{value: 5 gwei}(msg.sender, bytes32(uint256(1)));
        safe.open();
        new Safe{salt: bytes32(uint256(2)), value: 1}(msg.sender);
        payable(address(0xb0b)).transfer(3);
        vm.stopBroadcast();
        same(ledger.points(address(0xb0b)), 7, "given");
        same(address(safe).balance, 0, "opened");
    }
}
