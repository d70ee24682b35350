// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ledger} from "../src/Ledger.sol";
import {WithVm} from "../src/Vm.sol";

/// The state of the endpoint under test as forge reads it: of now, of blocks gone by, and changed here alone.
contract ForkTest is WithVm {
    Ledger private ledger;
    address private owner;

    function setUp() external {
        vm.createSelectFork(vm.envString("E2E_RPC"), vm.envUint("E2E_AFTER"));
        (ledger, owner) = (Ledger(vm.envAddress("E2E_LEDGER")), vm.envAddress("E2E_OWNER"));
    }

    function test_the_block_is_that_which_was_named() external view {
        same(block.number, vm.envUint("E2E_AFTER"), "number");
        same(block.timestamp, vm.envUint("E2E_TIME"), "time");
        same(block.chainid, vm.envUint("E2E_CHAIN"), "chain id");
    }

    function test_state_is_as_it_was_at_each_block() external {
        same(ledger.points(address(0xb0b)), 7, "after");
        same(owner.balance, vm.envUint("E2E_BALANCE"), "balance");
        vm.rollFork(vm.envUint("E2E_BEFORE"));
        same(ledger.points(address(0xb0b)), 0, "before");
        same(ledger.begun(), vm.envUint("E2E_BEGUN"), "deployed");
        vm.rollFork(vm.envUint("E2E_BEGUN") - 1);
        same(address(ledger).code.length, 0, "before it was there");
    }

    function test_what_is_done_here_is_done_here() external {
        vm.prank(owner);
        ledger.give(address(0xa11ce), 10);
        same(ledger.points(address(0xa11ce)), 10, "given");
        same(ledger.points(owner), 983, "left");
        bytes32 slot = keccak256(abi.encode(address(0xa11ce), uint256(0)));
        same(uint256(vm.load(address(ledger), slot)), 10, "slot");
        vm.store(address(ledger), slot, bytes32(uint256(77)));
        same(ledger.points(address(0xa11ce)), 77, "stored");
        vm.deal(address(0xa11ce), 5 ether);
        vm.warp(block.timestamp + 365 days);
        vm.expectRevert(abi.encodeWithSelector(Ledger.TooFew.selector, 77, 78));
        vm.prank(address(0xa11ce));
        ledger.give(owner, 78);
    }

    function testFuzz_nobody_gives_what_he_has_not(uint256 amount, address to) external {
        uint256 has = ledger.points(owner);
        uint256 given = amount % (has + 1);
        uint256 had = ledger.points(to);
        vm.prank(owner);
        ledger.give(to, given);
        if (to != owner) same(ledger.points(to), had + given, "arrived");
    }
}
