"""Blocks of features and the shards they make: 23 rows in blocks of 4, in shards of 8, 8 and 7 rows."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from feature_files import write_features

from cspops import files
from cspops.data import features
from cspops.data.feature_blocks import FeatureBlocks
from cspops.data.features import read_features
from cspops.errors import EnvironmentProblem

N = 23
IDS = [f"o{row}" for row in range(N)]
MATRIX = np.random.default_rng(0).standard_normal((N, 4)).astype(np.float16)
EVERY = range(6)


@pytest.fixture
def blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureBlocks:
    monkeypatch.setattr(features, "SHARD_BYTES", 8 * 4 * 2 + 1)
    (tmp_path / "work").mkdir()
    (tmp_path / "out").mkdir()
    return FeatureBlocks(tmp_path / "work", N, 4, 4)


def fill(blocks: FeatureBlocks, among: range = EVERY) -> list[range]:
    """Make all that is left, and return it."""
    made = []
    for shard in range(blocks.shards):
        while not blocks.close(shard) and (left := blocks.left(shard, among)):
            for rows in left:
                blocks.write(rows, MATRIX[rows.start : rows.stop])
            made += left
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_shards_hold_the_rows_of_their_blocks_and_are_joined_as_one_matrix(blocks: FeatureBlocks, tmp_path: Path) -> None:
    assert (blocks.blocks, blocks.shards, blocks.rows_per_shard, blocks.rows_left()) == (6, 3, 8, N)
    assert [len(rows) for rows in fill(blocks)] == [4, 4, 4, 4, 4, 3]
    assert blocks.rows_left() == 0
    assert blocks.join(tmp_path / "out", IDS)
    assert np.array_equal(read_features(tmp_path / "out", IDS)[:], MATRIX)
    write_features(tmp_path / "whole", IDS, MATRIX, rows_per_shard=8)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert sorted(path.name[:6] for path in blocks.folder.iterdir()) == ["00000-", "00001-", "00002-"]


def test_joining_twice_is_harmless(blocks: FeatureBlocks, tmp_path: Path) -> None:
    fill(blocks)
    assert blocks.join(tmp_path / "out", IDS)
    once = content(tmp_path / "out")
    assert blocks.join(tmp_path / "out", IDS) and content(tmp_path / "out") == once


def test_a_shard_is_at_least_a_block_and_no_rows_are_no_shard(blocks: FeatureBlocks, tmp_path: Path) -> None:
    wide = FeatureBlocks(blocks.folder, 9, 1000, 4)
    assert (wide.blocks, wide.shards, wide.rows_per_shard) == (3, 3, 4)
    nothing = FeatureBlocks(blocks.folder, 0, 4, 4)
    assert nothing.rows_left() == 0 and nothing.join(tmp_path / "out", [])


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2), (2, 2, 0, 0, 1, 3, 3)])
def test_shares_add_up_in_any_order_and_a_share_that_is_done_is_not_made_again(
    blocks: FeatureBlocks, tmp_path: Path, order: tuple[int, ...]
) -> None:
    shares = [range(1), range(1, 3), range(3, 4), range(4, 6)]
    made = [fill(blocks, shares[rank]) for rank in order]
    assert sorted(rows.start for part in made for rows in part) == [0, 4, 8, 12, 16, 20]
    assert fill(blocks) == [] and blocks.join(tmp_path / "out", IDS)
    assert np.array_equal(read_features(tmp_path / "out", IDS)[:], MATRIX)


def test_blocks_can_be_made_from_the_end(blocks: FeatureBlocks) -> None:
    assert [rows.start for rows in blocks.left(1, EVERY[::-1])] == [12, 8]
    assert blocks.left(1, range(3, 3)) == []


def test_what_is_missing_is_not_joined(blocks: FeatureBlocks, tmp_path: Path) -> None:
    fill(blocks, range(3))
    assert blocks.rows_left() == N - 12
    assert not blocks.join(tmp_path / "out", IDS) and not content(tmp_path / "out")


def a_block(folder: Path) -> Path:
    return folder / "block-0000002.npy"


BLOCKS: dict[str, Callable[[Path], object]] = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "empty": lambda file: file.write_bytes(b""),
    "no array": lambda file: file.write_bytes(b"PK" * 99),
    "another shape": lambda file: np.save(file, MATRIX[:3]),
    "another type": lambda file: np.save(file, MATRIX[:4].astype("float32")),
    "objects": lambda file: np.save(file, np.array([None] * 4)),
}


@pytest.mark.parametrize("harm", BLOCKS.values(), ids=BLOCKS)
def test_a_broken_block_is_made_anew(
    blocks: FeatureBlocks, tmp_path: Path, said: list[str], harm: Callable[[Path], object]
) -> None:
    fill(blocks, range(3))
    harm(a_block(blocks.folder))
    assert [rows.start for rows in fill(blocks)] == [12, 8, 16, 20]
    assert len(said) == 1 and said[0].startswith(f"{a_block(blocks.folder)} cannot be used (")
    assert blocks.join(tmp_path / "out", IDS) and np.array_equal(read_features(tmp_path / "out", IDS)[:], MATRIX)


SHARDS: dict[str, Callable[[Path], object]] = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "empty": lambda file: file.write_bytes(b""),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "altered": lambda file: file.write_bytes(file.read_bytes()[:-1] + b"x"),
}


@pytest.mark.parametrize("harm", SHARDS.values(), ids=SHARDS)
def test_a_shard_that_is_not_as_it_was_written_is_made_anew_and_the_others_are_not(
    blocks: FeatureBlocks, tmp_path: Path, said: list[str], harm: Callable[[Path], object]
) -> None:
    fill(blocks)
    shard = next(blocks.folder.glob("00001-*"))
    harm(shard)
    assert not blocks.join(tmp_path / "out", IDS)
    assert said == [f"{shard} is not as it was written: it is made anew"]
    assert [rows.start for rows in fill(blocks)] == [8, 12]
    assert blocks.join(tmp_path / "out", IDS) and np.array_equal(read_features(tmp_path / "out", IDS)[:], MATRIX)


def test_a_missing_shard_is_made_anew(blocks: FeatureBlocks, tmp_path: Path) -> None:
    fill(blocks)
    next(blocks.folder.glob("00001-*")).unlink()
    assert not blocks.join(tmp_path / "out", IDS)
    assert [rows.start for rows in fill(blocks)] == [8, 12] and blocks.join(tmp_path / "out", IDS)


@pytest.mark.parametrize(("at", "number"), [(1, errno.ENOSPC), (3, errno.ENOSPC), (5, errno.EDQUOT), (9, errno.EIO)])
def test_a_full_disk_is_a_sentence_and_what_is_whole_stays(
    blocks: FeatureBlocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, number: int
) -> None:
    """The ``at``-th file that is written (6 blocks and 3 shards) finds no room after its first bytes."""
    written = features.write_matrix
    calls = []

    def full(file: Path, *rest: object) -> str:
        calls.append(file)
        if len(calls) == at:
            file.write_bytes(b"begun")
            raise OSError(number, os.strerror(number), str(file))
        return written(file, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(features, "write_matrix", full)
    with pytest.raises(EnvironmentProblem, match=rf"work cannot be written: {os.strerror(number)}") as caught:
        fill(blocks)
    assert caught.value.hint and caught.value.code == 4
    assert all(path.name.startswith(("block-", "0000")) for path in blocks.folder.iterdir())
    fill(blocks)
    assert len(calls) == 10 and blocks.join(tmp_path / "out", IDS)
    assert np.array_equal(read_features(tmp_path / "out", IDS)[:], MATRIX)


def test_what_a_killed_process_left_is_never_taken_for_a_block_or_shard(blocks: FeatureBlocks, tmp_path: Path) -> None:
    for name in (".host-1-0a0b0c0d", ".block-0000000.npy", "block-0000000.npy.tmp", "00000-0.npy"):
        (blocks.folder / name).write_bytes(b"left over")
    assert len(fill(blocks)) == 6 and blocks.join(tmp_path / "out", IDS)


def test_names_of_unfinished_files_are_of_one_process_alone(blocks: FeatureBlocks, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []

    def failing(file: Path, *_: object) -> str:
        names.append(file.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(features, "write_matrix", failing)
    for _ in range(20):
        with pytest.raises(KeyboardInterrupt):
            blocks.write(range(4), MATRIX[:4])
    assert len(set(names)) == 20 and all(f"-{os.getpid()}-" in name for name in names)


def test_two_processes_that_make_one_shard_at_once_end_in_the_same_bytes(
    blocks: FeatureBlocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second makes the shard, and deletes its blocks, while the first reads them; and the first block while it is made."""
    written, depth = features.write_matrix, []

    def meanwhile(file: Path, shape: tuple[int, int], parts: object) -> str:
        if not depth:
            depth.append(file)
            if shape == (8, 4):
                assert blocks.close(0)
            else:
                blocks.write(range(4), MATRIX[:4])
            depth.clear()
        return written(file, shape, parts)  # type: ignore[arg-type]

    monkeypatch.setattr(features, "write_matrix", meanwhile)
    fill(blocks)
    monkeypatch.undo()
    monkeypatch.setattr(features, "SHARD_BYTES", 8 * 4 * 2 + 1)
    assert blocks.join(tmp_path / "out", IDS) and np.array_equal(read_features(tmp_path / "out", IDS)[:], MATRIX)


def test_unlike_machines_leave_two_shards_and_one_is_taken(blocks: FeatureBlocks, tmp_path: Path) -> None:
    fill(blocks)
    part = MATRIX[8:16] + np.float16(0.001)
    sha256 = features.write_matrix(tmp_path / "other", part.shape, [part])
    (tmp_path / "other").rename(blocks.folder / f"00001-{sha256}.npy")
    assert blocks.join(tmp_path / "out", IDS)
    taken = read_features(tmp_path / "out", IDS)[8:16]
    assert np.array_equal(taken, MATRIX[8:16]) or np.array_equal(taken, part)


def test_neither_locks_nor_clocks_are_asked(blocks: FeatureBlocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> float:
        raise AssertionError

    monkeypatch.setattr(files, "FileLock", refuse)
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", refuse)
        fill(blocks)
    for path in blocks.folder.iterdir():
        os.utime(path, (2**33, 2**33))  # by a clock that is centuries fast
    assert fill(blocks) == []


def test_a_disk_without_second_names_gets_copies(
    blocks: FeatureBlocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", unknown)
    fill(blocks)
    assert blocks.join(tmp_path / "out", IDS)
    assert np.array_equal(read_features(tmp_path / "out", IDS)[:], MATRIX)
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "out").iterdir())
