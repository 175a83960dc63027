"""FastAPI with a streamed answer."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/")
async def index():
    return {"try": "/stream", "docs": "/docs"}


@app.get("/stream")
async def stream(lines: int = 5):
    async def body():
        for number in range(1, lines + 1):
            yield f"line {number}\n"
            await asyncio.sleep(0.5)

    return StreamingResponse(body(), media_type="text/plain")
