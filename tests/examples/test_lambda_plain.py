import json

EXAMPLE = "lambda_plain"


def test_it_answers_json_about_the_event(invoke):
    answer = invoke("/some/path?name=you")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    told = json.loads(answer.body)
    assert told["message"] == "Hello you"
    assert (told["method"], told["path"]) == ("GET", "/some/path")
    assert told["request_id"]
    assert told["milliseconds_left"] > 0


def test_without_a_query_it_greets_the_world(invoke):
    assert json.loads(invoke().body)["message"] == "Hello world"


def test_a_cookie_counts_the_visits(invoke):
    assert invoke().cookies == ["visits=1; Path=/; HttpOnly"]
    answer = invoke("/", ["other=9", "visits=41"])
    assert answer.cookies == ["visits=42; Path=/; HttpOnly"]
    assert json.loads(answer.body)["visits"] == 42


def test_a_cookie_that_is_no_number_counts_as_none(invoke):
    assert json.loads(invoke("/", ["visits=many"]).body)["visits"] == 1
