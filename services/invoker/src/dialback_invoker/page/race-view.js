// The race: pick a function, run it in both modes, and see what else it did lately.

import * as api from "./api.js";
import { byId, keyed, say } from "./dom.js";
import { plural } from "./format.js";
import { listen, now } from "./live.js";
import { LogList } from "./log-list.js";
import { Picker } from "./picker.js";
import { Race } from "./race.js";
import { empty, invocationRow } from "./rows.js";

const INVOCATIONS = 8;
const LINES = 200;

export class RaceView {
  title = "";
  #picked = null;

  constructor(problem) {
    this.root = byId("view-race");
    this.problem = problem;
    this.race = new Race();
    this.log = new LogList(byId("log"));
    this.picker = new Picker((request) => this.#run(request), () => this.race.stop(), (name) => this.#pick(name));
    // It goes on while another view is shown: a race may run, and its lists are there at once on the way back.
    listen((changes) => this.#heard(changes));
  }

  enter() {
    this.#paint();
  }

  #heard(changes) {
    if (changes.has("functions")) this.picker.offer(now.functions.map(stable));
    if (!this.root.hidden) this.#paint();
  }

  #paint() {
    const all = [...now.live.invocations, ...now.ended].slice(0, INVOCATIONS);
    const none = empty(9, "Nothing has run yet. Press Run, or open one of the function\u2019s addresses.");
    keyed(byId("invocations"), all, ({ id }) => id, invocationRow, none);
    if (this.#picked) this.log.add(now.lines, (line) => line.function === this.#picked);
    this.#count();
  }

  #count() {
    const count = byId("log").querySelectorAll("li:not(.quiet)").length;
    say(byId("log-count"), count ? plural(count, "line") : "");
  }

  async #pick(name) {
    if (this.#picked === name) return;
    this.#picked = null;
    this.log.clear();
    say(byId("log-of"), name ? `of ${name}` : "");
    if (!name) return;
    try {
      const lines = await api.logs(name, LINES);
      if (this.picker.picked !== name) return;
      this.#picked = name;
      this.log.add(lines);
      this.#paint();
    } catch (error) {
      if (error.status !== 404) this.problem(error);
    }
  }

  async #run(request) {
    this.picker.running(true);
    try {
      const errors = await this.race.run(request);
      const refused = errors.find((error) => error?.unauthorized);
      if (refused) this.problem(refused);
    } finally {
      this.picker.running(false);
    }
  }
}

/** What the picker shows of a function; the rest changes with every request. */
const stable = ({ name, kind, entry, urls }) => ({ name, kind, entry, urls });
