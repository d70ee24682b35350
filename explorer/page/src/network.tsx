// The network now: shards, routes, what is undecided, the last hour, and blocks as they come.
import { useEffect, useState } from "preact/hooks";
import { API, type Block, type Blocks, type Hour, type Now, ask } from "./api";
import { Chart } from "./charts";
import { Lines } from "./transactions";
import { pathOf } from "./route";
import { Answer, Facts, Id, Link, Mark, Shard, Shards, Silences, Table, useAnswer } from "./ui";
import { ago, count, date, span, tame } from "./words";

interface LiveBlock {
  number: number;
  transactions: number;
  silentShards: number[];
}

/** Blocks that this reader missed while it was away. */
interface LeftOut {
  from: number;
  to: number;
}

const LIVE_COUNT_MAX = 12;

/** Blocks as the node tells them; a browser that comes back is told those that it missed. */
function useLive(): { blocks: (LiveBlock | LeftOut)[]; isOn: boolean } {
  const [blocks, tell] = useState<(LiveBlock | LeftOut)[]>([]);
  const [isOn, setOn] = useState(false);
  useEffect(() => {
    const source = new EventSource(`${API}/events`);
    source.onopen = () => setOn(true);
    source.onerror = () => setOn(false);
    const add = (event: MessageEvent<string>) => {
      const told = JSON.parse(event.data) as LiveBlock | LeftOut;
      tell((before) => [told, ...before].slice(0, LIVE_COUNT_MAX));
    };
    source.addEventListener("block", add);
    source.addEventListener("left-out", add);
    return () => source.close();
  }, []);
  return { blocks, isOn };
}

export function NowPage() {
  const now = useAnswer(() => ask<Now>("now"), "now", 2_000);
  const hour = useAnswer(() => ask<Hour>("hour"), "hour", 10_000);
  const blocks = useAnswer(() => ask<Blocks>("blocks?count=10"), "newest blocks", 3_000);
  const live = useLive();
  return (
    <>
      <h1>The network now</h1>
      <Answer of={now}>
        {(now) => (
          <>
            <Silences silent={now.silent} />
            <ShardsNow now={now} />
          </>
        )}
      </Answer>
      <section class="two">
        <div>
          <h2>
            Live <span class="quiet">{live.isOn ? "following" : "not connected"}</span>
          </h2>
          <ol class="live" aria-label="Blocks as they come">
            {live.blocks.map((block) =>
              "from" in block ? (
                <li key={`left out ${block.from}`} class="quiet">
                  blocks {block.from} to {block.to} are left out
                </li>
              ) : (
                <li key={block.number}>
                  <Link to={pathOf("block", block.number)}>block {block.number}</Link>{" "}
                  <span class={block.transactions > 0 ? "" : "quiet"}>
                    {block.transactions > 0 ? `${block.transactions} transaction${block.transactions === 1 ? "" : "s"}` : "empty"}
                  </span>
                </li>
              ),
            )}
          </ol>
        </div>
        <div>
          <h2>
            Blocks that show anything <Link to={pathOf("blocks")}>all</Link>
          </h2>
          <Answer of={blocks}>{({ blocks }) => <BlockLines blocks={blocks} />}</Answer>
        </div>
      </section>
      <h2>The last hour</h2>
      <Answer of={hour}>{(hour) => <Charts hour={hour} />}</Answer>
      <Answer of={now}>{(now) => <Rest now={now} />}</Answer>
    </>
  );
}

function ShardsNow({ now }: { now: Now }) {
  return (
    <Table heads={["shard", "state", "its block", "blocks a second", "lag", "undecided here", "keys locked", "messages that wait for one"]} label="Shards">
      {now.shards.map((shard) => (
        <tr key={shard.shard}>
          <td>
            <Shard shard={shard.shard} />
          </td>
          <td>{shard.answers ? <Mark is="good">answers</Mark> : <Mark is="bad">does not answer</Mark>}</td>
          <td>{shard.height === undefined ? <span class="quiet">{tame(shard.reason ?? "", 120)}</span> : count(shard.height)}</td>
          <td>
            {shard.blocksPerThousandSeconds === undefined || shard.blocksPerThousandSeconds === null
              ? ""
              : (shard.blocksPerThousandSeconds / 1_000).toFixed(1)}
          </td>
          <td>{shard.lagMs === undefined ? "" : span(shard.lagMs)}</td>
          <td>{shard.undecided}</td>
          <td>{shard.locks && `${count(shard.locks.keys)} by ${count(shard.locks.holders)}`}</td>
          <td>{shard.locks && count(shard.locks.waiting)}</td>
        </tr>
      ))}
    </Table>
  );
}

export function BlockLines({ blocks }: { blocks: Block[] }) {
  if (blocks.length === 0) return <p class="quiet">none yet</p>;
  return (
    <Table heads={["block", "age", "transactions", "gas", "without"]} label="Blocks">
      {blocks.map((block) => (
        <tr key={block.number}>
          <td>
            <Link to={pathOf("block", block.number)}>{block.number}</Link>
          </td>
          <td>{ago(block.time * 1_000)}</td>
          <td>{count(block.transactions)}</td>
          <td>{count(block.gasUsed)}</td>
          <td>{block.silentShards.length > 0 && <Mark is="wait">{`shard ${block.silentShards.join(", ")}`}</Mark>}</td>
        </tr>
      ))}
    </Table>
  );
}

function Charts({ hour }: { hour: Hour }) {
  const last = Math.floor(hour.now / hour.stepMs) * hour.stepMs;
  const first = Math.min(last - 29 * hour.stepMs, hour.steps[0]?.begin ?? last);
  const steps = Array.from({ length: Math.round((last - first) / hour.stepMs) + 1 }, (_, at) =>
    hour.steps.find(({ begin }) => begin === first + at * hour.stepMs),
  );
  const rate = (value: number | undefined) => ((value ?? 0) * 1_000) / hour.stepMs;
  const causes = [...new Set(hour.steps.flatMap(({ noes }) => Object.keys(noes)))].slice(0, 4);
  const shared = { begin: first, end: last };
  return (
    <div class="charts">
      <Chart
        title="Transactions"
        unit="a second"
        {...shared}
        series={[
          { name: "in blocks", values: steps.map((step) => rate(step?.transactions)) },
          { name: "committed here", values: steps.map((step) => rate(step?.committed)) },
        ]}
      />
      <Chart
        title="Latency"
        unit="ms"
        {...shared}
        series={[
          { name: "half", values: steps.map((step) => step?.latencyMs.p50 ?? null) },
          { name: "95 %", values: steps.map((step) => step?.latencyMs.p95 ?? null) },
        ]}
      />
      <Chart
        title="Noes to attempts, by cause"
        unit="a second"
        {...shared}
        series={
          causes.length
            ? causes.map((cause) => ({ name: cause.replaceAll("_", " "), values: steps.map((step) => rate(step?.noes[cause])) }))
            : [{ name: "none", values: steps.map(() => 0) }]
        }
      />
      <div>
        <h3>Keys that this node’s work waited for</h3>
        {hour.hotKeys.length === 0 ? (
          <p class="quiet">Nothing had to wait for a key.</p>
        ) : (
          <ol>
            {hour.hotKeys.map(({ key, waits }) => (
              <li key={key}>
                {tame(key)} <span class="quiet">{count(waits)} waited</span>
              </li>
            ))}
          </ol>
        )}
      </div>
    </div>
  );
}

/** The keys that each shard's new work met locked most often. */
function HotKeys({ now }: { now: Now }) {
  const hot = now.shards.flatMap(({ shard, locks }) => (locks?.hottest ?? []).map((hot) => ({ shard, ...hot })));
  hot.sort((a, b) => b.count - a.count);
  return (
    <>
      <h2>Hottest keys of the last minutes</h2>
      {hot.length === 0 && <p class="quiet">No shard has met a locked key.</p>}
      {hot.length > 0 && (
        <Table heads={["key", "shard", "met locked"]} label="Hottest keys">
          {hot.slice(0, 10).map(({ shard, key, count: times }) => (
            <tr key={`${shard} ${key}`}>
              <td>
                <code class="wrap">{tame(key, 200)}</code>
              </td>
              <td>
                <Shard shard={shard} />
              </td>
              <td>{count(times)}</td>
            </tr>
          ))}
        </Table>
      )}
    </>
  );
}

function Rest({ now }: { now: Now }) {
  return (
    <>
      <HotKeys now={now} />
      <h2>Undecided here: {now.attempts.count}</h2>
      {now.attempts.oldest.length > 0 && (
        <Table heads={["transaction", "attempt", "age", "shards"]} label="Undecided attempts, the oldest first">
          {now.attempts.oldest.map((open) => (
            <tr key={`${open.attempt} ${open.transaction}`}>
              <td>{open.transaction ? <Id kind="transaction" id={open.transaction} /> : "the protocol’s own"}</td>
              <td>
                <Id kind="attempt" id={open.attempt} />
              </td>
              <td>{span(open.ageMs)}</td>
              <td>
                <Shards shards={open.shards} />
              </td>
            </tr>
          ))}
        </Table>
      )}
      <h2>Waiting here: {now.pending.length}</h2>
      {now.pending.length > 0 && (
        <ul>
          {now.pending.slice(0, 20).map((pending) => (
            <li key={pending.hash}>
              <Id kind="transaction" id={pending.hash} /> of <Id kind="address" id={pending.from} />{" "}
              {pending.waitsForNonce && "waits for an earlier nonce of its sender"}
            </li>
          ))}
        </ul>
      )}
      <h2>
        Routes <Link to={pathOf("messages")}>dead letters</Link>
      </h2>
      {now.relays.length === 0 && <p class="quiet">This node was told of no relay.</p>}
      {now.relays.map(({ relay, answers, reason, routes }) => (
        <section key={relay}>
          <h3>
            Relay {relay} {!answers && <Mark is="bad">{`does not answer: ${tame(reason ?? "", 120)}`}</Mark>}
          </h3>
          {answers && (
            <Table heads={["route", "state", "waiting", "the oldest for", "dead", "done", "moved"]} label={`Routes of relay ${relay}`}>
              {routes.map((route) => (
                <tr key={`${route.source.domain} ${route.destination.domain}`}>
                  <td>
                    <Shard shard={route.source.shard} /> to <Shard shard={route.destination.shard} />
                  </td>
                  <td>
                    {route.isPaused ? (
                      <Mark is="wait">paused</Mark>
                    ) : route.lastError && route.queued > 0 ? (
                      <span title={tame(route.lastError)}>last error {tame(route.lastError, 60)}</span>
                    ) : (
                      <span title={route.lastError && `last error ${tame(route.lastError)}`}>carries</span>
                    )}
                  </td>
                  <td>{count(route.queued)}</td>
                  <td>{route.oldestSince === null ? "" : span(Math.max(0, now.time - route.oldestSince))}</td>
                  <td>{route.dead > 0 ? <Mark is="bad">{count(route.dead)}</Mark> : 0}</td>
                  <td>{count(route.acknowledged)}</td>
                  <td>{route.movedAt ? ago(route.movedAt) : "never"}</td>
                </tr>
              ))}
            </Table>
          )}
        </section>
      ))}
    </>
  );
}

export function BlocksPage({ query }: { query: URLSearchParams }) {
  const before = query.get("before");
  const asked = useAnswer(() => ask<Blocks>(`blocks?count=50${before ? `&before=${encodeURIComponent(before)}` : ""}`), `blocks ${before}`);
  return (
    <>
      <h1>Blocks that show anything</h1>
      <Answer of={asked}>
        {({ blocks, next, oldest, silent }) => (
          <>
            <Silences silent={silent} />
            <BlockLines blocks={blocks} />
            {next === null ? (
              <p class="quiet">No earlier block shows anything; {oldest} is the oldest that is kept.</p>
            ) : (
              <Link to={`${pathOf("blocks")}?before=${next}`}>earlier blocks</Link>
            )}
          </>
        )}
      </Answer>
    </>
  );
}

export function BlockPage({ id, query }: { id: string; query: URLSearchParams }) {
  const after = query.get("after") ?? "0";
  const asked = useAnswer(
    () => ask<Block>(`blocks/${encodeURIComponent(id)}?count=50&after=${encodeURIComponent(after)}`),
    `block ${id} ${after}`,
  );
  return (
    <>
      <h1>Block {tame(id, 80)}</h1>
      <Answer of={asked}>
        {(block) => (
          <>
            {block.silentShards.length > 0 && (
              <Silences
                silent={block.silentShards.map((shard) => ({
                  shard,
                  reason: "had not closed this block when it was told; what it shows follows when it is back",
                }))}
              />
            )}
            <Facts
              facts={[
                ["number", block.number],
                ["time", date(block.time * 1_000)],
                ["hash", <code class="wrap">{block.hash}</code>],
                ["transactions", count(block.transactions)],
                ["gas", count(block.gasUsed)],
              ]}
            />
            <nav aria-label="Blocks beside this one" class="beside">
              {block.number > 0 && <Link to={pathOf("block", block.number - 1)}>block {block.number - 1}</Link>}{" "}
              <Link to={pathOf("block", block.number + 1)}>block {block.number + 1}</Link>
            </nav>
            <h2>Transactions</h2>
            <Lines lines={block.page} label="Transactions of the block" />
            {block.next !== null && <Link to={`${pathOf("block", id)}?after=${block.next}`}>more</Link>}
          </>
        )}
      </Answer>
    </>
  );
}
