"""Settings refuse what they do not understand."""

from typing import Any

import pytest
from pydantic import ValidationError

from dialback_edge.settings import EdgeSettings, LinkSettings


@pytest.mark.parametrize(
    "values",
    [
        {"prot": 1},
        {"port": 70_000},
        {"port": -1},
        {"limits": {"heads": 1}},
        {"limits": {"head": 0}},
        {"timeouts": {"head": -1}},
        {"timeouts": {"tick": 0}},
        {"trusted_proxies": ["10.0.0.1/8"]},
        {"authorities": ["http://x"]},
        {"authorities": ["x:80"]},
        {"grace": 1},
    ],
)
def test_a_wrong_setting_is_an_error(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EdgeSettings.model_validate(values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"path": "/x", "host": "a", "port": 1},
        {"host": "a"},
        {"port": 1},
        {"path": "/x", "port": 1},
        {"host": "a", "port": 1},
        {"path": "/x", "backoff_min": 5},
    ],
)
def test_a_wrong_link_is_an_error(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LinkSettings.model_validate(values)


def test_hosts_are_compared_in_lower_case() -> None:
    assert EdgeSettings.model_validate({"authorities": ["Example.org", "[::1]"]}).authorities == (
        "example.org",
        "[::1]",
    )


def test_settings_are_frozen() -> None:
    settings = EdgeSettings()
    with pytest.raises(ValidationError):
        settings.port = 1


def test_a_link_is_a_path_or_an_address_with_a_key() -> None:
    assert LinkSettings.model_validate({"path": "/x"}).path is not None
    assert LinkSettings.model_validate({"host": "a", "port": 1, "key_file": "/k"}).port == 1
