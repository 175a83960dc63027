"""Where a function that was imported keeps the path of its folder, so that each fork can have the path of its own.

A worker owns its copy of the code. One that was forked finds its modules imported from the zygote's copy: `__file__`,
and what was made of it (`BASE_DIR = Path(__file__).parent`), would lead all workers to one folder. So after the import
every object is looked at once, and a list is made of the places where the zygote's name stands in a text or a path:
variables of modules, classes and instances, items of lists and dicts, closures. A fork puts its own name there, which
has the same length and stands in the path of a folder with the same files. A place that cannot be changed, such as an
item of a set, is a problem, and then the function is not imported in advance.

Code objects are left alone: tracebacks name the file that was imported.
"""

from __future__ import annotations

import gc
import importlib
import linecache
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from types import CellType, CodeType, FrameType
from typing import Any, TypeGuard, TypeVar

DEPTH = 4
"""Tuples within tuples that are looked into; chains of them may be as long as one likes."""

Put = Callable[[Any], object]
K = TypeVar("K")


class Places:
    """What is to be changed in a fork, and what cannot be."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._found: list[tuple[Any, Put]] = []

    def __len__(self) -> int:
        return len(self.problems) + len(self._found)

    def add(self, value: Any, put: Put) -> None:
        """`put` sets the value of a place that holds `value` now."""
        self._found.append((value, put))

    def rename(self, old: str, new: str) -> None:
        """Put `new` where `old` stands."""
        for value, put in self._found:
            put(_renamed(value, old, new))


def find(name: str) -> Places:
    """Every place that has `name`, in what was imported by now. Takes some tens of milliseconds."""
    forget_places(name)
    gc.unfreeze()  # else what was there before the function would be left out
    places = Places()
    owners = gc.get_objects()
    skipped, classes = _skipped(owners)
    seen: set[int] = set()
    while owners:
        untracked: list[Any] = []
        for owner in owners:
            if type(owner) is tuple or id(owner) in skipped or type(owner) in (FrameType, CodeType):
                continue
            if _is(owner, PurePath):
                continue
            # A dict does not tell its keys when all of them are texts.
            holds = _is(owner, dict) and any(_has(key, name) for key in dict.keys(owner))
            for value in gc.get_referents(owner):
                if _has(value, name):
                    holds = True
                elif type(value) is dict and not gc.is_tracked(value) and id(value) not in seen:
                    # Python does not track those that hold nothing but texts and numbers.
                    seen.add(id(value))
                    untracked.append(value)
            if holds:
                _note(classes.get(id(owner), owner), name, places)
        owners = untracked
    return places


def forget_places(name: str) -> None:
    """Empty what Python itself remembers of folders; it is found out again."""
    importlib.invalidate_caches()
    linecache.clearcache()
    metadata = sys.modules.get("importlib.metadata")
    if metadata is not None:  # before Python 3.12 it is not told by the above
        metadata.MetadataPathFinder().invalidate_caches()
    for path in [path for path in sys.path_importer_cache if name in path]:
        del sys.path_importer_cache[path]


def _is(value: object, kind: type[K]) -> TypeGuard[K]:
    """As `isinstance`, but it runs nothing: a lazy object's `__class__` makes what it stands for, or raises, as that of
    Django's settings does.
    """
    return issubclass(type(value), kind)


def _attributes(owner: object) -> dict[Any, Any]:
    try:
        found = object.__getattribute__(owner, "__dict__")
    except Exception:  # whatever a class made of it
        return {}
    return found if type(found) is dict else {}


def _has(value: Any, name: str, depth: int = DEPTH) -> bool:
    """Whether it is, or is a tuple of, something that has the name: those are replaced as a whole."""
    if _is(value, str):
        return name in value
    if type(value) is tuple:
        return depth > 0 and any(_has(part, name, depth - 1) for part in value)
    if _is(value, PurePath):
        return name in str(value)
    return type(value) is bytes and name.encode() in value


def _renamed(value: Any, old: str, new: str) -> Any:
    if type(value) is tuple:
        return tuple(_renamed(part, old, new) for part in value)
    if _is(value, str) or _is(value, PurePath):
        return type(value)(str(value).replace(old, new))
    return value


def _skipped(owners: list[Any]) -> tuple[set[int], dict[int, type]]:
    """What is given anew to each fork anyway, or belongs to a path that is treated as a whole, or is our own; and the
    classes by their dicts, which are changed through the class.
    """
    posix = sys.modules["posix"]
    skipped = {id(owners), id(posix.environ), id(os.environ._data), id(sys.path)}  # type: ignore[attr-defined]
    classes: dict[int, type] = {}
    for each in owners:
        if _is(each, PurePath):
            skipped.update(id(part) for part in gc.get_referents(each) if type(part) in (list, tuple))
        elif _is(each, type):
            classes.update((id(part), each) for part in gc.get_referents(each) if type(part) is dict)
    return skipped, classes


def _note(owner: Any, name: str, places: Places) -> None:
    before = len(places)
    if _is(owner, type):
        for key, value in owner.__dict__.items():
            if _has(value, name):
                _add(places, value, partial(setattr, owner, key))
    elif type(owner) is list:
        for index, value in enumerate(owner):
            if _has(value, name):
                _add(places, value, partial(owner.__setitem__, index))
    elif type(owner) is CellType:
        _add(places, owner.cell_contents, partial(setattr, owner, "cell_contents"))
    else:
        # Past what a class says of setting its attributes; a dict's subclass may say something, too.
        values = owner if _is(owner, dict) else _attributes(owner)
        for key, value in dict.items(values):
            if _has(key, name):
                places.problems.append("the keys of a dict")
            elif _has(value, name):
                _add(places, value, partial(dict.__setitem__, values, key))
    if len(places) == before:
        places.problems.append(f"a {type(owner).__name__}")


def _add(places: Places, value: Any, put: Put) -> None:
    if type(value) is bytes or (type(value) is tuple and any(type(part) is bytes for part in value)):
        places.problems.append("bytes")
    else:
        places.add(value, put)
