"""What a function requires: found in its folder, resolved to lines, hashed over all that decides and nothing else."""

from pathlib import Path

import pytest

from dialback_invoker.environments.requirements import Requirements, find_requirements
from dialback_invoker.errors import RequirementsError

SCRIPT = """\
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "httpx<1",
#   "rich",
# ]
# ///
import httpx
"""


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", ".").replace("_in_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def found(folder: Path, entry: str | None = None) -> Requirements:
    requirements = find_requirements(folder, entry)
    assert requirements is not None
    return requirements


def refused(folder: Path, entry: str | None = None) -> RequirementsError:
    with pytest.raises(RequirementsError) as caught:
        find_requirements(folder, entry)
    return caught.value


def test_a_function_may_require_nothing(tmp_path: Path) -> None:
    assert find_requirements(write(tmp_path, app__py="import os\n")) is None


def test_a_file_of_comments_requires_nothing(tmp_path: Path) -> None:
    assert found(write(tmp_path, requirements__txt="# later\n\n   # more\n")).empty


def test_a_requirements_file_is_read_with_comments_continuations_and_options(tmp_path: Path) -> None:
    text = """\
# what we need
flask >= 3   # the web
--extra-index-url https://example.org/simple
httpx[http2]==0.27.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
git+https://example.org/a.git#egg=a
-e git+https://example.org/b.git#egg=b
--no-binary :all:
"""
    requirements = found(write(tmp_path, requirements__txt=text))
    assert (requirements.kind, requirements.file) == ("requirements.txt", "requirements.txt")
    assert requirements.lines == (
        "flask >= 3",
        "--extra-index-url https://example.org/simple",
        "httpx[http2]==0.27.0 --hash=sha256:aa --hash=sha256:bb",
        "git+https://example.org/a.git#egg=a",
        "git+https://example.org/b.git#egg=b",
        "--no-binary :all:",
    )
    assert requirements.requires_python is None
    assert not requirements.empty
    assert requirements.local == ()


def test_includes_and_constraints_are_followed_from_where_they_stand(tmp_path: Path) -> None:
    write(
        tmp_path,
        requirements__txt="-r deps/web.txt\n--constraint=deps/limits.txt\n-r https://example.org/more.txt\n",
        deps_in_web__txt="flask\n-rbase.txt\n",
        deps_in_base__txt="rich\n",
        deps_in_limits__txt="rich<14\n",
    )
    requirements = found(tmp_path)
    assert requirements.lines == ("flask", "rich", "-c deps/limits.txt", "-r https://example.org/more.txt")
    assert requirements.local == ("deps/limits.txt",)
    before = requirements.digest
    write(tmp_path, deps_in_limits__txt="rich<13\n")
    assert found(tmp_path).digest != before


def test_remote_includes_alone_are_something_to_install(tmp_path: Path) -> None:
    assert not found(write(tmp_path, requirements__txt="-r https://example.org/more.txt\n")).empty


def test_local_packages_are_hashed_and_never_editable(tmp_path: Path) -> None:
    write(
        tmp_path,
        requirements__txt="-e ./lib[fast]\nwheels/a-1-py3-none-any.whl\nb @ file:wheels/b.zip\n"
        "-f wheels\n-f /srv/wheels\n",
        lib_in_pyproject__toml="[project]\n",
        **{"wheels_in_a-1-py3-none-any__whl": "a", "wheels_in_b__zip": "b"},
    )
    requirements = found(tmp_path)
    assert requirements.lines == (
        "./lib[fast]",
        "./wheels/a-1-py3-none-any.whl",
        "b @ file:wheels/b.zip",
        "--find-links wheels",
        "-f /srv/wheels",
    )
    assert requirements.local == ("lib", "wheels/a-1-py3-none-any.whl", "wheels/b.zip", "wheels")
    write(tmp_path, lib_in_more__py="x = 1\n")
    assert found(tmp_path).digest != requirements.digest


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-r ../secret.txt", "leaves the function's folder"),
        ("-r /etc/passwd", "is not inside the function's folder"),
        ("/srv/thing.whl", "is not inside the function's folder"),
        ("a @ file:///srv/a.whl", "is not inside the function's folder"),
        ("./missing", "is not in the function's folder"),
        ("-c missing.txt", "is not in the function's folder"),
        ("-r missing.txt", "cannot be read: No such file"),
        ("-r", "-r needs a value"),
        ("-r requirements.txt", "includes itself"),
        ("--find-links ..", "leaves the function's folder"),
    ],
)
def test_what_is_not_the_functions_own_is_refused_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    error = refused(write(tmp_path, requirements__txt=f"rich\n\n{line}\n"))
    assert words in error.message
    assert (error.file, error.line, error.source, error.http_status) == ("requirements.txt", 3, line, 400)


def test_files_may_not_include_one_another_without_end(tmp_path: Path) -> None:
    files = {f"deep{number}__txt": f"-r deep{number + 1}.txt\n" for number in range(30)}
    assert "deep" in refused(write(tmp_path, requirements__txt="-r deep0.txt\n", **files)).message


def test_a_file_that_is_no_text_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"rich\n\xff\xff\n")
    error = refused(tmp_path)
    assert (error.message, error.file, error.line) == ("is not UTF-8", "requirements.txt", 2)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"#" * (8 * 1024 * 1024 + 1))
    assert "is larger than" in refused(tmp_path).message


def test_a_project_gives_its_dependencies_and_its_python(tmp_path: Path) -> None:
    text = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["rich>=13", "flask"]\n'
    requirements = found(write(tmp_path, pyproject__toml=text))
    assert (requirements.kind, requirements.file) == ("pyproject.toml", "pyproject.toml")
    assert requirements.lines == ("rich>=13", "flask")
    assert requirements.requires_python == ">=3.10"


def test_other_tools_tables_do_not_change_the_hash_and_uvs_do(tmp_path: Path) -> None:
    text = '[project]\nname = "p"\nversion = "1"\ndependencies = ["rich"]\n'
    first = found(write(tmp_path, pyproject__toml=text)).digest
    assert found(write(tmp_path, pyproject__toml=text + "[tool.ruff]\nline-length = 99\n")).digest == first
    assert found(write(tmp_path, pyproject__toml=text + "[tool.uv]\nprerelease = 'allow'\n")).digest != first


def test_a_lock_beside_the_project_counts(tmp_path: Path) -> None:
    text = '[project]\nname = "p"\nversion = "1"\ndependencies = ["rich"]\n'
    requirements = found(write(tmp_path, pyproject__toml=text, uv__lock="version = 1\n"))
    assert (requirements.kind, requirements.local) == ("uv.lock", ("uv.lock",))
    assert found(write(tmp_path, uv__lock="version = 2\n")).digest != requirements.digest


def test_local_sources_of_a_project_are_hashed(tmp_path: Path) -> None:
    text = (
        '[project]\ndependencies = ["lib", "c @ file:lib"]\n[tool.uv.sources]\nlib = { path = "lib" }\n'
        'other = [{ git = "https://example.org/o" }, { workspace = true }]\nstrange = 3\n'
    )
    write(tmp_path, pyproject__toml=text, lib_in_lib__py="x = 1\n")
    requirements = found(tmp_path)
    assert requirements.local == ("lib", ".")
    write(tmp_path, lib_in_lib__py="x = 2\n")
    assert found(tmp_path).digest != requirements.digest


def test_a_project_file_for_linters_alone_requires_nothing(tmp_path: Path) -> None:
    assert find_requirements(write(tmp_path, pyproject__toml="[tool.ruff]\n")) is None


def test_a_requirements_file_wins_over_a_project_and_a_project_over_a_script(tmp_path: Path) -> None:
    write(tmp_path, app__py=SCRIPT, pyproject__toml='[project]\ndependencies = ["a"]\n', requirements__txt="b\n")
    assert found(tmp_path).lines == ("b",)
    (tmp_path / "requirements.txt").unlink()
    assert found(tmp_path).lines == ("a",)
    (tmp_path / "pyproject.toml").unlink()
    assert found(tmp_path).lines == ("httpx<1", "rich")


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("[project\n", "not valid TOML", 1),
        ("project = 1\n", "project must be a table", None),
        ("[project]\ndependencies = 'rich'\n", "project.dependencies must be a list of strings", None),
        ("[project]\nrequires-python = 3\n", "requires-python must be a string", None),
        ("[project]\ndynamic = ['dependencies']\n", "project.dependencies is dynamic", None),
        ("[project]\n[tool]\nuv = 3\n", "tool.uv must be a table", None),
        ("[project]\n[tool.uv.sources]\na = { path = '../a' }\n", "leaves the function's folder", None),
        ("a = " + "[" * 5000, "is nested too deeply", None),
    ],
)
def test_a_project_that_cannot_be_used_is_refused(tmp_path: Path, text: str, words: str, line: int | None) -> None:
    error = refused(write(tmp_path, pyproject__toml=text))
    assert words in error.message
    assert error.file == "pyproject.toml"
    assert error.line == line


def test_a_script_block_is_found_in_the_only_file_that_has_one(tmp_path: Path) -> None:
    requirements = found(write(tmp_path, app__py=SCRIPT, other__py="import os\n"))
    assert (requirements.kind, requirements.file) == ("script", "app.py")
    assert requirements.lines == ("httpx<1", "rich")
    assert requirements.requires_python == ">=3.11"


def test_the_entry_says_whose_script_block_counts(tmp_path: Path) -> None:
    write(tmp_path, app__py=SCRIPT, seed__py=SCRIPT.replace("rich", "faker"))
    assert "app.py and seed.py both have a script block" in refused(tmp_path).message
    assert found(tmp_path, "app:app").lines == ("httpx<1", "rich")
    assert found(tmp_path, "seed.handler").lines == ("httpx<1", "faker")
    assert find_requirements(tmp_path, "missing:app") is None


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("x = 1\n# /// script\n# dependencies = [\n# ///\n", "not valid TOML", 3),
        (SCRIPT + SCRIPT, "there is a second script block", 9),
        ("# /// script\n# dependencies = 'rich'\n# ///\n", "dependencies must be a list of strings", None),
    ],
)
def test_a_script_block_that_cannot_be_used_is_refused(tmp_path: Path, text: str, words: str, line: int | None) -> None:
    error = refused(write(tmp_path, app__py=text))
    assert words in error.message
    assert error.file == "app.py"
    assert error.line == line


def test_a_source_file_in_another_encoding_is_nobodys_mistake(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_bytes("# coding: latin-1\nNAME = 'Ångström'\n".encode("latin-1"))
    assert find_requirements(tmp_path) is None


def test_other_blocks_of_a_script_are_not_ours(tmp_path: Path) -> None:
    assert find_requirements(write(tmp_path, app__py="# /// other\n# x = 1\n# ///\n")) is None
