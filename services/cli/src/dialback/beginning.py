"""The templates of `dialback init`: folders of `templates/`, copied without ever overwriting a file."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from dialback.errors import UsageProblem
from dialback.names import did_you_mean

FOLDER = Path(__file__).with_name("templates")
DEFAULT = "asgi"
ORDER = ("asgi", "fetch", "sse", "openai-chat", "fastapi", "flask", "lambda", "generator", "probe")
"""As they are listed: first what most people want."""


@dataclass(frozen=True, slots=True)
class Template:
    """A name, what it is in a sentence, and its files."""

    name: str
    about: str
    files: tuple[Path, ...]

    @property
    def requires(self) -> bool:
        """Whether it has dependencies."""
        return any(file.name == "requirements.txt" for file in self.files)


def templates() -> tuple[Template, ...]:
    """All of them."""
    return tuple(_read(FOLDER / name) for name in ORDER)


def template(name: str) -> Template:
    """The one of that name. UsageProblem."""
    if name not in ORDER:
        raise UsageProblem(f"there is no template {name!r}", hint=did_you_mean(name, ORDER))
    return _read(FOLDER / name)


def write(chosen: Template, folder: Path) -> tuple[Path, ...]:
    """Copy its files into `folder`, which is made if it is not there; what was written. UsageProblem when one of them
    is there already, and then nothing was done.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageProblem(f"{folder} is there and is not a folder")
    wanted = [(file, folder / file.name) for file in chosen.files]
    taken = [str(there) for _, there in wanted if there.exists() or there.is_symlink()]
    if taken:
        raise UsageProblem(
            f"{' and '.join(taken)} {'is' if len(taken) == 1 else 'are'} there already; nothing was written",
            hint="name a new folder: dialback init DIR",
        )
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    try:
        for file, there in wanted:
            with there.open("xb") as out:
                made.append(there)
                out.write(file.read_bytes())
    except BaseException:
        for there in made:
            there.unlink(missing_ok=True)
        raise
    return tuple(made)


def _read(folder: Path) -> Template:
    files = tuple(sorted(file for file in folder.iterdir() if file.is_file()))
    code = next(file for file in files if file.suffix == ".py")
    about = (ast.get_docstring(ast.parse(code.read_text("utf-8"))) or "").partition("\n")[0].rstrip(".")
    return Template(folder.name, about, files)
