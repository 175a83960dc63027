"""A typed client of the control API. Every failure leaves as one of `dialback.errors`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, JsonValue, ValidationError

from dialback import control_models as models
from dialback.bundle import Bundle
from dialback.environment import NewVariable
from dialback.errors import CliError, Refused, Unreachable, WrongToken
from dialback.whereabouts import Whereabouts

M = TypeVar("M", bound=BaseModel)

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
DEPLOY_SECONDS = 600.0
"""A deploy answers when the function was loaded once, so a slow import counts."""
UPLOAD_PIECE = 64 * 1024
LINES = "application/x-ndjson"


def _refused(fault: models.Fault, status: int) -> Refused:
    return Refused(fault.message, status=status, code=fault.code, file=fault.file, line=fault.line, source=fault.source)


class ControlClient:
    """Speaks to one platform. Use it as a context manager; methods raise CliError and nothing else.

    No proxies of the environment and no redirects: the token goes to the address that was named, or nowhere.
    """

    def __init__(self, where: Whereabouts) -> None:
        self.where = where
        self._http = httpx.Client(
            base_url=where.control_url,
            headers={"authorization": f"Bearer {where.token}", "accept": "application/json"},
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
            follow_redirects=False,
        )

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def platform(self) -> models.Platform:
        return self._ask(models.Platform, "GET", "/v1/platform")

    def functions(self) -> models.Functions:
        return self._ask(models.Functions, "GET", "/v1/functions")

    def function(self, name: str) -> models.Function:
        return self._ask(models.Function, "GET", f"/v1/functions/{quote(name, safe='')}")

    def remove(self, name: str) -> None:
        self._send("DELETE", f"/v1/functions/{quote(name, safe='')}")

    def workers(self) -> models.Workers:
        return self._ask(models.Workers, "GET", "/v1/workers")

    def live(self) -> models.Invocations:
        return self._ask(models.Invocations, "GET", "/v1/invocations", params={"live": "1", "limit": "200"})

    def trace(self, invocation: str) -> models.Trace:
        """`invocation` may be `last`."""
        return self._ask(models.Trace, "GET", f"/v1/invocations/{quote(invocation, safe='')}")

    def ticket(self, function: str, mode: str) -> str:
        """A single-use ticket that makes one request of the public port run in `mode`."""
        body = {"function": function, "mode": mode}
        return self._ask(models.Ticket, "POST", "/v1/tickets", json=body).ticket

    def replay(
        self, invocation: str, deployment: str | None, mode: str | None, headers: dict[str, str]
    ) -> Iterator[tuple[str, str]]:
        """Make a recorded request again; the names of the events and their data, JSON, as they come."""
        wanted = {"deployment": deployment, "mode": mode, "headers": headers}
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, read=None)
        with self._translated():
            path = f"/v1/invocations/{quote(invocation, safe='')}/replay"
            with self._http.stream("POST", path, json=wanted, timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                self._check(response)
                name = ""
                for line in response.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        yield name, value

    def variables(self, function: str) -> models.FunctionVariables:
        return self._ask(models.FunctionVariables, "GET", f"/v1/functions/{quote(function, safe='')}/environment")

    def change_variables(
        self, function: str, put: Mapping[str, NewVariable], remove: Sequence[str]
    ) -> models.FunctionVariables:
        """Set and remove variables in one step."""
        body: dict[str, JsonValue] = {
            "put": {name: {"value": given.value, "secret": given.secret} for name, given in put.items()},
            "remove": list(remove),
        }
        path = f"/v1/functions/{quote(function, safe='')}/environment"
        return self._ask(models.FunctionVariables, "PATCH", path, json=body)

    def rotate_secrets(self) -> int:
        """Close every secret with a new key; how many there are."""
        return self._ask(models.Rotated, "POST", "/v1/secrets/rotate").secrets

    def deployments(self, function: str | None = None) -> models.Deployments:
        """The versions of one function, or of all."""
        of_one = "" if function is None else f"/functions/{quote(function, safe='')}"
        return self._ask(models.Deployments, "GET", f"/v1{of_one}/deployments")

    def deploy(
        self, bundle: Bundle, sent: Callable[[int], None], told: Callable[[str | None], None] | None = None
    ) -> models.Deployed:
        """Upload a bundle; `sent` is called with the bytes of each piece, `told` with what the installation of its
        dependencies says, and with None now and then while it says nothing. Refused carries the place of a mistake.
        """

        def pieces() -> Iterator[bytes]:
            bundle.body.seek(0)
            while piece := bundle.body.read(UPLOAD_PIECE):
                yield piece
                sent(len(piece))

        request = self._http.build_request(
            "POST",
            f"/v1/functions/{quote(bundle.name, safe='')}/deployments",
            content=pieces(),
            headers={
                "content-type": bundle.media_type,
                "content-length": str(bundle.length),
                "accept": f"application/json, {LINES}",
            },
            timeout=httpx.Timeout(DEPLOY_SECONDS, connect=CONNECT_SECONDS),
        )
        return self._deployed(request, told)

    def rollback(
        self, function: str, deployment: str | None, told: Callable[[str | None], None] | None = None
    ) -> models.Deployed:
        """Let a deployment serve again; None: the one before the active one. `told` as for `deploy`."""
        request = self._http.build_request(
            "POST",
            f"/v1/functions/{quote(function, safe='')}/rollback",
            json={"deployment": deployment},
            headers={"accept": f"application/json, {LINES}"},
            timeout=httpx.Timeout(DEPLOY_SECONDS, connect=CONNECT_SECONDS),
        )
        return self._deployed(request, told)

    def logs(self, function: str, *, follow: bool, since: float | None, limit: int) -> Iterator[models.LogLine]:
        """Log lines, the oldest first; with `follow` it goes on until the platform or the caller stops."""
        params = {"limit": str(limit)} | ({"follow": "1"} if follow else {})
        if since is not None:
            params["since"] = f"{since:.6f}"
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, read=None if follow else ANSWER_SECONDS)
        with self._translated():
            path = f"/v1/functions/{quote(function, safe='')}/logs"
            with self._http.stream("GET", path, params=params, timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                self._check(response)
                for line in response.iter_lines():
                    if line.strip():
                        yield self._read(models.LogLine, line)

    def _deployed(self, request: httpx.Request, told: Callable[[str | None], None] | None) -> models.Deployed:
        """The answer, or the last line of one that comes in lines."""
        with self._translated():
            response = self._http.send(request, stream=True)
            try:
                if not response.is_success or not response.headers.get("content-type", "").startswith(LINES):
                    response.read()
                    self._check(response)
                    return self._read(models.Deployed, response.content)
                for line in response.iter_lines():
                    event = self._read(models.DeployEvent, line)
                    if event.deployed is not None:
                        return event.deployed
                    if event.error is not None:
                        raise _refused(event.error, event.status or 500)
                    if told is not None:
                        told(event.text)
            finally:
                response.close()
        raise Unreachable(
            f"the platform at {self.where.control_url} ended the answer in the middle",
            hint="`dialback ps` shows if it still runs",
        )

    def _ask(
        self,
        model: type[M],
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        json: Mapping[str, JsonValue] | None = None,
        content: Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
    ) -> M:
        with self._translated():
            request = self._http.build_request(
                method,
                path,
                params=params,
                json=json,
                content=content,
                headers=headers,
                timeout=timeout or self._http.timeout,
            )
            response = self._http.send(request)
        self._check(response)
        return self._read(model, response.content)

    def _send(self, method: str, path: str) -> None:
        with self._translated():
            response = self._http.request(method, path)
        self._check(response)

    def _read(self, model: type[M], body: bytes | str) -> M:
        try:
            return model.model_validate_json(body)
        except ValidationError as strange:
            first = strange.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the answer"
            raise CliError(
                f"{self.where.control_url} answered what this version does not understand: {place}: {first['msg']}",
                hint="are the command and the platform of the same version?",
            ) from None

    def _check(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        try:
            fault = models.FaultAnswer.model_validate_json(response.content).error
        except ValidationError:
            raise Unreachable(
                f"{self.where.control_url} ({self.where.url_origin}) is not a Dialback control API:"
                f" it answered {response.status_code} {response.reason_phrase}".rstrip(),
                hint="name the control address with --control",
            ) from None
        if response.status_code == 401:
            raise WrongToken(
                f"{self.where.control_url} refused the control token, which came from {self.where.token_origin}",
                hint="the token is in control.token in the data folder of the platform",
            )
        raise _refused(fault, response.status_code)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """httpx's exceptions become ours, here and nowhere else."""
        where = self.where.control_url
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as failure:
            raise Unreachable(
                f"cannot reach the platform at {where} ({self.where.url_origin}): {failure}",
                hint="is `dialback up` running?",
            ) from None
        except httpx.TimeoutException:
            raise Unreachable(f"the platform at {where} does not answer", hint="is it overloaded or stopped?") from None
        except httpx.TransportError as failure:
            raise Unreachable(
                f"the platform at {where} closed the connection: {failure}", hint="`dialback ps` shows if it still runs"
            ) from None
