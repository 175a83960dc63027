// One function: its addresses, deployments, workers, invocations and log.

import * as api from "./api.js";
import { byId, el, keyed, say } from "./dom.js";
import { listen, now } from "./live.js";
import { LogList } from "./log-list.js";
import { deploymentRow, empty, invocationRow, workerRow } from "./rows.js";

const INVOCATIONS = 30;
const LINES = 200;

export class FunctionView {
  title = "Function";
  #off = () => {};
  #deployment = null;
  #past = [];
  #logged = false;

  constructor(problem) {
    this.root = byId("view-function");
    this.problem = problem;
    this.log = new LogList(byId("function-log"));
  }

  async enter(name) {
    this.#off();
    this.name = name;
    this.#deployment = null;
    this.#past = [];
    this.#logged = false;
    this.log.clear();
    keyed(byId("function-deployments"), [], null, null, empty(6, "Fetching\u2026"));
    this.#paint();
    try {
      [this.#past] = await Promise.all([api.invocationsOf(name, INVOCATIONS), this.#lines(name)]);
    } catch (error) {
      if (error.status !== 404) this.problem(error);
    }
    if (this.name !== name || this.root.hidden) return;
    this.#paint();
    this.#off = listen(() => this.#paint());
  }

  leave() {
    this.#off();
  }

  async #lines(name) {
    const lines = await api.logs(name, LINES);
    if (this.name !== name) return;
    this.log.add(lines);
    this.#logged = true;
  }

  #of = (one) => one.function.toLowerCase() === this.name.toLowerCase();

  #paint() {
    const { name } = this;
    const found = (now.functions ?? []).find((one) => one.name.toLowerCase() === name.toLowerCase());
    say(byId("function-name"), found?.name ?? name);
    byId("function-gone").hidden = now.functions === null || Boolean(found);
    byId("function-facts").hidden = !found;
    if (found) this.#facts(found);
    keyed(byId("function-workers"), now.workers.filter(this.#of), ({ id }) => id, workerRow, empty(9, "No worker of it is running."));
    const newer = now.ended.filter(this.#of);
    const known = new Set(newer.map(({ id }) => id));
    const all = [...now.live.invocations.filter(this.#of), ...newer, ...this.#past.filter(({ id }) => !known.has(id))];
    keyed(byId("function-invocations"), all.slice(0, INVOCATIONS), ({ id }) => id, invocationRow, empty(9, "It was not invoked yet."));
    if (this.#logged) this.log.add(now.lines, this.#of);
  }

  #facts(found) {
    if (this.#deployment === found.deployment) return;
    this.#deployment = found.deployment;
    const pairs = [
      ["Addresses", el("span", { class: "addresses" }, ...found.urls.map((url) => el("a", { href: url, rel: "noreferrer", target: "_blank" }, url)))],
      ["Entry", `${found.kind}, ${found.entry}`],
      ["Mode", el("span", { class: `mode ${found.mode}` }, found.mode)],
      ["Launcher", found.launcher],
    ];
    byId("function-facts").replaceChildren(...pairs.flatMap(([word, value]) => [el("dt", null, word), el("dd", null, value)]));
    this.#list(found.name);
  }

  async #list(name) {
    try {
      const found = await api.deployments(name);
      if (this.name.toLowerCase() === name.toLowerCase()) {
        keyed(byId("function-deployments"), found, ({ deployment }) => deployment, deploymentRow, empty(6, "None is kept."));
      }
    } catch (error) {
      this.problem(error);
    }
  }
}
