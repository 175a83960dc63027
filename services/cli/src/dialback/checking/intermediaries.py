"""Who stands between, by what they write into headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dialback.terminal import safe

TELLTALES: Final = {
    "cf-ray": "Cloudflare",
    "x-amz-cf-id": "Amazon CloudFront",
    "x-served-by": "Fastly or Varnish",
    "x-varnish": "Varnish",
    "x-vercel-id": "Vercel",
    "fly-request-id": "Fly.io",
    "x-azure-ref": "Azure Front Door",
    "x-akamai-transformed": "Akamai",
    "x-nf-request-id": "Netlify",
    "x-render-origin-server": "Render",
    "x-envoy-upstream-service-time": "Envoy",
    "x-kong-proxy-latency": "Kong",
    "x-cache": "a cache",
}
ADVICE: Final = {
    "nginx": "nginx: `proxy_buffering off;` for this location, or the header `X-Accel-Buffering: no` on the response",
    "Cloudflare": "Cloudflare: text/event-stream passes; turn off Polish, Rocket Loader and the like for this path",
    "Amazon CloudFront": "CloudFront: turn off compression for this path in the cache behaviour",
    "Apache": "Apache: `SetEnv proxy-sendchunked 1` and `flushpackets=on` for this ProxyPass; no mod_deflate here",
}


def intermediaries(headers: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Their names, each once, the nearest to the client last where that is known."""
    found: dict[str, None] = {}
    for name, value in headers:
        if name == "via":
            found.update((f"via {safe(hop.strip())[:60]}", None) for hop in value.split(",") if hop.strip())
        elif name == "server":
            found[safe(value)[:60]] = None
        elif name in TELLTALES:
            found[TELLTALES[name]] = None
    return tuple(found)


def advice(names: Sequence[str]) -> tuple[str, ...]:
    """What to do about those that buffer or compress by default."""
    return tuple(text for known, text in ADVICE.items() if any(known.lower() in name.lower() for name in names))
