// What the platform is doing apart from the race: recent invocations, workers, and the chosen function's log.

import * as api from "./api.js";
import { byId, el, say } from "./dom.js";
import { ago, bytes, clock, ms, NONE, plural, verdictWords } from "./format.js";
import { waterfall } from "./waterfall.js";

const INVOCATIONS = 12;
const LINES = 200;
const shown = new Map();

/** Rebuild a list only when what it shows has changed: focus, selection and scroll position outlive a poll. */
function rebuild(id, value, rows) {
  const seen = JSON.stringify(value);
  if (shown.get(id) === seen) return;
  shown.set(id, seen);
  byId(id).replaceChildren(...rows());
}

const cell = (name, ...content) => el("td", { "data-name": name }, ...content);
const empty = (columns, text) => el("tr", { class: "empty" }, el("td", { colspan: columns }, text));

function chip(invocation) {
  const { verdict } = invocation;
  if (!verdict || verdict === "running") return el("span", { class: "chip live" }, "running");
  return el("span", { class: `chip ${verdict === "ok" ? "good" : "bad"}` }, verdictWords(invocation));
}

function invocationRow(invocation) {
  const target = `${invocation.method ?? ""} ${invocation.path ?? ""}`;
  const opener = el("button", { type: "button", class: "link", "data-id": invocation.id, title: "Show its waterfall" }, target);
  opener.addEventListener("click", () => showTrace(invocation.id));
  return el(
    "tr",
    null,
    cell("Request", opener),
    cell("Function", invocation.function),
    cell("Mode", el("span", { class: `mode ${invocation.mode}` }, invocation.mode)),
    cell("Status", String(invocation.status ?? NONE)),
    cell("Verdict", chip(invocation)),
    cell("Took", ms(invocation.total_ms)),
    cell("Sent", bytes(invocation.bytes_out)),
    cell("When", el("time", { "data-at": invocation.received_at }, ago(invocation.received_at))),
  );
}

function workerRow(worker) {
  return el(
    "tr",
    null,
    cell("Worker", el("code", null, worker.id)),
    cell("Function", worker.function),
    cell("State", worker.state),
    cell("In flight", String(worker.in_flight ?? 0)),
    cell("Served", String(worker.served ?? 0)),
    cell("Memory", bytes(worker.rss_bytes)),
    cell("Process", String(worker.pid ?? NONE)),
    cell("Started", el("time", { "data-at": worker.started_at }, ago(worker.started_at))),
  );
}

function logLine(line) {
  return el(
    "li",
    { class: line.stream === "stderr" || /^(ERROR|CRITICAL|WARNING)$/.test(line.level ?? "") ? "loud" : null },
    el("time", null, clock(line.at)),
    el("code", { title: line.invocation || "outside any invocation" }, (line.invocation || line.worker || "").slice(-6)),
    el("span", null, line.line),
  );
}

/** Open one invocation's waterfall in a dialog. */
export async function showTrace(id) {
  const dialog = byId("trace");
  const body = dialog.querySelector(".body");
  body.replaceChildren(el("p", { class: "quiet" }, "Fetching the trace\u2026"));
  dialog.showModal();
  try {
    const trace = await api.invocation(id);
    const what = `${trace.function}: ${trace.method} ${trace.path}, ${trace.status ?? "no status"}`;
    body.replaceChildren(el("h2", null, what), waterfall(trace));
  } catch (error) {
    body.replaceChildren(el("p", { class: "problem", role: "alert" }, error.message));
  }
}

export async function refreshInvocations() {
  const list = await api.invocations(INVOCATIONS);
  rebuild("invocations", list, () =>
    list.length ? list.map(invocationRow) : [empty(8, "Nothing has run yet. Press Run, or open one of the function's addresses.")],
  );
  for (const time of document.querySelectorAll("time[data-at]")) say(time, ago(Number(time.dataset.at)));
}

export async function refreshWorkers() {
  const list = await api.workers();
  rebuild("workers", list, () =>
    list.length ? list.map(workerRow) : [empty(8, "No worker is running: the platform has scaled to zero.")],
  );
}

export async function refreshLog(name) {
  const lines = name ? await api.logs(name, LINES) : [];
  const box = byId("log");
  const following = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  say(byId("log-of"), name ? `of ${name}` : "");
  say(byId("log-count"), lines.length ? plural(lines.length, "line") : "");
  rebuild("log", [name, lines], () =>
    lines.length ? lines.map(logLine) : [el("li", { class: "quiet" }, "Nothing was printed or logged.")],
  );
  if (following) box.scrollTop = box.scrollHeight;
}
