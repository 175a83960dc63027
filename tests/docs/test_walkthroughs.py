"""Documents that show files, commands and what these print are played on a platform, from top to bottom.

In such a document

    ```python app.py        is a file to be written, whatever the language before its name
    ```console              has commands behind `$ `, each with its output below
    ```sh                   and every other block is only read

Outputs are compared without what differs from run to run: numbers, durations, ids, the drawing of a time line. `...`
stands for anything.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.browser import chromium
from tests.system.platform import Platform

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
PLAYED = [
    "docs/tutorial.md",
    "docs/streaming-well.md",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/handlers/*.md")),
]
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY = "\N{HORIZONTAL ELLIPSIS}"
SAME = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b[dw]_[0-9a-z]+|\b0?[0-9a-z]{26}\b"), "ID"),
    (re.compile(r"<?\d[\d.,]*(?: ?(?:ms|s|m|h)\b)?"), "N"),
    (re.compile(r"[─┄▌╸━█]+(?:[─┄▌╸━█ ]*[─┄▌╸━█])?"), "~"),
    (re.compile(r"[ \t]+"), " "),
)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    made = Platform()
    try:
        yield made.start()
    finally:
        made.destroy()


@pytest.mark.parametrize("document", PLAYED)
@pytest.mark.timeout(300)
def test_what_a_document_shows_is_what_happens(platform: Platform, document: str, tmp_path: Path) -> None:
    player = Player(platform, tmp_path)
    blocks = BLOCK.findall((ROOT / document).read_text())
    for language, name, text in blocks:
        if language == "console":
            for command, expected in steps(text):
                player.run(command, expected)
        elif name:
            (player.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (player.folder / name).write_text(text)
    assert player.count, f"{document} has no commands"


def steps(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a block, each with what is shown below it."""
    for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = step.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command = f"{command[:-1]}{more.strip()}"
        yield command, output


class Player:
    """A terminal, in a folder that commands may change."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.folder = folder
        self.count = 0
        bins = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environ = {**platform.environ, "PATH": bins, "COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, command: str, expected: str) -> None:
        """Run it, and compare. It must succeed, unless the document shows an error, or curl is told to leave early."""
        self.count += 1
        where = self.folder / ".where"
        real = command.replace("http://127.0.0.1:8080", self.platform.url)
        real = real.replace(".localhost:8080", f".localhost:{self.platform.port}")
        done = subprocess.run(
            ["bash", "-c", f"{real}\ncode=$?; pwd > {shlex.quote(str(where))}; exit $code"],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        self.folder = Path(where.read_text().strip())
        where.unlink()
        shown = done.stdout.replace(self.platform.url, "http://127.0.0.1:8080")
        told = f"$ {command}\n{shown}\n--- but the document shows\n{expected}"
        assert matches(expected, shown), told
        assert done.returncode == 0 or "error:" in expected or "curl" in command, told


def matches(expected: str, shown: str) -> bool:
    pattern = re.escape(plain(expected.replace("...", ANY)))
    pattern = pattern.replace(re.escape(" " + ANY), "(?: .*)?").replace(re.escape(ANY), ".*")
    return re.fullmatch(pattern, plain(shown), re.DOTALL) is not None


def plain(text: str) -> str:
    """`text` without what differs from run to run."""
    for pattern, same in SAME:
        text = pattern.sub(same, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


def test_outputs_are_compared_without_what_differs() -> None:
    assert matches("live d_abc 3.2 ms\n...\nend", "live  d_xyz 14 s\nand\nmore\nend\n")
    assert not matches("three words", "three other words")
    assert matches("You said: ...", "You said: ")
    assert not matches("You said: ...", "You said nothing")
    assert matches("0 ───── 2.4 s", "0 ─────────── 91 ms")


def test_commands_may_go_on_in_the_next_line() -> None:
    assert list(steps("$ one\nout\n$ two \\\n    three\n")) == [("one", "out\n"), ("two three", "")]


@pytest.mark.browser
async def test_the_page_of_the_tutorial_shows_the_answer_word_by_word(platform: Platform, tmp_path: Path) -> None:
    path = chromium.find()
    if path is None:
        pytest.skip("Chromium is missing")
    for _, name, text in BLOCK.findall((ROOT / "docs/tutorial.md").read_text()):
        if name in ("app.py", "page.html"):
            (tmp_path / name).write_text(text)
    platform.command("deploy", str(tmp_path), "--name", "parrot")
    said = "document.getElementById('answer').textContent"
    with chromium.start(path) as address:
        async with chromium.connect(address) as browser, browser.open() as page:
            await page.goto(f"{platform.url}/@parrot/")
            await page.fill("#question", "good morning")
            await page.press("Enter", 13, "\r")
            await page.until(f"{said}.startsWith('You said: good') && !{said}.includes('back')")
            await page.until(f"{said}.endsWith('a word at a time. ')")
            assert [text for text in page.complaints if "favicon" not in text] == []
            await page.fill("#question", "hello tiger")
            await page.press("Enter", 13, "\r")
            await page.until(f"{said} === 'You said: hello  [network error]'")
