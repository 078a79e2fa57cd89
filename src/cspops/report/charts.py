"""The charts of report.html: small, each with one idea, legible without colour."""

import io
import re
from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cspops.report.figures import BLUE, GREEN, GREY, ORANGE, line_style
from cspops.report.tables import TITLES, Intervals, Models, Region, ratio_title, region_title

INK, QUIET, RULE = "#010203", "#040506", "#070809"
"""Placeholders for the page's colours of text, quiet text and rules, which `inline` replaces by variables."""
COLOURS = {
    INK: "currentColor",
    QUIET: "var(--quiet)",
    RULE: "var(--rule)",
    "#0072b2": "var(--blue)",
    "#d55e00": "var(--orange)",
    "#009e73": "var(--green)",
    "#8a8a8a": "var(--grey)",
    "#ffffff": "var(--card)",
}
STYLE: Any = {
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.7,
    "lines.markersize": 5.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "cspops",
}


def inline(figure: Figure, name: str, title: str) -> Markup:
    """Return the figure as an `svg` element; equal figures give equal text.

    Args:
        figure: drawn under `STYLE`.
        name: letters, digits and hyphens, unique on the page, so that ids are unique.
        title: what the chart shows, for readers who cannot see it.
    """
    with io.StringIO() as drawn, mpl.rc_context(STYLE):
        figure.savefig(
            drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
        text = drawn.getvalue()
    box = re.search(r'viewBox="([^"]+)"', text)
    assert box is not None
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    body = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*;?", "", body)
    for colour, variable in COLOURS.items():
        body = re.sub(rf"{colour}\b", variable, body, flags=re.IGNORECASE)
    body = re.sub(r"\n\s*", "\n", body).strip()
    # matplotlib has already escaped the text
    return Markup(f'<svg viewBox="{box[1]}" role="img" aria-label="{escape(title)}">\n{body}\n</svg>')


LINES = {
    "image": (GREY, "s", ":", "image"),
    "location": (ORANGE, "^", "--", "location"),
    "combined": (GREEN, "D", (0, (5, 1, 1, 1)), "product"),
    "pool": (BLUE, "o", "-", "pool"),
}
"""Colour, marker, dashes and name of each model."""
SETS = {"test": (BLUE, "o", "-"), "spatial_test": (ORANGE, "^", "--")}
SIZE = (4.3, 3.0)
"""Inches; on the page a chart fills the width of its column."""


def gains(intervals: Intervals, name: str, title: str) -> Markup:
    """Chart pool minus image, in points of top-1 with 95 % intervals, against the label ratio."""
    with mpl.rc_context(STYLE):
        figure, ax = _panel((4.6, 2.6))
        roles = [role for role in SETS if role in intervals]
        for number, role in enumerate(roles):
            colour, marker, line = SETS[role]
            gaps = [ratio["pool_minus_image"] for ratio in intervals[role].values()]
            x = np.arange(len(gaps)) + 0.1 * (number - (len(roles) - 1) / 2)
            mean = np.array([one["mean"] for one in gaps])
            spans = np.abs(np.array([[one["low"], one["high"]] for one in gaps]).T - mean)
            ax.errorbar(x, mean, yerr=spans, color=colour, marker=marker, linestyle=line, capsize=3, label=TITLES[role])
        ax.axhline(0, color=QUIET, linewidth=0.9)
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, -1), max(high, 1))  # no fine scale where all is 0
        _ratios(ax, list(intervals[roles[0]]))
        ax.set_ylabel("points over the image alone")
        _legend(ax, len(roles))
        return inline(figure, name, title)


def accuracy(ratios: Mapping[str, Models], name: str, title: str, *, top: float, seeds: int) -> Markup:
    """Chart top-1 of each model against the label ratio, with bars of one standard deviation where there are several seeds."""
    with mpl.rc_context(STYLE):
        figure, ax = _panel(SIZE)
        x = np.arange(len(ratios))
        for model, (colour, marker, line, label) in LINES.items():
            values = [models[model]["top1"] for models in ratios.values()]
            mean = [value["mean"] for value in values]
            sd = [value["sd"] for value in values] if seeds > 1 else None
            ax.errorbar(x, mean, yerr=sd, color=colour, marker=marker, linestyle=line, capsize=3, label=label)
        _ratios(ax, list(ratios))
        ax.set(ylabel="top-1, per cent", ylim=(0, top))
        _legend(ax, 2)
        return inline(figure, name, title)


def curve(rows: Sequence[Mapping[str, float]], columns: Sequence[str], name: str, title: str, *, unit: str) -> Markup:
    """Chart one line per column of ``columns`` against the first column of the rows; missing values leave gaps."""
    with mpl.rc_context(STYLE):
        figure, ax = _panel((3.3, 2.3) if len(columns) < 2 else (3.3, 2.8))
        x = next(iter(rows[0]))
        for number, column in enumerate(columns):
            label = ratio_title(column) if column.startswith("label_") else column
            positions = [row[x] for row in rows]
            heights = [row.get(column, nan) for row in rows]
            ax.plot(positions, heights, label=label, **line_style(number, len(rows)))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        ax.set(xlabel=x, ylabel=unit)
        if len(columns) > 1:
            _legend(ax, 4 if len(columns) < 4 else 2)
        return inline(figure, name, title)


def reliability(bins: Mapping[str, Sequence[tuple[float, float, int]]], name: str, title: str) -> Markup:
    """Chart accuracy against confidence of each model; below the diagonal a model is overconfident."""
    with mpl.rc_context(STYLE):
        figure, ax = _panel((3.5, 3.6))
        ax.plot([0, 100], [0, 100], color=QUIET, linewidth=0.8)
        for model, points in bins.items():
            colour, marker, line, label = LINES[model]
            sure, right = ([100 * one[axis] for one in points] for axis in (0, 1))
            ax.plot(sure, right, color=colour, marker=marker, linestyle=line, label=label, clip_on=False)
        ax.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", xlabel="P of the first guess, per cent", ylabel="right, per cent")
        _legend(ax, 3)
        return inline(figure, name, title)


def regions(rows: Sequence[Region], kind: str, name: str, title: str) -> Markup:
    """Chart one line per region, from the image's top-1 to that of the pool."""
    with mpl.rc_context(STYLE):
        figure, ax = _panel((4.3, 0.9 + 0.24 * len(rows)))
        for place, row in enumerate(reversed(rows)):
            ax.plot([row["image"], row["pool"]], [place, place], color=QUIET, linewidth=1.2, zorder=2)
            for model in ("image", "pool"):
                colour, marker, _, label = LINES[model]
                ax.plot(
                    row[model], place, color=colour, marker=marker, linestyle="", label=label if not place else None, zorder=3
                )
        titles = [region_title(row, kind) for row in reversed(rows)]
        ax.set_yticks(range(len(rows)), titles)
        ax.set(xlabel="top-1, per cent", ylim=(-0.6, len(rows) - 0.4))
        ax.margins(x=0.08)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.grid(axis="y", visible=False)
        _legend(ax, 2)
        return inline(figure, name, title)


def _panel(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def _ratios(ax: Axes, keys: Sequence[str]) -> None:
    ax.set_xticks(range(len(keys)), [ratio_title(key) for key in keys])
    ax.set_xlim(-0.35, len(keys) - 0.65)
    ax.set_xlabel("share of the training labels")


def _legend(ax: Axes, columns: int) -> None:
    figure = ax.figure
    assert isinstance(figure, Figure)
    figure.legend(loc="outside upper left", ncols=columns, handlelength=2.6, columnspacing=1.4, borderaxespad=0.1)
