// Messages: one followed to its end, and those that relays gave up.
import { API, type DeadLetters, type Foreign, type Hop, type Message, ask } from "./api";
import { RevertWords } from "./calls";
import { ReceiptCheck } from "./proof";
import { pathOf } from "./route";
import { Answer, Bytes, Facts, Id, Link, Mark, Shard, Silences, Table, statusMark, useAnswer } from "./ui";
import { ago, bytesOf, clock, count, date, ether, span, tame, textOf } from "./words";

const CARRIED = "carried";
const STAGES = ["dispatched", CARRIED, "consumed", "acknowledged"] as const;

export function MessagePage({ id }: { id: string }) {
  const asked = useAnswer(
    () => ask<Message>(`messages/${encodeURIComponent(id)}`),
    `message ${id}`,
    1_000,
    // What a silent shard knows of a life that is over follows when it is back, and so does what a bridge has still to do.
    ({ isOver, silent, foreign, delivered }) => isOver && silent.length === 0 && !awaitsHop(foreign, delivered?.time ?? 0),
  );
  return (
    <>
      <h1>Message</h1>
      <p>
        <code class="wrap">{tame(id, 80)}</code>
      </p>
      <Answer of={asked}>{(message) => <Whole message={message} />}</Answer>
    </>
  );
}

/** For how long after a delivery its sender on a foreign chain may still be told. */
const ANSWER_MS_MAX = 600_000;

/** Whether a transaction that ends it over there is still to come. */
function awaitsHop(foreign: Foreign | null, since: number): boolean {
  if (!foreign?.nodes.length || Date.now() - since > ANSWER_MS_MAX) return false;
  return !foreign.hops.some(({ step, state }) => step !== "dispatched" && state === "final");
}

function Whole({ message: it }: { message: Message }) {
  const words = it.message;
  const body = words ? bytesOf(words.body) : new Uint8Array();
  const ended = it.isOver ? end(it) : null;
  return (
    <>
      <Silences silent={it.silent} />
      <Progress message={it} />
      <div aria-live="polite">
        {ended && (
          <p class={`note ${it.status === "delivered" ? "good" : it.status ? "bad" : "warn"}`}>
            <Mark is={statusMark(it.status ?? undefined)}>{it.status ?? "ended"}</Mark> {ended}
          </p>
        )}
        {it.waiting && (
          <div class="note wait">
            <strong>Why it waits</strong>
            <ul class="waiting">
              {it.waiting.why.map((why) => (
                <li key={why}>{tame(why)}</li>
              ))}
            </ul>
            <strong>What its owner can do</strong>
            <ul>
              {it.waiting.can.map((can) => (
                <li key={can}>{tame(can)}</li>
              ))}
            </ul>
          </div>
        )}
      </div>
      <Facts
        facts={[
          [
            "from",
            <>
              <Shard shard={it.source} /> {words && <Party party={words.sender} />}
            </>,
          ],
          [
            "to",
            <>
              <Shard shard={it.destination} /> {words && <Party party={words.recipient} />}
            </>,
          ],
          it.transaction && ["sent by", <Id kind="transaction" id={it.transaction} />],
          words && ["value", ether(words.value)],
          words && ["gas", count(words.gasLimit)],
          words && [
            "deadline",
            `${date(words.deadline)}${it.steps.consumed !== "not yet" ? "" : words.deadline > Date.now() ? `, in ${span(words.deadline - Date.now())}` : `, ${ago(words.deadline)}`}`,
          ],
          words && ["body", textOf(body) ?? (body.length ? <code class="wrap">{tame(words.body)}</code> : "empty")],
          it.detail !== "" && ["what its recipient said", <Answered message={it} />],
          words && ["Hyperlane id", <code class="wrap">{words.v3Id}</code>],
        ]}
      />
      <h2>Its life</h2>
      <Table heads={["time", "since", "who", "what"]} label="Events of the message">
        {it.events.map((event, at) => (
          <tr key={at}>
            <td>{clock(event.time)}</td>
            <td>+{span(event.time - it.events[0]!.time)}</td>
            <td>{event.relay === undefined ? <Shard shard={event.shard} /> : `relay ${event.relay}`}</td>
            <td>
              <b>{event.stage}</b>
              {event.height !== undefined && ` in block ${event.height}`}
              {event.try ? ` (try ${event.try})` : ""} {tame(event.detail)}
            </td>
          </tr>
        ))}
      </Table>
      {it.relays.length === 0 && <p class="quiet">This node was told of no relay, so what relays do is not told.</p>}
      {it.foreign && <ForeignHop hop={it.foreign} />}
      <h2>Proof</h2>
      {it.source !== null && <ReceiptCheck kind="message" id={it.id} shard={it.source} label="that it was sent" />}
      {it.steps.consumed === "yes" && it.destination !== null && (
        <ReceiptCheck kind="delivery" id={it.id} shard={it.destination} label="what became of it" />
      )}
      <p class="quiet">
        <a href={`${API}/messages/${it.id}`}>the same as JSON</a>
      </p>
    </>
  );
}

const STEPS: Record<Hop["step"], string> = {
  dispatched: "sent there",
  processed: "delivered there",
  answered: "its sender there was told how it ended",
};

/** The transactions on the foreign chain that the bridge tells, and how anybody finds them: no shard knows one. */
function ForeignHop({ hop }: { hop: Foreign }) {
  return (
    <>
      <h2>Its foreign hop</h2>
      {hop.nodes.some(({ silent }) => silent !== null) && (
        <div class="note warn" role="status">
          <strong>Not all of the bridge answers.</strong> What only they know is missing.
          <ul>
            {hop.nodes.map(
              ({ node, silent }) =>
                silent !== null && (
                  <li key={node}>
                    bridge node {node}: {tame(silent)}
                  </li>
                ),
            )}
          </ul>
        </div>
      )}
      {hop.hops.length > 0 && (
        <Table heads={["what", "state", "transaction", "block", "told by"]} label="Transactions on the foreign chain">
          {hop.hops.map((hop) => (
            <tr key={`${hop.step} ${hop.transaction} ${hop.blockHash}`}>
              <td>{STEPS[hop.step]}</td>
              <td>
                <Mark is={hop.state === "final" ? "good" : hop.state === "reverted" ? "bad" : "wait"}>{hop.state}</Mark>
              </td>
              <td>
                <code class="wrap">{hop.transaction ?? "not known"}</code>
              </td>
              <td>{hop.block === null ? "" : <span title={hop.blockHash ?? ""}>{hop.block}</span>}</td>
              <td>bridge node{hop.toldBy.length === 1 ? "" : "s"} {hop.toldBy.join(", ")}</td>
            </tr>
          ))}
        </Table>
      )}
      <p>
        {hop.nodes.length === 0 && "This node was told of no node of a bridge (setting bridges). "}
        No shard knows the transaction on the foreign chain: attestors vouch for what it did, not for its hash. It is the one with this log of the
        mailbox there; a carrier’s host knows why there is none yet.
      </p>
      <Facts
        facts={[
          ["chain", `domain ${hop.domain}${hop.chainId === null ? "" : `, chain id ${hop.chainId}`}`],
          hop.mailbox !== null && ["mailbox there", <code class="wrap">{hop.mailbox}</code>],
          ["log", <code class="wrap">{hop.event}</code>],
          ["its topics", <code class="wrap">{hop.topics.join(" ")}</code>],
          ["ask the carrier", <code class="wrap">{hop.command}</code>],
        ]}
      />
    </>
  );
}

function end({ status, source, message, acknowledged, dispatched, steps }: Message): string {
  const hasValue = message !== null && message.value !== "0";
  const took = acknowledged && dispatched ? ` Its life took ${span(acknowledged.time - dispatched.time)}.` : "";
  if (status === "delivered" && source === null)
    return `Its recipient ran${steps.acknowledged === "yes" ? ", and its sender on the foreign chain was told so" : ""}.`;
  if (status === "delivered")
    return `Its recipient ran, and its sender’s shard knows it${acknowledged ? "" : ", as a relay says"}${hasValue ? "; its value is the recipient’s" : ""}.${took}`;
  if (status === null) return "A relay says that its source knows its end; what became of it is known to shards that are silent.";
  const why = status === "expired" ? "It came after its deadline and did not run" : "Its recipient did not take it";
  return `${why}${hasValue ? "; its value went back to its sender" : ""}.${took}`;
}

function Progress({ message: it }: { message: Message }) {
  const { dispatched, consumed, acknowledged } = it.steps;
  const isSeen = it.foreign ? it.foreign.hops.length > 0 : it.relays.some(({ saw }) => saw);
  const isSilent = it.foreign ? it.foreign.nodes.some(({ silent }) => silent !== null) : it.relays.some(({ silent }) => silent !== undefined);
  const who = it.foreign ? "the bridge" : "a relay";
  const carried = isSeen || consumed === "yes" ? "yes" : isSilent ? `unknown: ${it.foreign ? "some of the bridge" : who} is silent` : "not yet";
  const steps = [dispatched, carried, consumed, acknowledged];
  const done = steps.map((step) => step === "yes");
  return (
    <ol class="progress" aria-label="How far it has come">
      {STAGES.map((stage, at) => (
        <li key={stage} class={done[at] ? "done" : "open"} aria-current={done[at] && !done[at + 1] ? "step" : undefined}>
          {stage === CARRIED ? `at ${who}` : stage} <span class="quiet">{steps[at]}</span>
        </li>
      ))}
    </ol>
  );
}

/** What its recipient returned or reverted with: text, or the hex of what is none. */
function Answered({ message: it }: { message: Message }) {
  if (!/^0x([0-9a-f]{2})+$/.test(it.detail)) return <>{tame(it.detail)}</>;
  if (it.status !== "failed") return <Bytes hex={it.detail} />;
  const recipient = it.message?.recipient;
  return <RevertWords address={recipient?.length === 42 ? recipient : undefined} output={it.detail} />;
}

function Party({ party }: { party: string }) {
  return party.length === 42 ? <Id kind="address" id={party} /> : <code class="wrap">{party}</code>;
}

/** Messages that relays gave up. */
export function MessagesPage({ query }: { query: URLSearchParams }) {
  const after = query.get("after");
  const asked = useAnswer(
    () => ask<DeadLetters>(`dead-letters${after ? `?after=${encodeURIComponent(after)}` : ""}`),
    `dead ${after}`,
    5_000,
  );
  return (
    <>
      <h1>Dead letters</h1>
      <p>
        Messages that a relay gave up. They are not lost: each is in its source’s outbox, and anybody may carry it. A message’s own page
        says why and what its owner can do.
      </p>
      <Answer of={asked}>
        {({ deadLetters, next, relays, silentRelays }) => (
          <>
            {relays === 0 && <p class="note">This node was told of no relay (setting relays).</p>}
            {silentRelays.map(({ relay, reason }) => (
              <p key={relay} class="note warn">
                relay {relay} does not answer: {tame(reason)}
              </p>
            ))}
            {deadLetters.length === 0 ? (
              <p class="quiet">none</p>
            ) : (
              <Table heads={["message", "route", "tries", "given up", "because"]} label="Dead letters">
                {deadLetters.map((letter) => (
                  <tr key={`${letter.message} ${letter.relay}`}>
                    <td>
                      <Id kind="message" id={letter.message} />
                    </td>
                    <td>
                      <Shard shard={letter.source.shard} /> to <Shard shard={letter.destination.shard} />
                    </td>
                    <td>{letter.tries}</td>
                    <td>
                      {ago(letter.time)} by relay {letter.relay}
                    </td>
                    <td>{tame(letter.reason)}</td>
                  </tr>
                ))}
              </Table>
            )}
            {next && <Link to={`${pathOf("messages")}?after=${next}`}>more</Link>}
          </>
        )}
      </Answer>
    </>
  );
}
