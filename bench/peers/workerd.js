// bench/app.py for workerd. It has no monotonic clock, so that chunks and events carry 0 for the moment they were made.
const TEXT = new TextEncoder();
const BLOCK = new Uint8Array(1 << 20);

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

function answer(body, type = "application/octet-stream") {
  return new Response(body, { headers: { "content-type": type, "cache-control": "no-cache, no-transform" } });
}

function timed(count, gap, type, make) {
  const { readable, writable } = new IdentityTransformStream();
  const writer = writable.getWriter();
  (async () => {
    for (let number = 0; number < count; number++) {
      if (number) await wait(gap);
      await writer.write(make(number));
    }
    await writer.close();
  })().catch(() => {}); // the client went away
  return answer(readable, type);
}

function chunks(total, size, turn) {
  let left = total;
  const next = async (controller) => {
    if (turn) await wait(0);
    controller.enqueue(BLOCK.slice(0, Math.min(size, left)));
    left -= Math.min(size, left);
    if (!left) controller.close();
  };
  return answer(new ReadableStream({ pull: next }));
}

export default {
  async fetch(request) {
    const url = new URL(request.url);
    const number = (name, otherwise) => Number(url.searchParams.get(name) ?? otherwise);
    switch (url.pathname) {
      case "/hello":
        return new Response("Hello world\n");
      case "/stream": {
        const chunk = new Uint8Array(100);
        chunk.set(TEXT.encode("0".padStart(19) + "\n"));
        return timed(number("count", 10), number("gap", 0.02), undefined, () => chunk.slice());
      }
      case "/bulk":
        return chunks(number("bytes", 1 << 28), number("chunk", 65536), false);
      case "/tiny":
        return chunks(number("count", 100000) * number("size", 64), number("size", 64), url.searchParams.get("turn") === "1");
      case "/sse":
        return timed(number("count", 10), number("gap", 1), "text/event-stream", (id) => TEXT.encode(`id: ${id}\ndata: 0\n\n`));
      case "/sink": {
        let received = 0;
        for await (const chunk of request.body) received += chunk.byteLength;
        return new Response(`{"received": ${received}}`, { headers: { "content-type": "application/json" } });
      }
      default:
        return new Response("no such workload\n", { status: 404 });
    }
  },
};
