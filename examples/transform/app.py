"""An upstream's stream, transformed while it comes: OpenAI's chat events go in, the bare words come out.

POST / with a question as text. The upstream is what UPSTREAM names, the example `chat` unless you say otherwise; any
API that streams chat completions will do, with its key in UPSTREAM_KEY and a model of its own in UPSTREAM_MODEL.
"""

import http.client
import json
import os
import urllib.error
import urllib.request

from dialback_bridge import Response

CHAT = "http://127.0.0.1:8080/@chat/v1/chat/completions"


def POST(request):
    said = [{"role": "user", "content": request.text()}]
    question = {"model": os.environ.get("UPSTREAM_MODEL", "parrot-1"), "stream": True, "messages": said}
    headers = {"content-type": "application/json", "authorization": f"Bearer {os.environ.get('UPSTREAM_KEY', '')}"}
    asked = urllib.request.Request(os.environ.get("UPSTREAM", CHAT), json.dumps(question).encode(), headers)
    try:
        upstream = urllib.request.urlopen(asked, timeout=30)
    except urllib.error.HTTPError as error:
        return Response(f"the upstream answered {error.code}\n", 502)
    except OSError as error:
        return Response(f"the upstream cannot be reached: {error}\n", 502)
    headers = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-cache, no-transform"}
    return Response(words(upstream), headers=headers)


def words(upstream):
    """The words, each as it comes. When the client leaves, the upstream is closed and can stop as well."""
    with upstream:
        # An event may come in two pieces, and two events in one: it is lines that one reads, never chunks.
        for line in upstream:
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                yield "\n"
                return
            if line.startswith(b"data:"):
                for choice in json.loads(data)["choices"]:
                    yield choice["delta"].get("content")  # None, which sends nothing, when there are no words in it
    raise http.client.IncompleteRead(b"")  # the upstream broke off: so must we, lest half an answer look whole
