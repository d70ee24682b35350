// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// Those of forge's cheats that are used here.
interface Vm {
    function createSelectFork(string calldata url, uint256 number) external returns (uint256);
    function rollFork(uint256 number) external;
    function envString(string calldata name) external view returns (string memory);
    function envAddress(string calldata name) external view returns (address);
    function envUint(string calldata name) external view returns (uint256);
    function deal(address account, uint256 balance) external;
    function prank(address sender) external;
    function warp(uint256 time) external;
    function store(address account, bytes32 slot, bytes32 value) external;
    function load(address account, bytes32 slot) external view returns (bytes32);
    function expectRevert(bytes calldata data) external;
    function startBroadcast() external;
    function stopBroadcast() external;
}

abstract contract WithVm {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function same(uint256 one, uint256 other, string memory what) internal pure {
        require(one == other, what);
    }
}
