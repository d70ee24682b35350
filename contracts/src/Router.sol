// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Pair} from "./Pair.sol";
import {Token} from "./Token.sol";

/// The user's way into a pair: takes tokens by allowance, pays them in, and holds nothing afterwards.
///
///   user -> router -> tokenIn.transferFrom(user, pair) -> pair.swap -> tokenOut.transfer(to)
///
/// Promise: a swap pays at least `amountOutMin` or reverts and moves nothing.
/// Knows nothing of shards: router, pair and the two tokens may live on four of them.
contract Router {
    /// The swap would pay `amountOut` where at least `amountOutMin` is asked.
    error InsufficientOutput(uint256 amountOut, uint256 amountOutMin);
    /// The block's time `time` is past `deadline`, both in seconds.
    error DeadlinePassed(uint256 time, uint256 deadline);
    /// `token` is neither token of `pair`.
    error NotInPair(Pair pair, Token token);
    /// `token` refused to move.
    error TransferRefused(Token token);

    modifier before(uint256 deadline) {
        if (block.timestamp > deadline) revert DeadlinePassed(block.timestamp, deadline);
        _;
    }

    /// Pays `amount0` and `amount1` of the pair's tokens in; `to` gets the shares. A lopsided payment gifts its excess to the pool.
    function addLiquidity(Pair pair, uint256 amount0, uint256 amount1, address to, uint256 deadline)
        external
        before(deadline)
        returns (uint256 shares)
    {
        take(pair.token0(), address(pair), amount0);
        take(pair.token1(), address(pair), amount1);
        return pair.mint(to);
    }

    /// Sells `amountIn` of `tokenIn` to `pair`; `to` gets the other token.
    function swapExactTokensForTokens(
        uint256 amountIn,
        uint256 amountOutMin,
        Token tokenIn,
        Pair pair,
        address to,
        uint256 deadline
    ) external before(deadline) returns (uint256 amountOut) {
        bool forward = address(tokenIn) == address(pair.token0());
        if (!forward && address(tokenIn) != address(pair.token1())) revert NotInPair(pair, tokenIn);
        amountOut = pair.quote(tokenIn, amountIn);
        if (amountOut < amountOutMin) revert InsufficientOutput(amountOut, amountOutMin);
        take(tokenIn, address(pair), amountIn);
        pair.swap(forward ? 0 : amountOut, forward ? amountOut : 0, to);
    }

    function take(Token token, address to, uint256 amount) private {
        if (!token.transferFrom(msg.sender, to, amount)) revert TransferRefused(token);
    }
}
