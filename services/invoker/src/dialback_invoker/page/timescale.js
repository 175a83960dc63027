// Time on a line: what a lane's track and a waterfall share.

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000];
const COLUMNS = 480;
const HEIGHT = 24;

/** The smallest step (ms) that cuts `span` into at most `parts`. */
export function step(span, parts = 5) {
  return STEPS.find((size) => span / size <= parts) ?? Math.ceil(span / parts / 600_000) * 600_000;
}

/** The end of the axis while time still runs: it grows a step at a time, so that ticks do not creep. */
export function roomFor(elapsed) {
  const size = step(Math.max(elapsed, 1000), 4);
  return Math.ceil((elapsed * 1.02) / size) * size || size;
}

export function label(value, size) {
  if (value === 0) return "0";
  if (size < 1000) return value >= 1000 ? `${(value / 1000).toFixed(size < 100 ? 2 : 1)} s` : `${value} ms`;
  return `${value / 1000} s`;
}

/** The axis: `[{at: 0..1, text}]`, the last label left out when it would touch the edge. */
export function axis(span, parts = 5) {
  const size = step(span, parts);
  const marks = [];
  for (let value = 0; value <= span * 0.97; value += size) marks.push({ at: value / span, text: label(value, size) });
  return marks;
}

/**
 * One SVG path with a tick per moment (in a viewBox of 480 by 24). Moments that share a column make a taller tick, so a
 * million chunks cost what 480 do.
 */
export class Ticks {
  static viewBox = `0 0 ${COLUMNS} ${HEIGHT}`;
  #times = [];
  #stride = 1;
  #seen = 0;

  /** Beyond 20,000 moments every second one is dropped, again and again: the picture stays, memory does not grow. */
  add(time) {
    this.#seen += 1;
    if (this.#seen % this.#stride !== 0) return;
    this.#times.push(time);
    if (this.#times.length >= 20_000) {
      this.#times = this.#times.filter((_, index) => index % 2 === 0);
      this.#stride *= 2;
    }
  }

  clear() {
    this.#times = [];
    this.#stride = 1;
    this.#seen = 0;
  }

  path(span) {
    const columns = new Map();
    for (const time of this.#times) {
      const column = Math.min(COLUMNS - 1, Math.max(1, Math.round((time / span) * COLUMNS)));
      columns.set(column, (columns.get(column) ?? 0) + 1);
    }
    let path = "";
    for (const [column, count] of columns) {
      const height = Math.min(HEIGHT, 13 + 3 * Math.log2(count));
      path += `M${column} ${HEIGHT}v${(-height).toFixed(1)}`;
    }
    return path;
  }
}
