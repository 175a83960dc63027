// What the platform is doing now, kept up to date by its own event stream. Views read `now` and are told of changes.

import * as api from "./api.js";
import { onFrame } from "./dom.js";

const ENDED = 500;
const LINES = 2000;
const SILENCE_MS = 15_000;
const FIRST_RETRY_MS = 400;
const LAST_RETRY_MS = 5000;

/** `ended` has the newest first, `lines` the oldest; `missed` counts what ended too fast to be listed since `ended` was fetched. */
export const now = { platform: null, functions: null, workers: [], live: { count: 0, invocations: [] }, ended: [], missed: 0, lines: [] };

const listeners = new Set();
const changed = new Set();
let abort = null;
let retry = null;
let pause = FIRST_RETRY_MS;
let failures = 0;
let onState = () => {};

/** Call `listener(changes)`, a set of names in `now`, before the next frame after something changed; returns the off switch. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = () => {
  const all = new Set(changed);
  changed.clear();
  for (const listener of listeners) listener(all);
};

function change(name) {
  changed.add(name);
  onFrame(tell);
}

const newestFirst = (invocations, before) => {
  const known = new Set(invocations.map(({ id }) => id));
  return [...invocations, ...before.filter(({ id }) => !known.has(id))].slice(0, ENDED);
};

const TAKE = {
  platform: (data) => (now.platform = data),
  functions: (data) => (now.functions = data.functions),
  workers: (data) => (now.workers = data.workers),
  live: (data) => (now.live = data),
  recent(data) {
    now.ended = data.invocations;
    now.missed = 0;
    const last = now.lines.at(-1)?.seq ?? 0;
    now.lines = [...now.lines, ...data.lines.filter(({ seq }) => seq > last)].slice(-LINES);
    change("ended");
    change("lines");
  },
  ended(data) {
    now.missed += data.missed;
    now.ended = newestFirst(data.invocations.toReversed(), now.ended);
  },
  log(data) {
    if (data.missed) now.lines.push(missedLine(data));
    now.lines = [...now.lines, ...data.lines].slice(-LINES);
    change("lines");
  },
};

const missedLine = ({ missed, lines }) => ({
  seq: (lines[0]?.seq ?? 1) - 0.5,
  at: lines[0]?.at,
  function: "",
  invocation: "",
  worker: "",
  stream: "platform",
  level: "WARNING",
  line: `${missed.toLocaleString("en")} lines came too fast for this page`,
});

/** Connect now, and again whenever the stream breaks. `state(error)` is told null for a good stream. */
export function start(state) {
  onState = state;
  failures = 0;
  stop();
  pause = FIRST_RETRY_MS;
  follow();
}

export function stop() {
  clearTimeout(retry);
  abort?.abort();
  abort = null;
}

async function follow() {
  const mine = (abort = new AbortController());
  let silence = null;
  const alive = () => {
    clearTimeout(silence);
    silence = setTimeout(() => mine.abort(), SILENCE_MS);
  };
  let error = null;
  try {
    alive();
    for await (const { event, data } of api.watch(mine.signal, alive)) {
      TAKE[event]?.(data);
      change(event);
      pause = FIRST_RETRY_MS;
      failures = 0;
      onState(null);
    }
  } catch (failure) {
    error = failure;
  } finally {
    clearTimeout(silence);
  }
  if (abort !== mine) return; // somebody stopped it
  failures += 1;
  // One break alone is no news: browsers cut streams when a network comes or goes, and containers bring theirs.
  if (failures > 1 || error?.unauthorized) {
    onState(error instanceof api.ApiError ? error : new api.ApiError(0, "unreachable", "The control port does not answer. Is dialback still running?"));
  }
  if (error?.unauthorized) return;
  retry = setTimeout(follow, pause);
  pause = Math.min(LAST_RETRY_MS, pause * 2);
}
