// Questions to the node this page came from, and the shapes of its answers (see /explorer/api/openapi.json).

export const API = "/explorer/api/v1";

export interface Silent {
  shard: number;
  reason: string;
}

export interface Line {
  hash: string;
  kind: "signed" | "protocol";
  from: string;
  to: string | null;
  created: string | null;
  value: string;
  selector: string | null;
  status: "success" | "reverted" | "halted";
  gasUsed: number;
  block: number;
  ranAt: number;
  time: number;
  shards: number[];
  attempt: string | null;
  logsCount: number;
}

export interface Block {
  number: number;
  hash: string;
  time: number;
  transactions: number;
  gasUsed: number;
  silentShards: number[];
  page: Line[];
  next: number | null;
}

export interface Blocks {
  head: number;
  oldest: number;
  blocks: Block[];
  next: number | null;
  silent: Silent[];
}

export interface Vote {
  shard: number;
  verdict: "yes" | "no";
  reason: string;
  cause: string | null;
  height: number;
  time: number;
  leaf: number;
}

export interface Attempt {
  id: string;
  decision?: string | null;
  /** One that it committed, where it is asked for by its own id. */
  transaction?: string | null;
  votes: Vote[];
  applied: { shard: number; height: number; time: number }[];
  silent: Silent[];
}

export interface LifeEvent {
  number: number;
  time: number;
  stage: string;
  attempt: string | null;
  shard: number | null;
  detail: string;
}

export interface Log {
  address: string;
  shard: number;
  topics: string[];
  data: string;
  dataBytes: number;
}

export interface Transaction extends Partial<Line> {
  hash: string;
  state: "committed" | "pending" | "refused";
  refusal: { time: number; reason: string } | null;
  home?: number;
  shardBlock?: number;
  nonce?: number;
  gasLimit?: number;
  gasPrice?: string;
  input?: string;
  inputBytes?: number;
  output?: string;
  toShard?: number | null;
  logs?: Log[];
  messages?: string[];
  attempts: Attempt[];
  attemptsNotTold: number;
  shards: number[];
  events: LifeEvent[] | null;
  silent: Silent[];
}

export interface Call {
  type: string;
  from: string;
  to?: string;
  shard?: number;
  value?: string;
  gas?: string;
  gasUsed?: string;
  input?: string;
  output?: string;
  error?: string;
  revertReason?: string;
  calls?: Call[];
  /** `position`: how many of `calls` were over when it was written, in hex. */
  logs?: { address: string; topics: string[]; data: string; position: string }[];
}

export interface Domain {
  domain: number;
  shard: number | null;
  isForeign: boolean;
}

export interface MessageEvent_ {
  time: number;
  stage: string;
  shard?: number | null;
  height?: number;
  relay?: number;
  try?: number;
  detail: string;
}

/** A transaction on a foreign chain, as nodes of its bridge tell it. */
export interface Hop {
  step: "dispatched" | "processed" | "answered";
  state: "under way" | "mined" | "reverted" | "final";
  transaction: string | null;
  block: number | null;
  blockHash: string | null;
  toldBy: number[];
}

export interface Foreign {
  domain: number;
  chainId: number | null;
  mailbox: string | null;
  event: string;
  topics: string[];
  command: string;
  hops: Hop[];
  nodes: { node: number; silent: string | null; why: string | null }[];
}

export interface Message {
  id: string;
  message: {
    nonce: number;
    origin: Domain;
    destination: Domain;
    sender: string;
    recipient: string;
    value: string;
    gasLimit: number;
    deadline: number;
    body: string;
    v3Id: string;
  } | null;
  source: number | null;
  destination: number | null;
  transaction: string | null;
  dispatched: { height: number; time: number } | null;
  delivered: { height: number; time: number } | null;
  acknowledged: { height: number; time: number } | null;
  status: string | null;
  detail: string;
  isOver: boolean;
  /** Each "yes", "not yet" or why it is unknown. */
  steps: { dispatched: string; consumed: string; acknowledged: string };
  foreign: Foreign | null;
  events: MessageEvent_[];
  relays: { saw?: boolean; silent?: string; events?: number }[];
  waiting: { why: string[]; can: string[] } | null;
  silent: Silent[];
}

export interface Address {
  address: string;
  shard: number;
  mailboxOf: number | null;
  account: { balance?: string; nonce?: number; codeBytes?: number; codeHash?: string | null; code?: string; unread?: string };
  creation: string | null;
  storage: { slot: string; value: string }[];
  page: Line[];
  next: number | null;
  /** The oldest block that is kept. */
  oldest: number;
  neighbours: { address: string; shard: number; count: number }[];
  silent: Silent[];
}

export interface ShardNow {
  shard: number;
  answers: boolean;
  reason?: string;
  height?: number;
  attested?: number;
  lagMs?: number;
  openBlock?: number;
  blocksPerThousandSeconds?: number | null;
  stateRoot?: string | null;
  undecided: number;
  locks?: Locks | null;
}

/** What is locked on a shard. */
export interface Locks {
  keys: number;
  holders: number;
  waiting: number;
  hottest: { key: string; count: number }[];
}

export interface Route {
  source: Domain;
  destination: Domain;
  isPaused: boolean;
  queued: number;
  dead: number;
  acknowledged: number;
  oldestSince: number | null;
  movedAt: number | null;
  lastError: string;
}

export interface Now {
  time: number;
  head: number | null;
  shards: ShardNow[];
  relays: { relay: number; answers: boolean; reason?: string; routes: Route[] }[];
  attempts: { count: number; oldest: { attempt: string; transaction: string | null; ageMs: number; shards: number[] }[] };
  pending: { hash: string; from: string; to?: string | null; waitsForNonce: boolean }[];
  silent: Silent[];
}

export interface Hour {
  stepMs: number;
  stepsMax: number;
  now: number;
  steps: {
    begin: number;
    committed: number;
    refused: number;
    noes: Record<string, number>;
    transactions: number;
    latencyMs: { p50: number | null; p95: number | null; p99: number | null };
  }[];
  hotKeys: { key: string; waits: number }[];
}

export interface DeadLetters {
  deadLetters: { relay: number; message: string; source: Domain; destination: Domain; tries: number; reason: string; time: number }[];
  next: string | null;
  relays: number;
  silentRelays: { relay: number; reason: string }[];
}

export interface Network {
  network: number;
  slotMs: number;
  genesisDigest: string;
  shards: { shard: number; epoch: number; validators: string[]; genesis: string | null; mailbox: string }[];
  relays: number;
}

/** Why there is no answer. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    detail: string,
  ) {
    super(detail);
  }
}

async function answered(path: string): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(`${API}/${path}`);
  } catch {
    throw new Problem(0, "the node does not answer", "It may be starting, or stopped.");
  }
  if (answer.ok) return answer;
  const problem = (await answer.json().catch(() => null)) as { title?: string; detail?: string } | null;
  throw new Problem(answer.status, problem?.title ?? "no answer", problem?.detail ?? `status ${answer.status}`);
}

export const ask = async <T>(path: string): Promise<T> => (await answered(path)).json() as Promise<T>;

export const askBytes = async (path: string) => new Uint8Array(await (await answered(path)).arrayBuffer());
