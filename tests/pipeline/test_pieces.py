"""Pieces of a stage: made once, and again where they are no longer as they were written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cspops.host import Host
from cspops.pipeline.pieces import HASHES, Shards, make_pieces
from cspops.site import Site

HARM: dict[str, Callable[[Path], object]] = {
    "cut": lambda piece: (piece / "deep" / "b").write_text("hal"),
    "empty": lambda piece: (piece / "a").write_bytes(b""),
    "missing": lambda piece: (piece / "a").unlink(),
    "strange": lambda piece: (piece / "c").touch(),
    "without hashes": lambda piece: (piece / HASHES).unlink(),
    "with broken hashes": lambda piece: (piece / HASHES).write_text("{"),
}


@pytest.mark.parametrize("harm", [None, *HARM.values()], ids=["as written", *HARM])
def test_a_piece_is_made_again_only_where_it_is_no_longer_as_it_was_written(
    tmp_path: Path, said: list[str], harm: Callable[[Path], object] | None
) -> None:
    made: list[int] = []

    def make(seed: int, ratio: float, folder: Path) -> None:
        made.append(seed)
        (folder / "deep").mkdir()
        (folder / "a").write_text("whole")
        (folder / "deep" / "b").write_text("whole")

    for out in ("first", "second"):
        site = Site(tmp_path, {}, tmp_path, tmp_path / out, tmp_path / "scratch", Host(workers="0"))
        make_pieces([0, 1], [0.1], make, site, scratch=site.scratch)
        if harm is not None and out == "first":
            harm(next((tmp_path / "scratch" / "seed_1").iterdir()))
    assert made == ([0, 1] if harm is None else [0, 1, 1])
    assert len(said) == (harm is not None) and all(line.endswith("is not as it was written: it is made anew") for line in said)
    out = tmp_path / "second"
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == [f"seed_{seed}/label_10/{name}" for seed in (0, 1) for name in ("a", "deep/b")]


def test_shards_that_are_done_are_left_out(tmp_path: Path) -> None:
    shards = Shards(tmp_path, 10, 4)
    assert shards.left() == [range(4), range(4, 8), range(8, 10)]
    shards.finish(range(4, 8))
    assert Shards(tmp_path, 10, 4).left() == [range(4), range(8, 10)]
    assert Shards(tmp_path, 0, 4).left() == []
