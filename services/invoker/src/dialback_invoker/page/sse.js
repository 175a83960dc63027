// Server-sent events out of a fetch body. EventSource can neither POST nor carry an Authorization header.

const SLICE_MS = 12;

/** Give the browser a turn: reads that are already buffered resolve as microtasks and would starve painting. */
const breathe = () => new Promise((resolve) => setTimeout(resolve, 0));

/** One block of lines as `{event, data}`; null when it carries no data (a comment that keeps the connection alive). */
export function parseBlock(block) {
  let event = "message";
  const data = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
  }
  return data.length ? { event, data: data.join("\n") } : null;
}

/** Every event of a `ReadableStream` of bytes, in order, with JSON data parsed; `alive` is called for whatever comes. */
export async function* events(stream, alive = () => {}) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let turn = performance.now();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const parsed = parseBlock(block);
        if (parsed) yield { event: parsed.event, data: JSON.parse(parsed.data) };
        if (performance.now() - turn > SLICE_MS) {
          await breathe();
          turn = performance.now();
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
