"""The documents say what is there: links lead somewhere, commands exist, tables equal the code."""

import importlib.metadata
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from urllib.parse import unquote

import pytest
import tomllib
import typer.main
from pydantic import BaseModel, ValidationError

from dialback import ending, setting_values
from dialback.main import app
from dialback.settings import COMPOSE_VARIABLES
from dialback_edge.metrics import CATALOGUE as EDGE_METRICS
from dialback_edge.verdicts import ended_by
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.metrics.catalogue import CATALOGUE as INVOKER_METRICS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
        ROOT / "bench/README.md",
    ]
    if "node_modules" not in path.parts
)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:services|tests|docs|examples|bench|requirements|\.ci)/[\w./-]*\w")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(document: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    text = FENCE.sub("", document.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


def rows(document: str, first_header: str) -> Iterator[list[str]]:
    """The cells of the table whose first column is headed `first_header`."""
    table = False
    for line in (ROOT / document).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            table = False
        elif cells[0] == first_header:
            table = True
        elif table and not line.startswith("|---"):
            yield cells


def written(cell: str) -> str:
    """What stands in a cell's first pair of backticks."""
    found = CODE.search(cell)
    assert found is not None, f"{cell!r} has nothing in backticks"
    return found[1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    for target in LINK.findall(FENCE.sub("", document.read_text())):
        if "://" in target:
            continue
        path, _, anchor = unquote(target).partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.exists(), f"{named(document)} links to {target}"
        assert there.is_relative_to(ROOT), f"{named(document)} links out of the repository: {target}"
        if anchor:
            assert anchor in anchors(there), f"{named(document)} links to {target}; there is no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_file_that_is_named_is_there(document: Path) -> None:
    for code in CODE.findall(FENCE.sub("", document.read_text())):
        for path in code.split():
            if PATH.fullmatch(path) and not path.endswith("/NAME") and not path.startswith("bench/results"):
                assert (ROOT / path).exists(), f"{named(document)} names {path}"


def test_the_guide_for_changes_names_files_in_every_row() -> None:
    found = [
        line
        for line in (ROOT / "docs/where-to-look.md").read_text().splitlines()
        if re.match(r"\| (?!I want)[^-]", line)
    ]
    assert len(found) > 50
    for line in found:
        file = line.strip().strip("|").split(" | ")[1]
        assert (ROOT / written(file)).is_file(), line


def commands_in(document: str) -> Iterator[list[str]]:
    """Every `dialback ...` that a document shows, in a block or in a line."""
    text = (ROOT / document).read_text()
    lines = [line for block in FENCE.findall(text) for line in block.splitlines()]
    for code in [*lines, *CODE.findall(FENCE.sub("", text))]:
        found = re.match(r"\s*(?:\./|\S*/bin/)?dialback ([a-z].*)", code.partition("   #")[0])
        if found:
            yield shlex.split(found[1])


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        *(
            f"docs/{name}.md"
            for name in (
                "dev",
                "docker",
                "operating",
                "observability",
                "writing-functions",
                "how-it-works",
                "environment",
                "testing",
            )
        ),
    ],
)
def test_every_command_that_is_shown_exists_with_its_flags(document: str) -> None:
    shown = list(commands_in(document))
    assert shown
    for words in shown:
        command: Any = typer.main.get_command(app)
        for word in words:
            if not hasattr(command, "commands"):
                break
            if not word.startswith("-") and word != "...":
                assert word in command.commands, f"{document} shows `dialback {' '.join(words)}`"
                command = command.commands[word]
        flags = {flag for parameter in command.params for flag in parameter.opts}
        used = {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)}
        assert not hasattr(command, "commands") or words[-1] in (command.name, "..."), words
        assert used <= flags, f"{document} shows `dialback {' '.join(words)}`"


def fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys, those of inner tables behind a dot, and their fields."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields_of(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def test_the_table_of_dialback_toml_has_every_key_and_no_other() -> None:
    shown = [written(cells[0]) for cells in rows("docs/writing-functions.md", "key")]
    assert shown == [name for name, _ in fields_of(FunctionConfig)]


def test_the_table_of_dialback_toml_has_the_defaults() -> None:
    fields = dict(fields_of(FunctionConfig))
    for key, default, *_ in rows("docs/writing-functions.md", "key"):
        actual = fields[written(key)].get_default(call_default_factory=True)
        if actual is None:
            assert default == "none"
        elif actual == {}:
            assert default == "empty"
        else:
            assert tomllib.loads(f"x = {written(default)}")["x"] == actual, key


def accepts(key: str, value: float) -> bool:
    table, _, name = key.rpartition(".")
    try:
        FunctionConfig.model_validate({table: {name: value}} if table else {name: value})
    except ValidationError:
        return False
    return True


def test_the_table_of_dialback_toml_has_the_ranges() -> None:
    told = 0
    for key, _, allowed, *_ in rows("docs/writing-functions.md", "key"):
        said = re.fullmatch(r"(above )?(\d+) to (\d+)", allowed)
        if said is None:
            continue
        least, most = int(said[2]), int(said[3])
        assert accepts(written(key), most), key
        assert not accepts(written(key), most + 1), key
        assert accepts(written(key), least) is not bool(said[1]), key
        assert accepts(written(key), least + 1), key
        assert not accepts(written(key), least - 1), key
        told += 1
    assert told >= 9


def test_the_table_of_dialback_toml_has_the_choices() -> None:
    for key, _, allowed, *_ in rows("docs/writing-functions.md", "key"):
        choices = [code.strip('"') for code in CODE.findall(allowed) if code != '"module:attribute"']
        for choice in choices:
            FunctionConfig.model_validate({written(key): choice})
        chosen = dict(fields_of(FunctionConfig))[written(key)].annotation
        if get_origin(chosen) is Literal:
            assert sorted(choices) == sorted(get_args(chosen)), key


def test_the_table_of_settings_has_every_setting_and_no_other() -> None:
    shown = [
        (written(flag), written(variable), written(key))
        for flag, variable, key, *_ in rows("docs/operating.md", "flag")
    ]
    known = {key.name: key for key in vars(setting_values).values() if isinstance(key, setting_values.Key)}
    assert sorted(name for *_, name in shown) == sorted(setting_values.KNOWN)
    for flag, variable, name in shown:
        assert (flag, variable) == (known[name].flag, known[name].variable)


def test_the_table_of_compose_has_every_variable_and_its_default() -> None:
    text = (ROOT / "deploy/docker-compose.yml").read_text() + (ROOT / "deploy/edges.yml").read_text()
    read = dict(re.findall(r"\$\{(DIALBACK_\w+)(?::?-([^${}]*))?", text))
    shown: dict[str, str] = {}
    for names, defaults, *_ in rows("docs/docker.md", "variable"):
        said = CODE.findall(defaults)
        shown |= dict(zip(CODE.findall(names), said or [""], strict=True))
    assert sorted(shown) == sorted(read)
    for name, default in shown.items():
        assert default == read[name] or "PORT" in default, name
    settings = {f"DIALBACK_{name.upper()}" for name in setting_values.KNOWN}
    known = settings | {f"DIALBACK_{name}" for name in COMPOSE_VARIABLES}
    assert set(read) <= known, "the command line would take it for a mistyped setting"


def test_the_table_of_settings_has_the_defaults() -> None:
    known = {key.name: key for key in vars(setting_values).values() if isinstance(key, setting_values.Key)}
    for _, _, name, default, *_ in rows("docs/operating.md", "flag"):
        actual = known[written(name)].default
        actual = str(actual).lower() if isinstance(actual, bool) else actual
        if actual not in (None, ()):
            said = written(default)
            assert said in (str(actual), f"{actual:g}" if isinstance(actual, float) else ""), name


def test_the_tables_of_metrics_have_every_metric_and_no_other() -> None:
    shown = [
        (written(name), kind, tuple(CODE.findall(labels)), meaning)
        for name, kind, labels, meaning in rows("docs/observability.md", "metric")
    ]
    known = (*INVOKER_METRICS, *EDGE_METRICS)
    assert shown == [(metric.name, metric.kind, metric.labels, metric.help) for metric in known]


def test_every_metric_of_a_question_exists() -> None:
    known = {metric.name: metric for metric in (*INVOKER_METRICS, *EDGE_METRICS)}
    asked = [expression for _, expression in rows("docs/observability.md", "question")]
    assert asked
    for name in re.findall(r"dialback_\w+", " ".join(asked)):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert known[base].kind == "histogram" if base != name else known[name].kind != "histogram", name


def test_the_table_of_codes_has_every_letter_and_who_it_stands_for() -> None:
    listed = {written(letter): CODE.findall(by) for letter, by, _ in rows("docs/observability.md", "first letter")}
    assert set(listed) == {*ending.WHO, ending.NO_FUNCTION[0]}
    for letter, by in listed.items():
        phases = ("H", "L") if letter == "s" else ("H",)
        said = {ended_by(letter + phase, upstream=upstream) for phase in phases for upstream in (False, True)}
        assert set(by) == said, letter


def test_the_table_of_formats_has_every_format_and_no_other() -> None:
    shown = [written(name) for name, _ in rows("docs/observability.md", "format")]
    assert shown == list(setting_values.LOG_FORMATS)


def test_the_changelog_has_the_present_version() -> None:
    version = importlib.metadata.version("dialback")
    assert re.search(rf"^## {re.escape(version)}$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_every_document_and_every_decision_is_in_an_index() -> None:
    for index in ("docs/README.md", "docs/decisions/README.md"):
        folder = (ROOT / index).parent
        listed = {target.partition("#")[0] for target in LINK.findall((ROOT / index).read_text())}
        documents = [*folder.glob("*.md"), *folder.glob("handlers/*.md")]
        for name in (str(document.relative_to(folder)) for document in documents):
            assert name == "README.md" or name in listed, f"{index} does not list {name}"


def test_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for name in names:
        assert (ROOT / "docs/decisions" / name).read_text().startswith(f"# {int(name[:4])}. ")
