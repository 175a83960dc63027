"""Writes the conformance vectors: `python -m tests.vectors.make`.

An implementation in another language reads these files; `docs/protocol.md` says what they mean.
"""

import json
from pathlib import Path
from typing import Any

from . import conversations_of, frames_of, rules_of

HERE = Path(__file__).parent


def build() -> dict[str, Any]:
    """The content of every file, by its name."""
    return {
        "frames.json": {"valid": frames_of.valid(), "malformed": frames_of.malformed()},
        "conversations.json": conversations_of.all_of_them(),
        "proofs.json": rules_of.proofs(),
        "tokens.json": rules_of.token_forms(),
        "payload.json": rules_of.stamp(),
        "heads.json": rules_of.heads(),
    }


def render(content: Any) -> str:
    """As the file has it."""
    return json.dumps(content, indent=1, ensure_ascii=True) + "\n"


def main() -> None:
    """Write them all."""
    for name, content in build().items():
        (HERE / name).write_text(render(content))


if __name__ == "__main__":
    main()
