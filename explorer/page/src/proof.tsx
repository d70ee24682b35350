// Proofs, checked here: by @dovetail/verifier, against keys that the reader can see and replace.
//
// Promise: green means that this machine has checked every byte of the receipt against the validators' keys. Whoever does not trust
// the node for the keys pastes those of the network file.
import {
  type Fact,
  Refused,
  type ShardKeys,
  type Statement,
  Verifier,
  about,
  hex,
  provenState,
  statement,
  unhex,
} from "@dovetail/verifier";
import { useEffect, useState } from "preact/hooks";
import { API, type Network, Problem, ask, askBytes } from "./api";
import { Facts, Id, Mark, Shard } from "./ui";
import { count, date, ether, tame, textOf } from "./words";

const KEYS = "dovetail.keys";

interface Keys {
  network: bigint;
  shards: ShardKeys[];
  from: string;
}

let asked: Promise<Keys> | null = null;

/** The keys that the reader pasted, or else those that the node says. */
async function keys(): Promise<Keys> {
  const pasted = localStorage.getItem(KEYS);
  if (pasted) return pastedKeys(pasted);
  asked ??= ask<Network>("network").then(({ network, shards }) => ({ network: BigInt(network), shards, from: "that this node says" }));
  asked.catch(() => (asked = null));
  return asked;
}

const DUE =
  `The keys under “Whose keys are believed” are not what is due there: JSON as of ${API}/network, {"network": number, "shards": ` +
  `[{"shard": number, "epoch": number, "validators": ["0x…"], "genesis": "0x…" or null}]}. A network file has the same values in TOML.`;

/** The keys in what was pasted; whatever else it is, the reader is told in words what is due. */
function pastedKeys(text: string): Keys {
  try {
    const { network, shards } = JSON.parse(text) as { network: number; shards: ShardKeys[] };
    if (!Array.isArray(shards) || shards.length === 0) throw new Error("no shards");
    const keys = { network: BigInt(network), shards, from: "that you pasted" };
    // It reads every key, and refuses what is none.
    new Verifier(keys.network, keys.shards);
    return keys;
  } catch {
    throw new Problem(0, "no keys", DUE);
  }
}

export type Verdict =
  { is: "proven"; fact: Fact; statement: Statement; keys: string } | { is: "refused"; words: string } | { is: "unasked"; words: string };

/** What the receipt in `bytes` proves; about `id`, if one is due. */
export async function verdict(bytes: Uint8Array, id?: string): Promise<Verdict> {
  try {
    const { network, shards, from } = await keys();
    const fact = new Verifier(network, shards).receipt(bytes);
    const said = statement(fact);
    if (id && about(said) !== id.toLowerCase()) return { is: "refused", words: `it is about ${about(said)}, not about ${id}` };
    return { is: "proven", fact, statement: said, keys: from };
  } catch (error) {
    if (error instanceof Refused) return { is: "refused", words: error.message };
    return { is: "unasked", words: error instanceof Problem ? error.message : String(error) };
  }
}

export function Shown({ of }: { of: Verdict }) {
  if (of.is === "unasked") return <p class="note warn">There is nothing to check: {tame(of.words)}</p>;
  if (of.is === "refused") {
    return (
      <p class="note bad" role="alert">
        <Mark is="bad">not proven</Mark> This receipt is refused: {tame(of.words)}
      </p>
    );
  }
  const { fact } = of;
  return (
    <div class="note good" role="status">
      <p>
        <Mark is="good">proven</Mark> <Shard shard={fact.shard} /> said so in its block {count(Number(fact.height))} at{" "}
        {date(Number(fact.time))}, certified by its validators of epoch {String(fact.epoch)}. Checked on this machine, with the keys{" "}
        {of.keys}.
      </p>
      <Said said={of.statement} />
    </div>
  );
}

function Said({ said }: { said: Statement }) {
  switch (said.kind) {
    case "vote":
      return (
        <Facts
          facts={[
            ["vote", <Mark is={said.isYes ? "good" : "bad"}>{said.isYes ? "yes" : `no: ${tame(said.reason)}`}</Mark>],
            ["attempt", <Id kind="attempt" id={said.attempt} />],
          ]}
        />
      );
    case "message":
      return (
        <Facts
          facts={[
            ["message", <Id kind="message" id={said.id} />],
            ["value", ether(said.value.toString())],
            ["deadline", date(Number(said.deadline))],
            ["body", textOf(said.body) ?? <code class="wrap">{hex(said.body).slice(0, 400)}</code>],
          ]}
        />
      );
    case "delivery":
      return (
        <Facts
          facts={[
            ["message", <Id kind="message" id={said.message} />],
            ["status", <Mark is={said.status === "delivered" ? "good" : "bad"}>{said.status}</Mark>],
            ["gas", count(Number(said.gasUsed))],
            ["detail", textOf(said.detail) ?? (said.detail.length ? hex(said.detail) : "none")],
          ]}
        />
      );
    case "outcome":
      return (
        <Facts
          facts={[
            ["transaction", <Id kind="transaction" id={said.transaction} />],
            ["status", <Mark is={said.status === "success" ? "good" : "bad"}>{said.status}</Mark>],
            ["gas", count(Number(said.gasUsed))],
            said.attempt !== null && (["committed by", <Id kind="attempt" id={said.attempt} />] as const),
            ["digest of the whole outcome", <code class="wrap">{said.outcome}</code>],
          ]}
        />
      );
  }
}

/** Checks one receipt, and gives it to the reader. */
export function ReceiptCheck({ kind, id, shard, block, label }: { kind: string; id: string; shard?: number | undefined; block?: number; label: string }) {
  const [seen, tell] = useState<Verdict | "asking" | null>(null);
  const where = [shard === undefined ? [] : [`shard=${shard}`], block === undefined ? [] : [`block=${block}`]].flat();
  const path = `receipts/${kind}/${id}${where.length > 0 ? `?${where.join("&")}` : ""}`;
  const check = async () => {
    tell("asking");
    try {
      tell(await verdict(await askBytes(path), id));
    } catch (error) {
      tell({ is: "unasked", words: error instanceof Problem ? error.message : String(error) });
    }
  };
  return (
    <div class="check">
      <button type="button" onClick={check}>
        Check: {label}
      </button>{" "}
      <a href={`${API}/${path}`} download={`${kind}-${id}.receipt`}>
        download
      </a>
      {seen === "asking" ? <p class="awaited">checking…</p> : seen && <Shown of={seen} />}
    </div>
  );
}

/** Checks the state of an account. */
export function StateCheck({ address, slots }: { address: string; slots: string }) {
  const [seen, tell] = useState<{ is: "good" | "bad"; words: string } | null>(null);
  const check = async () => {
    try {
      const { network, shards } = await keys();
      const claim = await ask<Parameters<typeof provenState>[1]>(`proofs/${address}${slots ? `?slots=${slots}` : ""}`);
      if (claim.address.toLowerCase() !== address.toLowerCase()) throw new Refused("state", "it is of another address");
      const state = provenState(new Verifier(network, shards), claim);
      const account = state.account
        ? `nonce ${state.account.nonce}, ${ether(state.account.balance.toString())}, code hash ${hex(state.account.codeHash)}`
        : "there is no such account";
      const values = state.slots.map(({ slot, value }) => `slot 0x${slot.toString(16)} is 0x${value.toString(16)}`);
      tell({ is: "good", words: `after block ${state.height} of shard ${state.shard}: ${[account, ...values].join("; ")}` });
    } catch (error) {
      tell({ is: "bad", words: error instanceof Error ? error.message : String(error) });
    }
  };
  return (
    <div class="check">
      <button type="button" onClick={check}>
        Check its state against the state root
      </button>
      {seen && (
        <p class={`note ${seen.is}`} role={seen.is === "bad" ? "alert" : "status"}>
          <Mark is={seen.is}>{seen.is === "good" ? "proven" : "not proven"}</Mark> {tame(seen.words, 1_000)}
        </p>
      )}
    </div>
  );
}

/** A page of its own: any receipt, from a file, from the node, or in hex. */
export function ProofPage({ query }: { query: URLSearchParams }) {
  const [seen, tell] = useState<Verdict | null>(null);
  const [text, setText] = useState("");
  const [pasted, setPasted] = useState(localStorage.getItem(KEYS) ?? "");
  const [kind, id, shard] = [query.get("kind"), query.get("id"), query.get("shard")];
  useEffect(() => {
    if (!kind || !id) return;
    askBytes(`receipts/${encodeURIComponent(kind)}/${encodeURIComponent(id)}${shard ? `?shard=${encodeURIComponent(shard)}` : ""}`)
      .then((bytes) => {
        setText(hex(bytes));
        return verdict(bytes, id);
      })
      .then(tell, (error) => tell({ is: "unasked", words: String(error.message ?? error) }));
  }, [kind, id, shard]);
  const fromFile = async (file: File | undefined) => {
    if (!file) return;
    const bytes = new Uint8Array(await file.slice(0, 100_000).arrayBuffer());
    setText(hex(bytes));
    tell(await verdict(bytes));
  };
  const fromText = async () => {
    try {
      tell(await verdict(unhex(text.replace(/\s/g, ""))));
    } catch (error) {
      tell({ is: "refused", words: error instanceof Error ? error.message : String(error) });
    }
  };
  const keep = () => {
    try {
      if (pasted.trim() === "") localStorage.removeItem(KEYS);
      else {
        pastedKeys(pasted);
        localStorage.setItem(KEYS, pasted);
      }
      tell(null);
    } catch (error) {
      tell({ is: "unasked", words: error instanceof Error ? error.message : String(error) });
    }
  };
  return (
    <>
      <h1>Check a receipt</h1>
      <p>
        A receipt proves what a shard said, to whoever believes its validators’ keys. It is checked on your machine; nothing is sent.{" "}
        <code>dovetail receipt verify</code> checks the same files.
      </p>
      {seen && <Shown of={seen} />}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void fromText();
        }}
      >
        <p>
          <label for="file">A receipt’s file</label>
          <input id="file" type="file" onChange={(event) => void fromFile(event.currentTarget.files?.[0])} />
        </p>
        <label for="hex">or its bytes in hex</label>
        <textarea id="hex" rows={6} spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        <button type="submit">Check</button>
      </form>
      <details>
        <summary>Whose keys are believed</summary>
        <p>
          Those that this node says, unless you paste others here: JSON as of <code>{API}/network</code>, with <code>network</code> and{" "}
          <code>shards</code>. The network file has the same keys, as TOML, which is not read here.
        </p>
        <label for="keys">Keys</label>
        <textarea id="keys" rows={4} spellcheck={false} value={pasted} onInput={(event) => setPasted(event.currentTarget.value)} />
        <button type="button" onClick={keep}>
          Believe these
        </button>
      </details>
    </>
  );
}
