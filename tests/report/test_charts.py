"""Charts draw what they are given: deviations where there are seeds, names of regions, a line a column."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from cspops.report import charts
from cspops.report.charts import COLOURS, STYLE, inline

MODELS = ("image", "location", "combined", "pool")


def ratios(top1: float = 40.0, sd: float = 2.0) -> dict[str, Any]:
    return {key: {model: {"top1": {"mean": top1, "sd": sd}} for model in MODELS} for key in ("label_5", "label_100")}


def test_accuracy_has_bars_for_several_seeds_only() -> None:
    several, one = (str(charts.accuracy(ratios(), "a", "title", top=50.0, seeds=seeds)) for seeds in (2, 1))
    assert "LineCollection" in several
    assert "LineCollection" not in one
    for name in ("image", "location", "product", "pool", "5 %", "100 %"):
        assert f">{name}<" in several


@pytest.mark.parametrize("roles", [("test", "spatial_test"), ("spatial_test",)])
def test_gains_name_the_sets_that_there_are(roles: tuple[str, ...]) -> None:
    found = {"pool_minus_image": {"mean": 3.0, "low": 1.0, "high": 4.0}}
    drawn = str(charts.gains({role: {"label_5": found} for role in roles}, "a", "title"))
    assert (">test<" in drawn) == ("test" in roles)
    assert ">spatial test<" in drawn


def test_a_curve_of_more_lines_than_colours_and_one_that_ends_early() -> None:
    columns = [f"label_{ratio}" for ratio in (1, 2, 5, 10, 20)]
    rows = [{"step": float(step)} | dict.fromkeys(columns[: 5 - step], 1.0) for step in range(3)]
    drawn = str(charts.curve(rows, columns, "a", "title", unit="loss"))
    assert all(f">{ratio} %<" in drawn for ratio in (1, 2, 5, 10, 20))


def test_one_point_and_no_bin_are_charts_too() -> None:
    point = str(charts.curve([{"epoch": 1.0, "total": 2.0}], ["total"], "a", "title", unit="loss"))
    assert ">epoch<" in point
    assert ">1<" in point  # and no fractions of an epoch
    assert ">0.950<" not in point
    assert "product" in str(charts.reliability({"image": [], "combined": [(0.5, 0.4, 30)]}, "a", "title"))


def test_regions_are_named_and_the_first_is_on_top() -> None:
    rows = [
        {"from": 0, "to": 50, "image": 30.0, "pool": 40.0},
        {"from": 800, "to": None, "image": 30.0, "pool": 20.0},
    ]
    drawn = str(charts.regions(rows, "distance", "a", "title"))
    assert drawn.index("800 km or more") < drawn.index("0 - 50 km")  # drawn from below


def chart(name: str = "a", label: str = "points", title: str = "A chart") -> str:
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3, 2), layout="constrained")
        ax = figure.subplots()
        ax.errorbar([0, 1], [1, 2], yerr=[0.1, 0.2], color="#0072B2", marker="o", capsize=3, label=label)
        ax.set_xlabel("share of labels")
        figure.legend(loc="outside upper left")
        return str(inline(figure, name, title))


def test_equal_figures_are_equal_text_without_an_address_or_a_date() -> None:
    assert chart() == chart()
    assert "://" not in chart()
    assert "date" not in chart().lower()
    assert "<style" not in chart()


def test_it_is_well_formed_and_its_references_are_its_own() -> None:
    root = ElementTree.fromstring(chart("first"))
    ids = [one.attrib["id"] for one in root.iter() if "id" in one.attrib]
    assert len(ids) == len(set(ids))
    assert all(one.startswith("first-") for one in ids)
    wanted = set(re.findall(r'href="#([^"]+)"', chart("first"))) | set(re.findall(r"url\(#([^)]+)\)", chart("first")))
    assert wanted
    assert wanted <= set(ids)
    assert not {one.removeprefix("first-") for one in ids} & {"first"}


def test_colours_follow_the_page_and_text_is_text() -> None:
    drawn = chart()
    for colour, variable in COLOURS.items():
        assert colour not in drawn.lower(), variable
    assert "var(--blue)" in drawn
    assert "share of labels" in drawn
    assert "DejaVu" not in drawn


def test_markup_in_labels_and_titles_is_escaped() -> None:
    drawn = chart(label="<b>&", title='"><script>')
    assert "&lt;b&gt;&amp;" in drawn
    assert "<script>" not in drawn
    ElementTree.fromstring(drawn)
