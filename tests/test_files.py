import errno
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cspops.errors import EnvironmentProblem
from cspops.files import replaced, whole, write_whole


def test_a_file_is_replaced_by_the_last_text(tmp_path: Path) -> None:
    write_whole(tmp_path / "deep" / "file", "one")
    write_whole(tmp_path / "deep" / "file", "two \N{GREEK SMALL LETTER PI}")
    assert [path.read_text(encoding="utf-8") for path in (tmp_path / "deep").iterdir()] == ["two \N{GREEK SMALL LETTER PI}"]


def test_a_file_keeps_its_bytes_until_the_new_ones_are_all_there(tmp_path: Path) -> None:
    file = tmp_path / "map.png"
    file.write_bytes(b"old")
    with pytest.raises(RuntimeError), whole(file) as new:
        new.write_bytes(b"ne")
        assert new.suffix == ".png" and file.read_bytes() == b"old"
        raise RuntimeError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_what_a_folder_held_is_gone_when_a_new_one_takes_its_place_and_stays_after_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    for name in "ab":
        with replaced(folder) as new:
            (new / name).touch()
    with pytest.raises(RuntimeError), replaced(folder) as new:
        (new / "c").touch()
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["b"] and len(list(folder.parent.iterdir())) == 1


def fails(number: int, text: str | None = None) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(number, os.strerror(number)) if text is None else RuntimeError(text)

    return write


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "full": (fails(errno.ENOSPC), "No space left on device"),
    "quota": (fails(errno.EDQUOT), "Disk quota exceeded"),
    "read-only": (fails(errno.EROFS), "Read-only file system"),
    "too large": (fails(errno.EFBIG), "File too large"),
    "wrapped": (fails(0, "Error while serializing: I/O error: full (os error 28)"), "No space left on device"),
    "wrapped in C": (fails(0, "Error writing bytes to file. Detail: [errno 28] No space"), "No space left on device"),
}


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize(("write", "says"), REFUSED.values(), ids=REFUSED)
def test_what_a_disk_refuses_is_one_sentence_and_the_old_one_stays(
    tmp_path: Path, kind: str, write: Callable[[Path], object], says: str
) -> None:
    target = tmp_path / "target"
    (target if kind == "file" else target / "x").parent.mkdir(exist_ok=True)
    (target if kind == "file" else target / "x").write_text("old")
    with pytest.raises(EnvironmentProblem) as caught:
        if kind == "file":
            with whole(target) as new:
                write(new)
        else:
            with replaced(target) as new:
                write(new / "x")
    assert caught.value.message == f"{target} cannot be written: {says}" and caught.value.hint
    assert (target if kind == "file" else target / "x").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def save_with_torch(file: Path) -> None:
    with file.open("wb") as out:
        torch.save({"x": torch.zeros(100_000)}, out)


WRITERS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda file: file.write_bytes(bytes(400_000)),
    "torch, path": lambda file: torch.save({"x": torch.zeros(100_000)}, file),
    "torch, file": save_with_torch,
    "safetensors": lambda file: save_file({"x": torch.zeros(100_000)}, file),
    "numpy": lambda file: np.save(file.with_name("x"), np.zeros(50_000)),
    "a mapped array": lambda file: np.lib.format.open_memmap(file, mode="w+", shape=(50_000,)),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_libraries_say_of_a_disk_that_takes_no_more_is_understood(tmp_path: Path, write: Callable[[Path], object]) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    says = r"x\.npy cannot be written: (File too large|the disk took a part of it only)"
    with pytest.raises(EnvironmentProblem, match=says), whole(tmp_path / "x.npy") as new:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            write(new)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_not_the_disks(tmp_path: Path) -> None:
    for error in (OSError("no number"), OSError(errno.ENOENT, "no such file"), ValueError("wrong")):
        with pytest.raises(type(error)) as caught, whole(tmp_path / "file"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize("failure", [OSError(errno.EACCES, "no"), KeyboardInterrupt()])
def test_when_the_second_rename_fails_the_old_folder_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    with replaced(tmp_path / "folder") as new:
        (new / "old").touch()
    calls, rename = [], os.replace

    def second_fails(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise failure
        rename(source, target)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(type(failure)), replaced(tmp_path / "folder") as new:
        (new / "new").touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_content_and_names_are_on_the_disk_before_a_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    rename, sync = os.replace, os.fsync
    monkeypatch.setattr(os, "replace", lambda *names: (rename(*names), log.append("rename")))
    name_of = lambda opened: Path(f"/proc/self/fd/{opened}").readlink().name  # noqa: E731
    monkeypatch.setattr(os, "fsync", lambda opened: (log.append(name_of(opened)), sync(opened)))
    write_whole(tmp_path / "file", "text")
    assert log == ["file", "rename", tmp_path.name]
    log.clear()
    with replaced(tmp_path / "folder") as new:
        (new / "a").mkdir()
        (new / "a" / "b").touch()
    assert log == ["a", "b", "new", "rename", tmp_path.name]


HOLD = """
import sys, time
from pathlib import Path
from cspops import files
with getattr(files, sys.argv[1])(Path(sys.argv[2])) as new:
    (new / "half" if new.is_dir() else new).write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("function", ["whole", "replaced"])
def test_what_a_killed_process_left_is_deleted_and_what_a_living_one_writes_is_not(tmp_path: Path, function: str) -> None:
    target, make = tmp_path / "deep.csv", {"whole": whole, "replaced": replaced}[function]
    (tmp_path / f".deep.csv.new-{os.getpid()}").mkdir()  # of somebody else
    owner = subprocess.Popen([sys.executable, "-c", HOLD, function, str(target)], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None and owner.stdout.readline() == "begun\n"
        for left in (3, 2):  # the target, the foreign folder and the owner's; then without the owner's
            with make(target) as new:
                (new / "done" if new.is_dir() else new).write_text("done")
            assert len(list(tmp_path.iterdir())) == left
            owner.send_signal(signal.SIGKILL)
            owner.wait()
    finally:
        owner.kill()
        owner.communicate()
    assert (target / "done" if target.is_dir() else target).read_text() == "done"


def test_a_folder_that_a_killed_process_had_moved_away_comes_back(tmp_path: Path) -> None:
    left = tmp_path / ".folder.new-abcdefgh"
    (left / "old").mkdir(parents=True)
    (left / "old" / "precious").touch()
    (left / ".lock").touch()
    with pytest.raises(RuntimeError), replaced(tmp_path / "folder"):
        raise RuntimeError
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["precious"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def put(place: Path, number: int) -> None:
    for _ in range(30):
        write_whole(place / "file", str(number) * 1000)
        with replaced(place / "folder") as new:
            (new / "file").write_text(str(number))


def test_of_many_at_once_each_succeeds_and_one_is_the_last(tmp_path: Path) -> None:
    processes = [multiprocessing.get_context("fork").Process(target=put, args=(tmp_path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "file").read_text() in {str(number) * 1000 for number in range(3)}
    assert (tmp_path / "folder" / "file").read_text() in "012"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_an_empty_folder_without_a_lock_goes_after_a_minute(tmp_path: Path) -> None:
    """A process may have been killed before it locked its folder; another may be about to."""
    for name, age in (("aaaaaaaa", 0.0), ("bbbbbbbb", 61.0)):
        left = tmp_path / f".file.new-{name}"
        left.mkdir()
        os.utime(left, (time.time() - age,) * 2)
    write_whole(tmp_path / "file", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".file.new-aaaaaaaa", "file"]
