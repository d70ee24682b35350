// The call tree of a transaction across shards, with gas, value and logs, decoded where an ABI is known.
import type { Call, Log } from "./api";
import { type Decoded, call as decodeCall, log as decodeLog, revert as decodeRevert } from "./abi";
import { Bytes, Id, Mark, Shard } from "./ui";
import { count, ether, tame } from "./words";

/** Calls that are drawn; a trace may have very many. */
const CALLS_SHOWN_COUNT_MAX = 400;

export function Values({ decoded }: { decoded: Decoded }) {
  return (
    <span class="decoded">
      <b>{tame(decoded.name, 80)}</b>(
      {decoded.values.map(({ name, type, value }, at) => (
        <span key={at}>
          {at > 0 && ", "}
          <span class="quiet">{tame(name || type, 40)}</span>{" "}
          {type === "address" ? <Id kind="address" id={value} /> : <code>{tame(value, 200)}</code>}
        </span>
      ))}
      )
    </span>
  );
}

export function LogLine({ log }: { log: Pick<Log, "address" | "topics" | "data"> & { shard?: number } }) {
  const decoded = decodeLog(log.address, log.topics, log.data);
  return (
    <div class="log">
      <span class="quiet">log of</span> <Id kind="address" id={log.address} /> {log.shard !== undefined && <Shard shard={log.shard} />}{" "}
      {decoded ? (
        <Values decoded={decoded} />
      ) : (
        <details>
          <summary>{log.topics.length} topics, not decoded: no ABI is known</summary>
          {log.topics.map((topic, at) => (
            <code class="wrap" key={at}>
              {topic}
            </code>
          ))}
          <Bytes hex={log.data} />
        </details>
      )}
    </div>
  );
}

export function RevertWords({ address, output }: { address: string | undefined; output: string | undefined }) {
  if (!output || output === "0x") return <span class="quiet">without a reason</span>;
  const decoded = decodeRevert(address, output);
  return decoded ? <Values decoded={decoded} /> : <Bytes hex={output} />;
}

export function CallTree({ call }: { call: Call }) {
  const left = { count: CALLS_SHOWN_COUNT_MAX };
  const tree = branch(call, left, undefined);
  return (
    <>
      <ul class="calls">{tree}</ul>
      {left.count <= 0 && <p class="note">Only the first {CALLS_SHOWN_COUNT_MAX} calls are shown; debug_traceTransaction has all.</p>}
    </>
  );
}

/** What a call did, in order: its logs stand between the calls that it made. */
function inside({ calls = [], logs = [] }: Call, left: { count: number }, from: number | undefined) {
  const logsAfter = (over: number) =>
    logs
      .filter(({ position }) => Math.min(Number(position), calls.length) === over)
      .map((log, at) => (
        <li key={`log ${over} ${at}`}>
          <LogLine log={log} />
        </li>
      ));
  const parts = [logsAfter(0), ...calls.map((inner, at) => [branch(inner, left, from), ...logsAfter(at + 1)])];
  return calls.length + logs.length > 0 && <ul>{parts}</ul>;
}

function branch(call: Call, left: { count: number }, from: number | undefined) {
  if (left.count-- <= 0) return null;
  const decoded = call.input ? decodeCall(call.to, call.input) : null;
  const crosses = from !== undefined && call.shard !== undefined && from !== call.shard;
  return (
    <li>
      <div class={call.error ? "call failed" : "call"}>
        <span class="kind">{tame(call.type.toLowerCase(), 20)}</span> {call.shard !== undefined && <Shard shard={call.shard} />}{" "}
        {crosses && <span class="crosses">across shards</span>} {call.to ? <Id kind="address" id={call.to} /> : "nobody"}{" "}
        {decoded ? <Values decoded={decoded} /> : call.input && call.input.length > 2 && <code>{call.input.slice(0, 10)}</code>}{" "}
        <span class="quiet">
          {call.gasUsed && `${count(Number(call.gasUsed))} gas`}
          {call.value && BigInt(call.value) > 0n && `, ${ether(BigInt(call.value).toString())}`}
        </span>{" "}
        {call.error && (
          <>
            <Mark is="bad">{tame(call.error, 80)}</Mark>{" "}
            {call.error.includes("revert") && <RevertWords address={call.to} output={call.output} />}
          </>
        )}
      </div>
      {inside(call, left, call.shard ?? from)}
    </li>
  );
}
