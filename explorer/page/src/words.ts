// Numbers, times and bytes in words. Text that came from the network is shown as text and as nothing else: everything on this page
// is put there by the DOM, never as markup.

export const short = (hex: string, digits = 6) => (hex.length > 2 * digits + 5 ? `${hex.slice(0, digits + 2)}…${hex.slice(-digits)}` : hex);

export const count = (number: number) => number.toLocaleString("en");

/** Wei as ether, without losing a digit. */
export function ether(wei: string | undefined): string {
  if (wei === undefined) return "?";
  const digits = BigInt(wei).toString().padStart(19, "0");
  const [whole, part] = [digits.slice(0, -18), digits.slice(-18).replace(/0+$/, "")];
  return `${BigInt(whole).toLocaleString("en")}${part && `.${part}`} ether`;
}

export const clock = (ms: number) => new Date(ms).toISOString().slice(11, 23);

export const date = (ms: number) => `${new Date(ms).toISOString().replace("T", " ").slice(0, 23)} UTC`;

export function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}

export const ago = (ms: number) => `${span(Math.max(0, Date.now() - ms))} ago`;

/** What letters must not do on a page: change its direction, hide, or pass for a line's end. */
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffc]/g;

/** Text of strangers: its unseen letters are shown, and it has an end. */
export function tame(text: string, most = 400): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  return cut.replace(UNSEEN, (letter) => `\\u{${letter.codePointAt(0)!.toString(16)}}`);
}

/** Bytes as text, where they are UTF-8 that has something to show. */
export function textOf(bytes: Uint8Array): string | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text.length > 0 && !/[\u0000-\u0008\u000e-\u001f]/.test(text) ? tame(text) : null;
  } catch {
    return null;
  }
}

export function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.slice(2).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
