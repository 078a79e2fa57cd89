import pyarrow as pa
import pytest

from cspops.intake.sources.table import ABSOLUTE, ADDRESS, NUL, OUTSIDE, normalise_paths

PATHS = {
    # as written, with the table in `sets/trees` below the root: below the root, or a reason
    "a.jpg": "sets/trees/a.jpg",
    "oak/a b.jpg": "sets/trees/oak/a b.jpg",
    "./oak/a.jpg": "sets/trees/oak/a.jpg",
    "././a.jpg": "sets/trees/a.jpg",
    "oak//./a.jpg": "sets/trees/oak/a.jpg",
    "oak\\a.jpg": "sets/trees/oak/a.jpg",
    ".\\oak\\a.jpg": "sets/trees/oak/a.jpg",
    "oak/../elm/a.jpg": "sets/trees/elm/a.jpg",
    "../birds/a.jpg": "sets/birds/a.jpg",
    "../../a.jpg": "a.jpg",
    "..a.jpg": "sets/trees/..a.jpg",
    ".hidden/a..jpg": "sets/trees/.hidden/a..jpg",
    "a:b.jpg": ABSOLUTE,  # a drive
    "../../../a.jpg": OUTSIDE,
    "oak/../../../../a.jpg": OUTSIDE,
    "..\\..\\..\\a.jpg": OUTSIDE,
    "../../..": OUTSIDE,
    "/home/me/a.jpg": ABSOLUTE,
    "/../../../../a.jpg": ABSOLUTE,
    "~/a.jpg": ABSOLUTE,
    "C:\\photos\\a.jpg": ABSOLUTE,
    "c:/photos/a.jpg": ABSOLUTE,
    "\\\\server\\a.jpg": ABSOLUTE,
    "https://example.org/a.jpg": ADDRESS,
    "HTTP://example.org/a.jpg|https://example.org/b.jpg": ADDRESS,
    "s3://bucket/a.jpg": ADDRESS,
    "file:///a.jpg": ADDRESS,
    "a\0.jpg": NUL,
}


@pytest.mark.parametrize("written", PATHS)
def test_a_path_is_brought_below_the_root_or_given_up_with_its_text(written):
    paths, reasons = normalise_paths(pa.array([None, written, "z.jpg"]), "sets/trees")
    wanted = PATHS[written]
    if wanted in (ABSOLUTE, ADDRESS, NUL, OUTSIDE):
        assert reasons == {1: (wanted, written.replace("\0", ""))}
        wanted = None
    else:
        assert reasons == {}
    assert paths.to_pylist() == [None, wanted, "sets/trees/z.jpg"]


@pytest.mark.parametrize("folder", ["", "."])
def test_a_table_in_the_root_adds_nothing(folder):
    paths, reasons = normalise_paths(pa.array(["oak/a.jpg", "./b.jpg", "../c.jpg"]), folder)
    assert paths.to_pylist() == ["oak/a.jpg", "b.jpg", None]
    assert reasons == {2: (OUTSIDE, "../c.jpg")}


def test_a_sidecar_may_point_up():
    paths, reasons = normalise_paths(pa.array(["..\\images\\.\\a.jpg", "/a.jpg"]), "", inside=False)
    assert paths.to_pylist() == ["../images/a.jpg", None]
    assert reasons == {1: (ABSOLUTE, "/a.jpg")}
