// Accounts and contracts: what is there, on which shard, what it did, and with whom across shards.
import { useState } from "preact/hooks";
import { API, type Address, ask } from "./api";
import { keep, kept, layout, variable } from "./abi";
import { StateCheck } from "./proof";
import { go, pathOf } from "./route";
import { Lines } from "./transactions";
import { Answer, Bytes, Facts, Id, Link, Shard, Silences, Table, useAnswer } from "./ui";
import { count, ether, short, tame } from "./words";

export function AddressPage({ id, query }: { id: string; query: URLSearchParams }) {
  const [before, slots] = [query.get("before"), query.get("slots") ?? ""];
  const parameters = new URLSearchParams({ ...(before ? { before } : {}), ...(slots ? { slots } : {}) });
  const asked = useAnswer(() => ask<Address>(`addresses/${encodeURIComponent(id)}?${parameters}`), `address ${id} ${parameters}`);
  return (
    <>
      <h1>Address</h1>
      <p>
        <code class="wrap">{tame(id, 80)}</code>
      </p>
      <Answer of={asked}>{(address) => <Whole address={address} slots={slots} />}</Answer>
    </>
  );
}

function Whole({ address: it, slots }: { address: Address; slots: string }) {
  const { account } = it;
  const isContract = (account.codeBytes ?? 0) > 0;
  return (
    <>
      <Silences silent={it.silent} />
      <Facts
        facts={[
          [
            "it is",
            account.unread
              ? "not read: its shard does not answer"
              : it.mailboxOf !== null
                ? `the mailbox of shard ${it.mailboxOf}`
                : isContract
                  ? "a contract"
                  : "an account",
          ],
          ["on", <Shard shard={it.shard} />],
          account.balance !== undefined && ["balance", ether(account.balance)],
          account.nonce !== undefined && ["nonce", count(account.nonce)],
          it.creation && ["created by", <Id kind="transaction" id={it.creation} />],
          isContract && ["code", <Bytes hex={account.code} count={account.codeBytes} />],
          account.codeHash && ["code hash", <code class="wrap">{account.codeHash}</code>],
        ]}
      />
      <StateCheck address={it.address} slots={slots} />
      {isContract && (
        <>
          <Storage address={it} slots={slots} />
          <Abi address={it.address} />
        </>
      )}
      <h2>With whom, and on which shard</h2>
      <Neighbours address={it} />
      <h2>Transactions</h2>
      <Lines lines={it.page} label="Transactions of the address" />
      {it.next === null ? (
        <p class="quiet">None is earlier; {it.oldest} is the oldest block that is kept.</p>
      ) : (
        <Link to={`${pathOf("address", it.address)}?before=${it.next}`}>earlier</Link>
      )}
      <p class="quiet">
        <a href={`${API}/addresses/${it.address}`}>the same as JSON</a>
      </p>
    </>
  );
}

function Storage({ address, slots }: { address: Address; slots: string }) {
  const [text, setText] = useState(slots);
  const known = layout(address.address);
  const wanted = [...new Set(known.map(({ slot }) => slot))].slice(0, 16).join(",");
  const named = (slot: string) => known.filter((variable) => BigInt(variable.slot) === BigInt(slot));
  return (
    <>
      <h2>Storage</h2>
      {known.length > 0 && (
        <p>
          <Link to={`${pathOf("address", address.address)}?slots=${wanted}`}>Read the variables of its layout</Link>
        </p>
      )}
      <form
        class="inline"
        onSubmit={(event) => {
          event.preventDefault();
          go(`${pathOf("address", address.address)}?slots=${encodeURIComponent(text.trim())}`);
        }}
      >
        <label for="slots">Slots, joined by commas</label>
        <input id="slots" value={text} onInput={(event) => setText(event.currentTarget.value)} placeholder="0,1,0x2" />
        <button type="submit">Read</button>
      </form>
      {address.storage.length > 0 && (
        <Table heads={["slot", "value", "variables"]} label="Storage">
          {address.storage.map(({ slot, value }) => (
            <tr key={slot}>
              <td>{slot}</td>
              <td>
                <code class="wrap">{value}</code>
              </td>
              <td>
                {named(slot).map((known) => (
                  <div key={known.label}>
                    {tame(known.label, 80)} <code>{variable(known, value)}</code>
                  </div>
                ))}
              </td>
            </tr>
          ))}
        </Table>
      )}
    </>
  );
}

function Abi({ address }: { address: string }) {
  const [said, say] = useState("");
  const known = kept(address).length;
  const load = async (file: File | undefined) => {
    if (!file) return;
    say(keep(address, await file.text()) ?? "Kept on this machine: calls and logs of this address are decoded with it.");
  };
  return (
    <>
      <h2>ABI</h2>
      <p>
        <label for="abi">
          {known > 0
            ? `${known} entries are known. Another ABI`
            : "Load an ABI (JSON; an artifact or Sourcify metadata will do; with a storageLayout variables are named too)"}
        </label>
        <input id="abi" type="file" accept=".json,application/json" onChange={(event) => void load(event.currentTarget.files?.[0])} />
        <span role="status">{said}</span>
      </p>
    </>
  );
}

/** This address in the middle, those it met around it, each in its shard's colour. */
function Neighbours({ address: it }: { address: Address }) {
  if (it.neighbours.length === 0) return <p class="quiet">none in these transactions</p>;
  const shown = it.neighbours.slice(0, 12);
  const [width, height, middle] = [640, 320, { x: 320, y: 160 }];
  const placed = shown.map((neighbour, at) => {
    const angle = (at / shown.length) * 2 * Math.PI - Math.PI / 2;
    return { ...neighbour, x: middle.x + Math.cos(angle) * 230, y: middle.y + Math.sin(angle) * 125 };
  });
  const most = Math.max(...shown.map(({ count }) => count));
  return (
    <figure class="graph">
      <svg
        viewBox={`0 0 ${width} ${height}`}
        role="img"
        aria-label={`${it.neighbours.length} addresses that took part in the same transactions; the same is in the table below`}
      >
        {placed.map(({ address, shard, count, x, y }) => (
          <line
            key={address}
            class={shard === it.shard ? "edge" : "edge crosses"}
            x1={middle.x}
            y1={middle.y}
            x2={x}
            y2={y}
            stroke-width={1 + (3 * count) / most}
          />
        ))}
        {placed.map(({ address, shard, x, y }) => (
          <g key={address} class={`node s${shard % 8}`} transform={`translate(${x} ${y})`}>
            <circle r="9" />
            <text y={y < middle.y ? -14 : 24} text-anchor="middle">
              {short(address, 4)}
            </text>
          </g>
        ))}
        <g class={`node self s${it.shard % 8}`} transform={`translate(${middle.x} ${middle.y})`}>
          <circle r="13" />
        </g>
      </svg>
      <figcaption>Dashed lines cross shards.</figcaption>
      <Table heads={["address", "shard", "transactions together"]} label="Neighbours">
        {it.neighbours.map(({ address, shard, count }) => (
          <tr key={address}>
            <td>
              <Id kind="address" id={address} />
            </td>
            <td>
              <Shard shard={shard} />
            </td>
            <td>{count}</td>
          </tr>
        ))}
      </Table>
    </figure>
  );
}
