"""Everything the edge can object to.

EdgeError
├── Rejected                 a client's request that we answer ourselves, with a status
├── UpstreamUnavailable      no link to an invoker is ready
└── SettingsError            a setting that names something unusable (a key file that others may read)
"""


class EdgeError(Exception):
    """Base of every error of the edge."""


class Rejected(EdgeError):
    """A request that goes no further: what to tell the client, and as which short machine-readable word."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class UpstreamUnavailable(EdgeError):
    """No invoker can be asked now. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SettingsError(EdgeError):
    """A setting has the right form, but what it names cannot be used."""
