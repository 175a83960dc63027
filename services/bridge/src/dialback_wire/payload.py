"""The one key that Dialback adds to a Function URL event (payload format 2.0), and the names around it.

The rest of the event is AWS's own, so that the same function also runs on plain Lambda, where this key is absent and
the answer is buffered.
"""

KEY = "dialback"
VERSION = 1

CALLBACK_PATH = "/callback/v1"
SUBPROTOCOL = "dialback.1"

BODY_NONE = "none"
BODY_INLINE = "inline"
BODY_STREAM = "stream"

INLINE_LIMIT = 64 * 1024
"""Request bodies with a Content-Length up to this many bytes travel inside the payload; others stream."""

LAMBDA_LIMIT = 6 * 1024 * 1024
"""AWS Lambda's limit for a whole request or response, in bytes; holds wherever a body is handled as one value."""

UNREACHABLE = "Dialback.CallbackUnreachable"
"""Error type of the runtime API: the receiver could not be dialled, so the handler was not called."""

REFUSED = "Dialback.CallbackRefused"
"""Error type of the runtime API: the receiver refused the token, so the handler was not called."""
