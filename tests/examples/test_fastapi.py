import json
import time

import httpx

EXAMPLE = "fastapi"


def test_the_words_come_one_by_one(base_url):
    moments, words = [], []
    with httpx.stream("POST", base_url + "/ask", json={"question": "why?", "words_per_second": 20}) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        for line in response.iter_lines():
            moments.append(time.monotonic())
            words.append(json.loads(line))
    assert [word["word"] for word in words] == ["You", "asked:", "why?", "I", "have", "no", "idea."]
    assert [word["number"] for word in words] == [1, 2, 3, 4, 5, 6, 7]
    assert moments[-1] - moments[0] > 0.15, "they came at once"


def test_a_question_is_validated_before_anything_streams(base_url):
    response = httpx.post(base_url + "/ask", json={"question": "", "words_per_second": -1})
    assert response.status_code == 422
    assert [error["loc"][-1] for error in response.json()["detail"]] == ["question", "words_per_second"]


def test_its_own_page_finds_its_schema_below_the_prefix(base_url):
    prefix = httpx.URL(base_url).path.rstrip("/")
    assert f"'{prefix}/openapi.json'" in httpx.get(base_url + "/docs").text
    assert "/ask" in httpx.get(base_url + "/openapi.json").json()["paths"]
