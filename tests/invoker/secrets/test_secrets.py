"""Variables of functions: what is accepted, how secrets lie on the disk, and who is told of a change."""

import base64
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dialback_invoker.errors import InvalidInput, NotFound, PathProblem, SecretUnreadable
from dialback_invoker.secrets.book import Surroundings, VariableBook, Wanted
from dialback_invoker.secrets.keys import KeyRing
from dialback_invoker.secrets.redaction import Redactor
from dialback_invoker.secrets.variables import MOST_BYTES
from dialback_invoker.store.schema import MIGRATIONS, migrate
from dialback_invoker.store.sqlite import SqliteStore

VALUE = "sk-live-7f3a9c51"


class Place:
    """A data folder, opened again as often as a test likes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.key = root / "secrets.key"
        self.changed: list[str] = []
        self._stores: list[SqliteStore] = []

    async def open(self) -> VariableBook:
        store = await SqliteStore.open(self.root / "dialback.db")
        self._stores.append(store)
        made = VariableBook(store, KeyRing(self.key), clock=lambda: 5.0)
        await made.load()
        made.listen(self.changed.append)
        return made

    async def close(self) -> None:
        for store in self._stores:
            await store.close()

    def on_disk(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.root.iterdir() if path.is_file())


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    await made.close()


async def test_what_was_set_is_there_after_a_restart_and_comes_out_for_workers_alone(place: Place) -> None:
    first = await place.open()
    await first.change("Chat", {"KEY": Wanted(VALUE, True), "MODE": Wanted("fast")}, [])
    for environments in (first, await place.open()):
        assert environments.of("chat") == Surroundings({"MODE": "fast"}, {"KEY": VALUE})
        assert [(v.name, v.value, v.secret, v.set_at) for v in environments.names("CHAT")] == [
            ("KEY", "", True, 5.0),
            ("MODE", "fast", False, 5.0),
        ]
        assert VALUE not in repr(environments.of("chat"))
    assert place.changed == ["Chat"]
    assert first.of("other") == Surroundings()


async def test_a_secret_is_nowhere_on_the_disk(place: Place) -> None:
    environments = await place.open()
    await environments.change("chat", {"KEY": Wanted(VALUE, True), "MODE": Wanted("plain-value")}, [])
    await place.close()
    raw = place.on_disk()
    assert b"plain-value" in raw
    assert VALUE.encode() not in raw
    assert base64.b64encode(VALUE.encode())[:-4] not in raw
    assert stat.S_IMODE(place.key.stat().st_mode) == 0o600


async def test_no_key_file_is_made_before_there_is_a_secret(place: Place) -> None:
    environments = await place.open()
    await environments.change("chat", {"MODE": Wanted("fast")}, [])
    assert not place.key.exists()


async def test_a_change_is_made_whole_or_not_at_all(place: Place) -> None:
    environments = await place.open()
    await environments.change("chat", {"A": Wanted("1"), "B": Wanted("2")}, [])
    place.changed.clear()
    for put, remove in (
        ({"C": Wanted("3")}, ["NONE"]),
        ({"C": Wanted("3"), "4": Wanted("5")}, []),
        ({"A": Wanted("3")}, ["A"]),
    ):
        with pytest.raises((NotFound, InvalidInput)):
            await environments.change("chat", put, remove)
    assert environments.of("chat").plain == {"A": "1", "B": "2"}
    assert place.changed == []
    await environments.change("chat", {"A": Wanted("3")}, ["B"])
    assert environments.of("chat").plain == {"A": "3"}
    assert (await place.open()).of("chat").plain == {"A": "3"}


async def test_a_secret_does_not_become_a_plain_value_unawares(place: Place) -> None:
    environments = await place.open()
    await environments.change("chat", {"KEY": Wanted(VALUE, True), "MODE": Wanted("fast")}, [])
    with pytest.raises(InvalidInput, match=r"KEY is a secret, .* remove it first"):
        await environments.change("chat", {"KEY": Wanted("shown")}, [])
    await environments.change("chat", {"KEY": Wanted("another", True), "MODE": Wanted("slow", True)}, [])
    assert environments.of("chat").secrets == {"KEY": "another", "MODE": "slow"}


@pytest.mark.parametrize(
    ("name", "value", "secret", "message"),
    [
        ("1A", "x", False, "is not a name of an environment variable"),
        ("", "x", False, "is not a name of an environment variable"),
        ("A-B", "x", False, "is not a name of an environment variable"),
        ("Ä", "x", False, "is not a name of an environment variable"),
        ("A" * 257, "x", False, "longer than 256"),
        ("DIALBACK_CONTROL_FD", "x", False, "is reserved"),
        ("AWS_LAMBDA_RUNTIME_API", "x", False, "is reserved"),
        ("_HANDLER", "x", True, "is reserved"),
        ("HOME", "x", False, "is reserved"),
        ("A", "hush\0hush", True, "NUL"),
        ("A", "hush\ud800", True, "not text"),
        ("PYTHONPATH", "hush", True, "without --secret"),
        ("LD_PRELOAD", "hush", True, "without --secret"),
    ],
)
async def test_names_and_values_that_cannot_be_are_refused(
    place: Place, name: str, value: str, secret: bool, message: str
) -> None:
    environments = await place.open()
    with pytest.raises(InvalidInput, match=message) as caught:
        await environments.change("chat", {name: Wanted(value, secret)}, [])
    assert "hush" not in str(caught.value)
    assert caught.value.code == "invalid_variable"


async def test_credentials_for_aws_may_be_set_because_no_role_gives_them_here(place: Place) -> None:
    environments = await place.open()
    await environments.change("chat", {"AWS_SECRET_ACCESS_KEY": Wanted(VALUE, True)}, [])
    assert environments.of("chat").secrets == {"AWS_SECRET_ACCESS_KEY": VALUE}


async def test_all_variables_of_a_function_together_have_a_limit(place: Place) -> None:
    environments = await place.open()
    await environments.change("chat", {"A": Wanted("a" * (MOST_BYTES - 3), True)}, [])
    assert environments.bytes_of("chat") == MOST_BYTES - 2
    await environments.change("chat", {"B": Wanted("b")}, [])
    with pytest.raises(InvalidInput, match=r"would have 32,769 bytes.* 32,768 are allowed"):
        await environments.change("chat", {"B": Wanted("bb")}, [])
    await environments.change("other", {"B": Wanted("bb")}, [])
    await environments.change("chat", {"B": Wanted("bb")}, ["A"])


async def test_a_new_key_leaves_the_secrets_and_nothing_of_the_old_key(place: Place) -> None:
    environments = await place.open()
    await environments.change("chat", {"KEY": Wanted(VALUE, True), "MODE": Wanted("fast")}, [])
    await environments.change("mail", {"KEY": Wanted("another", True)}, [])
    old = place.key.read_text()
    assert await environments.rotate() == 2
    new = place.key.read_text()
    assert len(new.split()) == 1
    assert new != old
    for each in (environments, await place.open()):
        assert each.of("chat").secrets == {"KEY": VALUE}
        assert each.of("mail").secrets == {"KEY": "another"}
    place.key.write_text(old)
    with pytest.raises(SecretUnreadable, match=r"KEY of chat .* its key is not in secrets\.key"):
        (await place.open()).of("chat")


async def test_a_lost_key_stops_the_function_that_needs_it_and_no_other(place: Place) -> None:
    environments = await place.open()
    await environments.change("chat", {"KEY": Wanted(VALUE, True)}, [])
    await environments.change("mail", {"MODE": Wanted("fast")}, [])
    place.key.unlink()
    again = await place.open()
    with pytest.raises(SecretUnreadable, match="restore that file, or set the secret again"):
        again.of("chat")
    with pytest.raises(SecretUnreadable):
        await again.rotate()
    assert again.of("mail").plain == {"MODE": "fast"}
    assert again.bytes_of("chat") > 0
    await again.change("chat", {"KEY": Wanted(VALUE, True)}, [])
    assert again.of("chat").secrets == {"KEY": VALUE}


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("!!!\n", 0o600, "not base64"),
        ("c2hvcnQ=\n", 0o600, "a key has 32 bytes"),
        ("", 0o600, "a key has 32 bytes"),
        (base64.urlsafe_b64encode(b"k" * 32).decode(), 0o644, "others can read the key file"),
    ],
)
async def test_a_key_file_that_cannot_be_trusted_is_refused(
    place: Place, content: str, mode: int, message: str
) -> None:
    place.key.write_text(content)
    place.key.chmod(mode)
    with pytest.raises(PathProblem, match=message):
        await (await place.open()).change("chat", {"KEY": Wanted(VALUE, True)}, [])


def test_a_key_file_that_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "secrets.key").mkdir()
    with pytest.raises(PathProblem, match=r"secrets\.key"):
        KeyRing(tmp_path / "secrets.key").seal("x", "chat", "KEY")
    with pytest.raises(PathProblem, match="cannot be written"):
        KeyRing(tmp_path / "none" / "secrets.key").seal("x", "chat", "KEY")


def test_a_sealed_value_opens_only_in_its_own_place_and_unchanged(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "secrets.key")
    sealed = ring.seal(VALUE, "chat", "KEY")
    assert ring.seal(VALUE, "chat", "KEY") != sealed, "equal secrets do not look equal"
    assert ring.open(sealed, "CHAT", "KEY") == VALUE
    for text, function, variable in (
        (sealed, "mail", "KEY"),
        (sealed, "chat", "OTHER"),
        (sealed[:-6] + "AAAA==", "chat", "KEY"),
        (sealed + "x", "chat", "KEY"),
        ("v2" + sealed[2:], "chat", "KEY"),
        ("nonsense", "chat", "KEY"),
    ):
        with pytest.raises(SecretUnreadable):
            ring.open(text, function, variable)


async def test_a_function_that_is_removed_takes_its_variables_with_it(place: Place, tmp_path: Path) -> None:
    environments = await place.open()
    await environments.change("chat", {"KEY": Wanted(VALUE, True)}, [])
    await place._stores[0].remove_function("chat")
    assert (await place.open()).names("chat") == []


def test_the_values_of_secrets_are_taken_out_of_output() -> None:
    redactor = Redactor()
    assert redactor("nothing is known yet") == "nothing is known yet"
    redactor.know({"KEY": VALUE, "PEM": "-----BEGIN-----\nabcdefgh\n-----END-----\n", "SHORT": "yes", "EMPTY": ""})
    redactor.know({"KEY": "sk-live-new"})
    assert redactor(f"key={VALUE}, then sk-live-new") == "key=[secret KEY], then [secret KEY]"
    assert redactor("  abcdefgh  ") == "  [secret PEM]  "
    assert redactor("yes, of course") == "yes, of course", "short values stand in innocent text"


async def test_a_database_from_before_there_were_variables_is_brought_up_to_date(place: Place) -> None:
    before = next(n for n, step in enumerate(MIGRATIONS) if any("TABLE variables" in text for text in step))
    raw = sqlite3.connect(place.root / "dialback.db", isolation_level=None)
    migrate(raw, place.root / "dialback.db", MIGRATIONS[:before])
    raw.execute("INSERT INTO settings (key, value) VALUES ('kept', 'yes')")
    raw.close()
    environments = await place.open()
    await environments.change("chat", {"KEY": Wanted(VALUE, True)}, [])
    assert (await place.open()).of("chat").secrets == {"KEY": VALUE}
    assert await place._stores[0].setting("kept") == "yes"
