// The frame of every page: where one is, the search box, and the view of the page's own address.
import { useEffect, useRef, useState } from "preact/hooks";
import { AddressPage } from "./addresses";
import { API, type Attempt, type Silent, ask } from "./api";
import { MessagePage, MessagesPage } from "./messages";
import { BlockPage, BlocksPage, NowPage } from "./network";
import { ProofPage, ReceiptCheck } from "./proof";
import { HOME, type Place, go, pathOf, placeOf } from "./route";
import { TransactionPage } from "./transactions";
import { Answer, Facts, Id, Link, Mark, Shard, Silences, Table, useAnswer } from "./ui";
import { date, short, tame } from "./words";

const TITLES: Record<Place["view"], string> = {
  now: "the network now",
  blocks: "blocks",
  block: "block",
  tx: "transaction",
  attempt: "attempt",
  message: "message",
  messages: "dead letters",
  address: "address",
  proof: "check a receipt",
  search: "search",
  nowhere: "nothing here",
};

export function App() {
  const [place, move] = useState(() => placeOf(location));
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    const moved = () => move(placeOf(location));
    addEventListener("popstate", moved);
    return () => removeEventListener("popstate", moved);
  }, []);
  useEffect(() => {
    document.title = `${TITLES[place.view]}${place.id ? ` ${short(place.id)}` : ""} · dovetail explorer`;
    // Whoever listens to the page hears that it is another one.
    if (!isFirst.current) main.current?.focus();
    isFirst.current = false;
  }, [place]);
  return (
    <>
      <a class="skip" href="#main">
        to the content
      </a>
      <header>
        <Link to={HOME} class="home">
          dovetail <span>explorer</span>
        </Link>
        <Search />
        <nav aria-label="Pages">
          <Link to={HOME}>now</Link> <Link to={pathOf("blocks")}>blocks</Link> <Link to={pathOf("messages")}>dead letters</Link>{" "}
          <Link to={pathOf("proof")}>check a receipt</Link>
        </nav>
      </header>
      <main id="main" tabIndex={-1} ref={main}>
        <View place={place} />
      </main>
      <footer>
        Told by the node you asked; proven where it says so. <a href="/explorer/api/openapi.json">API</a>
      </footer>
    </>
  );
}

function View({ place: { view, id, query } }: { place: Place }) {
  switch (view) {
    case "now":
      return <NowPage />;
    case "blocks":
      return <BlocksPage query={query} />;
    case "block":
      return <BlockPage id={id} query={query} />;
    case "tx":
      return <TransactionPage id={id} />;
    case "attempt":
      return <AttemptPage id={id} />;
    case "message":
      return <MessagePage id={id} />;
    case "messages":
      return <MessagesPage query={query} />;
    case "address":
      return <AddressPage id={id} query={query} />;
    case "proof":
      return <ProofPage query={query} />;
    case "search":
      return <SearchPage query={query} />;
    case "nowhere":
      return (
        <>
          <h1>Nothing is here</h1>
          <p>
            <Link to={HOME}>The network now</Link> is a good place to begin.
          </p>
        </>
      );
  }
}

function Search() {
  const [text, setText] = useState("");
  return (
    <form
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) go(`${pathOf("search")}?q=${encodeURIComponent(text.trim())}`);
      }}
    >
      <label for="q" class="unseen">
        Transaction, message, attempt, address or block
      </label>
      <input
        id="q"
        type="search"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        placeholder="transaction, message, attempt, address, block"
        autocomplete="off"
        spellcheck={false}
      />
      <button type="submit">Search</button>
    </form>
  );
}

interface Found {
  q: string;
  found: { kind: string; id: string | number }[];
  silent: Silent[];
}

function SearchPage({ query }: { query: URLSearchParams }) {
  const q = query.get("q") ?? "";
  const asked = useAnswer(() => ask<Found>(`search?q=${encodeURIComponent(q)}`), `search ${q}`);
  const only = asked.value?.found.length === 1 ? asked.value.found[0] : undefined;
  useEffect(() => {
    if (!only) return;
    // The way back is to where the question was asked.
    history.replaceState(null, "", pathOf(only.kind, only.id));
    dispatchEvent(new PopStateEvent("popstate"));
  }, [only]);
  return (
    <>
      <h1>Search</h1>
      <Answer of={asked}>
        {({ found, silent }) => (
          <>
            <Silences silent={silent} />
            {found.length === 0 ? (
              <p class="note">
                Nothing that this network knows is <code class="wrap">{tame(q, 120)}</code>.
              </p>
            ) : (
              <ul>
                {found.map(({ kind, id }) => (
                  <li key={kind}>
                    {kind} <Id kind={kind} id={String(id)} whole />
                  </li>
                ))}
              </ul>
            )}
          </>
        )}
      </Answer>
    </>
  );
}

function AttemptPage({ id }: { id: string }) {
  const asked = useAnswer(() => ask<Attempt>(`attempts/${encodeURIComponent(id)}`), `attempt ${id}`);
  return (
    <>
      <h1>Attempt</h1>
      <p>
        <code class="wrap">{tame(id, 80)}</code>
      </p>
      <p>One try at committing on all its shards at once. It commits if all vote yes; one no ends it.</p>
      <Answer of={asked}>
        {({ votes, silent, decision, transaction }) => (
          <>
            <Silences silent={silent} />
            <Facts
              facts={[
                [
                  "ended as",
                  decision === "commit" ? (
                    <Mark is="good">commit</Mark>
                  ) : decision === "abort" ? (
                    <>
                      <Mark is="bad">abort</Mark> one no is enough
                    </>
                  ) : (
                    "not known here: it is undecided, or no block that this node has shows what it did"
                  ),
                ],
                transaction && ["committed", <Id kind="transaction" id={transaction} whole />],
              ]}
            />
            <Table heads={["shard", "vote", "block", "time"]} label="Votes">
              {votes.map((vote) => (
                <tr key={vote.shard}>
                  <td>
                    <Shard shard={vote.shard} />
                  </td>
                  <td>
                    <Mark is={vote.verdict === "yes" ? "good" : "bad"}>{vote.verdict}</Mark> {tame(vote.reason)}
                  </td>
                  <td>{vote.height}</td>
                  <td>{date(vote.time)}</td>
                </tr>
              ))}
            </Table>
            <h2>Proof</h2>
            {votes.map((vote) => (
              <ReceiptCheck key={vote.shard} kind="vote" id={id} shard={vote.shard} block={vote.height} label={`the vote of shard ${vote.shard}`} />
            ))}
            <p class="quiet">
              <a href={`${API}/attempts/${id}`}>the same as JSON</a>
            </p>
          </>
        )}
      </Answer>
    </>
  );
}
