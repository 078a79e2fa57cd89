"""reports/figures/gain.png: what pre-training adds, by the number of unlabelled images and by that of labels."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cspops.data.json_files import Document
from cspops.report.figures import BLUE, ORANGE, STYLE, save

PAIR = ("CSP-MC-BLD", "Sup. Only (grid)", "pool")
FIXED = re.compile(r"([\d,]+) images, (\d+) labels")
SHARE = re.compile(r"([\d.]+) %")
LINES = ((BLUE, "o", "-"), (ORANGE, "^", "--"))


class Gain(NamedTuple):
    """Points of top-1 by the pool, with the ends of the 95 % interval, of one column of a table."""

    column: str
    mean: float
    low: float
    high: float


def gains(document: Document) -> list[Gain]:
    """Return CSP-MC-BLD minus Sup. Only by the pool in each column that has an interval, from reports/tables/table_N.json."""
    return [
        Gain(column, cell["difference"], cell["low"], cell["high"])
        for one in document["comparisons"]
        if (one["row"], one["minus"], one.get("measure")) == PAIR
        for column, cell in zip(document["columns"], one["cells"], strict=True)
        if cell["low"] is not None
    ]


def by_images(some: Sequence[Gain]) -> Mapping[str, list[tuple[float, Gain]]]:
    """Return the gains of Table 6 against the number of images, by the number of labels."""
    lines: dict[str, list[tuple[float, Gain]]] = {}
    for one, match in _matched(some, FIXED):
        lines.setdefault(f"{match[2]} labels", []).append((float(match[1].replace(",", "")), one))
    return lines


def by_labels(some: Sequence[Gain]) -> list[tuple[float, Gain]]:
    """Return the gains of Table 1 against the share of labels."""
    return [(float(match[1]), one) for one, match in _matched(some, SHARE)]


def _matched(some: Sequence[Gain], pattern: re.Pattern[str]) -> Iterator[tuple[Gain, re.Match[str]]]:
    return ((one, match) for one in some if (match := pattern.fullmatch(one.column)))


def draw_gain(of_labels: Sequence[Gain], of_images: Sequence[Gain], file: Path) -> None:
    """Draw one panel against the number of unlabelled images, one against the share of labels."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.8, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for number, (label, points) in enumerate(by_images(of_images).items()):
            beside = [(x * (1 + 0.05 * number), one) for x, one in points]  # so that intervals do not cover each other
            _line(left, beside, LINES[number % len(LINES)], label)
        left.legend()
        _ticks(left, sorted({x for points in by_images(of_images).values() for x, _ in points}), "{:,.0f}")
        left.set(title="at fixed labels", xlabel="unlabelled images", ylabel="CSP-MC minus Sup. Only, points")
        _line(right, by_labels(of_labels), LINES[0], None)
        _ticks(right, [x for x, _ in by_labels(of_labels)], "{:g}")
        right.set(title="at 20,000 images", xlabel="share of the labels, per cent")
        save(figure, file)


def _line(ax: Axes, points: Sequence[tuple[float, Gain]], style: tuple[str, str, str], label: str | None) -> None:
    colour, marker, line = style
    x, mean = [place for place, _ in points], np.array([one.mean for _, one in points])
    spans = np.abs(np.array([[one.low, one.high] for _, one in points]).T - mean)
    ax.errorbar(x, mean, yerr=spans, color=colour, marker=marker, linestyle=line, capsize=3, label=label)
    ax.axhline(0, color="#404040", linewidth=0.8)


def _ticks(ax: Axes, places: Sequence[float], form: str) -> None:
    ax.set_xscale("log")
    ax.set_xticks(places, [form.format(one) for one in places])
    ax.minorticks_off()
