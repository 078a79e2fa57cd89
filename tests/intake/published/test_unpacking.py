import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.errors import DataError, EnvironmentProblem
from cspops.intake.published import unpacking
from cspops.intake.published.unpacking import unpack

FILES = {"set/a.txt": b"a" * 700, "set/deep/b.txt": b"b", "other/c.txt": b"c"}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "f.tar": bytes,
    "f.tar.gz": lambda data: gzip.compress(data, mtime=0),
    "f.tar.bz2": bz2.compress,
    "f.tar.xz": lzma.compress,
}


def tar_of(files: dict[str, bytes | tarfile.TarInfo], **how: Any) -> bytes:
    """A tar of these, a TarInfo standing for itself."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", **how) as tar:
        for name, data in files.items():
            if isinstance(data, tarfile.TarInfo):
                data.name = name
                tar.addfile(data)
            else:
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o4777
                tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def zip_of(files: dict[str, bytes], **attributes: int) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items():
                setattr(info, key, value)
            opened.writestr(info, data)
    return raw.getvalue()


def written(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [*PACKED, "f.zip"])
@pytest.mark.parametrize("prefix", ["", "./", "release-1/"])
def test_every_kind_gives_what_is_named_and_nothing_else(tmp_path: Path, name: str, prefix: str) -> None:
    files = {prefix + path: data for path, data in FILES.items()}
    archive = written(tmp_path, name, zip_of(files) if name == "f.zip" else PACKED[name](tar_of({**files})))
    unpack(archive, tmp_path / "into", ["set"])
    assert below(tmp_path / "into") == {"set/a.txt": b"a" * 700, "set/deep/b.txt": b"b"}
    assert not (tmp_path / "into/set/a.txt").stat().st_mode & 0o7022  # nobody's set-uid, and nobody else writes


def test_single_files_and_patterns(tmp_path: Path) -> None:
    files = {
        "x/one.json": b"1",
        "x/two.json": b"2",
        "set/a_rgb.json": b"r",
        "set/b/a_msrgb.json": b"m",
        "set/b/c_rgb.json": b"s",
    }
    archive = written(tmp_path, "f.zip", zip_of(files))
    unpack(archive, tmp_path, ["two.json", "set"], members=["two.json", "set/*_rgb.json"])
    archive.unlink()
    assert below(tmp_path) == {"two.json": b"2", "set/a_rgb.json": b"r", "set/b/c_rgb.json": b"s"}


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    written(tmp_path, "kept.txt", b"mine")
    archive = written(tmp_path, "f.tar", tar_of({"kept.txt": b"theirs", "new.txt": b"new"}))
    unpack(archive, tmp_path, ["kept.txt", "new.txt"])
    archive.unlink()
    assert below(tmp_path) == {"kept.txt": b"mine", "new.txt": b"new"}


@pytest.mark.parametrize("prefix", ["", "./", "truth/"])
def test_all_of_an_archive_in_one_folder(tmp_path: Path, prefix: str) -> None:
    files = {f"{prefix}train/a_rgb.json": b"r", f"{prefix}train/a_msrgb.json": b"m", f"{prefix}map.json": b"[]"}
    archive = written(tmp_path, "f.tar", tar_of({**files}))
    unpack(archive, tmp_path / "into", ["truth"], members=["truth/train/*_rgb.json", "truth/map.json"], whole=True)
    assert below(tmp_path / "into") == {"truth/train/a_rgb.json": b"r", "truth/map.json": b"[]"}


def link(kind: bytes, to: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, to
    return info


def special(kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type = kind
    return info


def sized(size: int) -> bytes:
    """A tar whose header gives another size than there are bytes, by the numbers that GNU's tar writes."""
    raw = bytearray(tar_of({"set/a": b"a"}))
    raw[124:136] = b"\xff" * 4 + size.to_bytes(8, signed=True) if size < 0 else b"\x80" + size.to_bytes(11)
    return resealed(raw)


def resealed(raw: bytearray) -> bytes:
    """The first header of a tar with the checksum that fits it."""
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    return bytes(raw)


def named(name: str, other: bytes) -> bytes:
    """A zip with a name that zipfile would not write, of the same length as ``name``."""
    assert len(name) == len(other)
    return zip_of({"set/x": b"x", name: b"a"}).replace(name.encode(), other)


def with_extended_headers(**headers: str) -> bytes:
    info = tarfile.TarInfo("set/a")
    info.pax_headers = headers
    return tar_of({"set/a": info}, format=tarfile.PAX_FORMAT)


def with_many_headers(count: int) -> bytes:
    """Headers of which each announces another long name."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    return (info.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * count


def with_long_name(size: int) -> bytes:
    """A name of so many bytes, which gzip makes few."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, size
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + b"a" * size + tar_of({"set/a": b"a"}))


def twice() -> bytes:
    raw = io.BytesIO(zip_of({"set/a": b"a"}))
    with zipfile.ZipFile(raw, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr("set/a", b"b")
    return raw.getvalue()


def zip_with(change: Callable[[bytearray, int], None]) -> bytes:
    """A zip whose bytes were changed, given where its list of members begins."""
    data = bytearray(zip_of({"set/a": b"a" * 99}))
    change(data, data.index(b"PK\x01\x02"))
    return bytes(data)


def unknown_compression(data: bytearray, at: int) -> None:
    data[8] = data[at + 10] = 99


def wrong_place(data: bytearray, at: int) -> None:
    data[at + 42 : at + 46] = b"\xf0\xff\xff\x7f"


def encrypted(data: bytearray, at: int) -> None:
    data[6] |= 1
    data[at + 8] |= 1


A = b"a"
ODD: dict[str, tuple[bytes, str]] = {
    "empty name-zip": (zip_of({"": A, "set/a": A}), "holds ''"),
    "zero byte-zip": (named("set/a\x01b", b"set/a\0b"), "holds 'set/a"),
    "drive": (tar_of({"C:/set/a": A}), "leads out"),
    "drive-zip": (zip_of({"C:/set/a": A}), "leads out"),
    "share": (tar_of({"\\\\host\\share\\set": A}), "leads out"),
    "up by backslashes": (tar_of({"set\\..\\..\\a": A}), "leads out"),
    "up by backslashes-zip": (named("set/.././a", rb"set\..\..a"[:10]), "leads out|cut or broken"),
    "by backslashes": (tar_of({"set\\a": A}), "does not hold set"),
    "huge name": (tar_of({"set/" + "a" * 300: A}), "File name too long"),
    "huge name-zip": (zip_of({"set/" + "a" * 300: A}), "File name too long"),
    "deep": (tar_of({"set/" + "a/" * 3000 + "b": A}), "File name too long"),
    "name that fills the memory": (with_long_name(5_000_000), "a header of"),
    "twice": (twice(), "holds 'set/a' twice"),
    "negative size": (sized(-1024), "is not unpacked"),
    "size beyond all disks": (sized(1 << 70), "is not unpacked"),
    "extended size": (with_extended_headers(size="-5"), "is not unpacked"),
    "extended name": (with_extended_headers(path="../../a"), "leads out"),
    "extended name with a zero": (with_extended_headers(path="set/a\0b"), "holds 'set/a"),
    "header upon header": (with_many_headers(2000), "is not unpacked"),
    "unknown compression-zip": (zip_with(unknown_compression), "compression"),
    "wrong place-zip": (zip_with(wrong_place), "is not unpacked"),
    "encrypted-zip": (zip_with(encrypted), "is encrypted"),
}
HOSTILE: dict[str, tuple[bytes, str]] = {
    "absolute": (tar_of({"/set/a": A}), "leads out"),
    "absolute-zip": (zip_of({"/set/a": A}), "leads out"),
    "up": (tar_of({"set/../../a": A}), "leads out"),
    "up-zip": (zip_of({"set/../../a": A}), "leads out"),
    "symbolic link out": (tar_of({"set/a": link(tarfile.SYMTYPE, "/etc/passwd")}), "is a link"),
    "symbolic link in, then a file through it": (tar_of({"set/a": link(tarfile.SYMTYPE, ".."), "set/a/b": A}), "is a link"),
    "hard link": (tar_of({"set/a": link(tarfile.LNKTYPE, "/etc/passwd")}), "is a link"),
    "device": (tar_of({"set/a": special(tarfile.CHRTYPE)}), "is a link or a device"),
    "pipe": (tar_of({"set/a": special(tarfile.FIFOTYPE)}), "is a link or a device"),
    "file and folder": (tar_of({"set/a": A, "set/a/b": A}), "a file and a folder at once"),
    "file and folder-zip": (zip_of({"set/a": A, "set/a/b": A}), "a file and a folder at once"),
    "bomb": (gzip.compress(tar_of({"set/a": bytes(1_000_000)})), "unfolds into more than"),
    "bomb-zip": (zip_of({"set/a": bytes(1_000_000)}), "unfolds into more than"),
    "bomb of many": (gzip.compress(tar_of({f"set/{n}": bytes(4000) for n in range(19)})), "unfolds into more than"),
    "too many": (tar_of({f"set/{n}": b"" for n in range(21)}), "20 members"),
    "nothing of it": (tar_of({"other/a": A}), "does not hold set"),
    "empty": (b"", "cut or broken"),
    "no archive": (b"<html>not found</html>" * 99, "cut or broken"),
    "only a start": (b"\x1f\x8b\x08", "cut or broken"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_and_broken_archives_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    for limit, value in (("RATIO", 10), ("ALWAYS", 1000), ("MOST_MEMBERS", 20)):
        monkeypatch.setattr(unpacking, limit, value)
    data, told = HOSTILE[case]
    into = tmp_path / "deep" / "into"
    into.mkdir(parents=True)
    archive = written(tmp_path, "f.archive", data)
    with pytest.raises(DataError, match=told) as caught:
        unpack(archive, into, ["set"])
    assert "f.archive" in caught.value.message and "dvc repro download" in (caught.value.hint or "")
    assert below(tmp_path) == {"f.archive": data}
    assert list(into.iterdir()) == []


CUT = [kind for kind in (*PACKED, "f.zip") if kind != "f.tar"]  # a plain tar that is cut between members is whole to tarfile


@pytest.mark.parametrize("kind", CUT)
def test_of_an_archive_cut_anywhere_nothing_comes_or_all(tmp_path: Path, kind: str) -> None:
    """Cut at 20 places; past the last member's bytes a cut may go unseen."""
    whole = zip_of(FILES) if kind == "f.zip" else PACKED[kind](tar_of({**FILES}))
    for number, cut in enumerate(range(0, len(whole), len(whole) // 20)):
        into = tmp_path / str(number)
        try:
            unpack(written(tmp_path, kind, whole[:cut]), into, ["set"])
        except DataError as error:
            assert f"{kind} is not unpacked: it is cut or broken" in error.message and below(into) == {}
        else:
            assert kind != "f.zip" and cut > 0.6 * len(whole)
            assert below(into) == {name: FILES[name] for name in ("set/a.txt", "set/deep/b.txt")}


@pytest.mark.parametrize(("data", "told"), ODD.values(), ids=ODD)
def test_odd_names_and_headers_are_refused_in_a_sentence(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        unpack(written(tmp_path, "f.archive", data), tmp_path / "into", ["set"])
    assert caught.value.message.startswith("f.archive is not unpacked: ") and len(caught.value.message) < 9000
    assert below(tmp_path) == {"f.archive": data}


MUTATED = {
    "zip": zip_of(FILES),
    "tar": tar_of({**FILES}, format=tarfile.PAX_FORMAT),
    "gnu tar": tar_of({**FILES, "set/" + "l" * 150: b"x"}, format=tarfile.GNU_FORMAT),
}
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=6)), min_size=1, max_size=4)


@settings(max_examples=120, deadline=None)
@given(kind=st.sampled_from(sorted(MUTATED)), edits=EDITS, sealed=st.booleans())
def test_whatever_happens_to_an_archive_it_is_unpacked_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, edits: list[tuple[float, int, bytes]], sealed: bool
) -> None:
    data = bytearray(MUTATED[kind])
    for place, gone, put in edits:
        at = int(place * len(data))
        data[at : at + gone] = put
    content = resealed(data) if sealed and kind != "zip" else bytes(data)
    folder = tmp_path_factory.getbasetemp() / "mutated"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "deep").mkdir(parents=True)
    archive = written(folder, "f", content)
    with suppress(DataError):
        unpack(archive, folder / "deep" / "into", ["set"])
    assert {path.name for path in folder.iterdir()} == {"f", "deep"}
    assert {path.name for path in (folder / "deep").iterdir()} <= {"into"}
    assert {path.name for path in (folder / "deep").glob("into/*")} <= {"set"}


def test_a_changed_byte_of_a_zip_is_an_error(tmp_path: Path) -> None:
    data = bytearray(zip_of(FILES))
    data[45] ^= 0xFF
    with pytest.raises(DataError, match=r"f\.zip is not unpacked: it is cut or broken"):
        unpack(written(tmp_path, "f.zip", bytes(data)), tmp_path / "into", ["set"])


def test_a_disk_that_is_full_is_an_error_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpacking.os, "replace", full)
    with pytest.raises(EnvironmentProblem, match=r"into cannot be written: No space left"):
        unpack(written(tmp_path, "f.tar", tar_of({**FILES})), tmp_path / "into", ["set"])
    assert list((tmp_path / "into").iterdir()) == []


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    archive = written(tmp_path, "f.tar", tar_of({**FILES}))
    (tmp_path / ".f.tar.unpacking/set").mkdir(parents=True)
    (tmp_path / ".f.tar.unpacking/set/half.txt").write_bytes(b"half")
    unpack(archive, tmp_path, ["set"])
    assert below(tmp_path / "set") == {"a.txt": b"a" * 700, "deep/b.txt": b"b"}
    assert not (tmp_path / ".f.tar.unpacking").exists()
