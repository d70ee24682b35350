// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Mailbox} from "./Mailbox.sol";
import {Delivery, MessageReceiver, OnlyMailbox} from "./MessageReceiver.sol";

/// One end of ordered messages, over mailboxes that keep no order.
///
///   body = number | content  ---- in any order ---->  the next: taken, and all that waited behind it
///                                                     a later one: waits, with its value
///   failed or expired: kept  <----------------------  the next, and taking it reverts
///       '---- resend, by anyone, with more gas ---->
///
/// Promise: `take` gets what an end sent to this one, each once, in the order in which it was sent; nothing is skipped. What fails
/// or expires keeps its number, and its value stays here until it is sent again: so what cannot be taken stops its own lane, and no other.
/// A lane is what one contract of one domain sends to another. Knows nothing of what is said.
abstract contract Channel is MessageReceiver, OnlyMailbox {
    /// Number `number` was taken or waits already; the next is `next`.
    error Known(uint64 number, uint64 next);
    /// Number `number` is too far ahead of `next`.
    error TooFarAhead(uint64 number, uint64 next);
    /// Number `number`, which is the next, has not come.
    error NotThere(uint64 number);
    /// No message of this id failed or expired.
    error NotFailed(bytes32 id);
    /// Something else was sent under this id.
    error OtherContent(bytes32 id);
    /// No message of this id waits for its end.
    error NotUnderWay(bytes32 id);
    /// A call came in while something was being taken.
    error Entered();

    /// `id` carries number `number` of `lane`: for the first time, or instead of `before`.
    event Sent(bytes32 indexed lane, uint64 indexed number, bytes32 id, bytes32 before);
    /// `id` failed or expired: anyone may send it again.
    event Failed(bytes32 indexed lane, uint64 indexed number, bytes32 id);
    /// Number `number` of `lane` came before its turn.
    event Waits(bytes32 indexed lane, uint64 indexed number);
    /// Number `number` of `lane` was taken.
    event Taken(bytes32 indexed lane, uint64 indexed number);

    struct Letter {
        uint32 destination;
        bytes32 recipient;
        uint64 number;
        bool hasFailed;
        bytes32 contentHash;
        uint256 value;
    }

    struct Early {
        bool isThere;
        uint256 value;
        bytes content;
    }

    /// How far ahead of the next one may wait.
    uint64 public constant WAITING_COUNT_MAX = 1024;
    /// With less gas nothing more is taken behind what a message brought.
    uint256 public constant TAKE_GAS_MIN = 100_000;

    /// How many were sent on a lane.
    mapping(bytes32 lane => uint64) public sentCount;
    /// How many were taken from a lane: the number of the next.
    mapping(bytes32 lane => uint64) public takenCount;
    /// What was sent and has not arrived.
    mapping(bytes32 id => Letter) public underWay;
    mapping(bytes32 lane => mapping(uint64 number => Early)) private waiting;
    bool private transient entered;

    modifier once() {
        if (entered) revert Entered();
        entered = true;
        _;
        entered = false;
    }

    /// Takes what `sender` in domain `origin` sent, with its value. A revert leaves it the next.
    function take(uint32 origin, bytes32 sender, bytes memory content, uint256 value) internal virtual;

    /// Sends `content` with `value` wei that this contract has.
    function send(
        uint32 destination,
        bytes32 recipient,
        bytes memory content,
        uint64 gasLimit,
        uint64 deadlineMs,
        uint256 value
    ) internal returns (bytes32 id) {
        uint64 number = sentCount[laneOf(destination, recipient)]++;
        Letter memory letter = Letter(destination, recipient, number, false, keccak256(content), value);
        return dispatch(letter, content, gasLimit, deadlineMs, 0);
    }

    /// Sends what failed or expired again, under its number and with its value.
    function resend(bytes32 id, bytes calldata content, uint64 gasLimit, uint64 deadlineMs)
        external
        returns (bytes32)
    {
        Letter memory letter = underWay[id];
        if (!letter.hasFailed) revert NotFailed(id);
        if (keccak256(content) != letter.contentHash) revert OtherContent(id);
        delete underWay[id];
        letter.hasFailed = false;
        return dispatch(letter, content, gasLimit, deadlineMs, id);
    }

    function handleDelivery(bytes32 id, uint8 status) external payable onlyMailbox {
        Letter storage letter = underWay[id];
        if (letter.recipient == 0 || letter.hasFailed) revert NotUnderWay(id);
        if (status == Delivery.DELIVERED) {
            delete underWay[id];
        } else {
            letter.hasFailed = true;
            emit Failed(laneOf(letter.destination, letter.recipient), letter.number, id);
        }
    }

    function handle(uint32 origin, bytes32 sender, bytes calldata body) external payable onlyMailbox once {
        (uint64 number, bytes memory content) = abi.decode(body, (uint64, bytes));
        bytes32 lane = laneOf(origin, sender);
        uint64 next = takenCount[lane];
        if (number < next || waiting[lane][number].isThere) revert Known(number, next);
        if (number > next) {
            if (number - next > WAITING_COUNT_MAX) revert TooFarAhead(number, next);
            waiting[lane][number] = Early(true, msg.value, content);
            emit Waits(lane, number);
            return;
        }
        takenCount[lane] = number + 1;
        emit Taken(lane, number);
        take(origin, sender, content, msg.value);
        // As far as this message's gas goes, of which a call leaves a 64th; what is left waits for `advance`.
        while (gasleft() > TAKE_GAS_MIN && waiting[lane][takenCount[lane]].isThere) {
            try this.takeWaiting(origin, sender) {}
            catch {
                return;
            }
        }
    }

    /// Takes the next of a lane, which came before its turn. Anyone may ask.
    function advance(uint32 origin, bytes32 sender) external once {
        takeNext(origin, sender);
    }

    /// The same for this contract itself.
    function takeWaiting(uint32 origin, bytes32 sender) external {
        if (msg.sender != address(this)) revert Entered();
        takeNext(origin, sender);
    }

    /// The lane to, or from, contract `peer` in domain `domain`.
    function laneOf(uint32 domain, bytes32 peer) public pure returns (bytes32) {
        return keccak256(abi.encode(domain, peer));
    }

    function takeNext(uint32 origin, bytes32 sender) private {
        bytes32 lane = laneOf(origin, sender);
        uint64 number = takenCount[lane];
        Early memory early = waiting[lane][number];
        if (!early.isThere) revert NotThere(number);
        delete waiting[lane][number];
        takenCount[lane] = number + 1;
        emit Taken(lane, number);
        take(origin, sender, early.content, early.value);
    }

    function dispatch(Letter memory letter, bytes memory content, uint64 gasLimit, uint64 deadlineMs, bytes32 before)
        private
        returns (bytes32 id)
    {
        bytes memory body = abi.encode(letter.number, content);
        id = Mailbox(mailbox).dispatch{value: letter.value}(
            letter.destination, letter.recipient, body, gasLimit, deadlineMs
        );
        underWay[id] = letter;
        emit Sent(laneOf(letter.destination, letter.recipient), letter.number, id, before);
    }
}
