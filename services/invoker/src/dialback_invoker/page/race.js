// The race: the same request in both modes, started together; events go to the lanes and to the drawing.

import * as api from "./api.js";
import { byId, calm, say } from "./dom.js";
import { ms, plural } from "./format.js";
import { Hops } from "./hops.js";
import { Lane } from "./lane.js";
import { roomFor } from "./timescale.js";
import { length, waterfall } from "./waterfall.js";

/** The two lanes. What runs in the second one is the asker's choice: callback, or tunnel. */
const MODES = ["buffered", "callback"];

export class Race {
  #abort = null;

  constructor() {
    this.hops = new Hops();
    this.lanes = Object.fromEntries(MODES.map((mode) => [mode, new Lane(mode)]));
    this.traces = {};
    this.second = "callback";
  }

  get running() {
    return this.#abort !== null;
  }

  stop() {
    this.#abort?.abort();
  }

  /** Run `request` ({function, method, path, headers, body}) in buffered and in `second`; resolves when both are over. */
  async run({ second = "callback", ...request }) {
    this.second = second;
    this.lanes.callback.show(second);
    this.hops.show("callback", second);
    this.#abort = new AbortController();
    this.traces = {};
    this.hops.reset();
    byId("waterfalls").replaceChildren();
    byId("after").hidden = true;
    for (const mode of MODES) this.lanes[mode].start();
    say(byId("said"), `Running ${request.function} in both modes.`);
    this.#bringIntoView();
    this.started = performance.now();
    this.#clock();
    try {
      return await Promise.all(MODES.map((mode) => this.#one(mode, request)));
    } finally {
      this.#abort = null;
      this.#settle();
    }
  }

  /** On a small screen the lanes begin below the form: whoever pressed Run came to see them. */
  #bringIntoView() {
    const lanes = this.lanes.buffered.root.getBoundingClientRect();
    if (lanes.top < innerHeight / 2 && lanes.top >= 0) return;
    this.lanes.buffered.root.scrollIntoView({ block: "start", behavior: calm.matches ? "instant" : "smooth" });
  }

  async #one(mode, request) {
    const lane = this.lanes[mode];
    const since = () => performance.now() - this.started;
    this.hops.client(mode, "to-worker", `${request.method} ${request.path}`);
    try {
      for await (const { event, data } of api.run({ ...request, mode: this.#ran(mode) }, this.#abort.signal)) {
        this.#take(mode, event, data);
      }
      if (lane.running) {
        lane.finish({ t_ms: since(), ok: false, error: "The control port stopped reporting before the run was over." });
      }
    } catch (error) {
      const stopped = error.name === "AbortError";
      const message = error.place ? `${error.message} (${error.place})` : error.message;
      if (lane.running) lane.finish({ t_ms: since(), ok: false, error: message, stopped });
      return stopped ? null : error;
    }
    return null;
  }

  #take(mode, event, data) {
    const lane = this.lanes[mode];
    if (event === "frame") this.hops.frame(mode, data);
    else if (event === "head") {
      lane.answered(data);
      this.hops.client(mode, "to-client", `HTTP ${data.status}`);
    } else if (event === "chunk") {
      lane.chunk(data);
      this.hops.client(mode, "to-client", plural(data.size, "byte"));
    } else if (event === "end") lane.finish(data);
    else if (event === "trace") this.#traced(mode, data);
  }

  /** While either lane runs, both clocks and the shared axis move on. */
  #clock = () => {
    if (!this.running) return;
    const now = performance.now() - this.started;
    const furthest = Math.max(now, ...MODES.map((mode) => this.lanes[mode].result?.total ?? 0));
    for (const mode of MODES) this.lanes[mode].tick(now, roomFor(furthest));
    requestAnimationFrame(this.#clock);
  };

  /** Both are over: let the axis end where the slower one did, and say who was first. */
  #settle() {
    const results = MODES.map((mode) => this.lanes[mode].result);
    const span = Math.max(1, ...results.map((result) => result?.total ?? 0)) * 1.02;
    for (const mode of MODES) this.lanes[mode].tick(0, span);
    say(byId("said"), this.#outcome(...results));
  }

  /** The mode that runs in a lane. */
  #ran = (slot) => (slot === "callback" ? this.second : slot);

  #outcome(buffered, callback) {
    const { second } = this;
    if (!buffered?.ok && !callback?.ok) return "Neither answer came through whole.";
    if (!buffered?.ok || !callback?.ok) return `Only ${buffered?.ok ? "buffered" : second} came through whole.`;
    if (buffered.firstByte === null || callback.firstByte === null) return "Done; the answer has no body.";
    const sooner = buffered.firstByte - callback.firstByte;
    const chunks = `${plural(callback.chunks, "chunk")} against ${buffered.chunks.toLocaleString("en")}`;
    if (sooner > 0) return `${second}'s first byte came ${ms(sooner)} sooner: ${ms(callback.firstByte)} against ${ms(buffered.firstByte)}, in ${chunks}.`;
    return `Both answered about at once: ${ms(callback.firstByte)} and ${ms(buffered.firstByte)}, in ${chunks}.`;
  }

  #traced(mode, trace) {
    this.traces[mode] = { ...trace, mode: trace.mode ?? this.#ran(mode) };
    const known = MODES.map((name) => this.traces[name]).filter(Boolean);
    const scale = Math.max(...known.map(length));
    byId("waterfalls").replaceChildren(...known.map((one) => waterfall(one, scale)));
    byId("after").hidden = false;
  }
}
