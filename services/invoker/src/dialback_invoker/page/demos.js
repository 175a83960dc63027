// What to ask the repository's examples for, so that the first press of Run shows something. Other functions get GET /.

const PLAIN = { method: "GET", path: "/", body: "" };
const QUESTION = '{"stream": true, "messages": [{"role": "user", "content": "hi"}]}';

/** By name; `entry` keeps another function of that name from getting an example's request. */
const DEMOS = {
  chat: { entry: "app:app", method: "POST", path: "/v1/chat/completions", body: QUESTION },
  clock: { entry: "app:app", path: "/events?every=0.5" },
  "lambda-plain": { entry: "function:handler", path: "/some/path?name=you" },
  upload: { entry: "app:app", method: "POST", path: "/", body: "Some bytes to hash." },
};

/** Which to show to somebody who has chosen nothing: the one where the modes differ most, and that ends. */
const BEST = ["lambda-stream", "chat"];

export function demo({ name, entry } = {}) {
  const known = Object.hasOwn(DEMOS, name ?? "") ? DEMOS[name] : null;
  if (known === null || known.entry !== entry) return PLAIN;
  return { ...PLAIN, method: known.method ?? "GET", path: known.path, body: known.body ?? "" };
}

export function best(functions) {
  const names = functions.map(({ name }) => name);
  return BEST.find((name) => names.includes(name)) ?? names[0] ?? "";
}
