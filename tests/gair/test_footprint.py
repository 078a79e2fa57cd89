"""A place's position in a footprint, over the date line too; what is outside is refused by name."""

import pytest
import torch

from cspops.gair.footprint import in_footprint


def at(bbox: tuple[float, ...], place: tuple[float, float]) -> list[float]:
    return in_footprint(torch.tensor([bbox], dtype=torch.float64), torch.tensor([place], dtype=torch.float64))[0].tolist()


@pytest.mark.parametrize(
    ("bbox", "place", "expected"),
    [
        ((8, 46, 10, 50), (9, 48), (0, 0)),
        ((8, 46, 10, 50), (8, 50), (-1, -1)),  # the north-western corner
        ((8, 46, 10, 50), (10, 46), (1, 1)),
        ((8, 46, 10, 50), (9.5, 49), (0.5, -0.5)),
        ((8, 46, 10, 50), (369.5, 49), (0.5, -0.5)),
        ((178, -2, 182, 2), (-179, 1), (0.5, -0.5)),
        ((178, -2, 182, 2), (179, 1), (-0.5, -0.5)),
        ((178, -2, -178, 2), (-179, 1), (0.5, -0.5)),  # lon_min above lon_max
        ((178, -2, -178, 2), (-178, -2), (1, 1)),
        ((-182, -2, -178, 2), (179, 0), (-0.5, 0)),
        ((-180, -90, 180, 90), (180, -90), (1, 1)),  # the whole world keeps its two edges apart
        ((-180, -90, 180, 90), (-180, 90), (-1, -1)),
        ((8, 46, 10, 50), (8 - 5e-10, 50 + 5e-10), (-1, -1)),  # a hair outside
    ],
)
def test_where_a_place_lies(bbox: tuple[float, ...], place: tuple[float, float], expected: tuple[float, float]) -> None:
    assert at(bbox, place) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "place", [(7.99, 48), (10.01, 48), (9, 45.99), (9, 50.01), (189, 48), (float("nan"), 48), (9, float("inf")), (8 - 2e-9, 48)]
)
def test_a_place_outside_is_refused_by_its_number(place: tuple[float, float]) -> None:
    bbox = torch.tensor([[8.0, 46, 10, 50]]).double().repeat(3, 1)
    lonlat = torch.tensor([(9.0, 48.0), place, (0.0, 0.0)], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"^place 1, \(.+\), lies outside its footprint \(8, 46, 10, 50\)$"):
        in_footprint(bbox, lonlat)
    with pytest.raises(ValueError, match=r"^place 1, 0, "):
        in_footprint(bbox, lonlat[:, None])


@pytest.mark.parametrize(
    "bbox", [(8, 46, 8, 50), (8, 50, 10, 46), (8, 46, 10, 91), (8, -91, 10, 46), (8, 46, float("nan"), 50), (0, 0, 361, 1)]
)
def test_a_footprint_that_is_none_is_refused(bbox: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"^footprint 0, .* is none"):
        at(bbox, (9, 48))


@pytest.mark.parametrize(("boxes", "places"), [((2, 3), (2, 2)), ((2, 4), (3, 2)), ((2, 4), (2, 3)), ((2, 4), (2, 1, 1, 2))])
def test_shapes_that_do_not_fit_are_refused(boxes: tuple[int, ...], places: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="has shape"):
        in_footprint(torch.zeros(boxes), torch.zeros(places))


def test_gradients_reach_places_inside_and_on_the_border() -> None:
    lonlat = torch.tensor([[9.0, 48.0], [8.0, 50.0], [8 - 5e-10, 46.0]], dtype=torch.float64, requires_grad=True)
    in_footprint(torch.tensor([[8.0, 46, 10, 50]]).double().repeat(3, 1), lonlat).sum().backward()
    torch.testing.assert_close(lonlat.grad, torch.tensor([[1.0, -0.5]]).double().repeat(3, 1))
