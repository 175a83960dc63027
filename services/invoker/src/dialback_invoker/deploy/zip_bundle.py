"""Reads a ``zip``, hostile or not: the central directory decides, each file is inflated piece by piece and counted.

Stored and deflated files and folders; no encryption, no zip64, no spanning, no links or devices (Unix modes in the
external attributes). ``zipfile`` is not used: it builds an object for each of a million entries before one is refused.
Section numbers are those of PKWARE's APPNOTE 6.3.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from dialback_invoker.deploy.tree import Tree
from dialback_invoker.errors import BundleError

_PIECE: Final = 65_536
_END = struct.Struct("<4s4H2LH")  # 4.3.16 end of central directory record
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12 central directory header
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7 local file header
_LARGEST_DIRECTORY: Final = 16 * 1024 * 1024
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000  # general purpose bits, 4.4.4
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    offset: int


def unpack_zip(file: BinaryIO, tree: Tree) -> None:
    """Unpack ``file`` into ``tree``; raises BundleError or BundleTooLarge at the first thing that is not right."""
    reader = _Reader(file, tree)
    for entry in _entries(_central_directory(file)):
        tree.count_entry()
        kind = stat.S_IFMT(entry.mode)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a symbolic link" if kind == stat.S_IFLNK else "a device, pipe or socket"
            shown = ascii(entry.name[:80].decode("utf-8", "backslashreplace"))
            raise BundleError(f"the bundle has {what}, {shown}; only files and folders are allowed")
        if entry.name.endswith(b"/") or kind == stat.S_IFDIR:
            tree.folder(entry.name)
        else:
            tree.file(entry.name, bool(entry.mode & 0o111), reader.content(entry))


class _Reader:
    """Inflates entries. The ratio is to the whole file, so entries that share their data do not look better."""

    def __init__(self, file: BinaryIO, tree: Tree) -> None:
        self._file = file
        self._tree = tree
        self._size = file.seek(0, 2)

    def content(self, entry: _Entry) -> Iterator[bytes]:
        """The file's bytes; BundleError when they are not what the directory says."""
        self._file.seek(entry.offset)
        local = self._file.read(_LOCAL.size)
        if len(local) < _LOCAL.size or local[:4] != b"PK\x03\x04":
            raise _unsound("a file is not where the directory says")
        fields = _LOCAL.unpack(local)
        name = self._file.read(fields[9])
        self._file.seek(fields[10], 1)
        if name != entry.name:
            raise _unsound("a file has two names")
        size = crc = 0
        for piece in self._inflated(entry):
            self._tree.count_bytes(len(piece), self._size)
            size += len(piece)
            crc = zlib.crc32(piece, crc)
            if size > entry.size:
                raise _unsound("a file is longer than the directory says")
            yield piece
        if size != entry.size or crc != entry.crc:
            raise _unsound("a file's size or checksum is wrong")

    def _inflated(self, entry: _Entry) -> Iterator[bytes]:
        left = entry.packed
        inflate = zlib.decompressobj(wbits=-15)
        while left > 0:
            packed = self._file.read(min(left, _PIECE))
            if not packed:
                raise BundleError("the bundle is cut short")
            left -= len(packed)
            if entry.method == _STORED:
                yield packed
                continue
            try:
                while packed and not inflate.eof:
                    piece = inflate.decompress(packed, _PIECE)
                    packed = inflate.unconsumed_tail
                    if piece:
                        yield piece
            except zlib.error as error:
                raise _unsound(str(error)) from error
        # The last match may still be inside the inflater when its input is used up.
        while entry.method == _DEFLATED and not inflate.eof and (piece := inflate.decompress(b"", _PIECE)):
            yield piece
        if entry.method == _DEFLATED and not inflate.eof:
            raise BundleError("the bundle is cut short")


def _central_directory(file: BinaryIO) -> bytes:
    size = file.seek(0, 2)
    tail_at = max(0, size - _END.size - 0xFFFF)  # the record is followed by a comment of at most 64 KiB
    file.seek(tail_at)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise _unsound("it has no directory")
    _, disk, first_disk, _, _, length, offset, _ = _END.unpack_from(tail, at)
    if disk or first_disk:
        raise _unsound("it is one part of several")
    if length == 0xFFFFFFFF or offset == 0xFFFFFFFF:
        raise BundleError("the bundle is a zip64 file; no bundle may be that large")
    if length > _LARGEST_DIRECTORY or offset + length > tail_at + at:
        raise _unsound("its directory has an impossible size")
    file.seek(offset)
    return file.read(length)


def _entries(directory: bytes) -> Iterator[_Entry]:
    at = 0
    while at < len(directory):
        if len(directory) - at < _CENTRAL.size or directory[at : at + 4] != b"PK\x01\x02":
            raise _unsound("its directory is malformed")
        fields = _CENTRAL.unpack_from(directory, at)
        made_by, flags, method = fields[1], fields[3], fields[4]
        crc, packed, size, name_length, extra_length, comment_length = fields[7:13]
        name = directory[at + _CENTRAL.size : at + _CENTRAL.size + name_length]
        if flags & _ENCRYPTED:
            raise BundleError("the bundle is encrypted")
        if method not in (_STORED, _DEFLATED):
            raise BundleError(f"the bundle is packed with method {method}; only stored and deflated files are read")
        # 4.4.2: the upper byte of "version made by" is 3 for Unix; the mode is then in the attributes' upper half.
        mode = fields[15] >> 16 if made_by >> 8 == 3 else 0
        yield _Entry(name, method, crc, packed, size, mode, fields[16])
        at += _CENTRAL.size + name_length + extra_length + comment_length


def _unsound(why: str) -> BundleError:
    return BundleError(f"the bundle is not a sound zip file: {why}")
