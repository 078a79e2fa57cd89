"""The style: every colour of text can be read on its ground, in light, dark and print."""

import re
from importlib.resources import files

import pytest
from jinja2 import DictLoader, UndefinedError

from cspops.report import html_parts
from cspops.report.html_page import disjoint
from cspops.report.html_parts import render

CSS = files("cspops").joinpath("report/html/page.css").read_text()
SCHEMES = dict(zip(("light", "dark", "print"), re.findall(r":root \{(.*?)\}", CSS, re.DOTALL), strict=True))


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    digits = "".join(2 * one for one in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_of_black_on_white_is_21() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_has_a_contrast_of_4_5_and_lines_of_3(scheme: str) -> None:
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6})", SCHEMES[scheme]))
    for text in ("ink", "quiet", "link"):
        for ground in ("page", "card", "tint", "sea"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for line in ("blue", "orange", "green", "grey"):
        assert contrast(colours[line], colours["card"]) >= 3, line


def test_numbers_can_be_read_on_every_step_of_the_matrix() -> None:
    pairs = re.findall(r"\.heat \.h\d \{ background: (#\w+); color: (#\w+); \}", CSS)
    assert len(pairs) == 18
    for ground, text in pairs:
        assert contrast(ground, text) >= 4.5, ground


def test_a_dark_page_changes_a_map_and_its_legend_alike() -> None:
    (selectors,) = re.findall(r"^  (.*?) \{ filter: ", CSS, re.MULTILINE)
    assert selectors == ".white img, .legend span"


def test_a_page_that_lacks_a_part_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render({"title": "only this"})


def test_a_name_is_neither_markup_nor_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_parts._environment(), "loader", DictLoader({"page.html.jinja": "<p>{{ name }}</p>\n"}))
    html_parts._environment().cache.clear()  # type: ignore[union-attr]
    try:
        assert render({"name": "<b>\x1b[2J\u202eö\ud800"}) == "<p>&lt;b&gt;\\x1b[2J\\u202eö\\ud800</p>\n"
    finally:
        html_parts._environment.cache_clear()


def test_no_section_shows_the_words_of_another() -> None:
    assert disjoint({"map_words": "maps"}, {}, {"words": "calibration"}) == {"map_words": "maps", "words": "calibration"}
    with pytest.raises(ValueError, match="the same name: words"):
        disjoint({"words": "maps"}, {"words": "calibration"})
