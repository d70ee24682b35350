// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Token} from "./Token.sol";

/// A market of two tokens whose reserves' product never falls.
///
///   pay in with a plain transfer, then call:  mint  -> shares of the pool
///                                             swap  -> the other token, less 0.3 %
///                                             burn  -> both tokens, by share
///
/// Promise: after a swap the product of the reserves, the fee set aside, is at least what it was before.
/// Knows nothing of shards, routes or prices elsewhere. Tokens that take a fee on transfer are not for it.
contract Pair {
    /// A call came in while another was running.
    error Locked();
    /// The two tokens must differ.
    error SameToken(Token token);
    /// Liquidity too small to be worth a share.
    error InsufficientLiquidity();
    /// `holder` has `held` shares where `needed` are asked.
    error InsufficientShares(address holder, uint256 held, uint256 needed);
    /// The reserves `reserve0` and `reserve1` cannot pay this out.
    error InsufficientReserves(uint256 reserve0, uint256 reserve1);
    /// The payment does not cover what is taken and the fee.
    error InsufficientInput();
    /// A reserve would pass its bound of 2^112 - 1.
    error ReserveTooLarge(uint256 balance);
    /// A token refused to move.
    error TransferRefused(Token token);

    event Mint(address indexed to, uint256 amount0, uint256 amount1, uint256 shares);
    event Burn(address indexed from, address indexed to, uint256 amount0, uint256 amount1, uint256 shares);
    event Swap(
        address indexed sender, address indexed to, uint256 in0, uint256 in1, uint256 out0, uint256 out1
    );

    uint256 public constant FEE_PER_MILLE = 3;
    /// Shares of the first mint that stay locked for ever, so that a share can never be made dear enough to round others to zero.
    uint256 public constant SHARES_LOCKED = 1000;
    uint256 public constant RESERVE_MAX = type(uint112).max;

    Token public immutable token0;
    Token public immutable token1;
    uint256 public reserve0;
    uint256 public reserve1;
    uint256 public totalShares;
    mapping(address holder => uint256) public sharesOf;
    bool private entered;

    modifier locked() {
        if (entered) revert Locked();
        entered = true;
        _;
        entered = false;
    }

    constructor(Token token0_, Token token1_) {
        if (address(token0_) == address(token1_)) revert SameToken(token0_);
        token0 = token0_;
        token1 = token1_;
    }

    /// Gives `to` shares for the tokens that came in since the last call.
    function mint(address to) external locked returns (uint256 shares) {
        (uint256 balance0, uint256 balance1) = balances();
        uint256 amount0 = balance0 - reserve0;
        uint256 amount1 = balance1 - reserve1;
        if (totalShares == 0) {
            uint256 all = squareRoot(amount0 * amount1);
            if (all <= SHARES_LOCKED) revert InsufficientLiquidity();
            totalShares = SHARES_LOCKED;
            sharesOf[address(0)] = SHARES_LOCKED;
            shares = all - SHARES_LOCKED;
        } else {
            shares = smaller(amount0 * totalShares / reserve0, amount1 * totalShares / reserve1);
            if (shares == 0) revert InsufficientLiquidity();
        }
        totalShares += shares;
        sharesOf[to] += shares;
        keep(balance0, balance1);
        emit Mint(to, amount0, amount1, shares);
    }

    /// Takes back `shares` of the caller and pays their part of both reserves to `to`.
    function burn(uint256 shares, address to) external locked returns (uint256 amount0, uint256 amount1) {
        uint256 held = sharesOf[msg.sender];
        if (held < shares) revert InsufficientShares(msg.sender, held, shares);
        amount0 = reserve0 * shares / totalShares;
        amount1 = reserve1 * shares / totalShares;
        if (amount0 == 0 || amount1 == 0) revert InsufficientLiquidity();
        sharesOf[msg.sender] = held - shares;
        totalShares -= shares;
        pay(token0, to, amount0);
        pay(token1, to, amount1);
        (uint256 balance0, uint256 balance1) = balances();
        keep(balance0, balance1);
        emit Burn(msg.sender, to, amount0, amount1, shares);
    }

    /// Pays `out0` and `out1` to `to`, if what came in since the last call covers them and the fee.
    function swap(uint256 out0, uint256 out1, address to) external locked {
        if (out0 >= reserve0 || out1 >= reserve1) revert InsufficientReserves(reserve0, reserve1);
        if (out0 > 0) pay(token0, to, out0);
        if (out1 > 0) pay(token1, to, out1);
        (uint256 balance0, uint256 balance1) = balances();
        uint256 in0 = balance0 + out0 - reserve0;
        uint256 in1 = balance1 + out1 - reserve1;
        uint256 kept0 = balance0 * 1000 - in0 * FEE_PER_MILLE;
        uint256 kept1 = balance1 * 1000 - in1 * FEE_PER_MILLE;
        if (in0 + in1 == 0 || kept0 * kept1 < reserve0 * reserve1 * 1000 ** 2) revert InsufficientInput();
        keep(balance0, balance1);
        emit Swap(msg.sender, to, in0, in1, out0, out1);
    }

    /// What `amountIn` of `tokenIn` buys of the other token right now, rounded down.
    function quote(Token tokenIn, uint256 amountIn) external view returns (uint256 amountOut) {
        (uint256 reserveIn, uint256 reserveOut) =
            address(tokenIn) == address(token0) ? (reserve0, reserve1) : (reserve1, reserve0);
        uint256 paid = amountIn * (1000 - FEE_PER_MILLE);
        return paid == 0 ? 0 : reserveOut * paid / (reserveIn * 1000 + paid);
    }

    function balances() private view returns (uint256, uint256) {
        return (token0.balanceOf(address(this)), token1.balanceOf(address(this)));
    }

    function keep(uint256 balance0, uint256 balance1) private {
        if (balance0 > RESERVE_MAX) revert ReserveTooLarge(balance0);
        if (balance1 > RESERVE_MAX) revert ReserveTooLarge(balance1);
        reserve0 = balance0;
        reserve1 = balance1;
    }

    function pay(Token token, address to, uint256 amount) private {
        if (!token.transfer(to, amount)) revert TransferRefused(token);
    }

    function smaller(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    /// The largest whole number whose square is at most `value`: Newton's method from above.
    function squareRoot(uint256 value) private pure returns (uint256 root) {
        if (value < 2) return value;
        root = value;
        uint256 next = (value - 1) / 2 + 1;
        while (next < root) {
            root = next;
            next = (value / root + root) / 2;
        }
    }
}
