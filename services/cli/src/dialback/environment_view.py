"""A function's variables as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from dialback.control_models import FunctionVariables, Variable
from dialback.function_view import table
from dialback.terminal import QUIET, age, safe

KINDS = {"plain": "set", "secret": "secret", "file": "dialback.toml"}
LONGEST_SHOWN = 60


def environment_view(found: FunctionVariables) -> RenderableType:
    """Name, value, where it comes from, when it was set."""
    if not found.variables:
        return Text(f"{safe(found.name)} has no variables: dialback env set {safe(found.name)} KEY=VALUE", QUIET)
    made = table("variable", "value", "from", "set")
    for variable in found.variables:
        style = f"strike {QUIET}" if variable.overridden else ""
        made.add_row(
            Text(safe(variable.name), style or "bold"),
            _value(variable, style),
            KINDS.get(variable.kind, safe(variable.kind)),
            Text("" if variable.set_at is None else f"{age(variable.set_at)} ago", QUIET),
        )
    return made


def changed_view(found: FunctionVariables, keys: Sequence[str], what: str) -> Text:
    """What happened, and what follows."""
    name = safe(found.name)
    text = Text(f"{what} {', '.join(safe(key) for key in keys)} of {name}")
    later = (
        "its next requests get new workers" if found.deployed else "there is no such function yet; it will find this"
    )
    text.append(f"\n  {later}", QUIET)
    if not found.fits_lambda:
        text.append(f"\n  {found.bytes:,} bytes in all: AWS Lambda allows 4,096", "yellow")
    return text


def _value(variable: Variable, style: str) -> Text:
    if variable.value is None:
        return Text("not shown", QUIET)
    shown = safe(variable.value, keep="")
    return Text(shown if len(shown) <= LONGEST_SHOWN else f"{shown[: LONGEST_SHOWN - 3]}...", style)
