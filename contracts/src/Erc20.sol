// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// The ledger of an ERC-20 token; who may mint and burn is for the contract that inherits it.
///
/// Promise: the sum of all balances equals `totalSupply`; only `create` raises it and only `destroy` lowers it.
/// Knows nothing of shards, mailboxes or owners.  Source: EIP-20.
abstract contract Erc20 {
    /// `holder` has `balance` where `amount` is needed.
    error InsufficientBalance(address holder, uint256 balance, uint256 amount);
    /// `holder` lets `spender` take `allowance` where `amount` is needed.
    error InsufficientAllowance(address holder, address spender, uint256 allowance, uint256 amount);
    /// The zero address holds nothing.
    error ZeroRecipient();

    event Transfer(address indexed from, address indexed to, uint256 amount);
    event Approval(address indexed holder, address indexed spender, uint256 amount);

    uint8 public constant decimals = 18;

    string public name;
    string public symbol;
    uint256 public totalSupply;
    mapping(address holder => uint256) public balanceOf;
    mapping(address holder => mapping(address spender => uint256)) public allowance;

    constructor(string memory name_, string memory symbol_) {
        name = name_;
        symbol = symbol_;
    }

    /// Lets `spender` take up to `amount` of the caller's units; the largest amount is never used up.
    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) {
            if (allowed < amount) revert InsufficientAllowance(from, msg.sender, allowed, amount);
            allowance[from][msg.sender] = allowed - amount;
        }
        move(from, to, amount);
        return true;
    }

    /// Makes `amount` new units for `to`.
    function create(address to, uint256 amount) internal {
        if (to == address(0)) revert ZeroRecipient();
        totalSupply += amount;
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    /// Takes `amount` units of `from` out of the world.
    function destroy(address from, uint256 amount) internal {
        take(from, amount);
        totalSupply -= amount;
        emit Transfer(from, address(0), amount);
    }

    function move(address from, address to, uint256 amount) private {
        if (to == address(0)) revert ZeroRecipient();
        take(from, amount);
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }

    function take(address from, uint256 amount) private {
        uint256 balance = balanceOf[from];
        if (balance < amount) revert InsufficientBalance(from, balance, amount);
        balanceOf[from] = balance - amount;
    }
}
