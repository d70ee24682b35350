// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721Enumerable} from "@openzeppelin/contracts/token/ERC721/extensions/ERC721Enumerable.sol";
import {ERC721Holder} from "@openzeppelin/contracts/token/ERC721/utils/ERC721Holder.sol";

/// Deeds that those with a role hand out.
contract Deeds is ERC721, ERC721Enumerable, AccessControl {
    bytes32 public constant REGISTRAR = keccak256("REGISTRAR");

    constructor() ERC721("Deeds", "DEED") {
        _grantRole(DEFAULT_ADMIN_ROLE, msg.sender);
    }

    function register(address to, uint256 id) external onlyRole(REGISTRAR) {
        _safeMint(to, id);
    }

    function _update(address to, uint256 id, address by) internal override(ERC721, ERC721Enumerable) returns (address) {
        return super._update(to, id, by);
    }

    function _increaseBalance(address owner, uint128 by) internal override(ERC721, ERC721Enumerable) {
        super._increaseBalance(owner, by);
    }

    function supportsInterface(bytes4 id) public view override(ERC721, ERC721Enumerable, AccessControl) returns (bool) {
        return super.supportsInterface(id);
    }
}

/// Takes deeds.
contract Safe is ERC721Holder {}
