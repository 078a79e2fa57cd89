"""Arrays in files: found again whole, or not at all."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cspops.data import arrays
from cspops.errors import EnvironmentProblem

SHAPE = (3, 4)


def cut(file: Path, keep: float) -> None:
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])


def test_what_was_written_is_found_again(tmp_path):
    array = arrays.new(tmp_path / "a.npy", SHAPE, "uint8")
    assert not array.any()
    array[1] = 7
    array.flush()
    assert arrays.begun(tmp_path / "a.npy", SHAPE, "uint8")[1].tolist() == [7] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


HARM: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: cut(file, 0),
    "within the header": lambda file: cut(file, 0.3),
    "within the content": lambda file: cut(file, 0.98),
    "no array": lambda file: file.write_bytes(b"PK" * 99),
    "a header that is no Python": lambda file: file.write_bytes(file.read_bytes().replace(b"{", b"(")),
    "another shape": lambda file: np.save(file, np.zeros((2, 4), np.uint8)),
    "another type": lambda file: np.save(file, np.zeros(SHAPE, np.uint16)),
    "objects": lambda file: np.save(file, np.array([None] * 3)),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_what_is_broken_is_dropped_with_a_warning(tmp_path, said, harm):
    file = tmp_path / "a.npy"
    arrays.new(file, SHAPE, "uint8")
    harm(file)
    assert arrays.begun(file, SHAPE, "uint8") is None
    assert len(said) == 1 and said[0].startswith(f"{file} cannot be used (") and said[0].endswith("): it is filled anew")
    assert arrays.new(file, SHAPE, "uint8").shape == SHAPE


def test_nothing_is_said_of_what_is_not_there(tmp_path, said):
    assert arrays.begun(tmp_path / "a.npy", SHAPE, "uint8") is None and said == []


def test_a_full_disk_is_told_before_anything_is_filled(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(EnvironmentProblem, match=r"a\.npy cannot be written: No space left on device"):
        arrays.new(tmp_path / "a.npy", SHAPE, "uint8")
    assert list(tmp_path.iterdir()) == []
