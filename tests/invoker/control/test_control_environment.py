"""The control API's side of variables: values go in, those of secrets never come out."""

from typing import Any

PATH = "/v1/functions/chat/environment"
VALUE = "sk-live-7f3a9c51"


async def change(control: Any, put: dict[str, Any], remove: list[str] | None = None, path: str = PATH) -> Any:
    return await control.ask("PATCH", path, json={"put": put, "remove": remove or []})


async def test_variables_are_set_listed_and_removed(control: Any) -> None:
    await control.deploy(dialback__toml=b'[env]\nMODE = "slow"\nLANG = "C"\n', app__py=b"app = 1\n")
    status, body = await change(control, {"MODE": {"value": "fast"}, "KEY": {"value": VALUE, "secret": True}})
    assert status == 200
    shown = [(v["name"], v["kind"], v["value"], v["overridden"]) for v in body["variables"]]
    assert shown == [
        ("KEY", "secret", None, False),
        ("LANG", "file", "C", False),
        ("MODE", "file", "slow", True),
        ("MODE", "plain", "fast", False),
    ]
    assert body["deployed"] is True
    assert body["bytes"] == len("MODEfastKEY" + VALUE)
    assert body["fits_lambda"] is True
    assert (await control.ask("GET", "/v1/functions/CHAT/environment"))[1]["variables"] == body["variables"]
    status, body = await change(control, {}, ["MODE", "KEY"])
    assert [v["name"] for v in body["variables"]] == ["LANG", "MODE"]


async def test_no_answer_has_the_value_of_a_secret(control: Any) -> None:
    answers = [await change(control, {"KEY": {"value": VALUE, "secret": True}})]
    answers.append(await change(control, {"KEY": {"value": VALUE, "secret": "yes"}}))
    answers.append(await change(control, {"KEY": {"value": VALUE + "\0", "secret": True}}))
    answers.append(await change(control, {"KEY": {"value": VALUE, "secret": True, "more": VALUE}}))
    answers.append(await change(control, {"9": {"value": VALUE}}))
    answers.append(await control.ask("GET", PATH))
    answers.append(await control.ask("GET", "/v1/functions"))
    answers.append(await control.ask("POST", "/v1/secrets/rotate"))
    assert [status for status, _ in answers] == [200, 400, 400, 400, 400, 200, 200, 200]
    assert VALUE not in repr(answers)


async def test_a_function_may_get_its_variables_before_it_is_deployed(control: Any) -> None:
    status, body = await change(
        control, {"KEY": {"value": VALUE, "secret": True}}, path="/v1/functions/new/environment"
    )
    assert (status, body["deployed"], body["name"]) == (200, False, "new")


async def test_what_is_wrong_is_said(control: Any) -> None:
    for put, remove, status, code in (
        ({}, ["NONE"], 404, "no_such_variable"),
        ({"AWS_LAMBDA_X": {"value": "1"}}, [], 400, "invalid_variable"),
        ({"A": {"value": "x" * 32_768}}, [], 400, "environment_too_large"),
        ({"A": {"value": "x" * 32_769}}, [], 400, "invalid_input"),
    ):
        answered, body = await change(control, put, remove)
        assert (answered, body["error"]["code"]) == (status, code)
    assert (await change(control, {}, path="/v1/functions/-x/environment"))[1]["error"]["code"] == "invalid_name"


async def test_rotating_says_how_many_secrets_there_are(control: Any) -> None:
    await change(control, {"KEY": {"value": VALUE, "secret": True}, "A": {"value": "b"}})
    assert await control.ask("POST", "/v1/secrets/rotate") == (200, {"secrets": 1})


async def test_more_than_lambda_allows_is_said(control: Any) -> None:
    assert (await change(control, {"A": {"value": "x" * 4096}}))[1]["fits_lambda"] is False
