// One lane of the race: the answer's text as it arrives, its times, and a tick per chunk on the axis both lanes share.

import { byId, el, onFrame, say, svg } from "./dom.js";
import { bytes, header, ms, NONE, plural } from "./format.js";
import { axis, Ticks } from "./timescale.js";

const SHOWN_CHARACTERS = 24_000;
const SHOWN_CHUNKS = 300;
const PATIENCE_MS = 3000;

/** Why a lane shows nothing for long. */
const WAITS = {
  buffered:
    "Nothing yet, and that is this mode: the runtime returns one whole value, so nothing arrives before the function has ended. A function that never ends sends nothing at all, until its head time-out (60 s unless it says otherwise) answers 504. Stop ends both.",
  callback: "Nothing yet: the function has not sent its first byte.",
};

/** States, as the chip shows them. */
const STATES = {
  idle: "ready",
  waiting: "waiting for the first byte",
  streaming: "streaming",
  done: "complete",
  failed: "failed",
  stopped: "stopped",
};

export class Lane {
  /** What a run shows when it is over: {ok, firstByte, total, chunks}. */
  result = null;
  #fresh = [];
  #freshLength = 0;
  #cut = 0;
  #ticks = new Ticks();
  #span = 1000;
  #now = 0;
  #state = "idle";

  /** `slot` names the lane's place on the page; `show` says which mode runs in it. */
  constructor(slot) {
    this.mode = slot;
    this.root = byId(`lane-${slot}`);
    this.name = byId(`name-${slot}`);
    const part = (name) => this.root.querySelector(`.${name}`);
    this.parts = Object.fromEntries(
      ["state", "first", "total", "chunks", "size", "kind", "text", "cut", "error", "scale", "why"].map((n) => [n, part(n)]),
    );
    this.path = svg("path", { class: "ticks" });
    this.head = el("div", { class: "playhead" });
    part("track").prepend(
      svg("svg", { viewBox: Ticks.viewBox, preserveAspectRatio: "none", "aria-hidden": "true" }, this.path),
      this.head,
    );
    say(this.parts.why, WAITS[slot]);
    this.reset();
  }

  /** From now on this mode runs here. */
  show(mode) {
    this.root.classList.replace(this.mode, mode);
    this.mode = mode;
    say(this.name, mode);
    this.parts.text.setAttribute("aria-label", `The ${mode} answer`);
  }

  reset() {
    this.#fresh = [];
    this.#freshLength = 0;
    this.#cut = 0;
    this.#ticks.clear();
    this.#now = 0;
    this.status = null;
    this.firstByte = null;
    this.chunks = 0;
    this.bytes = 0;
    this.result = null;
    this.parts.text.replaceChildren();
    this.parts.cut.hidden = true;
    this.parts.error.hidden = true;
    say(this.parts.kind, "");
    this.#enter("idle");
    this.paint();
  }

  get running() {
    return this.#state === "waiting" || this.#state === "streaming";
  }

  start() {
    this.reset();
    this.#enter("waiting");
  }

  answered({ status, headers }) {
    this.status = status;
    const kind = (header(headers, "content-type") ?? "").split(";")[0];
    this.parts.kind.classList.toggle("bad", status >= 400);
    say(this.parts.kind, `HTTP ${status}${kind ? `, ${kind}` : ""}`);
  }

  chunk({ t_ms: time, size, text }) {
    if (this.firstByte === null) {
      this.firstByte = time;
      this.#enter("streaming");
    }
    this.chunks += 1;
    this.bytes += size;
    this.#ticks.add(time);
    this.#now = Math.max(this.#now, time);
    this.#hold(text ?? "");
    onFrame(this.paint);
  }

  /** `end` is the run's last word; `error` is what to show when it was not a good one. */
  finish({ t_ms: time, ok, error, stopped = false }) {
    this.#now = time;
    this.result = { ok, firstByte: this.firstByte, total: time, chunks: this.chunks };
    if (!ok && !stopped) {
      say(this.parts.error, error || "The answer did not end well, and nobody said why.");
      this.parts.error.hidden = false;
    }
    this.#enter(stopped ? "stopped" : ok ? "done" : "failed");
    onFrame(this.paint);
  }

  /** The clock of the race: the axis ends at `span` ms, and it is `now` ms. */
  tick(now, span) {
    this.#span = span;
    if (this.running) this.#now = Math.max(this.#now, now);
    onFrame(this.paint);
  }

  paint = () => {
    const { parts } = this;
    this.#show();
    say(parts.first, this.firstByte === null ? (this.running ? ms(this.#now) : NONE) : ms(this.firstByte));
    parts.first.classList.toggle("pending", this.firstByte === null);
    say(parts.total, this.#state === "idle" ? NONE : ms(this.#now));
    say(parts.chunks, this.#state === "idle" ? NONE : this.chunks.toLocaleString("en"));
    say(parts.size, this.#state === "idle" ? NONE : bytes(this.bytes));
    this.path.setAttribute("d", this.#ticks.path(this.#span));
    this.head.style.left = `${Math.min(100, (this.#now / this.#span) * 100)}%`;
    parts.why.hidden = !(this.#state === "waiting" && this.#now > PATIENCE_MS);
    this.#label();
  };

  #enter(state) {
    this.#state = state;
    this.root.dataset.state = state;
    say(this.parts.state, STATES[state]);
  }

  #label() {
    if (this.labelled === this.#span) return;
    this.labelled = this.#span;
    this.parts.scale.replaceChildren(
      ...axis(this.#span).map(({ at, text }) => {
        const label = el("span", null, text);
        label.style.left = `${at * 100}%`;
        return label;
      }),
    );
  }

  /** Keep what will be painted next; what would be cut away again is not kept at all. */
  #hold(text) {
    this.#fresh.push(text);
    this.#freshLength += text.length;
    while (this.#fresh.length > SHOWN_CHUNKS || (this.#freshLength > SHOWN_CHARACTERS && this.#fresh.length > 1)) {
      const dropped = this.#fresh.shift();
      this.#freshLength -= dropped.length;
      this.#cut += dropped.length;
    }
  }

  #show() {
    if (this.#fresh.length === 0) return;
    const box = this.parts.text;
    const following = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
    const spans = this.#fresh.map((text) => {
      this.#cut += Math.max(0, text.length - SHOWN_CHARACTERS);
      return el("span", null, text.slice(-SHOWN_CHARACTERS));
    });
    this.#fresh = [];
    this.#freshLength = 0;
    box.append(...spans);
    let shown = box.textContent.length;
    while (box.childElementCount > SHOWN_CHUNKS || (shown > SHOWN_CHARACTERS && box.childElementCount > 1)) {
      const gone = box.firstElementChild.textContent.length;
      box.firstElementChild.remove();
      shown -= gone;
      this.#cut += gone;
    }
    if (this.#cut) {
      say(this.parts.cut, `${plural(this.#cut, "earlier character")} not shown`);
      this.parts.cut.hidden = false;
    }
    if (following) box.scrollTop = box.scrollHeight;
  }
}
