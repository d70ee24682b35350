// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Pausable} from "./Pausable.sol";
import {Token} from "./Token.sol";
import {Velocity} from "./Velocity.sol";

/// Hyperlane's mailbox, as far as a vault needs it.
interface ForeignMailbox {
    function dispatch(uint32 destination, bytes32 recipient, bytes calldata body) external payable returns (bytes32 id);
}

/// A token's home on a foreign chain: what is locked here is what its twin on a shard has outstanding.
///
///   lock: tokens in, Hyperlane message out --> twin mints       twin burns, message back --> release: tokens out, as the cap lets it
///                                                                                       --> past its deadline: a message that mints
///
/// Promise: `locked` is its own ledger and never a body's word: more than was locked is never paid out, whoever asks. A lock whose
/// message failed or expired on the shard is given back once, to who locked, when the shard's mailbox says so. What comes back after
/// its deadline is paid out to nobody and goes to where it came from: Hyperlane's mailbox takes each message once, so it is one or
/// the other. Paused, nothing new is locked, and what is under way arrives.
/// Knows nothing of how messages are proven: that is the Hyperlane mailbox's ISM. A token that takes a fee counts as what arrived.
contract Vault is Pausable {
    using Velocity for Velocity.Meter;

    /// `caller` is not the Hyperlane mailbox.
    error NotMailbox(address caller);
    /// A message of somebody else.
    error NotTwin(uint32 origin, bytes32 sender);
    /// More than is locked.
    error NotLocked(uint256 amount, uint256 locked);
    /// No lock waits under this id, or its message was delivered.
    error NothingToGiveBack(bytes32 id);
    /// The token refused to move.
    error TransferRefused();
    /// A call came in while another was running.
    error Entered();
    /// The twin is named once, by the guardian.
    error TwinIsNamed();

    event Locked(bytes32 indexed id, address indexed from, bytes32 indexed to, uint256 amount);
    event Released(address indexed to, uint256 amount);
    event SentBack(bytes32 indexed id, bytes32 indexed to, uint256 amount);

    struct Lock {
        address from;
        uint256 amount;
    }

    uint8 private constant DELIVERED = 1;

    Token public immutable token;
    address public immutable mailbox;
    /// The shard's domain, its mailbox, and the twin there.
    uint32 public domain;
    bytes32 public shardMailbox;
    bytes32 public twin;
    /// What is owed to the other side.
    uint256 public locked;
    /// What waits for the end of its message.
    mapping(bytes32 id => Lock) public lockOf;

    Velocity.Meter private released;
    bool private entered;

    /// What arrives is measured by balances, so nothing may arrive in between.
    modifier alone() {
        if (entered) revert Entered();
        entered = true;
        _;
        entered = false;
    }

    /// `cap` units may be paid out in `window` seconds; what is given back does not count.
    constructor(Token token_, address mailbox_, uint256 cap, uint64 window) {
        token = token_;
        mailbox = mailbox_;
        released.set(cap, window);
    }

    /// Names the other side, once.
    function name(uint32 domain_, bytes32 shardMailbox_, bytes32 twin_) external {
        if (msg.sender != guardian || twin != 0) revert TwinIsNamed();
        (domain, shardMailbox, twin) = (domain_, shardMailbox_, twin_);
    }

    /// Locks `amount` of the caller's, to be minted for `to` on the shard.
    function lock(bytes32 to, uint256 amount) external alone whenNotPaused returns (bytes32 id) {
        uint256 before = token.balanceOf(address(this));
        if (!token.transferFrom(msg.sender, address(this), amount)) revert TransferRefused();
        uint256 arrived = token.balanceOf(address(this)) - before;
        locked += arrived;
        id = ForeignMailbox(mailbox).dispatch(domain, twin, abi.encode(to, arrived));
        lockOf[id] = Lock(msg.sender, arrived);
        emit Locked(id, msg.sender, to, arrived);
    }

    /// Hyperlane's way in: the twin sends tokens back, or the shard's mailbox says how a lock's message ended.
    function handle(uint32 origin, bytes32 sender, bytes calldata body) external payable alone {
        if (msg.sender != mailbox) revert NotMailbox(msg.sender);
        if (origin != domain) revert NotTwin(origin, sender);
        if (sender == shardMailbox) end(body);
        else if (sender == twin) back(body);
        else revert NotTwin(origin, sender);
    }

    /// How much may be paid out now.
    function releasable() external view returns (uint256) {
        return released.left();
    }

    function end(bytes calldata body) private {
        (bytes32 id, uint256 status) = abi.decode(body, (bytes32, uint256));
        Lock memory held = lockOf[id];
        if (held.from == address(0)) revert NothingToGiveBack(id);
        delete lockOf[id];
        if (status != DELIVERED) release(held.from, held.amount);
    }

    /// Over the cap it reverts, which leaves the message to be brought again when there is room, or past its deadline.
    function back(bytes calldata body) private {
        (address to, uint256 amount, bytes32 from, uint64 deadlineMs) =
            abi.decode(body, (address, uint256, bytes32, uint64));
        if (amount > locked) revert NotLocked(amount, locked);
        if (block.timestamp * 1000 >= deadlineMs) return sendBack(to, from, amount);
        released.pass(amount);
        release(to, amount);
    }

    /// Stays locked, for the twin mints it again. Should it be refused there, it is paid out after all, for then nobody has it.
    function sendBack(address to, bytes32 from, uint256 amount) private {
        bytes32 id = ForeignMailbox(mailbox).dispatch(domain, twin, abi.encode(from, amount));
        lockOf[id] = Lock(to, amount);
        emit SentBack(id, from, amount);
    }

    function release(address to, uint256 amount) private {
        if (amount > locked) revert NotLocked(amount, locked);
        locked -= amount;
        if (!token.transfer(to, amount)) revert TransferRefused();
        emit Released(to, amount);
    }
}
