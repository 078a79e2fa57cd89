import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cspops.errors import DataError, EnvironmentProblem
from cspops.intake.published.unpacking import Limits, safe_path, unpack

SMALL = Limits(ratio=10.0, floor=1000, entries=20, spare=0)
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
    assert not (tmp_path / "into/set/a.txt").stat().st_mode & 0o7111  # nobody's set-uid and no programs


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


def sparse() -> bytes:
    """A GNU sparse member: two bytes stand for a million."""
    block = bytearray(tar_of({"set/a": b"xy"}))
    block[156:157] = b"S"
    block[257:265] = b"ustar  \0"
    block[386:398] = b"%011o\0" % 0
    block[398:410] = b"%011o\0" % 2
    block[483:495] = b"%011o\0" % 1_000_000
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block)


A = b"a"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "absolute": (tar_of({"/set/a": A}), "leads out"),
    "absolute-zip": (zip_of({"/set/a": A}), "leads out"),
    "up": (tar_of({"set/../../a": A}), "leads out"),
    "up-zip": (zip_of({"set/../../a": A}), "leads out"),
    "up-unwanted": (tar_of({"set/a": A, "../a": A}), "leads out"),
    "drive": (tar_of({"C:/set/a": A}), "leads out"),
    "backslash": (tar_of({"set\\..\\..\\a": A}), "leads out"),
    "newline": (tar_of({"set/a\nb": A}), "leads out"),
    "symbolic link out": (tar_of({"set/a": link(tarfile.SYMTYPE, "/etc/passwd")}), "is a link"),
    "symbolic link in, then a file through it": (tar_of({"set/a": link(tarfile.SYMTYPE, ".."), "set/a/b": A}), "is a link"),
    "hard link": (tar_of({"set/a": link(tarfile.LNKTYPE, "/etc/passwd")}), "is a link"),
    "link-zip": (zip_of({"set/a": b"/etc/passwd"}, create_system=3, external_attr=0o120777 << 16), "is a link"),
    "device": (tar_of({"set/a": special(tarfile.CHRTYPE)}), "no plain file"),
    "block device": (tar_of({"set/a": special(tarfile.BLKTYPE)}), "no plain file"),
    "pipe": (tar_of({"set/a": special(tarfile.FIFOTYPE)}), "no plain file"),
    "pipe-zip": (zip_of({"set/a": b""}, create_system=3, external_attr=0o010644 << 16), "no plain file"),
    "sparse": (sparse(), "no plain file"),
    "twice": (zip_of({"x/set/a": A, "y/set/a": A}), "twice"),
    "file and folder": (tar_of({"set/a": A, "set/a/b": A}), "a file and a folder at once"),
    "bomb": (gzip.compress(tar_of({"set/a": bytes(1_000_000)})), "unfolds into more than"),
    "bomb-zip": (zip_of({"set/a": bytes(1_000_000)}), "unfolds into more than"),
    "bomb of many": (gzip.compress(tar_of({f"set/{n}": bytes(4000) for n in range(19)})), "unfolds into more than"),
    "bomb after the end": (gzip.compress(tar_of({"set/a": A}) + bytes(1_000_000)), "unfolds into more than"),
    "too many": (tar_of({f"set/{n}": b"" for n in range(21)}), "more than 20 entries"),
    "a header of 5 MB": (tar_of({"set/a": A}, format=tarfile.PAX_FORMAT, pax_headers={"x": "y" * 5_000_000}), "a header of"),
    "nothing of it": (tar_of({"other/a": A}), "does not hold set"),
    "empty": (b"", "cut or broken"),
    "no archive": (b"<html>not found</html>" * 99, "cut or broken"),
    "only a start": (b"\x1f\x8b\x08", "cut or broken"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_and_broken_archives_leave_nothing(tmp_path: Path, case: str) -> None:
    data, told = HOSTILE[case]
    into = tmp_path / "deep" / "into"
    into.mkdir(parents=True)
    archive = written(tmp_path, "f.archive", data)
    with pytest.raises(DataError, match=told) as caught:
        unpack(archive, into, ["set"], limits=SMALL)
    assert "f.archive" in caught.value.message and "dvc repro download" in (caught.value.hint or "")
    assert below(tmp_path) == {"f.archive": data}
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("kind", [*PACKED, "f.zip"])
def test_an_archive_cut_anywhere_is_an_error(tmp_path: Path, kind: str) -> None:
    """Cut at 40 places, the borders between members among them (multiples of 512 in a tar); a tar's end is 1024 zeros
    and padding to 10 240, of which all but the first zero record may go unseen."""
    whole = zip_of(FILES) if kind == "f.zip" else PACKED[kind](tar_of({**FILES}))
    last = len(tar_of({**FILES}).rstrip(b"\0")) // 512 * 512 + 512 if kind == "f.tar" else len(whole)
    for cut in sorted({*range(0, last, max(last // 40, 1)), last - 1, *(range(512, last, 512) if kind == "f.tar" else ())}):
        archive = written(tmp_path, kind, whole[:cut])
        with pytest.raises(DataError, match=f"{kind} (is cut or broken|does not hold)"):
            unpack(archive, tmp_path / "into", ["set"])
        assert below(tmp_path / "into") == {}


def test_a_changed_byte_is_an_error(tmp_path: Path) -> None:
    """gzip, bzip2, xz and zip each carry checksums; a byte in the middle of the data breaks them."""
    for kind, pack in {**PACKED, "f.zip": lambda _: zip_of(FILES)}.items():
        data = bytearray(pack(tar_of({**FILES})))
        data[len(data) // 2 if kind != "f.zip" else 45] ^= 0xFF
        if kind == "f.tar":
            data[1536:1540] = b"\xff\xff\xff\xff"  # a plain tar only has sums of its headers: the second member's
        with pytest.raises(DataError, match=f"{kind} (is cut or broken|is not unpacked)"):
            unpack(written(tmp_path, kind, bytes(data)), tmp_path / "into", ["set"])
        assert below(tmp_path / "into") == {}


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_of({"set/a": A}))
    central = data.index(b"PK\x01\x02")
    data[6] |= 1
    data[central + 8] |= 1
    with pytest.raises(DataError, match=r"is not unpacked: 'set/a' is encrypted"):
        unpack(written(tmp_path, "f.zip", bytes(data)), tmp_path / "into", ["set"])


def test_the_disk_keeps_its_spare_bytes(tmp_path: Path) -> None:
    """1500 free, 800 to be kept: 700 bytes fit, 701 do not."""
    archive = written(tmp_path, "f.tar", tar_of({"set/a.txt": b"a" * 700, "one/b.txt": b"b"}))
    limits = Limits(spare=800)
    unpack(archive, tmp_path / "into", ["set"], limits=limits, free=lambda folder: 1500)
    with pytest.raises(EnvironmentProblem, match="has to spare") as caught:
        unpack(archive, tmp_path / "new", ["set", "one"], limits=limits, free=lambda folder: 1500)
    assert "CSPOPS_DATA_ROOT" in (caught.value.hint or "") and list((tmp_path / "new").iterdir()) == []


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    archive = written(tmp_path, "f.tar", tar_of({**FILES}))
    (tmp_path / ".f.tar.unpacking/set").mkdir(parents=True)
    (tmp_path / ".f.tar.unpacking/set/half.txt").write_bytes(b"half")
    unpack(archive, tmp_path, ["set"])
    assert below(tmp_path / "set") == {"a.txt": b"a" * 700, "deep/b.txt": b"b"}
    assert not (tmp_path / ".f.tar.unpacking").exists()


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", "a/..", "c:a", "C:\\a", "a\\b", "a\0b", "a\nb"])
def test_paths_that_may_lead_out(name: str) -> None:
    assert safe_path(name) is None


@pytest.mark.parametrize("name", ["a", "a/b", "./a", "a..b/c", "...", "ä/b c"])
def test_paths_that_stay(name: str) -> None:
    assert safe_path(name) is not None
