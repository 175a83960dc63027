import contextlib

import httpx

EXAMPLE = "starlette"


@contextlib.contextmanager
def listening(base_url):
    """The lines of somebody who is in the room."""
    with httpx.stream("GET", base_url + "/events", timeout=60) as response:
        assert response.headers["content-type"] == "text/event-stream"
        lines = (line for line in response.iter_lines() if line)
        assert [next(lines), next(lines)] == ["event: welcome", "data: welcome"]
        yield lines


def test_what_one_says_is_heard_by_all(base_url):
    with listening(base_url) as first, listening(base_url) as second:
        answer = httpx.post(base_url + "/", content="hello\nyou")
        assert (answer.status_code, answer.text) == (202, "heard by 2\n")
        for lines in (first, second):
            assert next(lines).startswith("id: ")
            assert [next(lines), next(lines)] == ["data: hello", "data: you"]


def test_the_page_listens_below_its_prefix(base_url):
    prefix = httpx.URL(base_url).path.rstrip("/")
    assert f'<base href="{prefix}/">' in httpx.get(base_url + "/").text
