/** What a leaf of each kind says, once its receipt is believed. */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { type Reader, bigEndian, hex, isZero, joined, whole } from "./bytes.js";
import type { Fact } from "./receipt.js";
import { Refused } from "./refused.js";

const VOTE_BYTES_MAX = 1024;
const MESSAGE_BODY_BYTES_MAX = 32 * 1024;
const DELIVERY_DETAIL_BYTES_MAX = 256;
const OUTCOME_BYTES_MAX = 64 * 1024;

/** A shard's vote on an attempt. */
export interface Vote {
  readonly kind: "vote";
  readonly attempt: string;
  readonly shard: number;
  readonly isYes: boolean;
  /** Why it is a no, in words; empty for a yes. */
  readonly reason: string;
}

/** What a contract says to a contract of another domain. */
export interface Message {
  readonly kind: "message";
  readonly id: string;
  readonly nonce: number;
  readonly origin: number;
  readonly sender: string;
  readonly destination: number;
  readonly recipient: string;
  readonly body: Uint8Array;
  readonly gasLimit: bigint;
  readonly deadline: bigint;
  readonly value: bigint;
}

/** What became of a message. */
export interface Delivery {
  readonly kind: "delivery";
  readonly message: string;
  readonly origin: number;
  readonly sender: string;
  readonly destination: number;
  readonly status: "delivered" | "failed" | "expired";
  readonly detail: Uint8Array;
  readonly gasUsed: bigint;
}

/** What a transaction did. */
export interface Outcome {
  readonly kind: "outcome";
  readonly transaction: string;
  /** The attempt that committed it; null for one of one shard. */
  readonly attempt: string | null;
  readonly status: "success" | "reverted" | "halted";
  readonly gasUsed: bigint;
  /** The digest of the whole outcome. */
  readonly outcome: string;
}

export type Statement = Vote | Message | Delivery | Outcome;

/** The domain of a shard among Hyperlane's. */
export const domainOf = (network: bigint, shard: number) => (0xd0000000 | (Number(network & 0xfffn) << 16) | shard) >>> 0;

/** The attempt, message or transaction that a statement is about. */
export function about(statement: Statement): string {
  switch (statement.kind) {
    case "vote":
      return statement.attempt;
    case "message":
      return statement.id;
    case "delivery":
      return statement.message;
    case "outcome":
      return statement.transaction;
  }
}

/** What `fact` says. Throws {@link Refused} for a leaf that is none of its kind or speaks for another shard. */
export function statement(fact: Fact): Statement {
  const own = domainOf(fact.network, fact.shard);
  const foreign = (words: string) => new Refused("leaf", `shard ${fact.shard} ${words}`);
  try {
    switch (fact.leaf.kind) {
      case "vote": {
        const vote = whole(fact.leaf.body, VOTE_BYTES_MAX, readVote);
        if (vote.shard !== fact.shard || vote.epoch !== fact.epoch) throw foreign(`votes in the name of shard ${vote.shard}`);
        return { kind: "vote", attempt: vote.attempt, shard: vote.shard, isYes: vote.reason === null, reason: vote.reason ?? "" };
      }
      case "message": {
        const message = whole(fact.leaf.body, 140 + MESSAGE_BODY_BYTES_MAX, readMessage);
        if (message.origin !== own) throw foreign(`speaks for domain ${message.origin}`);
        return message;
      }
      case "delivery": {
        const delivery = whole(fact.leaf.body, 85 + DELIVERY_DETAIL_BYTES_MAX, readDelivery);
        if (delivery.destination !== own) throw foreign(`speaks for domain ${delivery.destination}`);
        return delivery;
      }
      case "outcome":
        return whole(fact.leaf.body, OUTCOME_BYTES_MAX, readOutcome);
    }
  } catch (error) {
    if (error instanceof Refused && error.code === "decode")
      throw new Refused("leaf", `the certified leaf is no ${fact.leaf.kind}: ${error.message}`);
    throw error;
  }
}

function readVote(reader: Reader) {
  const [attempt, shard, epoch] = [hex(reader.digest()), reader.u32(), reader.u64()];
  return { attempt, shard, epoch, reason: reader.tag(2) === 0 ? null : readRefusal(reader) };
}

/** Why a vote is no; kinds in the order in which the network counts them. */
function readRefusal(reader: Reader): string {
  switch (reader.tag(9)) {
    case 0:
      return `expired: deadline ${reader.u64()}, block time ${reader.u64()}`;
    case 1:
      return "asked to abort before it voted";
    case 2:
      return "already aborted by another participant";
    case 3:
      return "the witness is stale";
    case 4:
      return `its slot is not taken: slot ${reader.u64()} is`;
    case 5:
      return `conflicts with ${hex(reader.digest())}`;
    case 6:
      return `execution gives effects ${hex(reader.digest())}, not those claimed`;
    case 7:
      return `invalid (${reader.u16()}): ${reader.text()}`;
    default:
      return "busy";
  }
}

export function readMessage(reader: Reader): Message {
  const fields = {
    nonce: reader.u32(),
    origin: reader.u32(),
    sender: reader.take(32),
    destination: reader.u32(),
    recipient: reader.take(32),
    body: reader.list(),
    gasLimit: reader.u64(),
    deadline: reader.u64(),
    value: reader.u256(),
  };
  if (fields.body.length > MESSAGE_BODY_BYTES_MAX) throw new Refused("decode", `a message body of ${fields.body.length} bytes`);
  if (isZero(fields.recipient)) throw new Refused("decode", "the recipient is the zero address");
  const big = (number: number | bigint, length: number) => bigEndian(BigInt(number), length);
  const packed = joined(
    Uint8Array.of(3),
    big(fields.nonce, 4),
    big(fields.origin, 4),
    fields.sender,
    big(fields.destination, 4),
    fields.recipient,
    fields.body,
  );
  const terms = joined(big(fields.gasLimit, 8), big(fields.deadline, 8), big(fields.value, 32));
  const id = hex(keccak_256(joined(packed, terms)));
  return { kind: "message", id, ...fields, sender: hex(fields.sender), recipient: hex(fields.recipient) };
}

export function readDelivery(reader: Reader): Delivery {
  const [message, origin, sender, destination] = [hex(reader.take(32)), reader.u32(), hex(reader.take(32)), reader.u32()];
  const status = ([null, "delivered", "failed", "expired"] as const)[reader.u8()];
  if (!status) throw new Refused("decode", "a delivery of no known status");
  return { kind: "delivery", message, origin, sender, destination, status, detail: reader.list(), gasUsed: reader.u64() };
}

function readOutcome(reader: Reader): Outcome {
  return {
    kind: "outcome",
    transaction: hex(reader.take(32)),
    attempt: reader.option(() => hex(reader.digest())),
    status: (["success", "reverted", "halted"] as const)[reader.tag(3)]!,
    gasUsed: reader.u64(),
    outcome: hex(reader.digest()),
  };
}
