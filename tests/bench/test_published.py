"""The documentation's tables say what the results say."""

import json

import pytest
from bench.published import PAGE, PUBLISHED, differing, load, parts, rewritten
from bench.results import Results
from bench.runs import RUNS
from bench.visit import Visit
from bench.workloads import WORKLOADS

from bench import published

MACHINE = {
    "cpu": "a machine",
    "cores": 2,
    "load_average_before": 0.1,
    "python": "3.11.1",
    "commit": "abc",
    "versions": {"uvloop": "1"},
    "nginx": "nginx version: nginx/1.2",
}


@pytest.fixture
def found():
    results = Results(quick=True, subjects={"nginx": "nginx", "dialback": "Dialback", "workerd": "workerd"})
    results.missing["workerd"] = "no npm"
    for name, key, values in (("hello32", "rate", (100, 25)), ("sse", "kib_per_stream", (20, 40))):
        for subject, value in zip(("nginx", "dialback"), values, strict=True):
            results.add(WORKLOADS[name], subject, 0, Visit({key: value}))
    return {"latest": {**results.as_json(), "made_at": 0, "machine": MACHINE}}


def test_the_page_and_the_results_agree():
    """When this fails: python -m bench.published."""
    assert load(PUBLISHED)
    assert differing(load(PUBLISHED)) == []


def test_a_figure_that_was_typed_is_noticed(monkeypatch, tmp_path, found):
    page = tmp_path / "page.md"
    page.write_text("<!-- bench: servers -->\n<!-- bench: end -->\n")
    monkeypatch.setattr(published, "PAGE", page)
    monkeypatch.setattr(published, "PUBLISHED", tmp_path)
    assert page in differing(found)
    page.write_text(rewritten(page.read_text(), parts(found)))
    assert page not in differing(found)
    page.write_text(page.read_text().replace("0.25", "0.95"))
    assert page in differing(found)


def test_misses_and_the_missing_are_as_visible_as_hits(found):
    made = parts(found)
    assert "0.25 must kept" in made["targets"]
    assert "40.0 **MISS**" in made["targets"]
    assert "MISSING" in made["servers"]
    assert "**MISSING: workerd**: no npm" in made["notes"]
    assert made["about"].endswith("CPython 3.11.1, uvloop 1, nginx 1.2.")
    assert made["cold"] == published.NOT_MEASURED


def test_every_part_of_the_page_is_made_and_every_run_has_one(found):
    text = PAGE.read_text()
    made = parts(found)
    assert rewritten(text, made) != text  # KeyError, were one unknown
    for name in (*RUNS, "profile", "targets", "servers", "about"):
        assert name == "latest" or f"<!-- bench: {name} -->" in text


def test_the_command_takes_results_and_writes_the_page(monkeypatch, tmp_path, found):
    for name in ("RESULTS", "PUBLISHED", "ROOT"):
        monkeypatch.setattr(published, name, tmp_path / name.lower() if name != "ROOT" else tmp_path)
    monkeypatch.setattr(published, "PAGE", tmp_path / "page.md")
    (tmp_path / "results").mkdir()
    (tmp_path / "results/latest.json").write_text(json.dumps(found["latest"]))
    (tmp_path / "page.md").write_text("# Page\n\n<!-- bench: targets -->\nold\n<!-- bench: end -->\n")
    said = []
    assert published.main([], said.append) == 0
    assert said == ["took latest"]
    assert "old" not in (tmp_path / "page.md").read_text()
    assert "### hello32" in (tmp_path / "published/latest.md").read_text()
    (tmp_path / "published/latest.md").write_text("")
    assert published.main(["--check"], said.append) == 1
    assert said[-1].startswith("published/latest.md does not say")
