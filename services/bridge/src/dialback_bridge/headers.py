"""Header fields as user code wants them: names in any case, and several values under one name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping

from dialback_wire.messages import Field

Pairs = Mapping[str, str] | Iterable[tuple[str, str]]


class Headers(MutableMapping[str, str]):
    """A mapping from names to values; `headers["a"]` joins several values by commas, `getlist` gives them all.

    Names keep the order in which they came, and are told in lower case.
    """

    def __init__(self, pairs: Pairs | None = None) -> None:
        self._pairs: list[tuple[str, str]] = []
        if isinstance(pairs, Headers):
            self._pairs += pairs._pairs
        elif pairs is not None:
            for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
                self.append(name, value)

    @classmethod
    def of(cls, fields: Iterable[Field]) -> Headers:
        """From the fields of a request or a head."""
        headers = cls()
        headers._pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in fields]
        return headers

    def __getitem__(self, name: str) -> str:
        values = self.getlist(name)
        if not values:
            raise KeyError(name)
        # RFC 9110, 5.3; RFC 6265, 4.2.1 for cookies.
        return ("; " if name.lower() == "cookie" else ", ").join(values)

    def __setitem__(self, name: str, value: str) -> None:
        self._pairs = [pair for pair in self._pairs if pair[0] != name.lower()]
        self.append(name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._pairs = [pair for pair in self._pairs if pair[0] != name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.getlist(name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._pairs))

    def __len__(self) -> int:
        return len({name for name, _ in self._pairs})

    def append(self, name: str, value: str) -> None:
        """Add a value beside those that the name has; so that two `set-cookie` are two."""
        for each in (name, value):
            if not isinstance(each, str):
                raise TypeError(f"a header's name and value are str, not {type(each).__name__}")
        self._pairs.append((name.lower(), value))

    def getlist(self, name: str) -> list[str]:
        """All values of a name, in order."""
        wanted = name.lower()
        return [value for key, value in self._pairs if key == wanted]

    def pairs(self) -> list[tuple[str, str]]:
        """Every field, in order."""
        return list(self._pairs)

    def fields(self) -> list[Field]:
        """Every field, as the wire carries it. Raises UnicodeEncodeError for a name that is not ASCII."""
        return [(name.encode("ascii"), encode_value(value)) for name, value in self._pairs]

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"


def encode_value(value: str) -> bytes:
    """A value in bytes: Latin-1, or UTF-8 where that has not all of its characters."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")
