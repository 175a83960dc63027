import httpx

EXAMPLE = "hello"


def test_it_answers_twelve_bytes(base_url):
    response = httpx.get(base_url + "/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["content-length"] == "12"
    assert response.content == b"Hello world\n"


def test_a_head_request_has_no_body(base_url):
    response = httpx.head(base_url + "/")
    assert (response.status_code, response.content) == (200, b"")
