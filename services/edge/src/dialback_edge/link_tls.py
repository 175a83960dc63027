"""TLS at the edge's end of a link: whose certificates are believed, and what went wrong in words for people."""

import ssl
from pathlib import Path

from .errors import SettingsError


def client_context(authority: Path | None) -> ssl.SSLContext:
    """TLS 1.3; `authority` is a file with the only certificates that are trusted, None: those of the system.

    Raises SettingsError for a file that cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=authority)
    except ssl.SSLError as error:
        raise SettingsError(f"{authority}: there is no certificate in it ({error.reason or error})") from error
    except OSError as error:
        raise SettingsError(f"{authority}: {error.strerror or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def explained(error: ssl.SSLError | ConnectionResetError) -> str:
    """Why a handshake failed."""
    if isinstance(error, ConnectionResetError):
        return "no TLS with it: it hung up during the handshake"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return f"no TLS with it: {(getattr(error, 'reason', None) or str(error)).replace('_', ' ').lower()}"
