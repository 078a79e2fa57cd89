"""What is read as a footprint, what is wrong with one, and what becomes of the row."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cspops.intake.images.georeference import NO_GEOTIFF
from cspops.intake.judging.footprints import (
    AS_A_PHOTO,
    EMPTY,
    EXCHANGED,
    LAT_FIRST,
    LAT_RANGE,
    LON_RANGE,
    NO_FOOTPRINT,
    NO_OVERHEAD,
    NOT_FOUR,
    NOWHERE,
    OUTSIDE,
    TOO_WIDE,
    UPSIDE_DOWN,
    WITHOUT,
    WRAPPED,
    judge_boxes,
    judge_overhead,
    overhead_as_image,
    read_boxes,
)
from cspops.intake.judging.verdicts import Verdicts
from cspops.intake.overhead_rows import BOX, Looking, with_overhead
from cspops.intake.rows import Inspected, batch
from cspops.pixels.reading import IMAGE, Reading
from cspops.pixels.unreadable import NOT_THERE

nan, inf = float("nan"), float("inf")

TEXTS = {
    "8.1,47.2,8.3,47.4": (8.1, 47.2, 8.3, 47.4),
    " 8.1, 47.2, 8.3, 47.4 ": (8.1, 47.2, 8.3, 47.4),
    "8.1;47.2;8.3;47.4": (8.1, 47.2, 8.3, 47.4),
    "8.1 47.2\t8.3 47.4": (8.1, 47.2, 8.3, 47.4),
    "[8.1, 47.2, 8.3, 47.4]": (8.1, 47.2, 8.3, 47.4),
    "(-8,-47.,+8.25e0,.5)": (-8, -47, 8.25, 0.5),
    "8.1,47.2,8.3": None,
    "8.1,47.2,8.3,47.4,5": None,
    "8.1,47.2,8.3,": None,
    "8,1;47,2;8,3;47,4": None,
    "8.1,47.2,inf,47.4": None,
    "west,south,east,north": None,
}


@pytest.mark.parametrize("text", TEXTS)
def test_four_numbers_in_a_text(text: str) -> None:
    numbers, given = read_boxes(pa.array([text, None, " "], pa.string()))
    assert given.tolist() == [True, False, False]
    assert np.isnan(numbers[1:]).all()
    expected = TEXTS[text]
    assert np.isnan(numbers[0]).any() if expected is None else tuple(numbers[0]) == expected


def test_four_numbers_as_numbers() -> None:
    numbers, given = read_boxes(pa.array([[1, 2, 3, 4], None, [1, None, 3, 4]], BOX))
    assert given.tolist() == [True, False, True]
    assert numbers[0].tolist() == [1, 2, 3, 4] and np.isnan(numbers[1]).all() and np.isnan(numbers[2, 1])


# (footprint, place): the footprint as it is stored
SOUND = {
    "plain": ((8, 47, 9, 48), (8.5, 47.5), (8, 47, 9, 48)),
    "the place on its edge": ((8, 47, 9, 48), (9, 47), (8, 47, 9, 48)),
    "over the date line": ((179, -1, -178, 1), (-179, 0), (179, -1, 182, 1)),
    "over the date line, written on": ((179, -1, 182, 1), (179.5, 0), (179, -1, 182, 1)),
    "counted from 0 to 360": ((190, -1, 200, 1), (-165, 0), (-170, -1, -160, 1)),
    "over Greenwich, counted from 0 to 360": ((359, -1, 2, 1), (0, 0.5), (-1, -1, 2, 1)),
    "from the date line on": ((180, -1, 181, 1), (-180, 0), (-180, -1, -179, 1)),
    "to the date line": ((179, -1, 180, 1), (179.5, 0), (179, -1, 180, 1)),
    "half the Earth": ((-180, -90, 0, 90), (-90, 0), (-180, -90, 0, 90)),
    "a hair beyond the pole": ((8, 80, 9, 90 + 1e-10), (8.5, 85), (8, 80, 9, 90)),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_footprint_that_holds_its_place(name: str) -> None:
    box, (lon, lat), stored = SOUND[name]
    boxes = judge_boxes(np.array([box], float), np.array([lon], float), np.array([lat], float))
    assert boxes.fault.tolist() == [None]
    assert boxes.sides.tolist() == [list(stored)]
    assert boxes.wrapped.tolist() == [box[0] != stored[0] or stored[2] > 180]


WRONG = {
    "not numbers": ((nan, 47, 9, 48), (8.5, 47.5), NOT_FOUR),
    "infinite": ((8, 47, inf, 48), (8.5, 47.5), NOT_FOUR),
    "beyond a pole": ((8, 47, 9, 91), (8.5, 47.5), LAT_RANGE),
    "beyond all longitudes": ((8, 47, 361, 48), (8.5, 47.5), LON_RANGE),
    "latitude first": ((47, 8, 48, 9), (8.5, 47.5), LAT_FIRST),
    "beside the place": ((8, 47, 9, 48), (9.1, 47.5), OUTSIDE),
    "beside the place, over the date line": ((179, -1, -178, 1), (178, 0), OUTSIDE),
    "no width": ((8, 47, 8, 48), (8, 47.5), EMPTY),
    "no width at the date line": ((180, 47, -180, 48), (-180, 47.5), EMPTY),
    "no height": ((8, 47, 9, 47), (8.5, 47), EMPTY),
    "south above north": ((8, 48, 9, 47), (8.5, 47.5), EXCHANGED[UPSIDE_DOWN]),
    "south above north, elsewhere": ((8, 48, 9, 47), (0, 0), UPSIDE_DOWN),
    "west east of east": ((9, 47, 8, 48), (8.5, 47.5), EXCHANGED[TOO_WIDE]),
    "west east of east, elsewhere": ((9, 47, 8, 48), (20, 47.5), TOO_WIDE),
    "all round the Earth": ((-180, -90, 180, 90), (8.5, 47.5), TOO_WIDE),
    "no place": ((8, 47, 9, 48), (nan, nan), NOWHERE),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_footprint_that_is_none_and_why(name: str) -> None:
    box, (lon, lat), why = WRONG[name]
    boxes = judge_boxes(np.array([box], float), np.array([lon], float), np.array([lat], float))
    assert boxes.fault.tolist() == [why]
    assert np.isnan(boxes.sides).all() and not boxes.wrapped.any()


# --- rows


def image(path: str | None) -> dict[str, Any] | None:
    return None if path is None else {"bytes": None, "path": path}


HERE = "8,47,9,48"


def judged(*rows: tuple[str | None, str | None, str | None], column: bool = True, looked_at: bool = True) -> dict[str, Any]:
    """Judge rows of image, overhead and overhead_bbox, at 8.5 47.5; the files missing.tif and a.tif's footprint are known."""
    n = len(rows)
    asked: list[str] = []
    images, overheads, boxes = zip(*rows, strict=True)
    made = batch({"where": [str(i) for i in range(n)], "image": pa.array([image(one) for one in images], IMAGE)})
    overhead = pa.array([image(one) for one in overheads], IMAGE) if column else None
    made, alone = overhead_as_image(with_overhead(made, overhead, pa.array(boxes, pa.string())))

    def inspect(some: pa.StructArray) -> Inspected:
        asked.extend(one["path"] for one in some.to_pylist())
        reasons = [NOT_THERE if one["path"] == "missing.tif" else None for one in some.to_pylist()]
        return Inspected(pa.nulls(len(some), pa.string()), pa.array(reasons, pa.string()), pa.nulls(len(some), pa.string()))

    def locate(some: pa.StructArray) -> list[tuple[float, float, float, float] | str]:
        asked.extend("where is " + one["path"] for one in some.to_pylist())
        return [(7.0, 46.0, 9.0, 48.0) if one["path"] == "a.tif" else NO_GEOTIFF for one in some.to_pylist()]

    verdicts = Verdicts(n)
    looking = Looking(locate, inspect, Reading()) if looked_at else None
    place = np.full(n, 8.5), np.full(n, 47.5)
    result = judge_overhead(made, place, verdicts, alone=alone, looking=looking)
    return {
        "bbox": [None if np.isnan(one).any() else one.tolist() for one in result.bbox],
        "beside": result.beside.tolist(),
        "images": [one and one["path"] for one in made.column("image").to_pylist()],
        "notes": verdicts.notes(),
        "asked": asked,
        "good": verdicts.good.all(),
    }


def test_footprints_come_from_the_column_or_from_the_file() -> None:
    got = judged(("p.jpg", "x.png", HERE), ("q.jpg", "a.tif", None), ("r.jpg", None, None), ("s.jpg", "a.tif", None))
    assert got["bbox"] == [[8, 47, 9, 48], [7, 46, 9, 48], None, [7, 46, 9, 48]]
    assert got["beside"] == [True, True, False, True]
    assert got["notes"] == {}
    assert sorted(got["asked"]) == ["a.tif", "where is a.tif", "x.png"]  # each file once


def test_a_row_whose_overhead_image_is_no_good_is_kept_without_it_and_noted() -> None:
    got = judged(
        ("0.jpg", "x.png", "0,0,1,1"),
        ("1.jpg", "x.png", None),
        ("2.jpg", None, HERE),
        ("3.jpg", "missing.tif", HERE),
        ("4.jpg", "x.png", "somewhere"),
        ("5.jpg", "x.png", "7,47,8.5,48"),
    )
    assert got["good"] and got["beside"] == [False] * 5 + [True]
    assert [one is None for one in got["bbox"]] == [True] * 5 + [False]
    assert got["notes"] == {
        NO_OVERHEAD: 1,
        WITHOUT + OUTSIDE: 1,
        WITHOUT + NO_GEOTIFF: 1,
        WITHOUT + NOT_THERE: 1,
        WITHOUT + NOT_FOUR: 1,
    }


def test_an_overhead_image_without_a_photo_is_the_image() -> None:
    got = judged((None, "a.tif", None), (None, "x.png", HERE), (None, None, None), ("p.jpg", None, None))
    assert got["images"] == ["a.tif", "x.png", None, "p.jpg"]
    assert got["bbox"] == [[7, 46, 9, 48], [8, 47, 9, 48], None, None]
    assert got["beside"] == [False] * 4 and got["notes"] == {}


def test_images_that_are_overhead_images_themselves() -> None:
    got = judged(("a.tif", None, None), ("x.png", None, HERE), ("p.jpg", None, None), ("b.png", None, "0,0,1,1"), column=False)
    assert got["bbox"] == [[7, 46, 9, 48], [8, 47, 9, 48], None, None]
    assert got["beside"] == [False] * 4
    assert got["notes"] == {AS_A_PHOTO + NO_GEOTIFF: 1, AS_A_PHOTO + OUTSIDE: 1}
    assert not [one for one in got["asked"] if not one.startswith("where is")]  # the images have been looked at before


def test_nothing_is_opened_where_nothing_is_to_be_looked_at() -> None:
    got = judged(("p.jpg", "missing.tif", HERE), ("p.jpg", "a.tif", None), looked_at=False)
    assert got["bbox"] == [[8, 47, 9, 48], None]
    assert got["notes"] == {WITHOUT + NO_FOOTPRINT: 1}


def test_a_footprint_over_the_date_line_is_noted() -> None:
    made = batch({"where": ["a"], "image": pa.array([image("p.jpg")], IMAGE)})
    made = with_overhead(made, pa.array([image("x.png")], IMAGE), pa.array([[179.0, -1.0, -179.0, 1.0]], BOX))
    verdicts = Verdicts(1)
    place = np.array([-179.5]), np.array([0.0])
    result = judge_overhead(made, place, verdicts, alone=np.array([False]), looking=None)
    assert result.bbox.tolist() == [[179, -1, 181, 1]] and verdicts.notes() == {WRAPPED: 1}
