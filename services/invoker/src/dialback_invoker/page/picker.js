// The form that says what to run, and what is known about the function that is picked.

import { best, demo } from "./demos.js";
import { byId, el, say } from "./dom.js";

const KEY = "dialback.pick";
/** The function alone outlives the tab: paths and bodies may hold secrets. */
const LAST = "dialback.function";
const BODILESS = new Set(["GET", "HEAD"]);

export class Picker {
  #known = "";
  #suggested = demo();

  constructor(onRun, onStop, onPick) {
    this.form = byId("pick");
    this.fields = this.form.elements;
    this.functions = [];
    this.onPick = onPick;
    const { path, method, body, second } = this.#remembered();
    if (second) this.fields.second.value = second;
    if (path) this.fields.path.value = path;
    if (method) this.fields.method.value = method;
    if (body) this.fields.body.value = body;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.form.classList.contains("running")) onStop();
      else if (this.form.reportValidity()) onRun(this.request());
    });
    this.fields.method.addEventListener("change", () => this.#describe());
    this.fields.path.addEventListener("input", () => this.#describe());
    this.fields.body.addEventListener("input", () => this.#describe());
    this.fields.function.addEventListener("change", () => {
      localStorage.setItem(LAST, this.picked);
      this.#suggest();
      this.#describe();
      onPick(this.picked);
    });
    byId("copy").addEventListener("click", () => this.#copy());
    this.#describe();
  }

  get picked() {
    return this.fields.function.value;
  }

  /** The run that is asked for; it is remembered for this tab. */
  request() {
    const { path, method, body, second } = this.fields;
    const sends = !BODILESS.has(method.value) && body.value !== "";
    const request = {
      function: this.picked,
      second: second.value,
      method: method.value,
      path: target(path.value),
      headers: sends ? { "content-type": isJson(body.value) ? "application/json" : "text/plain; charset=utf-8" } : {},
      body: sends ? body.value : "",
    };
    sessionStorage.setItem(KEY, JSON.stringify({ ...request, body: body.value.slice(0, 10_000) }));
    return request;
  }

  running(yes) {
    this.form.classList.toggle("running", yes);
    say(byId("run"), yes ? "Stop" : "Run both");
  }

  /** New list of functions from the platform; the choice is kept while it exists. */
  offer(functions) {
    const seen = JSON.stringify(functions);
    if (seen === this.#known) return;
    this.#known = seen;
    this.functions = functions;
    const before = this.picked || this.#remembered().function || localStorage.getItem(LAST);
    const select = this.fields.function;
    select.replaceChildren(...functions.map(({ name }) => el("option", { value: name }, name)));
    select.value = functions.some(({ name }) => name === before) ? before : best(functions);
    const none = functions.length === 0;
    byId("nothing").hidden = !none;
    byId("run").disabled = none;
    select.disabled = none;
    this.#suggest();
    this.#describe();
    this.onPick(this.picked);
  }

  /** Fill in what the picked function is good at, unless somebody typed something else. */
  #suggest() {
    const names = Object.keys(this.#suggested);
    if (names.some((name) => this.fields[name].value !== this.#suggested[name])) return;
    this.#suggested = demo(this.functions.find(({ name }) => name === this.picked));
    for (const name of names) this.fields[name].value = this.#suggested[name];
  }

  #describe() {
    const bodiless = BODILESS.has(this.fields.method.value);
    byId("body-field").hidden = bodiless;
    const chosen = this.functions.find(({ name }) => name === this.picked);
    byId("about").hidden = !chosen;
    if (!chosen) return;
    const path = target(this.fields.path.value).slice(1);
    const url = (chosen.urls?.[0] ?? "").replace(/\/$/, "");
    say(byId("kind"), [chosen.kind, chosen.entry].filter(Boolean).join(", "));
    const method = this.fields.method.value;
    const body = bodiless ? "" : this.fields.body.value;
    const words = ["curl -N", method !== "GET" && `-X ${method}`, shellQuoted(`${url}/${path}`)];
    if (body) words.push(isJson(body) && "-H 'content-type: application/json'", `--data-raw ${shellQuoted(body)}`);
    say(byId("curl"), words.filter(Boolean).join(" "));
  }

  #remembered() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
    } catch {
      return {};
    }
  }

  async #copy() {
    const button = byId("copy");
    try {
      await navigator.clipboard.writeText(byId("curl").textContent);
      say(button, "Copied");
    } catch {
      getSelection().selectAllChildren(byId("curl"));
      say(button, "Selected");
    }
    setTimeout(() => say(button, "Copy"), 1500);
  }
}

/** What was typed as a request target: what may not stand in one is percent-encoded, what is encoded already stays. */
function target(typed) {
  const path = typed.startsWith("/") ? typed : `/${typed}`;
  return path.replace(/[^\x21\x22\x24-\x7e]+/g, (part) => encodeURIComponent(part.toWellFormed()));
}

const shellQuoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
