// One invocation's trace as a waterfall: a row per step, each from its mark to the next one in time.

import { WAYS, WORDS } from "./direction.js";
import { el, svg } from "./dom.js";
import { bytes, ms, plural } from "./format.js";
import { chip, link, to } from "./rows.js";
import { axis, Ticks } from "./timescale.js";

/** What happens from this mark on, until the next. A mark that is not listed shows under its own name. */
const STEPS = {
  received: "Edge reads the request",
  admitted: "Admitted",
  queued: "Waits for a worker",
  worker_start: "Worker process starts",
  worker_spawned: "Function is loaded",
  worker_ready: "Worker asks for work",
  payload_handed: { callback: "Bridge dials back", buffered: "Whole answer is made", tunnel: "Bridge opens the stream" },
  dialed_back: "Token is checked",
  token_accepted: "Function runs to its head",
  head: "First byte is on its way",
  first_byte: { callback: "Streams", buffered: "Answer is relayed", tunnel: "Streams" },
  last_byte: "Ends",
  end: { callback: "Runtime API is answered", tunnel: "Worker says it is done" },
  runtime_answered: "Answer is unpacked",
};

const SHOWN_FRAMES = 400;

const stepName = (mark, mode) => {
  const step = STEPS[mark] ?? mark.replaceAll("_", " ");
  return typeof step === "string" ? step : (step[mode] ?? step.callback);
};

/** The marks that happened, in time, as `[{name, from, to}]`. */
export function spans(trace) {
  const marks = (trace.marks ?? []).filter((mark) => typeof mark.t === "number").sort((a, b) => a.t - b.t);
  return marks.slice(0, -1).map((mark, index) => ({ name: mark.name, from: mark.t, to: marks[index + 1].t }));
}

/** Milliseconds from the first to the last mark. */
export const length = (trace) => Math.max(1, ...(trace?.marks ?? []).map((mark) => mark.t ?? 0));

function row(span, trace, scale) {
  const bar = el("div", { class: "bar" });
  bar.style.left = `min(${(span.from / scale) * 100}%, 100% - 2px)`;
  bar.style.width = `${((span.to - span.from) / scale) * 100}%`;
  const lane = el("div", { class: "span" }, bar);
  if (span.name === "first_byte") lane.append(dataTicks(trace, scale));
  return el(
    "li",
    { "data-mark": span.name },
    el("span", { class: "step" }, stepName(span.name, trace.mode)),
    lane,
    el("span", { class: "took" }, ms(span.to - span.from)),
  );
}

/** The DATA frames on the way to the client, drawn into the streaming bar. */
function dataTicks(trace, scale) {
  const ticks = new Ticks();
  for (const frame of trace.frames ?? []) {
    if (frame.type === "DATA" && WAYS[frame.direction] === "to-client" && frame.hop === "link") ticks.add(frame.t);
  }
  const path = svg("path", { d: ticks.path(scale) });
  return svg("svg", { viewBox: Ticks.viewBox, preserveAspectRatio: "none", "aria-hidden": "true" }, path);
}

function histogram(gaps) {
  const all = gaps.histogram ?? [];
  const used = all.flatMap((bin, index) => (bin.count ? [index] : []));
  const bins = all.slice(Math.max(0, used[0] - 2), used.at(-1) + 3);
  const most = Math.max(...bins.map((bin) => bin.count));
  const items = bins.map((bin) => {
    const open = bin.le_ms === null || bin.le_ms === undefined;
    const bar = el("i");
    bar.style.height = `${bin.count ? Math.max(6, (bin.count / most) * 100) : 0}%`;
    const upTo = open ? "longer" : `up to ${ms(bin.le_ms)}`;
    return el("li", { title: `${upTo}: ${bin.count}`, "aria-label": `${upTo}: ${bin.count}` }, bar, el("span", null, open ? "more" : String(bin.le_ms)));
  });
  return el(
    "figure",
    { class: "gaps" },
    el("figcaption", { class: "quiet" }, "Gaps between chunks, up to so many milliseconds"),
    el("ol", { class: "histogram" }, ...items),
  );
}

function facts(trace) {
  const blocked = trace.blocked ?? {};
  const gaps = trace.gaps ?? {};
  const list = (values) => (values ?? []).map((value) => ms(value)).join(", ");
  const pairs = [
    ["Worker", trace.worker && `${trace.worker}${trace.cold ? ", cold" : ", warm"}`],
    ["Received, sent", `${bytes(trace.bytes_in)}, ${bytes(trace.bytes_out)} in ${plural(trace.chunks ?? 0, "chunk")}`],
    ["Waited", `${ms(blocked.client_ms ?? 0)} for the client, ${ms(blocked.worker_ms ?? 0)} for the function`],
    ["First gaps", list(gaps.first)],
    ["Last gaps", list(gaps.last)],
    ["Cause", trace.verdict !== "ok" && trace.verdict !== "running" && [trace.cause, trace.code, trace.error, trace.detail].filter(Boolean).join(" \u00b7 ")],
    ["Id", trace.id && link(to("invocations", trace.id), trace.id)],
  ];
  return el(
    "dl",
    { class: "facts" },
    ...pairs.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", null, name), el("dd", null, value)]),
  );
}

function frames(trace) {
  const all = trace.frames ?? [];
  const hidden = all.length - SHOWN_FRAMES + (trace.frames_dropped ?? 0);
  const cells = (frame) => [ms(frame.t), frame.hop, WORDS[WAYS[frame.direction]] ?? frame.direction, frame.type, bytes(frame.size)];
  const table = el(
    "table",
    null,
    el("thead", null, el("tr", null, ...["At", "Hop", "Way", "Frame", "Size"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", null, ...all.slice(0, SHOWN_FRAMES).map((frame) => el("tr", null, ...cells(frame).map((text) => el("td", null, text))))),
  );
  const count = plural(all.length + (trace.frames_dropped ?? 0), "frame");
  return el(
    "details",
    { class: "frames" },
    el("summary", null, `Every frame (${count})`),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Frames" }, table),
    hidden > 0 && el("p", { class: "quiet" }, `${plural(hidden, "more frame")} not shown here`),
  );
}

function payload(trace) {
  const text = JSON.stringify(trace.payload, null, 2);
  return el(
    "details",
    { class: "payload" },
    el("summary", null, "The stamped payload"),
    el("pre", { tabindex: 0, role: "region", "aria-label": "Stamped payload" }, text),
  );
}

/** The whole waterfall. `scale` (ms) lets two of them share one axis; `name` tells them apart. */
export function waterfall(trace, scale = length(trace), name = "") {
  const labels = axis(scale, 4).map(({ at, text }) => {
    const mark = el("span", null, text);
    mark.style.left = `${at * 100}%`;
    return mark;
  });
  return el(
    "article",
    { class: `waterfall ${trace.mode}`, "data-mode": trace.mode },
    el("h3", null, el("span", { class: "mode" }, trace.mode), chip(trace), name && el("span", { class: "quiet" }, name), el("span", { class: "took" }, ms(length(trace)))),
    el("ol", { class: "spans", "aria-label": `Where the time of ${trace.mode} went` }, ...spans(trace).map((span) => row(span, trace, scale))),
    el("div", { class: "ruler", "aria-hidden": "true" }, el("div", { class: "scale" }, ...labels)),
    (trace.gaps?.histogram ?? []).some((bin) => bin.count) && histogram(trace.gaps),
    facts(trace),
    frames(trace),
    trace.payload && payload(trace),
  );
}
