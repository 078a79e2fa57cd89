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


A = b"a"
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


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_of({"set/a": A}))
    central = data.index(b"PK\x01\x02")
    data[6] |= 1
    data[central + 8] |= 1
    with pytest.raises(DataError, match=r"is not unpacked: .* is encrypted"):
        unpack(written(tmp_path, "f.zip", bytes(data)), tmp_path / "into", ["set"])


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
