// The page's composition: the token gate, the views, and the event stream that feeds them.

import * as api from "./api.js";
import { byId, say } from "./dom.js";
import { FunctionView } from "./function-view.js";
import { InvocationView } from "./invocation-view.js";
import { Functions, Invocations, Logs, Workers } from "./lists.js";
import { listen, now, start, stop } from "./live.js";
import { RaceView } from "./race-view.js";
import { Router } from "./router.js";
import { refreshAges } from "./rows.js";
import * as token from "./token.js";

const AGES_MS = 1000;

const race = new RaceView(problem);
const router = new Router({
  "": race,
  functions: Object.assign(new Functions(), { one: new FunctionView(problem) }),
  invocations: Object.assign(new Invocations(), { one: new InvocationView(problem) }),
  workers: new Workers(),
  logs: new Logs(),
});
let inside = false;

function gate(message = "") {
  inside = false;
  stop();
  race.race.stop();
  byId("gate").hidden = false;
  byId("app").hidden = true;
  byId("views").hidden = true;
  say(byId("gate-problem"), message);
  byId("gate-problem").hidden = !message;
  byId("token").focus();
}

/** Show what went wrong, null when it is over; a refused token leads back to the gate. */
function problem(error) {
  if (error?.unauthorized) {
    token.forget();
    gate(error.status === 401 ? "That token was not accepted. It changes when the data folder does." : error.message);
    return;
  }
  say(byId("problem"), error ? error.message : "");
  byId("problem").hidden = !error;
}

function status(word) {
  byId("health").dataset.status = word;
  say(byId("health"), word);
}

/** The stream works, or why it does not. */
function streamed(error) {
  if (error) {
    status("unreachable");
    problem(error);
  } else if (!byId("problem").hidden && byId("health").dataset.status === "unreachable") problem(null);
  if (!error && now.platform) status(now.platform.status);
}

listen((changes) => {
  if (changes.has("platform")) {
    say(byId("version"), now.platform.version ?? "");
    say(byId("launcher"), now.platform.launcher ?? "");
    say(byId("public"), now.platform.public_url ?? "");
    status(now.platform.status);
  }
  if (changes.has("live")) {
    say(byId("live-count"), now.live.count ? now.live.count.toLocaleString("en") : "");
    byId("live-count").hidden = !now.live.count;
  }
});

/** Past the gate, if the token is good. `typed`: the person is at the keyboard and goes on from the form. */
async function enter(typed = false) {
  try {
    await api.platform();
  } catch (error) {
    problem(error);
    if (error.unauthorized) return;
  }
  inside = true;
  byId("gate").hidden = true;
  byId("app").hidden = false;
  byId("views").hidden = false;
  router.show();
  if (!document.hidden) start(streamed);
  if (!typed) return;
  if (race.root.hidden) document.querySelector(".view:not([hidden]) h1").focus();
  else byId("function").focus();
}

byId("gate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = byId("token").value.trim();
  if (!given) return;
  token.keep(given);
  byId("token").value = "";
  enter(true);
});
// A browser gives an address six connections, over all its tabs: those that nobody looks at give theirs back.
document.addEventListener("visibilitychange", () => {
  if (!inside) return;
  if (document.hidden) stop();
  else start(streamed);
});
addEventListener("pagehide", stop);
addEventListener("pageshow", (event) => {
  if (event.persisted && inside) start(streamed);
});
for (const name of ["online", "offline"]) addEventListener(name, () => inside && !document.hidden && start(streamed));
addEventListener("hashchange", () => {
  if (token.takeFromAddress()) enter();
  else if (inside) router.show(true);
});
setInterval(() => inside && !document.hidden && refreshAges(), AGES_MS);

token.takeFromAddress();
if (token.current()) enter();
else gate();
