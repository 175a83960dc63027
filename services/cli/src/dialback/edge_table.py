"""The table `[edge]` of dialback-platform.toml: what only the edge knows, checked by its own model.

[edge]
authorities = ["functions.example.org", ".functions.example.org"]
[edge.limits]
body = 10_000_000
[edge.timeouts]
write_stall = 120
"""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from dialback.errors import UsageProblem
from dialback.names import did_you_mean
from dialback.setting_values import Network
from dialback.toml_file import TomlFile
from dialback_edge.settings import EdgeSettings

TABLE = "edge"
ELSEWHERE = ("host", "port", "share_port", "trusted_proxies")
"""Settings of the edge that are keys of their own, outside of the table."""


def edge_settings(
    file: TomlFile | None, host: str, port: int, share_port: bool, trusted_proxies: tuple[Network, ...]
) -> EdgeSettings:
    """The edge's settings; UsageProblem with the line of the file that is wrong."""
    said = {} if file is None else file.values.get(TABLE, {})
    outside = {"host": host, "port": port, "share_port": share_port, "trusted_proxies": trusted_proxies}
    if file is None or not said:
        return EdgeSettings.model_validate(outside)
    if not isinstance(said, dict):
        raise file.problem(TABLE, f"{TABLE}: it must be a table, [{TABLE}]")
    for name in ELSEWHERE:
        if name in said:
            hint = f"write {name} = ... above every table"
            raise file.problem((TABLE, name), f"{TABLE}.{name} is no key of this table", hint)
    listed = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    try:
        return EdgeSettings.model_validate(listed | outside, strict=True)
    except ValidationError as error:
        raise _problem(file, error) from None


def _problem(file: TomlFile, error: ValidationError) -> UsageProblem:
    first = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in first["loc"])
    key = ".".join((TABLE, *path))
    if first["type"] == "extra_forbidden":
        model: type[BaseModel] = EdgeSettings
        for name in path[:-1]:
            inner = model.model_fields[name].annotation
            assert isinstance(inner, type)
            model = inner
        known = [name for name in model.model_fields if len(path) > 1 or name not in ELSEWHERE]
        return file.problem((TABLE, *path), f"unknown key {key!r}", did_you_mean(path[-1], known))
    return file.problem((TABLE, *path), f"{key}: {first['msg'].replace('Input should', 'it should')}")
