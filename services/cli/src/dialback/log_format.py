"""How the access log's lines look: JSON for programs, or text for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dialback.access_view import HumanLine, InvocationLine
from dialback.setting_values import LOG_AUTO, LOG_PRETTY
from dialback_edge.access_log import AccessRecord

RenderFor = Callable[[bool], Callable[[Any], str]]
"""Told whether a person reads, gives what makes a line of a record."""


def edge_lines(wanted: str) -> RenderFor:
    """For an edge's records."""
    return lambda person: HumanLine.for_output() if _pretty(wanted, person) else AccessRecord.line


def invoker_lines(wanted: str) -> RenderFor:
    """For the summaries of an invoker without an edge."""
    return lambda person: InvocationLine.for_output() if _pretty(wanted, person) else json.dumps


def _pretty(wanted: str, person: bool) -> bool:
    return wanted == LOG_PRETTY or (wanted == LOG_AUTO and person)
