// A list of log lines that grows at its end and forgets at its beginning.

import { el } from "./dom.js";
import { clock } from "./format.js";
import { link, to } from "./rows.js";

const SHOWN = 500;
const LOUD = /^(ERROR|CRITICAL|WARNING)$/;

export class LogList {
  #last = -1;

  /** `names`: whether each line says its function. */
  constructor(box, { names = false, nothing = "Nothing was printed or logged." } = {}) {
    this.box = box;
    this.names = names;
    this.nothing = nothing;
    this.clear();
  }

  clear() {
    this.#last = -1;
    this.box.replaceChildren(el("li", { class: "quiet" }, this.nothing));
  }

  /** Append those of `lines` (oldest first) that are newer than what is shown and that `wanted` lets through. */
  add(lines, wanted = () => true) {
    const from = lines.findIndex((line) => line.seq > this.#last);
    if (from < 0) return;
    const fresh = lines.slice(from).filter(wanted).slice(-SHOWN);
    this.#last = lines.at(-1).seq;
    if (fresh.length === 0) return;
    const box = this.box;
    const following = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
    if (box.firstElementChild?.classList.contains("quiet")) box.replaceChildren();
    box.append(...fresh.map((line) => this.#line(line)));
    while (box.childElementCount > SHOWN) box.firstElementChild.remove();
    if (following) box.scrollTop = box.scrollHeight;
  }

  #line(line) {
    const loud = line.stream === "stderr" || LOUD.test(line.level ?? "");
    const whose = line.invocation
      ? link(to("invocations", line.invocation), line.invocation.slice(-6), { title: "The invocation that printed it" })
      : el("code", { title: "Outside any invocation" }, (line.worker ?? "").slice(-6));
    return el(
      "li",
      { class: loud ? "loud" : null },
      el("time", null, clock(line.at)),
      this.names && el("b", null, line.function),
      whose,
      el("span", null, line.line),
    );
  }
}
