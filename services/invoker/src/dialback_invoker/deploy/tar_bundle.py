"""Reads a ``tar.gz``, hostile or not: an own reader of the few tar headers that bundles need.

POSIX ustar, with the long names of pax (``x``: ``path`` and ``size``) and of GNU tar (``L``). Every type but files and
folders is refused, links and devices by name. The standard library's ``tarfile`` is not used: its ``data`` filter has
let archives write outside their folder (CVE-2025-4517), and it reads a pax header of any size into memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from dialback_invoker.deploy.tree import Tree
from dialback_invoker.errors import BundleError

_BLOCK: Final = 512
_PIECE: Final = 65_536
_LARGEST_EXTRA: Final = 65_536  # bytes of a pax or GNU header
_REFUSED: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"S": "a sparse file",
}


@dataclass(frozen=True, slots=True)
class _Header:
    name: bytes
    size: int
    type: bytes
    executable: bool


def unpack_tar_gz(file: BinaryIO, tree: Tree) -> None:
    """Unpack ``file`` into ``tree``; raises BundleError or BundleTooLarge at the first thing that is not right."""
    source = _Inflated(file, tree)
    long_name: bytes | None = None
    long_size: int | None = None
    while (header := _next_header(source)) is not None:
        tree.count_entry()
        if header.type in (b"x", b"g", b"L"):
            extra = _extra(source, header)
            if header.type == b"L":
                long_name = extra.rstrip(b"\0")
            elif header.type == b"x":
                long_name, long_size = _pax(extra, long_name)
            continue
        name = header.name if long_name is None else long_name
        size = header.size if long_size is None else long_size
        long_name = long_size = None
        if header.type == b"5":
            tree.folder(name)
            source.skip(size)
        elif header.type in (b"0", b"\0", b"7"):
            tree.file(name, header.executable, source.pieces(size))
            source.skip(-size % _BLOCK)
        else:
            what = _REFUSED.get(header.type, f"an entry of the type {header.type!r}")
            shown = ascii(name[:80].decode("utf-8", "backslashreplace"))
            raise BundleError(f"the bundle has {what}, {shown}; only files and folders are allowed")
    source.finish()


class _Inflated:
    """The tar inside the gzip: inflates as much as is asked for, and tells the tree what that was."""

    def __init__(self, file: BinaryIO, tree: Tree) -> None:
        self._file = file
        self._tree = tree
        self._packed = 0
        self._inflate = zlib.decompressobj(wbits=31)
        self._input = b""
        self._ready = b""

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes; BundleError when the bundle ends before."""
        parts = list(self.pieces(count))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def pieces(self, count: int) -> Iterator[bytes]:
        """``count`` bytes, as they come."""
        while count > 0:
            if not self._ready and not self._fill():
                raise BundleError("the bundle is cut short")
            piece, self._ready = self._ready[:count], self._ready[count:]
            count -= len(piece)
            yield piece

    def skip(self, count: int) -> None:
        """Read ``count`` bytes and forget them."""
        for _ in self.pieces(count):
            pass

    def finish(self) -> None:
        """Read to the end, so that the checksum is checked; after the end of the tar only zeros may follow."""
        self._only_zeros(self._ready)
        self._ready = b""
        while self._fill():
            self._only_zeros(self._ready)
            self._ready = b""

    def _fill(self) -> bool:
        while not self._ready:
            if self._inflate.eof:  # another member may follow; zeros between and after members are padding
                self._input = self._input.lstrip(b"\0")
            if not self._input:
                self._input = self._more()
                if not self._input and self._inflate.eof:
                    return False
                if not self._input:
                    raise BundleError("the bundle is cut short")
                continue
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(wbits=31)
            try:
                self._ready = self._inflate.decompress(self._input, _PIECE)
            except zlib.error as error:
                raise BundleError(f"the bundle is not a sound gzip file: {error}") from error
            self._input = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            self._tree.count_bytes(len(self._ready), self._packed)
        return True

    def _more(self) -> bytes:
        piece = self._file.read(_PIECE)
        self._packed += len(piece)
        return piece

    @staticmethod
    def _only_zeros(data: bytes) -> None:
        if data.strip(b"\0"):
            raise BundleError("the bundle has data after the end of its tar archive")


def _next_header(source: _Inflated) -> _Header | None:
    block = source.read(_BLOCK)
    if not block.strip(b"\0"):
        return None
    # POSIX: the checksum is the sum of the header's bytes, its own field taken as spaces.
    if _octal(block[148:156]) != sum(block[:148]) + sum(block[156:]) + 8 * 0x20:
        raise BundleError("the bundle is not a sound tar archive: a header's checksum is wrong")
    name = block[0:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0":
        prefix = block[345:500].partition(b"\0")[0]
        name = prefix + b"/" + name if prefix else name
    kind = block[156:157]
    if kind in (b"0", b"\0") and name.endswith(b"/"):
        kind = b"5"  # as tar did before it had a type for folders
    return _Header(name, _octal(block[124:136]), kind, bool(_octal(block[100:108]) & 0o111))


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise BundleError("the bundle is not a sound tar archive: a number in a header is not octal")
    return int(digits, 8)


def _extra(source: _Inflated, header: _Header) -> bytes:
    if header.size > _LARGEST_EXTRA:
        raise BundleError(f"the bundle has a tar header of {header.size} bytes; {_LARGEST_EXTRA} are allowed")
    extra = source.read(header.size)
    source.skip(-header.size % _BLOCK)
    return extra


def _pax(extra: bytes, name: bytes | None) -> tuple[bytes | None, int | None]:
    """``path`` and ``size`` of a pax header, which is a row of ``"<length> <key>=<value>\\n"``."""
    size: int | None = None
    while extra:
        digits, space, _ = extra.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        record = extra[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if not (space and equals and value.endswith(b"\n") and length <= len(extra)):
            raise BundleError("the bundle is not a sound tar archive: a pax header is malformed")
        value = value[:-1]
        if key == b"path":
            name = value
        elif key == b"size":
            if not value.isdigit() or len(value) > 12:
                raise BundleError("the bundle is not a sound tar archive: a pax size is malformed")
            size = int(value)
        elif key.startswith(b"GNU.sparse"):
            raise BundleError("the bundle has a sparse file; only files and folders are allowed")
        extra = extra[length:]
    return name, size
