// The control API as this page uses it. Every failure leaves here as an ApiError whose message can be shown as it is.

import { events } from "./sse.js";
import * as token from "./token.js";

export class ApiError extends Error {
  /** `status` is the HTTP status, or 0 when no answer came. */
  constructor(status, code, message, place = "") {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.place = place;
  }

  /** The token was missing, wrong, or not for this page: asking for another one is the way on. */
  get unauthorized() {
    return this.status === 401 || this.status === 403;
  }
}

async function refusal(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // Not our JSON: a proxy in between, perhaps. The status line still says something.
  }
  const place = error.file ? `${error.file}${error.line ? `:${error.line}` : ""}` : "";
  const message = error.message ?? `The control port answered ${response.status} ${response.statusText}`.trim();
  return new ApiError(response.status, error.code ?? "", message, place);
}

async function ask(path, { method = "GET", body, signal, accept = "application/json" } = {}) {
  const headers = { Accept: accept, Authorization: `Bearer ${token.current() ?? ""}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      signal,
      cache: "no-store",
      credentials: "omit",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The control port does not answer. Is dialback still running?");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

const json = async (path) => (await ask(path)).json();
const named = encodeURIComponent;

export const platform = () => json("/v1/platform");
export const invocation = (id) => json(`/v1/invocations/${named(id)}`);
export const deployments = async (name) => (await json(`/v1/functions/${named(name)}/deployments`)).deployments;

/** The invocations of one function that ended, newest first. */
export async function invocationsOf(name, limit) {
  return (await json(`/v1/invocations?function=${named(name)}&limit=${limit}`)).invocations;
}

/** The newest log lines of a function, or of one of its invocations, oldest first. */
export async function logs(name, limit, id = "") {
  const path = `/v1/functions/${named(name)}/logs?limit=${limit}${id ? `&invocation=${named(id)}` : ""}`;
  const text = await (await ask(path, { accept: "application/x-ndjson" })).text();
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** Start a run and yield its events: `{event: "frame" | "head" | "chunk" | "end" | "trace", data}`. */
export async function* run(request, signal) {
  const response = await ask("/v1/runs", { method: "POST", body: request, signal, accept: "text/event-stream" });
  yield* events(response.body);
}

/** Make a recorded request again: the events of `run`, a `plan` before them and a `comparison` after them. */
export async function* replay(id, request, signal) {
  const path = `/v1/invocations/${named(id)}/replay`;
  const response = await ask(path, { method: "POST", body: request, signal, accept: "text/event-stream" });
  yield* events(response.body);
}

/** What happens on the platform, until the stream ends; `alive` is called whenever anything comes, a heartbeat too. */
export async function* watch(signal, alive) {
  const response = await ask("/v1/events", { signal, accept: "text/event-stream" });
  alive();
  yield* events(response.body, alive);
}
