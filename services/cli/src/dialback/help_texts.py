"""What stands below the options in each command's help: examples, exit codes, environment variables.

Here, and not at the commands, so that they can be read beside each other; a test runs through all commands.
"""

from __future__ import annotations

from collections.abc import Iterable

EXAMPLES: dict[str, tuple[str, ...]] = {
    "up": (
        "dialback up chat/ clock/  # deploy two functions, then serve",
        "dialback up --port 0 --json  # a free port, named in one line of JSON",
        "dialback up chat/ --buffering-proxy  # what would a proxy that buffers make of it?",
    ),
    "dev": (
        "dialback dev chat/  # serve it at /, and again after each save",
        "dialback dev chat/ --debug  # and let an editor attach",
    ),
    "serve edge": (
        "dialback serve edge --link unix  # beside the invoker of the same data folder",
        "dialback serve edge --link tcp://10.0.0.5:9000 --link-key-file link.key --host 0.0.0.0",
    ),
    "serve invoker": (
        "dialback serve invoker  # for an edge on the same machine",
        "dialback serve invoker --link tcp://10.0.0.5:9000 --public-url https://functions.example.org",
    ),
    "simulate": (
        "dialback simulate http://127.0.0.1:8080 --slow-client 8kB/s --latency 200ms",
        "dialback simulate http://127.0.0.1:8080 --buffering-proxy --port 9000",
    ),
    "version": ("dialback version",),
    "init": (
        "dialback init chat --template openai-chat",
        "dialback init --list  # which templates there are",
    ),
    "deploy": (
        "dialback deploy chat/",
        "dialback deploy hello.py --name greeter --json",
    ),
    "rollback": (
        "dialback rollback chat  # to the version before",
        "dialback rollback chat d_4k2m8x0q1z7p",
    ),
    "ls": ("dialback ls", "dialback ls --json"),
    "ps": ("dialback ps", "dialback ps --json"),
    "rm": ("dialback rm chat",),
    "logs": (
        "dialback logs chat -f  # go on with new lines",
        "dialback logs chat --since 10m --json",
    ),
    "env set": (
        "dialback env set chat MODEL=small RETRIES=3",
        "dialback env set chat API_KEY --secret  # asks for the value",
        "dialback env set chat CERT --secret < cert.pem",
    ),
    "env ls": ("dialback env ls chat", "dialback env ls chat --json"),
    "env rm": ("dialback env rm chat RETRIES",),
    "env rotate": ("dialback env rotate",),
    "invoke": (
        "dialback invoke chat /v1/models",
        """dialback invoke chat /ask -d '{"say": "hi"}' -H 'content-type: application/json'""",
        "dialback invoke upload / -X PUT -d @big.iso",
        "dialback invoke chat /stream --mode buffered  # this one request, whatever the function's mode",
        "dialback invoke chat /stream --json  # head, pieces and end with their times",
    ),
    "trace": (
        "dialback trace --last",
        "dialback trace 06f3k1v9m2c8q4x7z5b0n1r2s3 --frames  # every frame; the id is in the header x-dialback-id",
    ),
    "replay": (
        "dialback replay  # the last request once more",
        "dialback replay 06f3k1v9m2c8q4x7z5b0n1r2s3 --mode buffered",
    ),
    "compare": (
        "dialback compare chat /stream",
        """dialback compare chat /ask -d '{"say": "hi"}' --json""",
    ),
    "check": (
        "dialback check https://functions.example.org --probe  # marked chunks through all that is on the way",
        "dialback check https://cdn.example.org/events --direct http://127.0.0.1:8080/@events/",
        "dialback check http://127.0.0.1:8080/@clock/events --for 5s --json",
    ),
    "doctor": (
        "dialback doctor",
        "dialback doctor --port 80 --json",
    ),
}
USUAL_EXITS = "0 well · 1 the platform or the function reported a failure · 2 wrong usage"
REACHES = " · 3 the platform cannot be reached"
EXITS: dict[str, str] = {
    "up": "0 stopped, and everything ended by itself · 1 something was cut, or it could not start · 2 wrong usage or"
    " configuration, or a function that cannot be packed",
    "dev": "0 stopped · 1 it could not start · 2 wrong usage or configuration",
    "serve edge": "0 stopped, and everything ended by itself · 1 something was cut, or it could not start · 2 wrong"
    " usage or configuration",
    "serve invoker": "0 stopped, and everything ended by itself · 1 something was cut, or it could not start · 2 wrong"
    " usage or configuration",
    "simulate": "0 stopped · 1 it cannot listen there · 2 wrong usage",
    "invoke": "0 a whole answer below 400 · 1 a status of 400 or more, or an answer that stopped short · 2 wrong usage"
    " · 3 the platform cannot be reached",
    "check": "0 it streams · 1 it is buffered, comes in blocks, or is changed · 2 it cannot be told, or wrong usage"
    " · 3 no connection",
    "doctor": "0 the platform can run · 1 something is broken (--strict: or worth a warning) · 2 wrong usage",
}
ALWAYS = ("NO_COLOR", "COLUMNS", "DIALBACK_DEBUG")
"""Variables that every command heeds."""


def below_options(path: str, parameters: Iterable[str]) -> str:
    """The text for a command: its path without `dialback`, and its parameters' names."""
    from dialback.setting_values import KNOWN

    names = set(parameters)
    special = {"control": "DIALBACK_CONTROL_URL", "token": "DIALBACK_CONTROL_TOKEN", "config": "DIALBACK_CONFIG"}
    variables = [special[name] for name in special if name in names]
    variables += [f"DIALBACK_{name.upper()}" for name in KNOWN if name in names]
    exits = EXITS.get(path) or USUAL_EXITS + (REACHES if "control" in names else "")
    examples = EXAMPLES.get(path, ())
    parts = [
        *(["\n".join(("Examples:", *(f"$ {example}" for example in examples)))] if examples else []),
        f"Exit codes: {exits} · 130 interrupted.",
        f"Environment: {', '.join((*variables, *ALWAYS))}.",
    ]
    # A bracket would be taken for markup.
    return "\n\n".join(part.replace("[", "\\[") for part in parts)
