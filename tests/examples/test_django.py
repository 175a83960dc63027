import time

import httpx
import pytest

EXAMPLE = "django"


def test_the_table_comes_row_by_row(base_url):
    moments, lines = [], []
    with httpx.stream("GET", base_url + "/export.csv?rows=30") as response:
        assert response.headers["content-type"] == "text/csv; charset=utf-8"
        assert "export.csv" in response.headers["content-disposition"]
        for line in response.iter_lines():
            moments.append(time.monotonic())
            lines.append(line)
    assert lines[:3] == ["number,square", "1,1", "2,4"]
    assert lines[-1] == "30,900"
    assert moments[-1] - moments[0] > 0.15, "they came at once"


def test_the_job_tells_its_progress(base_url):
    response = httpx.get(base_url + "/progress")
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.text.split("\n\n")[:2] == ['data: {"percent": 0}', 'data: {"percent": 10}']
    assert response.text.endswith('data: {"percent": 100}\n\n')


def test_its_links_have_the_prefix(base_url):
    prefix = httpx.URL(base_url).path.rstrip("/")
    assert f'href="{prefix}/export.csv"' in httpx.get(base_url + "/").text


@pytest.mark.parametrize("rows", ["-1", "x"])
def test_nonsense_is_refused(base_url, rows):
    assert httpx.get(f"{base_url}/export.csv?rows={rows}").status_code == 400
