// One invocation: how it went, its waterfall, its request, what it printed, and its replay.

import * as api from "./api.js";
import { byId, el, say } from "./dom.js";
import { bytes, clock } from "./format.js";
import { listen, now } from "./live.js";
import { LogList } from "./log-list.js";
import { Replay } from "./replay.js";
import { chip, link, to } from "./rows.js";
import { waterfall } from "./waterfall.js";

const LINES = 200;
const SHOWN_BODY = 4000;
const LOOK_MS = 1000;

export class InvocationView {
  title = "Invocation";
  #off = () => {};
  #look = null;
  #logged = false;

  constructor(problem) {
    this.root = byId("view-invocation");
    this.log = new LogList(byId("invocation-log"), { nothing: "It printed and logged nothing." });
    this.replay = new Replay(problem);
  }

  enter(id) {
    this.leave();
    this.id = id;
    this.trace = null;
    this.#logged = false;
    this.log.clear();
    this.replay.clear();
    say(byId("invocation-title"), "Fetching the trace\u2026");
    for (const part of ["invocation-how", "invocation-waterfall", "invocation-request"]) byId(part).replaceChildren();
    byId("invocation-known").hidden = true;
    byId("invocation-problem").hidden = true;
    this.#fetch(id);
    this.#off = listen(() => this.#heard());
  }

  leave() {
    this.#off();
    clearTimeout(this.#look);
    this.replay.stop();
  }

  /** Something happened on the platform: perhaps this one ended, or printed something. */
  #heard() {
    if (this.trace?.verdict === "running" && now.ended.some(({ id }) => id === this.id)) this.#fetch(this.id);
    if (this.#logged) this.log.add(now.lines, (line) => line.invocation === this.trace.id);
  }

  async #fetch(id) {
    clearTimeout(this.#look);
    try {
      const trace = await api.invocation(id);
      if (this.id !== id) return;
      const first = this.trace?.id !== trace.id;
      this.trace = trace;
      this.#show(trace, first);
      if (trace.verdict === "running") this.#look = setTimeout(() => this.root.hidden || this.#fetch(id), LOOK_MS);
      if (first || trace.verdict !== "running") await this.#lines(trace);
    } catch (error) {
      if (this.id !== id) return;
      say(byId("invocation-title"), "Invocation");
      say(byId("invocation-problem"), error.message);
      byId("invocation-problem").hidden = false;
    }
  }

  async #lines(trace) {
    if (!trace.function) return;
    try {
      const lines = await api.logs(trace.function, LINES, trace.id);
      if (this.trace?.id !== trace.id) return;
      this.log.add(lines);
      this.#logged = true;
    } catch (error) {
      if (error.status !== 404) throw error; // its function was removed, and its log with it
    }
  }

  #show(trace, first) {
    byId("invocation-known").hidden = false;
    say(byId("invocation-title"), `${trace.method} ${trace.path}`);
    byId("invocation-how").replaceChildren(
      chip(trace),
      trace.status ? ` HTTP ${trace.status}` : " no status",
      ...(trace.function ? [" from ", link(to("functions", trace.function), trace.function)] : []),
      ...(trace.deployment ? [", deployment ", el("code", null, trace.deployment)] : []),
      `, ${clock(trace.received_at)}`,
    );
    if (trace.marks?.length) byId("invocation-waterfall").replaceChildren(waterfall(trace));
    else byId("invocation-waterfall").replaceChildren(el("p", { class: "quiet" }, "Only a summary was kept: too many invocations ended in the same second for the details of each."));
    byId("invocation-request").replaceChildren(...request(trace.request));
    if (first || trace.verdict !== "running") this.replay.offer(trace);
  }
}

/** The request as it was recorded: what a replay sends. */
function* request(record) {
  if (!record) {
    yield el("p", { class: "quiet" }, "The request was not kept.");
    return;
  }
  yield el("p", { class: "target" }, el("code", null, `${record.method} ${record.target}`));
  const fields = [["host", record.authority], ...record.headers];
  yield el(
    "dl",
    { class: "facts" },
    ...fields.flatMap(([name, value]) => [el("dt", null, name), el("dd", null, value)]),
    ...record.left_out.flatMap((name) => [el("dt", null, name), el("dd", { class: "quiet" }, "not kept: it carries a credential")]),
  );
  if (!record.body_kept) {
    yield el("p", { class: "quiet" }, `The body${record.body_bytes ? ` of ${bytes(record.body_bytes)}` : ""} was not kept.`);
  } else if (record.base64) {
    yield el("p", { class: "quiet" }, `A body of ${bytes(record.body_bytes)} that is not text.`);
  } else if (record.body) {
    const cut = record.body.length > SHOWN_BODY;
    yield el("pre", { tabindex: 0, role: "region", "aria-label": "Request body" }, record.body.slice(0, SHOWN_BODY));
    if (cut) yield el("p", { class: "quiet" }, `The first ${SHOWN_BODY.toLocaleString("en")} of ${record.body.length.toLocaleString("en")} characters.`);
  }
}
