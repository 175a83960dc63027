// The page's composition: the token gate, then the picker, the race, and a poll for everything else.

import { refreshInvocations, refreshLog, refreshWorkers } from "./activity.js";
import * as api from "./api.js";
import { byId, say } from "./dom.js";
import { Picker } from "./picker.js";
import { Race } from "./race.js";
import * as token from "./token.js";

const POLL_MS = 2500;

const race = new Race();
const picker = new Picker(run, () => race.stop(), (name) => attempt(() => refreshLog(name)));
let poll = null;
let known = false;

function gate(message = "") {
  clearTimeout(poll);
  poll = null;
  race.stop();
  byId("gate").hidden = false;
  byId("app").hidden = true;
  say(byId("gate-problem"), message);
  byId("gate-problem").hidden = !message;
  byId("token").focus();
}

/** Show what went wrong; a refused token leads back to the gate. */
function problem(error) {
  if (error?.unauthorized) {
    token.forget();
    gate(error.status === 401 ? "That token was not accepted. It changes when the data folder does." : error.message);
    return;
  }
  say(byId("problem"), error ? error.message : "");
  byId("problem").hidden = !error;
}

async function attempt(work) {
  try {
    await work();
    return null;
  } catch (error) {
    if (error.unauthorized) problem(error);
    return error;
  }
}

/** One round of everything that changes by itself. The first error is shown until a round succeeds. */
async function refresh() {
  const errors = await Promise.all([
    attempt(async () => picker.offer(await api.functions())),
    known ? null : attempt(showPlatform),
    attempt(refreshInvocations),
    attempt(refreshWorkers),
    attempt(() => refreshLog(picker.picked)),
    attempt(async () => showHealth(await api.health())),
  ]);
  const first = errors.find(Boolean) ?? null;
  if (!first?.unauthorized) problem(first);
}

function showHealth(status) {
  byId("health").dataset.status = status;
  say(byId("health"), status);
}

async function turn() {
  clearTimeout(poll);
  if (!document.hidden) await refresh();
  if (token.current() && byId("gate").hidden) poll = setTimeout(turn, POLL_MS);
}

async function run(request) {
  picker.running(true);
  try {
    const errors = await race.run(request);
    const refused = errors.find((error) => error?.unauthorized);
    if (refused) problem(refused);
    else await turn();
  } finally {
    picker.running(false);
  }
}

async function showPlatform() {
  const platform = await api.platform();
  known = true;
  say(byId("version"), platform.version ?? "");
  say(byId("launcher"), platform.launcher ?? "");
  say(byId("public"), platform.public_url ?? "");
}

/** Past the gate, if the token is good. `typed`: the person is at the keyboard and goes on from the form. */
async function enter(typed = false) {
  const error = await attempt(showPlatform);
  if (error?.unauthorized) return;
  byId("gate").hidden = true;
  byId("app").hidden = false;
  await turn();
  if (typed) byId("function").focus();
}

byId("gate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = byId("token").value.trim();
  if (!given) return;
  token.keep(given);
  byId("token").value = "";
  enter(true);
});
byId("trace-close").addEventListener("click", () => byId("trace").close());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && poll !== null) turn();
});
window.addEventListener("hashchange", () => {
  if (token.takeFromAddress()) enter();
});

token.takeFromAddress();
if (token.current()) enter();
else gate();
