// The views that are lists: functions, invocations, workers, logs. Each shows what `live.now` has and follows it.

import { byId, el, keyed, say } from "./dom.js";
import { plural } from "./format.js";
import { listen, now } from "./live.js";
import { LogList } from "./log-list.js";
import { empty, functionRow, invocationRow, workerRow } from "./rows.js";

const SHOWN = 100;

/** A view that paints itself when one of `names` changes while it is shown. */
class Following {
  #off = () => {};

  constructor(id, title, names) {
    this.root = byId(id);
    this.title = title;
    this.names = names;
  }

  enter() {
    this.#off();
    this.paint();
    this.#off = listen((changes) => {
      if (this.names.some((name) => changes.has(name))) this.paint();
    });
  }

  leave() {
    this.#off();
  }
}

/** Keep the options of a select in step with the functions, and what is chosen chosen. */
function offer(select, functions) {
  const names = (functions ?? []).map(({ name }) => name);
  const known = JSON.stringify(names);
  if (select.dataset.known === known) return;
  const chosen = select.value;
  select.dataset.known = known;
  select.replaceChildren(el("option", { value: "" }, "all functions"), ...names.map((name) => el("option", { value: name }, name)));
  select.value = names.includes(chosen) ? chosen : "";
}

export class Functions extends Following {
  constructor() {
    super("view-functions", "Functions", ["functions"]);
  }

  paint() {
    const none = empty(7, "No function is deployed yet. Try: dialback deploy examples/hello");
    keyed(byId("functions"), now.functions ?? [], ({ name }) => name, functionRow, none);
  }
}

export class Invocations extends Following {
  constructor() {
    super("view-invocations", "Invocations", ["live", "ended", "functions"]);
    for (const id of ["of-function", "only-failed"]) byId(id).addEventListener("change", () => this.paint());
  }

  paint() {
    offer(byId("of-function"), now.functions);
    const name = byId("of-function").value.toLowerCase();
    const of = (one) => !name || one.function.toLowerCase() === name;
    const failed = (one) => !byId("only-failed").checked || one.verdict !== "ok";
    const { count, invocations } = now.live;
    say(byId("in-flight-count"), count > invocations.length ? `${count.toLocaleString("en")}, the newest ${invocations.length}` : plural(count, "request"));
    keyed(byId("in-flight"), invocations.filter(of), ({ id }) => id, invocationRow, empty(9, "Nothing is in flight."));
    const ended = now.ended.filter((one) => of(one) && failed(one)).slice(0, SHOWN);
    say(byId("ended-missed"), now.missed ? `and ${now.missed.toLocaleString("en")} more that ended too fast to be listed here` : "");
    keyed(byId("ended"), ended, ({ id }) => id, invocationRow, empty(9, "No invocation that matches ended lately."));
  }
}

export class Workers extends Following {
  constructor() {
    super("view-workers", "Workers", ["workers"]);
  }

  paint() {
    const counts = new Map();
    for (const { state } of now.workers) counts.set(state, (counts.get(state) ?? 0) + 1);
    say(byId("worker-states"), [...counts].map(([state, count]) => `${count} ${state}`).join(", "));
    keyed(byId("workers"), now.workers, ({ id }) => id, workerRow, empty(9, "No worker is running: the platform has scaled to zero."));
  }
}

export class Logs extends Following {
  constructor() {
    super("view-logs", "Logs", ["lines", "functions"]);
    this.list = new LogList(byId("all-logs"), { names: true, nothing: "No line that matches was printed or logged." });
    byId("log-function").addEventListener("change", () => this.#again());
    byId("log-words").addEventListener("input", () => this.#again());
  }

  #again() {
    this.list.clear();
    this.paint();
  }

  paint() {
    offer(byId("log-function"), now.functions);
    const name = byId("log-function").value;
    const words = byId("log-words").value.toLowerCase();
    this.list.add(now.lines, (line) => (!name || !line.function || line.function === name) && (!words || line.line.toLowerCase().includes(words)));
  }
}
