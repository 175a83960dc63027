"""Small wheels in a folder, so that the real uv installs without a network."""

import sys
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dialback_invoker.environments.builder import BuildLimits
from dialback_invoker.environments.environments import Environments
from dialback_invoker.function_config import FunctionConfig


def wheel(folder: Path, name: str, version: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> Path:
    """A wheel with these files, which are given by their path."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    files = {
        **files,
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in files.items():
            archive.writestr(zipfile.ZipInfo(each, (1980, 1, 1, 0, 0, 0)), text)
    return path


def websockets_wheel(folder: Path, version: str) -> Path:
    """The installed websockets' modules under another version."""
    import websockets

    root = Path(websockets.__file__).parent
    files = {f"websockets/{path.relative_to(root)}": path.read_text() for path in root.rglob("*.py")}
    return wheel(folder, "websockets", version, files)


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels: websockets 11.0, 12.0 and 99.0, and a small package that depends on another."""
    folder = tmp_path_factory.mktemp("index")
    for version in ("11.0", "12.0", "99.0"):
        websockets_wheel(folder, version)
    wheel(folder, "greeting", "1.0", {"greeting.py": "import words\nTEXT = words.HELLO\n"}, ("words>=2",))
    wheel(folder, "words", "2.0", {"words.py": "HELLO = 'hello'\n"})
    return folder


@pytest.fixture
def make_wheel() -> Callable[..., Path]:
    """`wheel`, for tests."""
    return wheel


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uv-cache")


Make = Callable[..., Environments]


@pytest.fixture
async def environments_with(tmp_path: Path, index: Path, uv_cache: Path) -> AsyncIterator[Make]:
    """Makes opened `Environments` that find nothing but the index's packages, and closes them."""
    made: list[Environments] = []

    async def make(limits: BuildLimits | None = None, **options: object) -> Environments:
        variables = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(tmp_path / "home"),
            "UV_CACHE_DIR": str(uv_cache),
            "UV_OFFLINE": "1",
        }
        settings = tmp_path / "home/.config/uv/uv.toml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(f'no-index = true\nfind-links = ["{index}"]\n')
        environ = variables | options.pop("environ", {})
        environments = Environments(tmp_path / "environments", limits=limits, environ=environ, **options)
        await environments.open()
        made.append(environments)
        return environments

    yield make
    for each in made:
        await each.close()


@pytest.fixture
async def environments(environments_with: Make) -> Environments:
    return await environments_with()


class Function:
    """A function's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.said: list[str] = []

    def write(self, name: str, text: str) -> "Function":
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self

    async def provided(self, environments: Environments, **config: object):
        """Its environment, held no longer."""
        async with environments.provided(self.folder, FunctionConfig(**config), self.said.append) as found:
            return found


@pytest.fixture
def function(tmp_path: Path) -> Function:
    return Function(tmp_path / "function").write("app.py", "app = 1\n")
