// Numbers as people read them. Every function takes null and undefined and shows them as an en dash.

export const NONE = "\u2013";

const missing = (value) => value === null || value === undefined || Number.isNaN(value);

/** Milliseconds: "0.42 ms", "38 ms", "1.27 s", "2 min 05 s". */
export function ms(value) {
  if (missing(value)) return NONE;
  if (value === 0) return "0 ms";
  if (value < 10) return `${value.toFixed(value < 1 ? 2 : 1)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(2)} s`;
  const seconds = Math.round(value / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
}

/** Bytes in powers of 1024. */
export function bytes(value) {
  if (missing(value)) return NONE;
  if (value < 1024) return `${value} B`;
  let amount = value;
  let unit = -1;
  do {
    amount /= 1024;
    unit += 1;
  } while (amount >= 1023.95 && unit < 3);
  return `${amount.toFixed(amount < 10 ? 1 : 0)} ${["KiB", "MiB", "GiB", "TiB"][unit]}`;
}

/** A count that fits where four characters fit: 7, 930, 1.2k, 48k, 3.1M. */
export function short(value) {
  if (value < 1000) return String(value);
  const [amount, unit] = value < 999_500 ? [value / 1000, "k"] : [value / 1e6, "M"];
  return `${amount.toFixed(amount < 10 ? 1 : 0)}${unit}`;
}

export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

/** Unix seconds as "now", "12 s ago", "4 min ago", "3 h ago", or a date. */
export function ago(seconds, now = Date.now() / 1000) {
  if (missing(seconds)) return NONE;
  const age = Math.max(0, now - seconds);
  if (age < 2) return "now";
  if (age < 60) return `${Math.floor(age)} s ago`;
  if (age < 3600) return `${Math.floor(age / 60)} min ago`;
  if (age < 86_400) return `${Math.floor(age / 3600)} h ago`;
  return new Date(seconds * 1000).toLocaleDateString();
}

/** Unix seconds as the local time of day. */
export function clock(seconds) {
  if (missing(seconds)) return NONE;
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}

/** The header's value out of an object or a list of pairs, whatever its case; null when it is not there. */
export function header(headers, name) {
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers ?? {});
  return pairs.find(([key]) => String(key).toLowerCase() === name)?.[1] ?? null;
}

/** How an invocation ended, and who caused it when it did not end well. */
export function verdictWords({ verdict, cause, code }) {
  if (code === "LR") return "no such function";
  return verdict !== "ok" && cause ? `${verdict} (${cause})` : verdict;
}
