"""Every error that the invoker raises on purpose, as one tree.

    DialbackError                   base: a code for machines, a message for people, a place when there is one
    ├── InvalidInput           400  what somebody gave us is wrong
    │   ├── ConfigError        400  dialback.toml: unknown key, value out of range, value not served yet
    │   ├── BundleError        400  an uploaded bundle is malformed or tries to leave its folder
    │   │   └── BundleTooLarge 413  ... or is bigger than the limits, packed or unpacked
    │   ├── EntryError         400  no entry, syntax error, failing import in the function
    │   ├── RequirementsError  400  requirements.txt, pyproject.toml or a script block cannot be used
    │   ├── NoPython           400  no Python of this machine is one that the function takes
    │   └── BuildFailed        400  its dependencies cannot be installed; the message is the resolver's
    │       └── BuildTooLarge  413  ... they are larger than the limit
    ├── Unauthorized           401  no token, or a wrong one
    ├── Forbidden              403  foreign Origin or Host
    ├── NotFound               404  no such function, invocation, path
    ├── Conflict               409  would contradict what is there
    ├── PayloadTooLarge        413  a request body over its limit
    ├── UnsupportedMedia       415  a body of a type that this address does not take
    ├── LaunchFailed           502  a worker could not be started
    ├── Overloaded             503  no room now; ``retry_after`` seconds
    ├── PlatformFailure        500  our own trouble
    │   ├── DataFolderBusy     500  another invoker holds the data folder
    │   ├── PathProblem        500  a data or run folder that cannot be used
    │   ├── StoreFailure       500  the database cannot be used
    │   │   ├── StoreCorrupt   500  ... it is damaged
    │   │   └── StoreTooNew    500  ... a later version of Dialback wrote it
    │   ├── SecretUnreadable   500  a function's secret cannot be opened with the keys that are there
    │   └── DiskFull           507  no space left
    ├── InspectTimeout         504  looking at the function took too long
    └── BuildTimeout           504  installing its dependencies took too long

``http_status`` is what the control API answers; ``code`` is stable and may be matched on, ``message`` may change.
Foreign exceptions (OSError, sqlite3.Error, ValidationError) are translated where they first appear, with the original
as ``__cause__``.
"""

from __future__ import annotations

from typing import ClassVar


class DialbackError(Exception):
    """A code, a message naming the thing, an HTTP status, and the place where it stands, if it has one."""

    def __init__(
        self,
        code: str,
        message: str,
        http_status: int = 500,
        file: str | None = None,
        line: int | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status
        self.file = file
        self.line = line
        self.source = source

    def __str__(self) -> str:
        """`file:line: message`, as compilers write it, so that editors and people find the place."""
        if self.file is None:
            return self.message
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"

    def as_dict(self) -> dict[str, str | int]:
        """The value of ``error`` in the control API's answers; absent places are left out."""
        parts = {
            "code": self.code,
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "source": self.source,
        }
        return {key: value for key, value in parts.items() if value is not None}


class _Kind(DialbackError):
    """A branch of the tree: its class fixes the HTTP status and the usual code."""

    status: ClassVar[int] = 500
    usual_code: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        file: str | None = None,
        line: int | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(code or self.usual_code, message, self.status, file, line, source)


class InvalidInput(_Kind):
    """What somebody gave us is wrong."""

    status = 400
    usual_code = "invalid_input"


class ConfigError(InvalidInput):
    """``dialback.toml`` is wrong; carries file and line."""

    usual_code = "invalid_config"


class BundleError(InvalidInput):
    """An uploaded bundle is malformed or tries to leave its folder."""

    usual_code = "invalid_bundle"


class BundleTooLarge(BundleError):
    """A bundle exceeds a limit on size, count or compression ratio."""

    status = 413
    usual_code = "bundle_too_large"


class EntryError(InvalidInput):
    """The function has no entry, or its code does not compile or import."""

    usual_code = "invalid_entry"


class RequirementsError(InvalidInput):
    """What a function requires cannot be read, or names something outside its folder; carries file and line."""

    usual_code = "invalid_requirements"


class NoPython(InvalidInput):
    """No Python of this machine is one that the function takes; the message lists those there are."""

    usual_code = "no_python"


class BuildFailed(InvalidInput):
    """The dependencies cannot be installed; the message is what the resolver said."""

    usual_code = "build_failed"


class BuildTooLarge(BuildFailed):
    """The installed dependencies exceed the limit on their size."""

    status = 413
    usual_code = "build_too_large"


class Unauthorized(_Kind):
    """No token, or a wrong one."""

    status = 401
    usual_code = "unauthorized"


class Forbidden(_Kind):
    """A foreign Origin or Host."""

    status = 403
    usual_code = "forbidden"


class NotFound(_Kind):
    """No such function, deployment, invocation or path."""

    status = 404
    usual_code = "not_found"


class Conflict(_Kind):
    """The request contradicts what is there."""

    status = 409
    usual_code = "conflict"


class PayloadTooLarge(_Kind):
    """A request body is over its limit."""

    status = 413
    usual_code = "too_large"


class UnsupportedMedia(_Kind):
    """The body's Content-Type is not one that this address takes."""

    status = 415
    usual_code = "unsupported_media_type"


class LaunchFailed(_Kind):
    """A worker could not be started."""

    status = 502
    usual_code = "launch_failed"


class Overloaded(_Kind):
    """No room now; ask again after ``retry_after`` seconds."""

    status = 503
    usual_code = "overloaded"

    def __init__(self, message: str, *, code: str | None = None, retry_after: int = 1) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class PlatformFailure(_Kind):
    """Trouble of our own making or of the machine's."""


class DataFolderBusy(PlatformFailure):
    """Another invoker holds the data folder."""

    usual_code = "data_folder_busy"


class PathProblem(PlatformFailure):
    """A data or run folder cannot be used as it is."""

    usual_code = "path_problem"


class StoreFailure(PlatformFailure):
    """The database cannot be used."""

    usual_code = "store_failure"


class StoreCorrupt(StoreFailure):
    """The database is damaged."""

    usual_code = "store_corrupt"


class StoreTooNew(StoreFailure):
    """A later version of Dialback wrote the database."""

    usual_code = "store_too_new"


class SecretUnreadable(PlatformFailure):
    """A function's secret cannot be opened: its key is gone, or what was stored was changed."""

    usual_code = "secret_unreadable"


class DiskFull(PlatformFailure):
    """No space left on the device, or a quota is used up."""

    status = 507
    usual_code = "disk_full"


class InspectTimeout(_Kind):
    """Importing the function, to see what it exports, took too long."""

    status = 504
    usual_code = "inspect_timeout"


class BuildTimeout(_Kind):
    """Installing the function's dependencies took too long."""

    status = 504
    usual_code = "build_timeout"
