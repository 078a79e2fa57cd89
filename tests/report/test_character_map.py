"""The map in characters, its box and its cells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.report.character_map import LEGEND, MOST_CELLS, STEPS, bounding_box, cells, character_map

prop = settings(deadline=None, derandomize=True, max_examples=80)
places = st.lists(st.tuples(st.floats(-180, 179.99), st.floats(-90, 90)), min_size=1, max_size=40)


def positions(pairs: list[tuple[float, float]]) -> np.ndarray:
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def body(lines: list[str]) -> list[str]:
    return [line.split("|")[1] for line in lines if "|" in line]


@pytest.mark.parametrize(
    ("pairs", "box"),
    [
        ([(8.0, 47.0)], (8, 47, 8, 47)),
        ([(-10.0, 5.0), (20.0, -5.0)], (-10, -5, 20, 5)),
        ([(179.0, 0.0), (-178.0, 1.0)], (179, 0, 182, 1)),  # Fiji: 3 degrees, not 357
        ([(170.0, 0.0), (-170.0, 0.0), (0.0, 0.0)], (0, 0, 190, 0)),  # the gap from 170 W to 0 is as wide as the other; first
    ],
)
def test_the_box_takes_the_short_way_round(pairs: list[tuple[float, float]], box: tuple[float, ...]) -> None:
    assert bounding_box(positions(pairs)) == box


@prop
@given(places)
def test_the_box_is_the_narrowest_of_those_that_begin_at_a_position(pairs: list[tuple[float, float]]) -> None:
    lonlat = positions(pairs)
    box = bounding_box(lonlat)
    assert box is not None
    widths = [max((lon - west) % 360 for lon in lonlat[:, 0]) for west in lonlat[:, 0]]
    assert box.east - box.west == pytest.approx(min(widths), abs=1e-9)
    assert all((lon - box.west) % 360 <= box.east - box.west + 1e-9 for lon in lonlat[:, 0])
    assert (box.south, box.north) == (lonlat[:, 1].min(), lonlat[:, 1].max())


@prop
@given(places)
def test_every_position_is_in_one_cell(pairs: list[tuple[float, float]]) -> None:
    lonlat = positions(pairs)
    side, found = cells(lonlat)
    assert side in STEPS
    assert sum(rows for _, _, rows in found) == len(lonlat)
    for west, south, rows in found:
        inside = (np.abs(lonlat - (west, south) - side / 2) <= side / 2 + 1e-9).all(1)
        assert inside.sum() >= rows >= 1
    assert len({(west, south) for west, south, _ in found}) == len(found)


def test_the_side_of_the_cells_follows_the_spread() -> None:
    """Spans of 0, 7 and 300 degrees: 0.001; 7 / 0.2 = 35 is at most 40 and 7 / 0.1 is not; 300 / 10 = 30, 300 / 5 = 60."""
    assert MOST_CELLS == 40
    for span, side in ((0.0, 0.001), (7.0, 0.2)):
        assert cells(positions([(0.05, 0.05), (0.05 + span, 0.05)]))[0] == side
    around = [(float(lon), 0.5) for lon in range(-150, 151, 10)]
    assert cells(positions(around))[0] == 10.0


def test_no_positions() -> None:
    none = np.zeros((0, 2))
    assert bounding_box(none) is None
    assert cells(none)[1] == []
    assert character_map(none, width=80) == ["no positions"]


@prop
@given(places, st.integers(30, 140))
def test_no_line_is_wider_than_asked_and_no_map_higher(pairs: list[tuple[float, float]], width: int) -> None:
    lines = character_map(positions(pairs), width=width, height=20)
    assert max(len(line) for line in lines[:-1]) <= width
    assert lines[-1] == LEGEND
    rows = body(lines)
    assert 1 <= len(rows) <= 20
    assert len({len(row) for row in rows}) == 1
    assert set("".join(rows)) <= set(" .oO@")
    assert any(glyph in "".join(rows) for glyph in "oO@")


def test_glyphs_are_powers_of_ten_and_stand_where_the_rows_are() -> None:
    """Nine rows at the west end, 10 in the middle, 100 at the east end; far out in the Pacific, without land."""
    west, middle, east = (-150.0, -30.0), (-140.0, -30.0), (-130.0, -30.0)
    rows = body(character_map(positions([west] * 9 + [middle] * 10 + [east] * 100), width=70))
    line = "".join(rows)
    assert (line.count("o"), line.count("O"), line.count("@")) == (1, 1, 1)
    row = next(row for row in rows if "o" in row)
    assert row.index("o") < row.index("O") < row.index("@")
    assert row.index("O") - row.index("o") == pytest.approx(row.index("@") - row.index("O"), abs=1)


def test_north_is_up_and_the_globe_is_drawn_of_a_set_all_around_it() -> None:
    lonlat = positions([(-150.0, 70.0), (0.0, 0.0), (150.0, -40.0), (60.0, 10.0)])
    lines = character_map(lonlat, width=100)
    rows = body(lines)
    at = [(number, row.index("o")) for number, row in enumerate(rows) if "o" in row]
    assert [number for number, _ in at] == sorted(number for number, _ in at)
    assert at[0][1] < at[-1][1]
    assert "180W" in lines[-2] and "180E" in lines[-2] and lines[1].startswith("     84N|")
    assert "".join(rows).count(".") > 200  # the continents


def test_one_place_and_the_poles_are_drawn() -> None:
    for pair in ((8.5, 47.4), (0.0, 90.0), (-180.0, -90.0), (179.9, 89.9)):
        rows = body(character_map(positions([pair]), width=60))
        assert "".join(rows).count("o") == 1


def test_across_the_antimeridian_the_east_of_the_map_is_a_western_longitude() -> None:
    lines = character_map(positions([(178.0, -18.0), (-178.0, -17.0)]), width=60)
    assert lines[-2].split() == ["177.8E", "177.8W"]
