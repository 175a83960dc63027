// Which way a frame goes. The API says "up" for back up to the client and "down" for down to the worker, as drawn.

export const WAYS = { up: "to-client", down: "to-worker" };
export const ARROWS = { "to-client": "\u2191", "to-worker": "\u2193" };
export const WORDS = { "to-client": "\u2191 to client", "to-worker": "\u2193 to worker" };
