// Small parts that every page is made of.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, type Silent } from "./api";
import { go, pathOf } from "./route";
import { short, tame } from "./words";

/** A link within the page. */
export function Link({ to, children, ...rest }: { to: string; children: ComponentChildren; class?: string; title?: string }) {
  const follow = (event: MouseEvent) => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to);
  };
  return (
    <a href={to} onClick={follow} {...rest}>
      {children}
    </a>
  );
}

/** A hash, an id or an address, cut in the middle, whole for who asks. */
export function Id({ kind, id, whole }: { kind: string; id: string; whole?: boolean }) {
  return (
    <Link to={pathOf(kind, id)} class="id" title={id}>
      {whole ? id : short(id)}
    </Link>
  );
}

export function Shard({ shard }: { shard: number | null | undefined }) {
  if (shard === null || shard === undefined) return <span class="shard foreign">foreign chain</span>;
  return <span class={`shard s${shard % 8}`}>shard {shard}</span>;
}

export function Shards({ shards }: { shards: number[] }) {
  return (
    <span class="shards">
      {shards.map((shard) => (
        <Shard key={shard} shard={shard} />
      ))}
    </span>
  );
}

/** A word in a coloured frame; the word says it too, for who sees no colours. */
export function Mark({ is, children }: { is: "good" | "bad" | "wait" | "plain"; children: ComponentChildren }) {
  return <span class={`mark ${is}`}>{children}</span>;
}

export const statusMark = (status: string | undefined) =>
  status === "success" || status === "committed" || status === "delivered"
    ? "good"
    : status === "pending"
      ? "wait"
      : status
        ? "bad"
        : "plain";

/** Shards that do not answer: what only they know is missing here. */
export function Silences({ silent }: { silent: Silent[] | undefined }) {
  if (!silent?.length) return null;
  return (
    <div class="note warn" role="status">
      <strong>Not all shards answer.</strong> What only they know is missing; all the rest is here.
      <ul>
        {silent.map(({ shard, reason }) => (
          <li key={shard}>
            <Shard shard={shard} /> {tame(reason)}
          </li>
        ))}
      </ul>
    </div>
  );
}

export interface Asked<T> {
  value: T | null;
  problem: Problem | null;
}

/** An answer that is asked for again every `every` milliseconds, as long as somebody looks and `isOver` is not so. */
export function useAnswer<T>(question: () => Promise<T>, key: string, every = 0, isOver: (value: T) => boolean = () => false): Asked<T> {
  const [asked, tell] = useState<Asked<T>>({ value: null, problem: null });
  const latest = useRef(key);
  useEffect(() => {
    latest.current = key;
    tell({ value: null, problem: null });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const again = () => {
      if (every > 0) timer = setTimeout(look, every);
    };
    const look = async () => {
      if (document.hidden && every > 0) return again();
      try {
        const value = await question();
        if (latest.current !== key) return;
        tell({ value, problem: null });
        if (!isOver(value)) again();
      } catch (error) {
        if (latest.current !== key) return;
        const problem = error instanceof Problem ? error : new Problem(0, "this page failed", String(error));
        tell((before) => ({ value: before.value, problem }));
        again();
      }
    };
    void look();
    return () => {
      latest.current = "";
      clearTimeout(timer);
    };
  }, [key, every]);
  return asked;
}

/** What an answer shows; meanwhile that it is awaited, and instead why there is none. */
export function Answer<T>({ of, children }: { of: Asked<T>; children: (value: T) => ComponentChildren }) {
  return (
    <>
      {of.problem && (
        <div class="note bad" role="alert">
          <strong>{of.problem.title}</strong> {tame(of.problem.message)}
        </div>
      )}
      {of.value !== null ? children(of.value) : !of.problem && <p class="awaited">asking…</p>}
    </>
  );
}

/** Names and what they are. */
export function Facts({ facts }: { facts: (readonly [string, ComponentChildren] | null | false | "" | undefined)[] }) {
  return (
    <dl class="facts">
      {facts.map(
        (fact) =>
          fact && (
            <div key={fact[0]}>
              <dt>{fact[0]}</dt>
              <dd>{fact[1]}</dd>
            </div>
          ),
      )}
    </dl>
  );
}

/** A table that scrolls sideways in its own place. */
export function Table({ heads, children, label }: { heads: string[]; children: ComponentChildren; label: string }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** Bytes in hex that may be long. */
export function Bytes({ hex, count }: { hex: string | undefined; count?: number | undefined }) {
  if (!hex || hex === "0x") return <span class="quiet">none</span>;
  const bytes = count ?? (hex.length - 2) / 2;
  return (
    <details class="bytes">
      <summary>
        {bytes} bytes, <code>{hex.slice(0, 18)}…</code>
      </summary>
      <code class="wrap">{hex}</code>
    </details>
  );
}
