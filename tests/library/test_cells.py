"""The places of a box, and boxes that are none."""

import pytest
import torch

from cspops.errors import ParamsError
from cspops.geo import haversine
from cspops.library.cells import MOST, Cells, parsed_box


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("5,40,15,48", (5.0, 40.0, 15.0, 48.0)),
        (" -10.5, 35 ,30,60", (-10.5, 35.0, 30.0, 60.0)),
        ("170,-20,-170,-10", (170.0, -20.0, 190.0, -10.0)),
        ("-180,-90,180,90", (-180.0, -90.0, 180.0, 90.0)),
        ("200,0,210,10", (-160.0, 0.0, -150.0, 10.0)),
    ],
)
def test_four_numbers_are_a_box(text: str, box: tuple[float, ...]) -> None:
    assert parsed_box(text) == box


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("5,40,15", "--within 5,40,15 is not four numbers between commas"),
        ("5 40 15 48", "not four numbers"),
        ("a,b,c,d", "not four numbers"),
        ("5,48,15,40", "5,48,15,40 is no box: its south is above its north"),
        ("15,40,5,48", "is no box: its west is above its east"),  # over the date line it would be 350 degrees wide
        ("5,40,15,98", "is no box: its latitudes leave"),
        ("nan,40,15,48", "is no box"),
        ("5,40,5,48", "is no box: it has no width"),
    ],
)
def test_others_are_refused_with_the_form_of_a_box(text: str, says: str) -> None:
    with pytest.raises(ParamsError) as refused:
        parsed_box(text)
    assert says in refused.value.message
    assert "--within 5,45,10,48" in str(refused.value.hint)


def test_cells_are_about_so_wide_and_high_and_their_middles_are_in_order() -> None:
    cells = Cells.of((5.0, 40.0, 15.0, 48.0), 100.0)
    lonlat = cells.lonlat().reshape(cells.rows, cells.columns, 2)
    assert float(lonlat[0, 0, 1]) == pytest.approx(48 - 4 / cells.rows)
    assert (lonlat[1:, :, 1] < lonlat[:-1, :, 1]).all() and (lonlat[:, 1:, 0] > lonlat[:, :-1, 0]).all()
    middle = cells.rows // 2
    assert float(haversine(lonlat[middle, 0], lonlat[middle, 1])) == pytest.approx(100, rel=0.08)
    assert float(haversine(lonlat[0, 0], lonlat[1, 0])) == pytest.approx(100, rel=0.08)


@pytest.mark.parametrize("box", [(5.0, 40.0, 15.0, 48.0), (170.0, -20.0, 190.0, -10.0), (-180.0, -90.0, 180.0, 90.0)])
def test_a_place_lies_in_the_cell_with_its_number(box: tuple[float, float, float, float]) -> None:
    cells = Cells.of(box, 300.0)
    lonlat = cells.lonlat()
    inside = torch.tensor([(box[2] - box[0]) / cells.columns, (box[3] - box[1]) / cells.rows]) * 0.49
    for number in (0, 1, len(lonlat) // 2, len(lonlat) - 1):
        for lon, lat in (lonlat[number] + inside, lonlat[number] - inside):
            assert cells.index((float(lon) + 180) % 360 - 180, float(lat)) == number
    if box[2] - box[0] < 360:
        assert cells.index(-60.0, (box[1] + box[3]) / 2) is None
        assert cells.index(box[0] + 1, box[3] + 0.1) is None
    assert cells.index(box[2], box[1]) in range(len(lonlat))  # the last corner belongs to the box


def test_too_many_places_are_refused_before_any_is_made() -> None:
    with pytest.raises(ParamsError, match=r"--step 1 makes \d{3},\d{3},\d{3} places"):
        Cells.of((-180.0, -90.0, 180.0, 90.0), 1.0)
    with pytest.raises(ParamsError) as raised:
        Cells.of((0.0, 0.0, 10.0, 10.0), 1.0)
    step = float(raised.value.hint.removeprefix("--step ").partition(",")[0])
    cells = Cells.of((0.0, 0.0, 10.0, 10.0), step)
    assert 0.7 * MOST < cells.rows * cells.columns <= MOST
    assert Cells.of((8.0, 47.0, 8.001, 47.001), 1e6) == Cells((8.0, 47.0, 8.001, 47.001), 1, 1)
    assert MOST > 10**6


@pytest.mark.parametrize("km", [0.0, -1.0, float("nan")])
def test_a_step_that_is_no_distance_is_refused(km: float) -> None:
    with pytest.raises(ParamsError, match="is no distance"):
        Cells.of((5.0, 40.0, 15.0, 48.0), km)
