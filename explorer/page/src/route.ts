// Addresses of this page: what each shows. They are the ids of what they show, so a link lasts as long as that.

export interface Place {
  view: "now" | "blocks" | "block" | "tx" | "attempt" | "message" | "messages" | "address" | "proof" | "search" | "nowhere";
  id: string;
  query: URLSearchParams;
}

export const HOME = "/explorer/";

const VIEWS: readonly Place["view"][] = ["blocks", "block", "tx", "attempt", "message", "messages", "address", "proof", "search"];

export function placeOf(location: { pathname: string; search: string }): Place {
  const [view = "", id = ""] = location.pathname
    .replace(/^\/explorer\/?/, "")
    .split("/")
    .map((step) => safely(step));
  const query = new URLSearchParams(location.search);
  if (view === "") return { view: "now", id: "", query };
  const known = VIEWS.find((known) => known === view);
  return { view: known ?? "nowhere", id, query };
}

function safely(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}

/** Where something is shown. */
export function pathOf(kind: string, id: string | number = ""): string {
  const view = kind === "transaction" ? "tx" : kind;
  return `${HOME}${view}${id === "" ? "" : `/${encodeURIComponent(id)}`}`;
}

/** Goes there without asking the node for the page again. */
export function go(path: string): void {
  history.pushState(null, "", path);
  dispatchEvent(new PopStateEvent("popstate"));
  scrollTo(0, 0);
}
