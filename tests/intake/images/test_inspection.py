"""What looking at image files finds, a row each."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from image_files import encoded

from cspops.intake.images.inspection import inspect_images
from cspops.intake.rows import Inspected
from cspops.pixels import unreadable
from cspops.pixels.reading import IMAGE, Reading
from cspops.pixels.workers import Workers


def png(value=0, side=8):
    return encoded(np.full((side, side, 3), value, np.uint8))


def structs(*images):
    rows = [
        None
        if one is None
        else {"bytes": one if isinstance(one, bytes) else None, "path": one if isinstance(one, str) else None}
        for one in images
    ]
    return pa.array(rows, IMAGE)


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def root(tmp_path):
    """A folder of images of all kinds, and a secret beside it."""
    folder = tmp_path / "images"
    (folder / "a" / "folder").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(png(9))
    for name, data in (
        ("good.png", png(1)),
        ("a/good.png", png(2)),
        ("empty.png", b""),
        ("text.png", b"text"),
        ("half.png", png(3, 64)[:90]),
    ):
        (folder / name).write_bytes(data)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "dangling.png").symlink_to(tmp_path / "nothing.png")
    os.mkfifo(folder / "pipe.png")
    return folder


CASES = {
    "good.png": None,
    "a/good.png": None,
    "link.png": None,
    "missing.png": unreadable.NOT_THERE,
    "good.png/more.png": unreadable.NOT_THERE,
    "dangling.png": unreadable.NOT_THERE,
    "a/folder": unreadable.NO_FILE,
    "": unreadable.NO_FILE,
    "pipe.png": unreadable.NO_FILE,
    "empty.png": unreadable.EMPTY,
    "../secret.png": unreadable.LEADS_OUT,
    "a/../../secret.png": unreadable.LEADS_OUT,
    "a/../good.png": unreadable.LEADS_OUT,
    "..\\secret.png": unreadable.LEADS_OUT,
    "/etc/passwd": unreadable.LEADS_OUT,
    "C:\\secret.png": unreadable.LEADS_OUT,
    "nul\0.png": unreadable.LEADS_OUT,
    "x" * 300: unreadable.NOT_OPENED,
}
CONTENT = {"text.png": unreadable.NO_IMAGE, "half.png": unreadable.ENDS_EARLY}


@pytest.mark.parametrize("path", [*CASES, *CONTENT])
def test_each_path_ends_with_its_reason(root, path):
    decoded = inspect_images(structs(path), root=root, reading=Reading(), how="decode")
    assert decoded.reason.to_pylist() == [(CASES | CONTENT)[path]]
    there = inspect_images(structs(path), root=root, reading=Reading(), how="exists")
    assert there.reason.to_pylist() == [CASES.get(path)]
    assert there.sha256.to_pylist() == [None]
    was_read = (CASES | CONTENT)[path] is None or path in CONTENT
    assert decoded.sha256.to_pylist() == [sha((root / path).read_bytes()) if was_read else None]


def test_bytes_are_hashed_and_rows_without_an_image_are_null(root):
    images = structs(png(5), None, "missing.png", b"", b"text", "good.png")
    found = inspect_images(images, root=root, reading=Reading(), how="decode")
    reasons = [None, None, unreadable.NOT_THERE, unreadable.EMPTY, unreadable.NO_IMAGE, None]
    hashes = [sha(png(5)), None, None, sha(b""), sha(b"text"), sha(png(1))]
    assert (found.reason.to_pylist(), found.sha256.to_pylist()) == (reasons, hashes)
    assert found.detail.to_pylist()[2] == str(root / "missing.png")
    part = inspect_images(images.slice(2, 3), root=root, reading=Reading(), how="decode")
    assert part.reason.to_pylist() == reasons[2:5]


def test_bytes_go_before_the_path(root):
    both = pa.array([{"bytes": png(7), "path": "missing.png"}], IMAGE)
    found = inspect_images(both, root=root, reading=Reading(), how="exists")
    assert (found.reason.to_pylist(), found.sha256.to_pylist()) == ([None], [sha(png(7))])


def test_no_rows():
    found = inspect_images(structs(), root=Path("nowhere"), reading=Reading(), how="decode")
    assert found == Inspected(*[pa.array([], pa.string())] * 3)


def test_the_reading_decides_what_can_be_used(root):
    found = inspect_images(structs("good.png"), root=root, reading=Reading(bands=(4, 3, 2)), how="decode")
    assert found.reason.to_pylist() == [unreadable.TOO_FEW_BANDS]
    assert found.detail.to_pylist() == ["band 4 of 3"]


def test_workers_find_the_same(root):
    images = structs(*[*CASES, *CONTENT, png(1), None] * 4)
    here = inspect_images(images, root=root, reading=Reading(), how="decode")
    with Workers(2) as workers:
        assert inspect_images(images, root=root, reading=Reading(), how="decode", map=workers.map) == here
