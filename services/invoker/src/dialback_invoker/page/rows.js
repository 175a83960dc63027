// Rows of the page's tables. Each maker returns `{node, update}` for `keyed`.

import { el, say } from "./dom.js";
import { ago, bytes, ms, NONE, verdictWords } from "./format.js";

export const empty = (columns, text) => () => el("tr", { class: "empty" }, el("td", { colspan: columns }, text));
export const to = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;
export const link = (href, text, props = {}) => el("a", { href, ...props }, text);

/** How an invocation stands, as a coloured word. */
export function chip(invocation) {
  const node = el("span");
  showChip(node, invocation);
  return node;
}

function showChip(node, invocation) {
  const { verdict } = invocation;
  const running = !verdict || verdict === "running";
  node.className = `chip ${running ? "live" : verdict === "ok" ? "good" : "bad"}`;
  say(node, running ? "running" : verdictWords(invocation));
}

/** A row of named cells; `cells` maps a name to `(cell, item) => void`, which is called again for each update. */
function row(cells, item) {
  const parts = Object.entries(cells).map(([name, show]) => ({ node: el("td", { "data-name": name }), show }));
  const node = el("tr", null, ...parts.map((part) => part.node));
  return {
    node,
    update(latest) {
      for (const part of parts) part.show(part.node, latest, item);
    },
  };
}

const text = (of) => (cell, item) => say(cell, of(item));
const once = (make) => (cell, item) => cell.firstChild ?? cell.append(make(item));
const age = (of) => (cell, item) => {
  const time = cell.firstChild ?? cell.appendChild(el("time"));
  time.dataset.at = of(item);
  say(time, ago(of(item)));
};
const linked = (href, words) => (cell, item) => {
  const anchor = cell.firstChild ?? cell.appendChild(el("a"));
  anchor.setAttribute("href", href(item));
  say(anchor, words(item));
};

const since = (invocation) => Math.max(0, Date.now() - invocation.received_at * 1000);

/** Unix seconds of when it was received, newest first, for those in flight and those that ended together. */
export const invocationRow = (item) =>
  row(
    {
      Request: once(({ id, method, path }) => link(to("invocations", id), `${method ?? ""} ${path ?? ""}`, { "data-id": id })),
      Function: text((one) => one.function || NONE),
      Mode(cell, one) {
        const mode = cell.firstChild ?? cell.appendChild(el("span"));
        mode.className = `mode ${one.mode}`;
        say(mode, one.mode || NONE);
      },
      Status: text((one) => String(one.status || NONE)),
      Verdict: (cell, one) => showChip(cell.firstChild ?? cell.appendChild(el("span")), one),
      "First byte": text((one) => ms(one.first_byte_ms)),
      Took: text((one) => (one.verdict === "running" ? ms(Math.round(since(one) / 100) * 100) : ms(one.total_ms))),
      Sent: text((one) => bytes(one.bytes_out)),
      When: age((one) => one.received_at),
    },
    item,
  );

export const workerRow = (item) =>
  row(
    {
      Worker: once(({ id }) => el("code", null, id)),
      Function: linked((one) => to("functions", one.function), (one) => one.function),
      State(cell, one) {
        const state = cell.firstChild ?? cell.appendChild(el("span", { class: "workerstate" }));
        state.dataset.state = one.state;
        say(state, one.state);
      },
      Deployment: once(({ deployment }) => el("code", null, deployment || NONE)),
      "In flight": text((one) => String(one.in_flight ?? 0)),
      Served: text((one) => String(one.served ?? 0)),
      Memory: text((one) => bytes(one.rss_bytes)),
      Process: text((one) => String(one.pid ?? NONE)),
      Started: age((one) => one.started_at),
    },
    item,
  );

export const functionRow = (item) =>
  row(
    {
      Function: linked((one) => to("functions", one.name), (one) => one.name),
      Entry: text((one) => `${one.kind}, ${one.entry}`),
      Mode(cell, one) {
        const mode = cell.firstChild ?? cell.appendChild(el("span"));
        mode.className = `mode ${one.mode}`;
        say(mode, one.mode);
      },
      Launcher: text((one) => one.launcher),
      Workers: text((one) => String(one.workers)),
      "In flight": text((one) => String(one.in_flight)),
      Deployed: age((one) => one.created_at),
    },
    item,
  );

export const deploymentRow = (item) =>
  row(
    {
      Deployment: once(({ deployment }) => el("code", null, deployment)),
      State(cell, one) {
        const state = cell.firstChild ?? cell.appendChild(el("span"));
        state.className = one.active ? "chip good" : "quiet";
        say(state, one.active ? "active" : "kept");
      },
      Entry: text((one) => `${one.kind}, ${one.entry}`),
      Mode: text((one) => one.mode),
      Content: once(({ bundle }) => el("code", { title: bundle }, (bundle ?? "").slice(0, 12))),
      Deployed: age((one) => one.created_at),
    },
    item,
  );

/** Ages grow by themselves. */
export function refreshAges() {
  for (const time of document.querySelectorAll("time[data-at]")) say(time, ago(Number(time.dataset.at)));
}
