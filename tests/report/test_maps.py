"""Maps say what they are given: colours, scales, dots; equal maps are equal bytes; odd inputs draw too."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from cspops.report import maps
from cspops.report.maps import LEVELS, PROBABILITY, ClassPanel, class_map, cluster_map, observation_map
from cspops.report.world import World, equal_earth, surroundings, world_of

WORLD = World(-60, 84, width=120)
EVERYWHERE = np.ones(len(WORLD.lonlat), dtype=bool)
SOME = np.array([[10.0, 50.0], [-70.0, -10.0], [25.0, 0.0]])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, instead of their files."""
    figures: list[Figure] = []
    monkeypatch.setattr(maps, "save", lambda figure, file, **settings: figures.append(figure))
    return figures


def land_colours(figure: Figure, number: int) -> np.ndarray:
    """The colour (n, 3) of each land pixel of one map: the topmost picture."""
    axes = [ax for ax in figure.axes if ax.images]
    picture = axes[number].images[-1].get_array()
    assert picture is not None
    assert (picture[..., 3] == WORLD.land).all()  # the sea is left as it is
    colours: np.ndarray = np.asarray(picture)[WORLD.land][:, :3]
    return colours


def dots(figure: Figure, number: int) -> list[np.ndarray]:
    """The dots of one map, in the plane, in the order of drawing."""
    axes = [ax for ax in figure.axes if ax.images]
    return [np.asarray(one.get_offsets()) for one in axes[number].collections if isinstance(one, PathCollection)]


def test_a_pixel_has_the_colour_of_the_nearest_point(drawn: list[Figure], tmp_path: Path) -> None:
    """One point at 90 W, one at 90 E: the nearer one is that of the pixel's own hemisphere, across 180 degrees too."""
    points = np.array([[-90.0, 0.0], [90.0, 0.0]])
    panels = {"as it is": np.array([0, 1]), "swapped": np.array([1, 0])}
    cluster_map(panels, points, WORLD, tmp_path / "a.png", drawn=EVERYWHERE)
    first, second = land_colours(drawn[0], 0), land_colours(drawn[0], 1)
    west = WORLD.lonlat[:, 0] < 0
    assert len(np.unique(first[west], axis=0)) == len(np.unique(first[~west], axis=0)) == 1
    assert (first[west][0] != first[~west][0]).any()
    assert (second[west] == first[~west][0]).all()
    assert (second[~west] == first[west][0]).all()


@pytest.mark.parametrize("clusters", [1, 2, 12, 30])
def test_each_cluster_has_its_own_colour(drawn: list[Figure], tmp_path: Path, clusters: int) -> None:
    labels = np.arange(len(WORLD.lonlat)) % clusters
    cluster_map({"one": labels}, WORLD.lonlat, WORLD, tmp_path / "a.png", drawn=EVERYWHERE)
    colours = land_colours(drawn[0], 0)
    assert len(np.unique((255 * colours).round(), axis=0)) == clusters


@pytest.mark.parametrize("top", [1.0, 0.9, 0.1, 0.03, 1e-5])
def test_the_scale_of_p_holds_the_best_and_grows_darker(drawn: list[Figure], tmp_path: Path, top: float) -> None:
    p = np.linspace(0, top, len(WORLD.lonlat))
    class_map({"one": ClassPanel(p, SOME)}, "Csa", SOME, WORLD, tmp_path / "a.png")
    levels = drawn[0].axes[-1].get_xticks()
    assert levels[-1] / 10 < top <= levels[-1] * (1 + 1e-12)
    np.testing.assert_allclose(levels / levels[-1], LEVELS)
    light = land_colours(drawn[0], 0) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) <= 1e-12).all()
    step = np.searchsorted(levels, p, side="right").clip(max=len(levels) - 1)
    assert len(np.unique(light.round(6))) == len(np.unique(step))


def test_p_has_the_same_scale_on_both_maps_and_the_dots_are_the_given_ones(drawn: list[Figure], tmp_path: Path) -> None:
    low, high = np.full(len(WORLD.lonlat), 0.15), np.full(len(WORLD.lonlat), 0.7)
    panels = {"low": ClassPanel(low, SOME[:1]), "high": ClassPanel(high, SOME[:2])}
    class_map(panels, "Csa", SOME, WORLD, tmp_path / "a.png")
    assert (land_colours(drawn[0], 0) != land_colours(drawn[0], 1)).any()
    for number, labelled in enumerate((SOME[:1], SOME[:2])):
        ours, test = dots(drawn[0], number)
        np.testing.assert_allclose(ours, equal_earth(labelled))
        np.testing.assert_allclose(test, equal_earth(SOME))


def test_the_colours_of_p_differ_in_lightness_alone_enough_to_be_read() -> None:
    """As grey, each of the ten steps is darker than the one before by at least 4 of 255."""
    steps = PROBABILITY(np.linspace(0, 1, len(LEVELS) - 1))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(255 * steps) < -4).all()


def test_observations_are_dots_under_their_title_and_number(drawn: list[Figure], tmp_path: Path) -> None:
    groups = {"unlabelled": SOME, "test": SOME[:1], "none": SOME[:0]}
    observation_map(groups, WORLD, tmp_path / "a.png")
    titles = [ax.get_title(loc="left") for ax in drawn[0].axes]
    assert titles == ["unlabelled: 3", "test: 1", "none: 0"]
    for number, lonlat in enumerate(groups.values()):
        np.testing.assert_allclose(dots(drawn[0], number)[0], equal_earth(lonlat))


def test_equal_maps_are_equal_bytes_and_small(tmp_path: Path) -> None:
    world = World(-90, 90)
    rng = np.random.default_rng(0)
    places = np.stack((rng.uniform(-180, 180, 20000), rng.uniform(-90, 90, 20000)), 1)
    for name in ("a", "b"):
        observation_map({"one": places, "two": places[:500]}, world, tmp_path / f"{name}.png")
    content = (tmp_path / "a.png").read_bytes()
    assert content == (tmp_path / "b.png").read_bytes()
    assert len(content) < 250_000
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 1000
        assert image.mode == "P"


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_a_class_that_is_nowhere_or_everywhere_and_has_no_dots(tmp_path: Path, p: float) -> None:
    panel = ClassPanel(np.full(len(WORLD.lonlat), p), SOME[:0])
    class_map({"one": panel}, "only", SOME[:0], WORLD, tmp_path / "deep" / "a.png")
    assert (tmp_path / "deep" / "a.png").stat().st_size > 0


def test_the_map_of_a_city_shows_its_dots_within_its_frame(drawn: list[Figure], tmp_path: Path) -> None:
    places = np.array([[8.5, 47.3], [8.6, 47.4], [8.55, 47.35]])
    world = world_of(surroundings(places, 0.0))
    observation_map({"some": places, "none": places[:0]}, world, tmp_path / "a.png")
    left, right, bottom, top = world.extent
    for ax in drawn[0].axes:
        assert (*ax.get_xlim(), *ax.get_ylim()) == pytest.approx((left, right, bottom, top))
        assert {text.get_text() for text in ax.texts} >= {"8.5°E", "47.4°N"}
    x, y = dots(drawn[0], 0)[0].T
    assert left < x.min() <= x.max() < right and bottom < y.min() <= y.max() < top


def test_what_is_not_drawn_is_hatched_and_has_no_colour(drawn: list[Figure], tmp_path: Path) -> None:
    """The east is not drawn: nan of P, false of ``drawn``. The scale holds what is drawn alone."""
    east = WORLD.lonlat[:, 0] > 0
    class_map({"one": ClassPanel(np.where(east, np.nan, 0.03), SOME)}, "Csa", SOME, WORLD, tmp_path / "a.png")
    cluster_map({"one": np.zeros(3, dtype=int)}, SOME, WORLD, tmp_path / "a.png", drawn=~east)
    assert drawn[0].axes[-1].get_xticks()[-1] == pytest.approx(0.1)
    for figure in drawn:
        ax = figure.axes[0]
        picture = ax.images[-1].get_array()
        assert picture is not None
        np.testing.assert_array_equal(picture[WORLD.land][:, 3] == 0, east)
        (hatched,) = [one for one in ax.collections if one.get_hatch() or getattr(one, "hatches", [None])[0]]
        outline = np.concatenate([path.vertices for path in hatched.get_paths()])
        assert outline[:, 0].min() > -0.1  # the middle of the map is 0
