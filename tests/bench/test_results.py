"""Ratios are made inside a round; what is missing or failed is said; a target that was not measured is not met."""

import json
import re

import pytest
from bench.report import report, table, targets
from bench.results import Results, Spread
from bench.subjects import SUBJECTS
from bench.targets import TARGETS, judge
from bench.visit import Visit
from bench.workloads import WORKLOADS

HELLO, HELLO1 = WORKLOADS["hello32"], WORKLOADS["hello1"]


@pytest.fixture
def results():
    return Results(quick=True, subjects={"nginx": "nginx", "dialback": "Dialback"})


def add(results, workload, subject, *values, key=None):
    for number, value in enumerate(values):
        figures = {key or workload.figures[0].key: value, "cpu_us": 1.0, "busy": 0.1, "others": 0.0}
        results.add(workload, subject, number, Visit(figures))


def test_ratios_are_taken_inside_each_round(results):
    add(results, HELLO, "nginx", 100, 200, 400)
    add(results, HELLO, "dialback", 50, 60, 240)
    assert results.ratio("hello32", "dialback", HELLO.figures[0], "nginx") == Spread(0.5, 0.3, 0.6)


def test_above_one_is_better_for_latencies_too(results):
    add(results, HELLO1, "nginx", 1.0)
    add(results, HELLO1, "dialback", 4.0)
    assert results.ratio("hello1", "dialback", HELLO1.figures[0], "nginx").median == 0.25


def test_a_round_without_a_partner_has_no_ratio(results):
    add(results, HELLO, "nginx", 100)
    results.add(HELLO, "dialback", 0, Visit(error="it fell over"))
    results.add(HELLO, "dialback", 1, Visit({"rate": 70}))
    assert results.ratio("hello32", "dialback", HELLO.figures[0], "nginx") is None
    assert results.errors("hello32", "dialback") == ["it fell over"]


def verdict_on(results, name):
    return next(verdict for verdict in judge(results, list(WORKLOADS)) if verdict.target.workload == name)


@pytest.mark.parametrize(("rate", "word"), [(40, "reached"), (25, "must kept"), (24, "MISS")])
def test_a_target_is_reached_kept_or_missed(results, rate, word):
    add(results, HELLO, "nginx", 100, 100, 100)
    add(results, HELLO, "dialback", rate, rate, rate)
    assert verdict_on(results, "hello32").word == word


def test_a_target_that_was_not_measured_is_not_met(results):
    verdict = verdict_on(results, "hello32")
    assert (verdict.word, verdict.met) == ("not measured", None)


def test_a_failed_round_misses_the_target(results):
    add(results, HELLO, "nginx", 100, 100)
    add(results, HELLO, "dialback", 100)
    results.add(HELLO, "dialback", 1, Visit(error="it fell over"))
    verdict = verdict_on(results, "hello32")
    assert (verdict.word, verdict.reached) == ("MISS", False)


def test_one_round_that_loses_an_event_decides(results):
    add(results, WORKLOADS["sse"], "dialback", 0, 0, 1, key="lost")
    lost = next(verdict for verdict in judge(results, ["sse"]) if "lost" in verdict.target.text)
    assert lost.word == "MISS"


def test_without_dialback_there_are_no_targets():
    assert judge(Results(quick=True, subjects={"nginx": "nginx"}), list(WORKLOADS)) == []


def test_every_target_names_a_workload_and_one_limit():
    for target in TARGETS:
        assert target.workload in WORKLOADS
        assert target.better in ("more", "less")
        assert target.limits
        for subject, limit in target.limits.items():
            assert subject in SUBJECTS
            assert limit.reach is None or target.keeps(limit.reach, limit.must)


def test_a_mode_that_a_target_names_is_judged_alone(results):
    results.subjects["dialback-tunnel"] = "Dialback, tunnel"
    for subject in ("nginx", "dialback", "dialback-tunnel"):
        add(results, HELLO, subject, 100)
        add(results, WORKLOADS["bulk"], subject, 100)
    judged = {(one.target.text, one.subject): one.word for one in judge(results, ["hello32", "bulk"])}
    assert judged["hello, 32 clients, tunnel", "dialback-tunnel"] == "reached"
    assert ("hello, 32 clients, tunnel", "dialback") not in judged
    assert judged["bulk, default nginx", "dialback"] == judged["bulk, default nginx", "dialback-tunnel"] == "MISS"


def test_the_targets_table_shows_what_must_be_and_what_is(results):
    add(results, HELLO, "nginx", 100)
    add(results, HELLO, "dialback", 10)
    row = next(
        line for line in targets(judge(results, ["hello32"])).splitlines() if "callback " in line and "0.25" in line
    )
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "hello, 32 clients, callback",
        "≥ 0.25 / 0.4",
        "0.10 **MISS**",
        "",
        "≥ 0.35 / 0.6",
        "",
        "",
    ]


def test_the_report_hides_nothing(results):
    results.missing["dialback"] = "no such program"
    results.visits["hello32"] = {"dialback": {}}
    results.subjects["dialback-buffered"] = "buffered"
    results.cannot["hello32"] = {"dialback-buffered": "sends nothing"}
    add(results, HELLO, "nginx", 100)
    results.add(HELLO1, "nginx", 0, Visit(error="the server answered 502"))
    text = report(results, judge(results, ["hello32", "hello1"]))
    assert "**MISSING: Dialback**: no such program" in text
    assert re.search(r"\| Dialback +\| +MISSING \|", text)
    assert re.search(r"\| buffered +\| +cannot \|", text)
    assert "- hello32, buffered: not visited, it sends nothing" in text
    assert "FAILED 1×" in text
    assert "- FAILED: hello1, nginx: the server answered 502" in text
    assert "not measured" in text


def test_the_report_doubts_what_it_should(results):
    results.add(HELLO, "nginx", 0, Visit({"rate": 1.0, "cpu_us": 1.0, "busy": 0.99, "others": 1.2}))
    text = report(results, [])
    assert "the load generator was 99% busy" in text
    assert "The machine was not ours alone" in text


def test_the_json_has_rounds_and_ratios(results):
    add(results, HELLO, "nginx", 100, 100)
    add(results, HELLO, "dialback", 20, 40)
    results.add(HELLO, "nginx", 2, Visit(error="cut"))
    made = results.as_json()["workloads"]["hello32"]["subjects"]
    assert made["dialback"]["ratios"]["rate"]["nginx"] == {"median": pytest.approx(0.3), "least": 0.2, "most": 0.4}
    assert [sorted(round_) for round_ in made["nginx"]["rounds"]][2] == ["error"]


def test_results_survive_their_file(results):
    results.missing["dialback"] = "gone"
    results.cannot["bulk"] = {"nginx": "has no time"}
    add(results, HELLO, "nginx", 100, 100)
    results.add(HELLO, "nginx", 2, Visit(error="cut"))
    results.visits["hello32"]["dialback"] = {}
    assert Results.from_json(json.loads(json.dumps(results.as_json()))) == results


def test_tables_are_aligned():
    lines = table(["name", "n"], [["a", "1"], ["long name", "1,000"], ["short"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| --------- | ----: |"
