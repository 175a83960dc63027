"""Unpacking hostile bundles (attack T28): refused, nothing left behind, nothing outside touched."""

import errno
import gzip
import io
import os
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from dialback_invoker.deploy import tree
from dialback_invoker.deploy.bundle import unpack
from dialback_invoker.deploy.tree import BundleLimits
from dialback_invoker.errors import BundleError, BundleTooLarge, DiskFull, PathProblem

SMALL = BundleLimits(packed=1 << 20, unpacked=4 << 20, file=2 << 20, entries=50, ratio=100, ratio_from=1 << 20)


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


def tar_gz(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zipped(*files: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content, compress_type=method)
    return out.getvalue()


def zip_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


class Place:
    """A folder to unpack in, beside a canary that nobody may touch."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.target = root / "deep" / "out"
        self.target.parent.mkdir()
        self.canary = root / "canary"
        self.canary.write_text("alive")

    def unpack(self, data: bytes, limits: BundleLimits = SMALL) -> str:
        bundle = self.root / "bundle"
        bundle.write_bytes(data)
        return unpack(bundle, self.target, limits)

    def refused(self, data: bytes, part: str, kind: type[BundleError] = BundleError) -> None:
        with pytest.raises(kind) as caught:
            self.unpack(data)
        assert part in caught.value.message
        assert caught.value.http_status == (413 if kind is BundleTooLarge else 400)
        assert self.canary.read_text() == "alive"
        assert sorted(path.name for path in self.root.iterdir()) == ["bundle", "canary", "deep"]
        assert list(self.target.parent.iterdir()) == []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_tar_and_a_zip_of_the_same_files_have_the_same_hash(place: Place) -> None:
    script = member("pkg/run.sh", b"#!/bin/sh\n")
    script[0].mode = 0o755
    first = place.unpack(tar_gz(member("./app.py", b"x = 1\n"), member("pkg", kind=tarfile.DIRTYPE), script))
    assert (place.target / "app.py").read_bytes() == b"x = 1\n"
    assert stat.S_IMODE((place.target / "app.py").stat().st_mode) == 0o400
    assert stat.S_IMODE((place.target / "pkg/run.sh").stat().st_mode) == 0o500
    place.target = place.target.with_name("second")
    executable = zip_mode("pkg/run.sh", stat.S_IFREG | 0o755)
    assert place.unpack(zipped((executable, b"#!/bin/sh\n"), ("app.py", b"x = 1\n"))) == first
    place.target = place.target.with_name("third")
    assert place.unpack(zipped(("pkg/run.sh", b"#!/bin/sh\n"), ("app.py", b"x = 1\n"))) != first


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_of_every_tar_format_arrive(place: Place, form: int) -> None:
    name = "/".join(["folder" * 6] * 5) + "/" + "f" * 60
    place.unpack(tar_gz(member(name, b"long"), member("short", b"s"), form=form))
    assert (place.target / name).read_bytes() == b"long"
    assert (place.target / "short").read_bytes() == b"s"


def test_a_large_pax_size_and_a_global_header_are_understood(place: Place) -> None:
    info, content = member("a.py", b"abc")
    info.pax_headers = {"comment": "x", "size": "3"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", pax_headers={"comment": "global"}) as archive:
        archive.addfile(info, io.BytesIO(content))
    place.unpack(out.getvalue())
    assert (place.target / "a.py").read_bytes() == b"abc"


def test_a_folder_may_be_named_twice_and_by_an_old_tar(place: Place) -> None:
    old = member("old/", kind=tarfile.AREGTYPE)
    place.unpack(
        tar_gz(member("d", kind=tarfile.DIRTYPE), member("d/", kind=tarfile.DIRTYPE), old, member("d/f", b"1"))
    )
    assert (place.target / "old").is_dir()


HOSTILE_NAMES = [
    ("/etc/evil", "absolute"),
    ("../canary", "leaves its folder"),
    ("a/../../../canary", "leaves its folder"),
    ("a\\..\\b", "backslash"),
    ("a\nb", "control character"),
    ("x/" * 40 + "f", "deep"),
    ("n" * 300, "longer than 255"),
    ("a/" * 600, "1024 are allowed"),
]


@pytest.mark.parametrize(("name", "part"), HOSTILE_NAMES)
def test_a_name_that_leaves_or_hides_is_refused_in_a_tar(place: Place, name: str, part: str) -> None:
    place.refused(tar_gz(member("fine", b"1"), member(name, b"evil")), part)


@pytest.mark.parametrize(("name", "part"), HOSTILE_NAMES)
def test_a_name_that_leaves_or_hides_is_refused_in_a_zip(place: Place, name: str, part: str) -> None:
    place.refused(zipped(("fine", b"1"), (name, b"evil")), part)


def test_a_nul_in_a_name_is_refused(place: Place) -> None:
    data = zipped(("aXb", b"1")).replace(b"aXb", b"a\0b")
    place.refused(data, "control character")


def test_a_name_that_is_not_utf8_is_refused(place: Place) -> None:
    place.refused(zipped(("aXb", b"1")).replace(b"aXb", b"a\xffb"), "not UTF-8")


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.BLKTYPE, "a block device"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
        (b"K", "type b'K'"),
        (b"Z", "type b'Z'"),
    ],
)
def test_links_and_devices_are_refused_in_a_tar(place: Place, kind: bytes, part: str) -> None:
    place.refused(tar_gz(member("evil", kind=kind, link="../canary"), form=tarfile.USTAR_FORMAT), part)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused_in_a_zip(place: Place, mode: int) -> None:
    place.refused(zipped((zip_mode("evil", mode | 0o777), b"../canary")), "only files and folders")


def test_a_file_through_a_linked_folder_is_refused(place: Place) -> None:
    place.refused(
        tar_gz(member("dir", kind=tarfile.SYMTYPE, link="../.."), member("dir/canary", b"dead")), "a symbolic link"
    )


def test_the_tar_of_cve_2025_4517_is_refused(place: Place) -> None:
    # A chain of folders and links whose resolved path is longer than PATH_MAX, which realpath stops resolving.
    long, steps, members, path = "d" * 247, "abcdefghijklmnop", [], ""
    for step in steps:
        members.append(member(os.path.join(path, long), kind=tarfile.DIRTYPE))
        members.append(member(os.path.join(path, step), kind=tarfile.SYMTYPE, link=long))
        path = os.path.join(path, long)
    linked = os.path.join("/".join(steps), "l" * 254)
    members.append(member(linked, kind=tarfile.SYMTYPE, link="../" * len(steps)))
    members.append(member("escape", kind=tarfile.SYMTYPE, link=linked + "/../../.."))
    members.append(member("flag", kind=tarfile.LNKTYPE, link="escape/canary"))
    members.append(member("flag", b"dead"))
    place.refused(tar_gz(*members), "a symbolic link")


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (("a.py", "a.py"), "twice"),
        (("A.py", "a.py"), "differ in case"),
        (("Dir/x", "dir/y"), "differ in case"),
        (("stra\u00dfe", "STRASSE"), "differ in case"),
        (("caf\u00e9", "cafe\u0301"), "differ in case"),
        (("a", "a/b"), "as a file and as a folder"),
        (("a/b", "a"), "twice"),
        (("./a", "a"), "twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_collide_are_refused(place: Place, names: tuple[str, str], part: str) -> None:
    place.refused(tar_gz(*(member(name, b"1") for name in names)), part)
    place.refused(zipped(*((name, b"1") for name in names)), part)


def test_a_bomb_is_refused_while_it_inflates(place: Place) -> None:
    zeros = b"\0" * (1_900_000)
    place.refused(tar_gz(member("zeros", zeros)), "as a bomb does", BundleTooLarge)
    place.refused(zipped(("zeros", zeros)), "as a bomb does", BundleTooLarge)


def test_a_bundle_over_each_limit_is_refused(place: Place) -> None:
    noise = os.urandom(300_000)
    big = BundleTooLarge
    place.refused(b"\x1f\x8b" + b"x" * (1 << 20), "larger than 1048576 bytes", big)
    place.refused(zipped(*((f"f{n}", b"") for n in range(60))), "more than 50 files", big)
    place.refused(tar_gz(*(member(f"f{n}") for n in range(60))), "more than 50 files", big)
    limits = BundleLimits(unpacked=1_000_000, file=250_000)
    with pytest.raises(BundleTooLarge, match="larger than 250000 bytes"):
        place.unpack(tar_gz(member("one", noise)), limits)
    with pytest.raises(BundleTooLarge, match="more than 1000000 bytes"):
        place.unpack(zipped(*((f"f{n}", noise[:240_000]) for n in range(5))), limits)


def test_a_million_entries_are_refused_without_an_object_for_each(place: Place) -> None:
    header = member("f", kind=tarfile.DIRTYPE)[0].tobuf(tarfile.USTAR_FORMAT)
    data = b"".join(gzip.compress(header * 1000, 1) for _ in range(100))
    place.refused(data, "more than 50 files", BundleTooLarge)


def test_files_of_a_zip_that_share_their_data_are_counted_each(place: Place) -> None:
    data = bytearray(zipped(("a" * 8, os.urandom(100_000)), ("b" * 8, b"")))
    at = data.rfind(b"PK\x01\x02")
    first = data.find(b"PK\x01\x02")
    data[at : at + 46] = data[first : first + 46]
    place.refused(bytes(data), "two names")


def test_a_bundle_that_is_cut_short_or_damaged_is_refused(place: Place) -> None:
    whole = tar_gz(member("a.py", os.urandom(5000)))
    place.refused(whole[:3000], "cut short")
    place.refused(whole[:-4] + b"\0\0\0\1", "not a sound gzip")
    place.refused(b"\x1f\x8bnonsense", "not a sound gzip")
    place.refused(gzip.compress(b"\0" * 100), "cut short")
    place.refused(gzip.compress(b"0" * 1024), "checksum is wrong")
    place.refused(whole + b"trailing", "not a sound gzip")
    place.refused(whole + gzip.compress(b"more"), "after the end of its tar archive")
    place.refused(gzip.compress(b"\0" * 1024 + b"more"), "after the end of its tar archive")
    place.refused(b"hello", "neither a tar.gz nor a zip")
    place.refused(tar_gz(), "empty")
    place.refused(tar_gz(member("./", kind=tarfile.DIRTYPE)), "empty")
    place.refused(zipped(), "empty")


def test_zeros_after_a_gzip_are_padding(place: Place) -> None:
    place.unpack(tar_gz(member("a.py", b"1")) + b"\0" * 1000)


def raw_tar(name: bytes, *, kind: bytes = b"0", size: bytes = b"00000000000\0", body: bytes = b"") -> bytes:
    block = bytearray(512)
    block[: len(name)], block[100:108], block[124:136], block[156:157] = name, b"0000644\0", size, kind
    block[257:263] = b"ustar\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return gzip.compress(bytes(block) + body + b"\0" * (-len(body) % 512) + b"\0" * 1024)


@pytest.mark.parametrize(
    ("extra", "part"),
    [
        (b"9 path=a", "pax header is malformed"),
        (b"999 path=a\n", "pax header is malformed"),
        (b"x path=a\n", "pax header is malformed"),
        (b"11 size=-5\n", "pax size is malformed"),
        (b"22 GNU.sparse.major=1\n", "sparse"),
    ],
)
def test_a_malformed_pax_header_is_refused(place: Place, extra: bytes, part: str) -> None:
    place.refused(raw_tar(b"x", kind=b"x", size=b"%011o\0" % len(extra), body=extra), part)


def test_numbers_and_headers_beyond_reason_are_refused(place: Place) -> None:
    place.refused(raw_tar(b"a", size=b"\x80\0\0\0\0\0\0\0\0\0\0\1"), "not octal")
    place.refused(raw_tar(b"a", size=b"-0000000005\0"), "not octal")
    place.refused(raw_tar(b"a", kind=b"x", size=b"77777777777\0"), "65536 are allowed")
    place.refused(raw_tar(b"", body=b""), "a file named")


def test_a_zip_that_contradicts_itself_is_refused(place: Place) -> None:
    good = zipped(("a.py", b"print(1)\n" * 50))
    central = good.find(b"PK\x01\x02")
    end = good.find(b"PK\x05\x06")

    def changed(at: int, new: bytes) -> bytes:
        return good[:at] + new + good[at + len(new) :]

    place.refused(b"PK\x03\x04" + b"x" * 50, "no directory")
    place.refused(changed(end + 4, b"\1\0"), "one part of several")
    place.refused(changed(end + 12, b"\xff" * 4), "zip64")
    place.refused(changed(end + 12, b"\0\0\0\x7f"), "impossible size")
    place.refused(changed(central, b"XX"), "directory is malformed")
    place.refused(changed(central + 8, b"\1\0"), "encrypted")
    place.refused(changed(central + 10, b"\x0c\0"), "method 12")
    place.refused(changed(central + 16, b"\0\0\0\0"), "checksum is wrong")
    place.refused(changed(central + 24, b"\1\0\0\0"), "longer than the directory says")
    place.refused(changed(central + 20, b"\1\0\0\0"), "cut short")
    place.refused(changed(central + 20, b"\xff\xff\0\0"), "cut short")
    place.refused(changed(central + 42, b"\5\0\0\0"), "not where the directory says")
    place.refused(changed(30, b"Z"), "two names")
    place.refused(changed(36, b"\xff\xff\xff"), "not a sound zip")


def test_a_stored_file_and_a_folder_in_a_zip_arrive(place: Place) -> None:
    data = zipped(("d/", b""), ("d/a", b"stored"), method=zipfile.ZIP_STORED)
    place.unpack(data)
    assert (place.target / "d/a").read_bytes() == b"stored"
    at = data.find(b"PK\x01\x02", data.find(b"PK\x01\x02") + 1) + 20
    place.target = place.target.with_name("again")
    with pytest.raises(BundleError, match="cut short"):
        place.unpack(data[:at] + b"\xff\xff\xff\0\xff\xff\xff\0" + data[at + 8 :])


def test_a_match_that_is_still_in_the_inflater_at_the_end_arrives(place: Place) -> None:
    for size in (65_535, 65_536, 65_537, 131_072, 200_001):
        place.target = place.target.with_name(f"of-{size}")
        place.unpack(zipped(("f", b"a" * size)))
        assert (place.target / "f").stat().st_size == size


def test_a_full_disk_is_said_and_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tree.os, "write", full)
    with pytest.raises(DiskFull) as caught:
        place.unpack(tar_gz(member("a.py", b"1")))
    assert caught.value.http_status == 507
    monkeypatch.undo()
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(DiskFull):
        place.unpack(tar_gz(member("d/a.py", b"1")))
    assert list(place.target.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_path_problem(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.mkdir

    def refuse(path: Path, *args: object, **named: object) -> None:
        if path.name == "d":
            raise PermissionError(errno.EACCES, "Permission denied")
        real(path)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PathProblem, match="cannot unpack 'd'"):
        place.unpack(tar_gz(member("d/a.py", b"1")))
    with pytest.raises(PathProblem, match="cannot unpack the bundle"):
        unpack(place.root / "missing", place.target, SMALL)


def test_random_damage_is_refused_or_harmless(place: Place) -> None:
    good = zipped(("a.py", b"print(1)\n" * 20), ("b/c.py", b"x"))
    plain = zlib.decompress(tar_gz(member("a.py", b"print(1)\n"), member("b/c.py", b"x")), wbits=31)
    for position in range(0, max(len(good), 3072), 7):
        for data in (good, plain):
            if position >= len(data):
                continue
            broken = data[:position] + bytes([data[position] ^ 0x41]) + data[position + 1 :]
            place.target = place.target.with_name(f"n{position}-{data is good}")
            try:
                place.unpack(broken if data is good else gzip.compress(broken, 1))
            except BundleError:
                assert not place.target.exists()
    assert place.canary.read_text() == "alive"
