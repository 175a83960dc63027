import time

import httpx
import openai
import pytest

EXAMPLE = "chat"
HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello there"}]


@pytest.fixture
def client(base_url):
    with openai.OpenAI(base_url=base_url + "/v1", api_key="-", max_retries=0) as client:
        yield client


def test_the_openai_client_streams_from_it(client):
    texts, moments, reasons, roles = [], [], [], []
    for chunk in client.chat.completions.create(model="parrot-1", messages=HELLO, stream=True):
        assert chunk.object == "chat.completion.chunk"
        (choice,) = chunk.choices
        roles.append(choice.delta.role)
        reasons.append(choice.finish_reason)
        if choice.delta.content:
            texts.append(choice.delta.content)
            moments.append(time.monotonic())
    assert "".join(texts).startswith("You said: hello there\n\nI am a parrot")
    assert len(texts) > 20
    assert roles[0] == "assistant"
    assert reasons == [None] * (len(reasons) - 1) + ["stop"]
    assert len(set(moments)) == len(moments)
    assert moments[-1] - moments[0] > 0.5, "the tokens came at once"


def test_whole_and_streamed_say_the_same(client):
    whole = client.chat.completions.create(model="parrot-1", messages=HELLO)
    chunks = client.chat.completions.create(
        model="parrot-1", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    streamed = list(chunks)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
    assert whole.choices[0].message.content == text
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens == streamed[-1].usage.completion_tokens > 20


def test_the_same_question_has_the_same_answer(client):
    asked = {"model": "parrot-1", "messages": HELLO, "max_tokens": 6}
    first, second = (client.chat.completions.create(**asked) for _ in range(2))
    assert first.choices == second.choices
    assert first.id == second.id


def test_max_tokens_cuts_the_answer(client):
    answer = client.chat.completions.create(model="parrot-1", messages=HELLO, max_tokens=3)
    assert answer.choices[0].message.content == "You said: hello "
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_content_may_be_a_list_of_parts(client):
    parts = [{"type": "text", "text": "in parts"}]
    answer = client.chat.completions.create(
        model="parrot-1", messages=[{"role": "user", "content": parts}], max_tokens=4
    )
    assert answer.choices[0].message.content == "You said: in parts\n\n"


def test_models_are_listed(client):
    assert [model.id for model in client.models.list()] == ["parrot-1"]


def test_an_unknown_path_is_openais_kind_of_error(client):
    with pytest.raises(openai.NotFoundError, match="There is no GET /v1/models/other"):
        client.models.retrieve("other")


@pytest.mark.parametrize(
    "body",
    [
        *[b"", b"{", b"[]", b"{}", b"\xff", b'{"messages": []}', b'{"messages": 3}'],
        b'{"messages": [{"role": "system", "content": "x"}]}',
        b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": -1}',
    ],
)
def test_a_bad_body_is_a_400(base_url, body):
    response = httpx.post(base_url + "/v1/chat/completions", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_the_stream_ends_as_openais_does(base_url):
    body = {"messages": HELLO, "stream": True, "max_tokens": 1}
    response = httpx.post(base_url + "/v1/chat/completions", json=body)
    assert response.headers["content-type"] == "text/event-stream"
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: {") for event in events[:-2])
