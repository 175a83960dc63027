// bench/app.py for functions-framework in Node.
"use strict";

const BLOCK = Buffer.alloc(1 << 20);

function begin(response, type = "application/octet-stream") {
  response.writeHead(200, { "content-type": type, "cache-control": "no-cache, no-transform" });
}

function timed(response, count, gap, make) {
  let number = 0;
  const next = () => {
    response.write(make(number++));
    if (number === count) response.end();
    else timer = setTimeout(next, gap * 1000);
  };
  let timer = null;
  response.on("close", () => clearTimeout(timer));
  next();
}

function chunks(response, total, size, turn) {
  let left = total;
  const push = () => {
    while (left && !response.destroyed) {
      const more = response.write(BLOCK.subarray(0, Math.min(size, left)));
      left -= Math.min(size, left);
      if (!more) return void response.once("drain", push);
      if (turn) return void setImmediate(push);
    }
    response.end();
  };
  push();
}

exports.app = (request, response) => {
  const number = (name, otherwise) => Number(request.query[name] ?? otherwise);
  switch (request.path) {
    case "/hello":
      response.writeHead(200, { "content-type": "text/plain", "content-length": 12 });
      response.end("Hello world\n");
      break;
    case "/stream":
      begin(response);
      timed(response, number("count", 10), number("gap", 0.02), () => {
        const chunk = Buffer.alloc(100);
        chunk.write(String(process.hrtime.bigint()).padStart(19) + "\n");
        return chunk;
      });
      break;
    case "/bulk":
      begin(response);
      chunks(response, number("bytes", 1 << 28), number("chunk", 65536), false);
      break;
    case "/tiny":
      begin(response);
      chunks(response, number("count", 100000) * number("size", 64), number("size", 64), request.query.turn === "1");
      break;
    case "/sse":
      begin(response, "text/event-stream");
      timed(response, number("count", 10), number("gap", 1), (id) => `id: ${id}\ndata: ${process.hrtime.bigint()}\n\n`);
      break;
    default:
      response.writeHead(404).end("no such workload\n");
  }
};
