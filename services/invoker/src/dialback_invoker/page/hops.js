// The drawing of the hops. Each strand is one hop of one mode; a frame lights it, in its direction, for a moment.

import { ARROWS, WAYS } from "./direction.js";
import { byId, calm, onFrame, say, svg } from "./dom.js";
import { bytes, short } from "./format.js";

const NAMES = { client: "HTTP", link: "link", runtime: "runtime API", socket: "dial-back" };
const LIT_MS = 320;
const TRAVEL_MS_PER_UNIT = 3.4;
const PULSE_EVERY_MS = 110;

class Strand {
  constructor(root) {
    this.root = root;
    this.slot = root.dataset.mode;
    this.hop = root.dataset.hop;
    this.line = root.querySelector("line");
    this.counts = { "to-worker": 0, "to-client": 0 };
    this.fresh = new Set();
    this.pulsed = {};
    this.timers = {};
  }

  reset() {
    this.counts = { "to-worker": 0, "to-client": 0 };
    this.root.classList.remove("used", "lit", "to-worker", "to-client");
    for (const direction of Object.keys(this.counts)) {
      clearTimeout(this.timers[direction]);
      delete this.root.dataset[direction === "to-worker" ? "toWorker" : "toClient"];
    }
    for (const text of this.root.querySelectorAll("text:not(.name)")) say(text, "");
  }

  pass(direction) {
    this.counts[direction] += 1;
    this.fresh.add(direction);
  }

  paint(pulses) {
    for (const direction of this.fresh) {
      const count = this.counts[direction];
      this.root.dataset[direction === "to-worker" ? "toWorker" : "toClient"] = count;
      this.root.classList.add("used", "lit", direction);
      clearTimeout(this.timers[direction]);
      this.timers[direction] = setTimeout(() => this.#rest(direction), LIT_MS);
      const text = this.root.querySelector(`text.${direction}`);
      if (text) say(text, `${ARROWS[direction]} ${short(count)}`);
      if (!calm.matches) this.#pulse(direction, pulses);
    }
    this.fresh.clear();
  }

  #rest(direction) {
    this.root.classList.remove(direction);
    if (!this.root.matches(".to-worker, .to-client")) this.root.classList.remove("lit");
  }

  #pulse(direction, pulses) {
    const now = performance.now();
    if (now - (this.pulsed[direction] ?? 0) < PULSE_EVERY_MS) return;
    this.pulsed[direction] = now;
    const [x, top, bottom] = ["x1", "y1", "y2"].map((name) => Number(this.line.getAttribute(name)));
    const dot = svg("circle", { class: `pulse ${this.root.classList.contains("tunnel") ? "tunnel" : this.slot}`, cx: x, cy: 0, r: 4 });
    const ends = direction === "to-worker" ? [top, bottom] : [bottom, top];
    pulses.append(dot);
    const travel = dot.animate(
      [0, 0.15, 0.85, 1].map((part) => ({
        offset: part,
        opacity: part === 0 || part === 1 ? 0 : 1,
        transform: `translateY(${ends[0] + (ends[1] - ends[0]) * part}px)`,
      })),
      { duration: Math.abs(bottom - top) * TRAVEL_MS_PER_UNIT },
    );
    travel.onfinish = travel.oncancel = () => dot.remove();
  }
}

export class Hops {
  constructor() {
    const drawing = byId("hops");
    this.pulses = drawing.querySelector(".pulses");
    this.strands = [...drawing.querySelectorAll(".strand")].map((root) => new Strand(root));
    this.last = {};
  }

  /** The lane `slot` runs in this mode now: its strands have that mode's colour and name. */
  show(slot, mode) {
    for (const { root } of this.strands.filter((strand) => strand.slot === slot)) {
      root.classList.remove("callback", "tunnel");
      root.classList.add(mode);
      const name = root.querySelector("text.name");
      if (name) say(name, mode);
    }
    const last = byId(`last-${slot}`);
    last.parentElement.className = `mode ${mode}`;
    say(last.previousElementSibling, `Last frame, ${mode}: `);
  }

  reset() {
    for (const strand of this.strands) strand.reset();
    this.pulses.replaceChildren();
    this.last = {};
    for (const mode of ["buffered", "callback"]) say(byId(`last-${mode}`), "");
  }

  /** A frame of the wire or a call of the runtime API, as the run reports it. */
  frame(mode, { hop, direction, type, size }) {
    const way = WAYS[direction];
    if (way) this.#pass(mode, hop, way, `${type ?? "frame"} ${bytes(size)}`);
  }

  /** The client's own hop: the run is its client, so no frame tells of it. */
  client(mode, way, what) {
    this.#pass(mode, "client", way, what);
  }

  #pass(mode, hop, way, what) {
    this.strands.find((strand) => strand.slot === mode && strand.hop === hop)?.pass(way);
    this.last[mode] = `${ARROWS[way]} ${NAMES[hop] ?? hop}: ${what}`;
    onFrame(this.paint);
  }

  paint = () => {
    for (const strand of this.strands) strand.paint(this.pulses);
    for (const [mode, text] of Object.entries(this.last)) say(byId(`last-${mode}`), text);
  };
}
