// Transactions: in lists, and one with its path, calls, logs, messages and proofs.
import { API, type Call, type Line, type Transaction, ask } from "./api";
import { call as decodeCall } from "./abi";
import { CallTree, LogLine, RevertWords, Values } from "./calls";
import { Attempts, Lanes } from "./lanes";
import { ReceiptCheck } from "./proof";
import { pathOf } from "./route";
import { Answer, Bytes, Facts, Id, Link, Mark, Shard, Shards, Silences, Table, statusMark, useAnswer } from "./ui";
import { ago, count, date, ether, tame } from "./words";

/** Lines of transactions. */
export function Lines({ lines, label }: { lines: Line[]; label: string }) {
  if (lines.length === 0) return <p class="quiet">none</p>;
  return (
    <Table heads={["transaction", "block", "from", "to", "value", "gas", "shards", "status"]} label={label}>
      {lines.map((line) => (
        <tr key={line.hash}>
          <td>
            <Id kind="transaction" id={line.hash} /> {line.kind === "protocol" && <span class="quiet">the protocol’s own</span>}
          </td>
          <td>
            <Link to={pathOf("block", line.block)}>{line.block}</Link>
          </td>
          <td>
            <Id kind="address" id={line.from} />
          </td>
          <td>{line.to ? <Id kind="address" id={line.to} /> : line.created ? <Id kind="address" id={line.created} /> : ""}</td>
          <td>{line.value === "0" ? "" : ether(line.value)}</td>
          <td>{count(line.gasUsed)}</td>
          <td>
            <Shards shards={line.shards} />
          </td>
          <td>
            <Mark is={statusMark(line.status)}>{line.status}</Mark>
          </td>
        </tr>
      ))}
    </Table>
  );
}

export function TransactionPage({ id }: { id: string }) {
  const asked = useAnswer(
    () => ask<Transaction>(`transactions/${encodeURIComponent(id)}`),
    `tx ${id}`,
    1_000,
    ({ state, attempts, shards, silent, time }) => {
      const applied = attempts.at(-1)?.applied.length ?? shards.length;
      return (
        state === "refused" ||
        (state === "committed" &&
          (applied >= shards.length || silent.length > 0 || attempts.length === 0 || Date.now() - (time ?? 0) > 10_000))
      );
    },
  );
  return (
    <>
      <h1>Transaction</h1>
      <p>
        <code class="wrap">{tame(id, 80)}</code>
      </p>
      <Answer of={asked}>{(transaction) => <Whole transaction={transaction} />}</Answer>
    </>
  );
}

function Whole({ transaction: it }: { transaction: Transaction }) {
  const decoded = it.input && it.to ? decodeCall(it.to, it.input) : null;
  const hasFailed = it.status === "reverted" || it.status === "halted";
  return (
    <>
      <Silences silent={it.silent} />
      <Facts
        facts={[
          [
            "state",
            <>
              <Mark is={it.state === "committed" ? "good" : it.state === "pending" ? "wait" : "bad"}>{it.state}</Mark>{" "}
              {it.status && <Mark is={statusMark(it.status)}>{it.status}</Mark>}
            </>,
          ],
          it.refusal && ["refused because", `${tame(it.refusal.reason)} (${date(it.refusal.time)})`],
          hasFailed && [
            "because",
            it.status === "halted" ? (
              "it ran out of gas or broke a rule of the EVM"
            ) : (
              <RevertWords address={it.to ?? undefined} output={it.output} />
            ),
          ],
          it.block !== undefined && ["block", <Link to={pathOf("block", it.block)}>{count(it.block)}</Link>],
          it.block !== undefined && it.ranAt !== it.block && ["ran at", `slot ${it.ranAt}: its decision came later than that slot`],
          it.time !== undefined && ["time", `${date(it.time)}, ${ago(it.time)}`],
          it.from && [
            "from",
            <>
              <Id kind="address" id={it.from} whole /> <Shard shard={it.home} />
            </>,
          ],
          it.to && [
            "to",
            <>
              <Id kind="address" id={it.to} whole /> {it.toShard !== undefined && <Shard shard={it.toShard} />}
            </>,
          ],
          it.created && ["created", <Id kind="address" id={it.created} whole />],
          it.value && ["value", ether(it.value)],
          it.gasUsed !== undefined && ["gas", `${count(it.gasUsed)}${it.gasLimit ? ` of ${count(it.gasLimit)}` : ""}`],
          it.nonce !== undefined && ["nonce", it.nonce],
          ["shards", <Shards shards={it.shards} />],
          it.input !== undefined && ["call data", decoded ? <Values decoded={decoded} /> : <Bytes hex={it.input} count={it.inputBytes} />],
        ]}
      />
      <h2>Path through the shards</h2>
      <Lanes transaction={it} />
      {it.events === null && (
        <p class="quiet">
          What the coordinator did is not known here: only the node that takes a transaction in knows it, and only until it restarts. Votes
          are the shards’ own.
        </p>
      )}
      {it.attempts.length > 0 && (
        <>
          <h2>Attempts</h2>
          <Attempts attempts={it.attempts} notTold={it.attemptsNotTold} />
        </>
      )}
      {it.messages && it.messages.length > 0 && (
        <>
          <h2>Messages it sent</h2>
          <ul>
            {it.messages.map((message) => (
              <li key={message}>
                <Id kind="message" id={message} whole />
              </li>
            ))}
          </ul>
        </>
      )}
      {it.logs && (
        <>
          <h2>Logs</h2>
          {it.logs.length === 0 && <p class="quiet">none</p>}
          {it.logs.map((log, at) => (
            <LogLine key={at} log={log} />
          ))}
        </>
      )}
      {it.state === "committed" && (
        <>
          <h2>Calls</h2>
          <Trace id={it.hash} />
          <h2>Proof</h2>
          <ReceiptCheck kind="outcome" id={it.hash} shard={it.home} label="its outcome" />
          {it.attempts.at(-1)?.votes.map((vote) => (
            <ReceiptCheck
              key={vote.shard}
              kind="vote"
              id={it.attempts.at(-1)!.id}
              shard={vote.shard}
              block={vote.height}
              label={`the vote of shard ${vote.shard}`}
            />
          ))}
        </>
      )}
      <p class="quiet">
        <a href={`${API}/transactions/${it.hash}`}>the same as JSON</a>
      </p>
    </>
  );
}

function Trace({ id }: { id: string }) {
  const asked = useAnswer(() => ask<Call>(`transactions/${id}/trace`), `trace ${id}`);
  return (
    <>
      {asked.problem ? (
        <p class="note">Its calls cannot be told: {tame(asked.problem.message)}</p>
      ) : asked.value ? (
        <CallTree call={asked.value} />
      ) : (
        <p class="awaited">asking…</p>
      )}
    </>
  );
}
