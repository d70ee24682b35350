/** A block's summary, which is all that a certificate signs. */
import { type Reader, isZero, joined, u16, u32, u64 } from "./bytes.js";
import { HEADER } from "./domains.js";
import { Refused } from "./refused.js";

const VERSION = 3;
const OUTBOX_LEAVES_COUNT_MAX = 1 << 20;

/** The summary of one block of one shard's log. */
export interface Header {
  readonly version: number;
  readonly network: bigint;
  readonly shard: number;
  readonly epoch: bigint;
  readonly height: bigint;
  readonly parent: Uint8Array;
  /** Attested, in milliseconds since 1970. */
  readonly time: bigint;
  /** No attempt with a deadline at or before this is undecided there. */
  readonly settledThrough: bigint;
  /** Every message of a lower nonce that went from here to a shard has ended. */
  readonly endedBefore: number;
  readonly logRoot: Uint8Array;
  readonly outcomeRoot: Uint8Array;
  readonly outboxRoot: Uint8Array;
  readonly outboxCount: number;
  readonly historyRoot: Uint8Array;
  readonly stateRoot: Uint8Array;
  /** The block whose state the root is of. */
  readonly stateHeight: bigint;
}

export const HEADER_BYTES = 2 + 8 + 4 + 8 + 8 + 32 + 8 + 8 + 4 + 32 + 32 + 32 + 4 + 32 + 32 + 8;

export function readHeader(reader: Reader): Header {
  return {
    version: reader.u16(),
    network: reader.u64(),
    shard: reader.u32(),
    epoch: reader.u64(),
    height: reader.u64(),
    parent: reader.digest(),
    time: reader.u64(),
    settledThrough: reader.u64(),
    endedBefore: reader.u32(),
    logRoot: reader.digest(),
    outcomeRoot: reader.digest(),
    outboxRoot: reader.digest(),
    outboxCount: reader.u32(),
    historyRoot: reader.digest(),
    stateRoot: reader.digest(),
    stateHeight: reader.u64(),
  };
}

export function headerBytes(header: Header): Uint8Array {
  return joined(
    u16(header.version),
    u64(header.network),
    u32(header.shard),
    u64(header.epoch),
    u64(header.height),
    header.parent,
    u64(header.time),
    u64(header.settledThrough),
    u32(header.endedBefore),
    header.logRoot,
    header.outcomeRoot,
    header.outboxRoot,
    u32(header.outboxCount),
    header.historyRoot,
    header.stateRoot,
    u64(header.stateHeight),
  );
}

/** The digest that stands for a header. */
export const headerDigest = (header: Header) => HEADER(headerBytes(header));

/** Refuses what holds of no header, whoever signed it, and one of another network. */
export function checkHeader(header: Header, network: bigint): void {
  if (header.network !== network) {
    throw new Refused("network", `a receipt of network ${header.network} on network ${network}`);
  }
  const refused = (words: string) => new Refused("header", words);
  if (header.version !== VERSION) throw refused(`header version ${header.version} where ${VERSION} is known`);
  const zero = zeros(header).find(([, isZero]) => isZero);
  if (zero) throw refused(`the header's ${zero[0]} is zero`);
  if (header.outboxCount > OUTBOX_LEAVES_COUNT_MAX) throw refused(`${header.outboxCount} outbox leaves are too many`);
  if (header.stateHeight > header.height) throw refused(`the state root is of height ${header.stateHeight}, above the header's`);
  if (header.settledThrough > header.time) throw refused(`settled through ${header.settledThrough} in a header of time ${header.time}`);
}

function zeros(header: Header): [string, boolean][] {
  return [
    ["network", header.network === 0n],
    ["epoch", header.epoch === 0n],
    ["height", header.height === 0n],
    ["parent", isZero(header.parent)],
    ["log root", isZero(header.logRoot)],
    ["outcome root", isZero(header.outcomeRoot)],
    ["outbox root", isZero(header.outboxRoot)],
    ["history root", isZero(header.historyRoot)],
    ["state root", isZero(header.stateRoot)],
  ];
}
