"""The map of the most likely class: colours, legend, others."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from cspops.report import likeliest
from cspops.report.likeliest import OTHERS, PALETTE, class_colours, likeliest_map
from cspops.report.world import World

WORLD = World(-60, 84, width=120)
PLACES = len(WORLD.lonlat)


def legend_of(monkeypatch: pytest.MonkeyPatch, number: np.ndarray, names: list[str], title: str | None = "T") -> list[str]:
    figures: list[Figure] = []
    monkeypatch.setattr(likeliest, "save", lambda figure, file, **settings: figures.append(figure))
    returned = likeliest_map(number, names, WORLD, Path("a.png"), title=title, note="N")
    if title is None:
        assert not figures[0].legends
        return [text for _, text in returned]
    (legend,) = figures[0].legends
    assert len({handle.get_facecolor() for handle in legend.get_patches()}) == len(legend.get_texts())
    return [text.get_text() for text in legend.get_texts()]


def test_the_colours_differ_in_grey_from_each_other_and_from_others() -> None:
    """By at least 12 of 255, as a printer makes them."""
    grey = np.sort([np.dot(to_rgb(one), (0.299, 0.587, 0.114)) for one in (*PALETTE, OTHERS)])
    assert (255 * np.diff(grey)).min() > 12


def test_the_most_frequent_classes_have_colours_and_the_rest_are_others() -> None:
    number = np.repeat(np.arange(12), np.arange(1, 13))  # class 11 has 12 places, class 0 one
    own, colours = class_colours(np.bincount(number, minlength=14))
    assert own == [11, 10, 9, 8, 7, 6, 5, 4, 3]
    assert len({tuple(one) for one in colours[own].tolist()}) == len(PALETTE)
    np.testing.assert_allclose(colours[[0, 1, 2, 12, 13]], [to_rgb(OTHERS)] * 5)


def test_as_many_classes_as_colours_leave_no_others() -> None:
    own, _ = class_colours(np.ones(len(PALETTE), np.int64))
    assert own == list(range(len(PALETTE)))


def test_the_legend_has_the_shares_of_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    number = np.full(PLACES, -1)
    number[:1000] = np.repeat([2, 0, 1], [700, 295, 5])
    assert legend_of(monkeypatch, number, ["$fir$", "oak", "x" * 40]) == [
        f"{'x' * 27}… (70 %)",
        r"\$fir\$ (30 %)",
        "oak (< 1 %)",
    ]


@pytest.mark.parametrize("title", ["T", None])
def test_the_legend_counts_the_others(monkeypatch: pytest.MonkeyPatch, title: str | None) -> None:
    number = np.arange(PLACES) % 20
    labels = legend_of(monkeypatch, number, [f"c{at}" for at in range(25)], title)
    assert labels[-1] == "11 others (55 %)"
    assert len(labels) == 10


@pytest.mark.parametrize("number", [np.full(PLACES, 1), np.full(PLACES, -1)], ids=["one class", "nothing drawn"])
def test_equal_maps_are_equal_bytes(tmp_path: Path, number: np.ndarray) -> None:
    for name in ("a", "b"):
        likeliest_map(number, ["a", "b"], WORLD, tmp_path / f"{name}.png", title=None)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 1000
