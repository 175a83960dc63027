"""What a function's entry is: an object of the user's code and the style in which it is called."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

Target = Callable[..., Any]


class Kind(str, Enum):
    """The styles of handler that this version calls."""

    ASGI = "asgi"
    WSGI = "wsgi"
    HTTP = "http"
    """A subclass of `http.server.BaseHTTPRequestHandler`."""
    FETCH = "fetch"
    """`fetch(request)`, or functions named after methods."""
    LAMBDA = "lambda"


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
"""Names of functions that answer the method of that name."""


class EntryError(Exception):
    """The function has no usable entry. Names the place in the user's code, as far as there is one."""

    def __init__(
        self, message: str, file: str | None = None, line: int | None = None, source: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        """Relative to the function's folder."""
        self.line = line
        self.source = source
        """The text of that line."""

    def __str__(self) -> str:
        if self.file is None:
            return self.message
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


@dataclass(frozen=True)
class Entry:
    """A found entry. `name` is its canonical form, `module:attribute`."""

    name: str
    kind: Kind
    target: Any
    """What is called; for functions named after methods a dict of them."""

    @property
    def blocks(self) -> bool:
        """Whether the target is synchronous code, which needs a thread for each invocation that runs at once."""
        if self.kind is Kind.ASGI:
            return False
        if self.kind in (Kind.WSGI, Kind.HTTP):
            return True
        targets = self.target.values() if isinstance(self.target, dict) else [self.target]
        return not all(is_async(target) for target in targets)


def is_async(target: Any) -> bool:
    """Whether calling `target` gives a coroutine or an asynchronous generator."""
    while isinstance(target, functools.partial):
        target = target.func
    call = target if inspect.isroutine(target) else getattr(target, "__call__", None)  # noqa: B004 - its kind is wanted
    return inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)


@dataclass(frozen=True)
class Signature:
    """The positional parameters of a callable."""

    names: tuple[str, ...]
    required: int
    more: bool
    """Whether `*args` takes any number."""

    def takes(self, count: int) -> bool:
        """Whether it can be called with `count` positional arguments."""
        return self.required <= count and (self.more or count <= len(self.names))


def signature_of(target: Any) -> Signature | None:
    """The signature of `target`; None when Python cannot tell."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    plain = [parameter for parameter in parameters if parameter.kind in kinds]
    required = sum(parameter.default is parameter.empty for parameter in plain)
    more = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    return Signature(tuple(parameter.name for parameter in plain), required, more)


def is_request_handler(target: Any) -> bool:
    """Whether `target` is a class made from `http.server.BaseHTTPRequestHandler`."""
    # Whoever has such a class has imported its module; others need not load it.
    server = sys.modules.get("http.server")
    return server is not None and inspect.isclass(target) and issubclass(target, server.BaseHTTPRequestHandler)


def classify(attribute: str, target: Any) -> Kind | str:
    """The style of `target`, or why it cannot be an entry.

    Three positional parameters are ASGI's (scope, receive, send). Two are (event, context), or WSGI's (environ,
    start_response): by their names, and where those say nothing, WSGI's for a synchronous `app` or `application`.
    """
    if is_request_handler(target):
        return Kind.HTTP
    if inspect.isclass(target):
        return f"`{attribute}` is a class, and not one made from BaseHTTPRequestHandler"
    if not callable(target):
        return f"`{attribute}` is a {type(target).__name__}, which cannot be called"
    signature = signature_of(target)
    if signature is None:
        return f"the parameters of `{attribute}` cannot be told"
    names, is_app = signature.names, attribute in ("app", "application")
    if attribute == "fetch" or attribute in METHODS:
        if signature.takes(1) or signature.takes(0):
            return Kind.FETCH
        return f"`{attribute}` takes {len(names)} arguments: it gets one, the request"
    if signature.takes(3) and (signature.required == 3 or (is_app and is_async(target))):
        return Kind.ASGI
    if signature.takes(2):
        if names[:2] == ("event", "context"):
            return Kind.LAMBDA
        if names[:1] in (("environ",), ("env",)) or names[1:2] == ("start_response",):
            return Kind.WSGI
        return Kind.WSGI if is_app and not is_async(target) else Kind.LAMBDA
    if not names:
        return f"`{attribute}` takes no arguments: if it makes an application, call it and export the result"
    wanted = "(scope, receive, send), (environ, start_response) nor (event, context)"
    return f"`{attribute}` takes {len(names)} arguments: neither {wanted}"
