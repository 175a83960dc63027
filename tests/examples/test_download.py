import hashlib

import httpx
import pytest

EXAMPLE = "download"
BLOCK = bytes(range(256))


def test_it_has_as_many_bytes_as_were_asked_for(base_url):
    size = 3_000_001
    response = httpx.get(f"{base_url}/?bytes={size}")
    assert (response.status_code, response.headers["content-length"]) == (200, str(size))
    assert response.headers["accept-ranges"] == "bytes"
    expected = (BLOCK * (size // 256 + 1))[:size]
    assert hashlib.sha256(response.content).digest() == hashlib.sha256(expected).digest()


def test_a_gigabyte_is_announced_before_it_is_sent(base_url):
    response = httpx.head(base_url + "/")
    assert (response.status_code, response.headers["content-length"]) == (200, "1000000000")


def test_what_is_downloaded_in_two_pieces_is_the_same(base_url):
    url = f"{base_url}/?bytes=1000003"
    with httpx.stream("GET", url) as first:
        half = next(first.iter_raw(300_001))
    rest = httpx.get(url, headers={"range": f"bytes={len(half)}-"})
    assert rest.status_code == 206
    assert rest.headers["content-range"] == f"bytes {len(half)}-1000002/1000003"
    assert half + rest.content == httpx.get(url).content


def test_a_range_behind_the_end_is_416(base_url):
    response = httpx.get(f"{base_url}/?bytes=10", headers={"range": "bytes=10-"})
    assert (response.status_code, response.headers["content-range"]) == (416, "bytes */10")


def test_an_empty_download_is_one(base_url):
    response = httpx.get(f"{base_url}/?bytes=0")
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("size", ["-1", "x", "1e9", "9999999999999"])
def test_nonsense_is_refused(base_url, size):
    assert httpx.get(f"{base_url}/?bytes={size}").status_code == 400
