"""Charts stand in a page: no two ids are equal, no address, the page's colours, text that is text."""

import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from cspops.report.charts import COLOURS, STYLE, inline


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
