"""FastAPI, unchanged: a validated question, an answer that streams, and a dependency that is closed in any case.

POST /ask takes `{"question": "...", "words_per_second": 20}` and answers JSON Lines; GET /docs is FastAPI's own page.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

app = FastAPI(title="Answers that stream")


class Question(BaseModel):
    question: str = Field(min_length=1, max_length=1000)
    words_per_second: float = Field(20, gt=0, le=1000)


class Word(BaseModel):
    number: int
    word: str


class Model:
    """Stands for a client of something slow: a language model, a search."""

    def __init__(self) -> None:
        self.said = 0

    async def answer(self, asked: Question) -> AsyncIterator[Word]:
        for number, word in enumerate(f"You asked: {asked.question} I have no idea.".split(), 1):
            yield Word(number=number, word=word)
            self.said = number
            await asyncio.sleep(1 / asked.words_per_second)


async def model() -> AsyncIterator[Model]:
    """A dependency with an end: FastAPI closes it when the stream is over, and when the client has left."""
    made = Model()
    try:
        yield made
    finally:
        print(f"the model is closed after {made.said} words")


@app.get("/")
async def index() -> dict[str, str]:
    return {"try": "POST /ask", "documentation": "/docs"}


@app.post("/ask")
async def ask(asked: Question, model: Annotated[Model, Depends(model)]) -> StreamingResponse:
    lines = (word.model_dump_json() + "\n" async for word in model.answer(asked))
    return StreamingResponse(lines, media_type="application/x-ndjson", headers={"cache-control": "no-transform"})
