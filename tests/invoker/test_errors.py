"""The tree of errors: places are shown as compilers show them, and the control API gets what there is."""

from dialback_invoker.errors import BundleTooLarge, ConfigError, DialbackError, Overloaded


def test_an_error_with_a_place_reads_as_a_compiler_writes_it() -> None:
    assert str(ConfigError("no", file="dialback.toml", line=3)) == "dialback.toml:3: no"
    assert str(ConfigError("no", file="dialback.toml")) == "dialback.toml: no"
    assert str(ConfigError("no")) == "no"


def test_an_answer_leaves_out_the_places_that_are_not_known() -> None:
    error = DialbackError("code", "message", 418, "f.py", 2, "x = (")
    assert error.as_dict() == {"code": "code", "message": "message", "file": "f.py", "line": 2, "source": "x = ("}
    assert DialbackError("code", "message").as_dict() == {"code": "code", "message": "message"}


def test_the_class_says_the_status_and_the_usual_code() -> None:
    error = BundleTooLarge("big")
    assert (error.http_status, error.code) == (413, "bundle_too_large")
    assert BundleTooLarge("big", code="other").code == "other"
    assert Overloaded("full", retry_after=7).retry_after == 7
