"""TLS at the invoker's end of a link: it shows a certificate. Who the edge is, the key of the link says."""

import os
import ssl
import stat

from dialback_invoker.errors import PathProblem
from dialback_invoker.settings import LinkTls


def server_context(tls: LinkTls) -> ssl.SSLContext:
    """TLS 1.3 with this certificate. Raises PathProblem for files that cannot be used, naming the one it is about."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for path in (tls.certificate, tls.key):
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        except OSError as error:
            raise PathProblem(f"{path}: {error.strerror or error}") from error
        if path == tls.key and mode & 0o007:
            raise PathProblem(f"{path}: everybody may read this private key; chmod 600 it")
    try:
        # Without a password to ask for: nobody sits there who could type one.
        context.load_cert_chain(tls.certificate, tls.key, password="")
    except (ssl.SSLError, ValueError, OSError) as error:
        why = getattr(error, "reason", None) or str(error) or "it cannot be read"
        raise PathProblem(f"{tls.certificate} and {tls.key} are no certificate with its unlocked key: {why}") from error
    return context
