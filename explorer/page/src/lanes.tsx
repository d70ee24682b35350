// A transaction's path: shards as lanes, time as the axis, every attempt with its votes and where it was applied.
//
// What is drawn is told once more in a table under it, for who does not see it or wants the numbers.
import type { Attempt, LifeEvent, Transaction } from "./api";
import { Link, Mark, Shard, Table } from "./ui";
import { pathOf } from "./route";
import { clock, short, span, tame } from "./words";

interface Point {
  /** What is written beside it, if there is room. */
  label: string;
  time: number;
  lane: number;
  kind: "noted" | "yes" | "no" | "applied";
  attempt: number;
  words: string;
  height: number | null;
  leaf: number | null;
  shard: number | null;
}

const WIDTH = 960;
const LANE = 52;
const LEFT = 96;
const RIGHT = 28;
const TOP = 44;
/** Over the coordinator's lane: the lines of its words, the lowest first. */
const WORDS_AT = [-10, -23, -36];
/** The width of a letter of them, at most. */
const LETTER = 7;

const NOTED: Record<string, string> = {
  accepted: "accepted",
  executed: "executed",
  queued: "waits",
  "sent to its shard": "sent",
  preparing: "prepare",
  decided: "decided",
  committed: "done",
  refused: "refused",
};

function points(transaction: Transaction, shards: number[]): Point[] {
  const ids = transaction.attempts.map(({ id }) => id);
  const lane = (shard: number) => shards.indexOf(shard) + 1;
  const noted = (transaction.events ?? [])
    .filter(({ stage }) => stage !== "voted")
    .map((event: LifeEvent): Point => ({
      label: NOTED[event.stage] ?? event.stage,
      time: event.time,
      lane: 0,
      kind: "noted",
      attempt: event.attempt ? ids.indexOf(event.attempt) : -1,
      words: [NOTED[event.stage] ?? event.stage, tame(event.detail, 120)].filter(Boolean).join(": "),
      height: null,
      leaf: null,
      shard: event.shard,
    }));
  const told = transaction.attempts.flatMap(({ votes, applied }: Attempt, attempt) => [
    ...votes.map((vote): Point => ({
      label: `${vote.verdict} ${vote.height}`,
      time: vote.time,
      lane: lane(vote.shard),
      kind: vote.verdict,
      attempt,
      words: vote.verdict === "yes" ? "votes yes" : `votes no: ${tame(vote.reason, 120)}`,
      height: vote.height,
      leaf: vote.leaf,
      shard: vote.shard,
    })),
    ...applied.map(({ shard, height, time }): Point => ({
      label: `applied ${height}`,
      time,
      lane: lane(shard),
      kind: "applied",
      attempt,
      words: "applies the commit",
      height,
      leaf: null,
      shard,
    })),
  ]);
  const own: Point[] =
    transaction.attempts.length === 0 && transaction.state === "committed" && transaction.time !== undefined
      ? [
          {
            label: `applied ${transaction.shardBlock}`,
            time: transaction.time,
            lane: lane(transaction.home ?? shards[0] ?? 0),
            kind: "applied",
            attempt: -1,
            words: "executes and applies it alone",
            height: transaction.shardBlock ?? null,
            leaf: null,
            shard: transaction.home ?? null,
          },
        ]
      : [];
  return [...noted, ...told, ...own].sort((a, b) => a.time - b.time || a.lane - b.lane);
}

export function Lanes({ transaction }: { transaction: Transaction }) {
  const silent = new Set(transaction.silent.map(({ shard }) => shard));
  const shards = [...transaction.shards].sort((a, b) => a - b);
  const all = points(transaction, shards);
  // Why nothing is known is said below, where the coordinator's part is missing.
  if (all.length === 0) return transaction.events === null ? null : <p class="quiet">Nothing of its path is known yet.</p>;
  const [first, last] = [all[0]!.time, Math.max(...all.map(({ time }) => time))];
  const x = (time: number) => LEFT + 14 + ((time - first) / Math.max(1, last - first)) * (WIDTH - LEFT - RIGHT - 14);
  const y = (lane: number) => TOP + lane * LANE + LANE / 2;
  const height = TOP + (shards.length + 1) * LANE + 26;
  const several = (number: number, word: string) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const summary = `${several(shards.length, "shard")}, ${several(transaction.attempts.length, "attempt")}, ${span(last - first)} from the first event to the last`;
  const arrows = transaction.attempts.flatMap((attempt, number) => strokes(transaction, attempt, number));
  const placed = spread(all, x);
  return (
    <figure class="lanes">
      <div class="scroll" tabIndex={0} role="region" aria-label="Picture of the path">
        <svg
          viewBox={`0 0 ${WIDTH} ${height}`}
          role="img"
          aria-label={`The transaction's path: ${summary}. The same is in the table below.`}
        >
          {["coordinator", ...shards.map((shard) => `shard ${shard}`)].map((name, lane) => (
            <g key={name} class={lane > 0 ? `lane s${shards[lane - 1]! % 8}` : "lane"}>
              <line x1={LEFT} x2={WIDTH - RIGHT} y1={y(lane)} y2={y(lane)} />
              <text x={LEFT - 10} y={y(lane) + 4} text-anchor="end">
                {name}
              </text>
              {lane > 0 && silent.has(shards[lane - 1]!) && (
                <text x={LEFT + 20} y={y(lane) - 8} class="silent">
                  does not answer
                </text>
              )}
            </g>
          ))}
          {arrows.map(({ from, to, toLane, kind }, at) => (
            <line key={at} class={`arrow ${kind}`} x1={x(from)} y1={y(0)} x2={x(to)} y2={y(shards.indexOf(toLane) + 1)} />
          ))}
          {placed.map(({ point, at, row }) => (
            <g
              key={`${point.lane}-${point.kind}-${point.time}-${point.words}`}
              class={`point ${point.kind}`}
              transform={`translate(${at} ${y(point.lane)})`}
            >
              <title>{`${clock(point.time)} ${point.words}${point.height === null ? "" : `, block ${point.height}`}`}</title>
              {point.kind === "no" ? (
                <path d="M-6-6 6 6M6-6-6 6" />
              ) : point.kind === "applied" ? (
                <rect x="-6" y="-6" width="12" height="12" rx="2" />
              ) : (
                <circle r={point.kind === "noted" ? 4 : 7} />
              )}
              {point.lane > 0 && point.height !== null && (
                <text y={point.kind === "applied" ? 21 : -12} text-anchor="middle">
                  {point.label}
                </text>
              )}
              {row !== null && (
                <text y={WORDS_AT[row]} text-anchor={at > WIDTH - RIGHT - point.label.length * LETTER ? "end" : "start"}>
                  {point.label}
                </text>
              )}
            </g>
          ))}
          <text x={LEFT + 14} y={height - 8} class="axis">
            {clock(first)}
          </text>
          <text x={WIDTH - RIGHT} y={height - 8} class="axis" text-anchor="end">
            + {span(last - first)}
          </text>
        </svg>
      </div>
      <figcaption>
        {summary}. A circle is a vote, a square the block that applied the commit, numbers are the shard’s own blocks.
      </figcaption>
      <details>
        <summary>All {all.length} events with their times</summary>
        <Table heads={["time", "since the first", "where", "block", "what", "proof"]} label="Events of the path">
          {all.map((point, at) => (
            <tr key={at}>
              <td>{clock(point.time)}</td>
              <td>+{span(point.time - first)}</td>
              <td>{point.lane === 0 ? "coordinator" : <Shard shard={point.shard} />}</td>
              <td>{point.height ?? ""}</td>
              <td>
                {point.kind === "yes" || point.kind === "no" ? (
                  <Mark is={point.kind === "yes" ? "good" : "bad"}>{point.words}</Mark>
                ) : (
                  point.words
                )}
                {point.attempt >= 0 && transaction.attempts.length > 1 && <span class="quiet"> attempt {point.attempt + 1}</span>}
              </td>
              <td>
                {point.leaf !== null && point.attempt >= 0 && (
                  <Link to={`${pathOf("proof")}?kind=vote&id=${transaction.attempts[point.attempt]!.id}&shard=${point.shard}`}>check</Link>
                )}
              </td>
            </tr>
          ))}
        </Table>
      </details>
    </figure>
  );
}

interface Stroke {
  from: number;
  to: number;
  toLane: number;
  kind: string;
}

/** From the prepare to each vote, and from the decision to each block that applied it. */
function strokes(transaction: Transaction, { id, votes, applied }: Attempt, number: number): Stroke[] {
  const noted = (stage: string) => transaction.events?.find((event) => event.attempt === id && event.stage === stage)?.time;
  const [prepared, decided] = [noted("preparing"), noted("decided")];
  const kind = `attempt${number % 3}`;
  return [
    ...(prepared === undefined ? [] : votes.map((vote) => ({ from: prepared, to: vote.time, toLane: vote.shard, kind }))),
    ...(decided === undefined ? [] : applied.map(({ shard, time }) => ({ from: decided, to: time, toLane: shard, kind: "decision" }))),
  ];
}

/** Places of points, so that none of one lane covers another, and the lines of the coordinator's words, where there is room for them. */
function spread(all: Point[], x: (time: number) => number): { point: Point; at: number; row: number | null }[] {
  const ends = new Map<number, number>();
  const taken = WORDS_AT.map(() => -Infinity);
  return all.map((point) => {
    const room = point.lane === 0 ? 11 : 60;
    const at = Math.min(WIDTH - 10, Math.max(x(point.time), (ends.get(point.lane) ?? -Infinity) + room));
    ends.set(point.lane, at);
    if (point.lane > 0) return { point, at, row: null };
    const width = point.label.length * LETTER;
    const begin = at > WIDTH - RIGHT - width ? at - width : at;
    const row = taken.findIndex((end) => end < begin);
    if (row >= 0) taken[row] = begin + width;
    return { point, at, row: row < 0 ? null : row };
  });
}

/** The attempts in a line each. */
export function Attempts({ attempts, notTold }: { attempts: Attempt[]; notTold: number }) {
  return (
    <ol class="attempts" start={notTold + 1}>
      {attempts.map((attempt) => (
        <li key={attempt.id}>
          <Link to={pathOf("attempt", attempt.id)} class="id" title={attempt.id}>
            {short(attempt.id)}
          </Link>{" "}
          <Mark is={attempt.decision === "commit" ? "good" : attempt.decision ? "bad" : "wait"}>
            {attempt.decision ?? "not decided, as far as is known here"}
          </Mark>{" "}
          {attempt.votes
            .filter((vote) => vote.verdict === "no")
            .map((vote) => (
              <span key={vote.shard} class="why">
                <Shard shard={vote.shard} /> no: {tame(vote.reason)}
              </span>
            ))}
        </li>
      ))}
    </ol>
  );
}
