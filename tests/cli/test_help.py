"""Help as a man page: every command says what it does, shows examples that work, its exit codes and its variables."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from command import COMMAND, Run
from fake_platform import FakePlatform

from dialback.help_texts import EXAMPLES
from dialback.main import app

ROOT: Any = typer.main.get_command(app)


def leaves(command: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with its path."""
    for name, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from leaves(inner, (*path, name))
        else:
            yield (*path, name), inner


COMMANDS = dict(leaves())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_is_whole(path: tuple[str, ...], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = run(*path, "--help")
    assert done.exit_code == 0
    text = re.sub(r"\s+", " ", done.stdout)
    examples = EXAMPLES[" ".join(path)]
    assert COMMANDS[path].help, "says what it does"
    for example in examples:
        assert f"$ {example}".split("  #")[0][:150] in text, example
    assert "Exit codes: 0 " in text
    assert "130 interrupted" in text
    assert "NO_COLOR" in text
    for parameter in COMMANDS[path].params:
        assert getattr(parameter, "help", "") or parameter.name == "help", f"{parameter.name} has no help"
    if any(parameter.name == "control" for parameter in COMMANDS[path].params):
        assert "DIALBACK_CONTROL_URL" in text
        assert "3 " in text.partition("Exit codes:")[2]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_examples_use_what_is_there(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    flags = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    for example in EXAMPLES[" ".join(path)]:
        words = shlex.split(example, comments=True)
        assert words[: len(path) + 1] == ["dialback", *path], example
        used = {word.partition("=")[0] for word in words[len(path) + 1 :] if re.match(r"--?[a-z]", word)}
        assert used <= flags, example


def test_groups_say_what_they_are_for() -> None:
    for name in ("serve", "env"):
        assert ROOT.commands[name].help


def complete(shell: str, words: str, **variables: str) -> str:
    environ = {**os.environ, "_DIALBACK_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": words, **variables}
    done = subprocess.run([COMMAND], env=environ, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout


def test_zsh_and_fish_are_told_commands_with_what_they_do() -> None:
    assert '"compare":' in complete("zsh", "dialback c")
    assert "compare" in complete("fish", "dialback c", _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert "openai-chat" in complete("zsh", "dialback init --template open")


def test_functions_of_the_running_platform_are_completed(reachable: FakePlatform) -> None:
    for words in ("dialback logs c", "dialback invoke ", "dialback env set ch"):
        assert complete("fish", words, _TYPER_COMPLETE_FISH_ACTION="get-args").split() == ["chat"], words
    assert "chat" not in complete("fish", "dialback logs x", _TYPER_COMPLETE_FISH_ACTION="get-args")


def test_without_a_platform_nothing_is_completed_and_nothing_is_said() -> None:
    said = complete("fish", "dialback logs c", _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert said.strip() == ""


SCRIPTS = {
    "bash": (
        'eval "$(dialback --show-completion bash)"; COMP_WORDS=(dialback do); COMP_CWORD=1;'
        ' _dialback_completion dialback; echo "${COMPREPLY[@]}"'
    ),
    "zsh": (
        'autoload -U compinit; compinit -u -D; eval "$(dialback --show-completion zsh)";'
        ' echo "${_comps[dialback]}: $(_TYPER_COMPLETE_ARGS="dialback do" _DIALBACK_COMPLETE=complete_zsh dialback)"'
    ),
    "fish": "dialback --show-completion fish | source; complete -C 'dialback do'",
}


@pytest.mark.parametrize("shell", [shell for shell in SCRIPTS if shutil.which(shell)])
def test_a_real_shell_completes(shell: str, tmp_path: Path) -> None:
    environ = {**os.environ, "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [shell, "-c", SCRIPTS[shell]], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert "doctor" in done.stdout, done.stderr
