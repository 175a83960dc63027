// The replay of a recorded invocation: against which deployment, in which mode, and how the two compare.

import * as api from "./api.js";
import { byId, el, say } from "./dom.js";
import { ago, bytes, ms, NONE, plural } from "./format.js";
import { link, to } from "./rows.js";
import { length, waterfall } from "./waterfall.js";

const SHOWN_TEXT = 8000;

const MEASURES = {
  status: ["Status", String],
  verdict: ["Verdict", String],
  first_byte_ms: ["First byte", ms],
  total_ms: ["Total", ms],
  bytes_out: ["Size", bytes],
  chunks: ["Chunks", (count) => count.toLocaleString("en")],
};

const BODIES = {
  same: "The bodies are the same, by length and checksum.",
  different: "The bodies differ.",
  unknown: "Whether the bodies are the same is not known.",
};

/** Why this invocation cannot be made again; empty when it can. */
function obstacle({ verdict, request, function: name }) {
  if (verdict === "running") return "It still runs. It can be replayed once it is over.";
  if (!name) return "It reached no function.";
  if (!request) return "Its request was not kept, so it cannot be replayed.";
  if (!request.body_kept) return "Its body was not kept, so it cannot be replayed: bodies are kept up to 64 KiB, and only where they did not stream.";
  return "";
}

export class Replay {
  #abort = null;

  constructor(problem) {
    this.problem = problem;
    this.form = byId("replay");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#abort) this.stop();
      else this.#run();
    });
  }

  clear() {
    this.stop();
    this.trace = null;
    this.form.hidden = true;
    for (const id of ["replay-secrets", "replay-result"]) byId(id).replaceChildren();
    for (const id of ["replay-said", "replay-why", "replay-problem"]) say(byId(id), "");
    byId("replay-why").hidden = byId("replay-problem").hidden = true;
  }

  stop() {
    this.#abort?.abort();
    this.#abort = null;
  }

  /** Make the form for `trace`. */
  async offer(trace) {
    this.trace = trace;
    const why = obstacle(trace);
    say(byId("replay-why"), why);
    byId("replay-why").hidden = !why;
    this.form.hidden = true;
    if (why) return;
    let deployments;
    try {
      deployments = await api.deployments(trace.function);
    } catch (error) {
      if (this.trace !== trace) return;
      say(byId("replay-why"), error.status === 404 ? `${trace.function} was removed, so there is nothing to replay it against.` : error.message);
      byId("replay-why").hidden = false;
      return;
    }
    if (this.trace !== trace) return;
    const options = deployments.map((one) => {
      const notes = [one.active && "active", one.deployment === trace.deployment && "answered then"].filter(Boolean);
      const words = `${one.deployment} (${[...notes, `deployed ${ago(one.created_at)}`].join(", ")})`;
      return el("option", { value: one.deployment }, words);
    });
    byId("replay-deployment").replaceChildren(...options);
    const active = deployments.find((one) => one.active);
    byId("replay-deployment").value = active?.deployment ?? "";
    byId("replay-mode").value = trace.mode;
    byId("replay-secrets").replaceChildren(...trace.request.left_out.map(secret));
    this.form.hidden = false;
  }

  async #run() {
    const { trace } = this;
    const headers = {};
    for (const input of byId("replay-secrets").querySelectorAll("input")) {
      if (input.value) headers[input.name] = input.value;
    }
    const wanted = { deployment: byId("replay-deployment").value, mode: byId("replay-mode").value, headers };
    const mine = (this.#abort = new AbortController());
    this.#show(null);
    say(byId("replay-run"), "Stop");
    const result = { text: "", chunks: 0 };
    try {
      for await (const { event, data } of api.replay(trace.id, wanted, mine.signal)) {
        if (this.#abort !== mine) return;
        this.#take(result, event, data);
      }
      if (result.after && result.comparison) this.#compare(trace, result);
      else if (!result.end) this.#show("The control port stopped reporting before the replay was over.");
      else say(byId("replay-said"), `The request was made again; its trace is not there to compare. ${result.end.error ?? ""}`);
    } catch (error) {
      if (this.trace !== trace) return;
      if (error.name === "AbortError") say(byId("replay-said"), "Stopped.");
      else if (error.unauthorized) this.problem(error);
      else this.#show(error.message);
    } finally {
      if (this.#abort === mine) this.#abort = null;
      if (!this.#abort) say(byId("replay-run"), "Replay");
    }
  }

  #show(problem) {
    say(byId("replay-said"), problem === null ? "Asking again\u2026" : "");
    say(byId("replay-problem"), problem ?? "");
    byId("replay-problem").hidden = !problem;
    byId("replay-result").replaceChildren();
  }

  #take(result, event, data) {
    if (event === "plan") result.plan = data;
    else if (event === "head") result.head = data;
    else if (event === "chunk") {
      result.chunks += 1;
      if (result.text.length < SHOWN_TEXT) result.text += data.text ?? "";
      say(byId("replay-said"), `${plural(result.chunks, "chunk")} so far, the first after ${ms((result.first ??= data.t_ms))}`);
    } else if (event === "end") result.end = data;
    else if (event === "trace") result.after = data;
    else if (event === "comparison") result.comparison = data;
  }

  #compare(before, { plan, text, after, comparison }) {
    const { measures, body } = comparison;
    const scale = Math.max(length(before), length(after));
    const rows = Object.entries(measures).map(([name, measure]) => row(name, measure));
    const table = el(
      "table",
      { class: "measures" },
      el("thead", null, el("tr", null, ...["", "then", "now", "difference"].map((word) => el("th", { scope: "col" }, word)))),
      el("tbody", null, ...rows),
    );
    const again = link(to("invocations", after.id), "the replay's own page");
    byId("replay-result").replaceChildren(
      table,
      el("p", { "data-body": body }, BODIES[body] ?? BODIES.unknown),
      plan.left_out.length > 0 &&
        el("p", { class: "quiet" }, `Sent without ${plan.left_out.join(", ")}: ${plan.left_out.length === 1 ? "it was" : "they were"} not kept.`),
      el("div", { class: "pair" }, waterfall(before, scale, `then, ${before.deployment}`), waterfall(after, scale, `now, ${after.deployment}`)),
      el("details", null, el("summary", null, "The answer to the replay"), el("pre", { tabindex: 0, role: "region", "aria-label": "Answer" }, text || "No body.")),
      el("p", { class: "quiet" }, "It was recorded too: ", again, "."),
    );
    say(byId("replay-said"), summary(measures, before, after));
  }
}

function row(name, { before, after, difference }) {
  const [word, show] = MEASURES[name] ?? [name, String];
  const shown = (value) => (value === null || value === undefined ? NONE : show(value));
  let apart = "";
  if (difference !== undefined) apart = `${difference > 0 ? "+" : "\u2212"}${ms(Math.abs(difference))}`;
  else if (before === after) apart = "same";
  else if (typeof before === "number" && typeof after === "number" && name !== "status") {
    apart = `${after > before ? "+" : "\u2212"}${show(Math.abs(after - before))}`;
  } else apart = "different";
  const cells = [shown(before), shown(after), apart].map((text) => el("td", null, text));
  return el("tr", { "data-measure": name }, el("th", { scope: "row" }, word), ...cells);
}

function summary({ first_byte_ms: first, total_ms: total }, before, after) {
  const only = after.cold ? "now" : "then";
  const cold = before.cold === after.cold ? "" : ` A worker had to be started ${only}.`;
  if (first?.difference === undefined) return `The request was made again.${cold}`;
  const apart = ({ difference }, less, more) => `${ms(Math.abs(difference))} ${difference < 0 ? less : more}`;
  const whole = total?.difference === undefined ? "" : `, over after ${ms(total.after)}, ${apart(total, "shorter", "longer")}`;
  return `First byte after ${ms(first.after)}, ${apart(first, "sooner", "later")} than then${whole}.${cold}`;
}

function secret(name) {
  const id = `replay-secret-${name}`;
  return el(
    "div",
    { class: "field wide" },
    el("label", { for: id }, `${name} (was not kept; empty: sent without)`),
    el("input", { id, name, type: "password", autocomplete: "off", spellcheck: "false" }),
  );
}
