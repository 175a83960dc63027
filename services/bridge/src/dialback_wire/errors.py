"""Everything the wire can object to.

WireError
├── LocalError               we ourselves asked for something that the protocol does not allow (a bug on this side)
└── RemoteError              the other side did
    ├── StreamViolation      wrong for one stream: that stream is reset, the socket lives
    └── FramingError         bytes that are no frames, or no greeting: the carrier must be closed
        └── ProofError       the other end does not know the key of this link
"""


class WireError(Exception):
    """Base of every error of the wire protocol."""


class LocalError(WireError):
    """A call on this side that the protocol does not allow in the present state."""


class RemoteError(WireError):
    """The other side broke the protocol."""


class StreamViolation(RemoteError):
    """A frame that its stream's state does not allow, or whose content cannot be decoded."""


class FramingError(RemoteError):
    """Undecodable framing. There is no way to find the next frame, so the carrier is closed."""


class ProofError(FramingError):
    """The two ends of a link do not share a key."""
