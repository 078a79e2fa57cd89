"""Figures of the report, drawn without a display and written with the same bytes each time."""

import functools
import io
from math import nan
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import MaxNLocator
from PIL import Image

from cspops.report.tables import MODELS, TITLES, Metrics, ratio_title, short_name
from cspops.terminal import visible

# Okabe and Ito's palette: distinguishable with every common colour blindness; markers and dashes tell lines apart in grey.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"
STYLES = {
    "image": (GREY, "s", ":"),
    "location": (ORANGE, "^", "--"),
    "combined": (GREEN, "D", "-."),
    "pool": (BLUE, "o", "-"),
}
CYCLE = ((BLUE, "-", "o"), (ORANGE, "--", "^"), (GREEN, "-.", "v"), (GREY, ":", "s"))
"""Colour, dashes and marker."""
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "hatch.color": "#B4BCC2",
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "figure.dpi": 120,
    "savefig.dpi": 120,
    "svg.hashsalt": "cspops",
}


def drawable(text: str) -> str:
    """Return ``text`` on one line, `visible`, with ? for what the font cannot draw and an escape for $, a formula."""
    known = _characters()
    return "".join(one if ord(one) in known else "?" for one in visible(" ".join(text.split()))).replace("$", r"\$")


@functools.cache
def _characters() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def save(figure: Figure, file: Path, *, colours: int | None = None) -> None:
    """Write a PNG without the name of the software, so that equal figures are equal bytes.

    With ``colours`` it has a palette of that many colours, at most 256: a third of the size where much is drawn.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with io.BytesIO() as drawn:
        figure.savefig(drawn, metadata={"Software": None}, bbox_inches="tight")
        if colours is None:
            file.write_bytes(drawn.getvalue())
        else:
            with Image.open(drawn) as image:
                image.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)


def accuracy_by_ratio(summary: Metrics, file: Path) -> None:
    """Draw top-1 of each model against the label ratio, one panel per set, with bars of one standard deviation."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4 * len(summary), 3.6), layout="constrained")
        axes = figure.subplots(1, len(summary), sharey=True, squeeze=False)[0]
        for ax, (role, ratios) in zip(axes, summary.items(), strict=True):
            x = np.arange(len(ratios))
            for model in MODELS:
                colour, marker, line = STYLES[model]
                values = [models[model]["top1"] for models in ratios.values()]
                mean, sd = [value["mean"] for value in values], [value["sd"] for value in values]
                ax.errorbar(
                    x,
                    mean,
                    yerr=sd if any(sd) else None,
                    color=colour,
                    marker=marker,
                    linestyle=line,
                    capsize=3,
                    label=short_name(model),
                )
            ax.set_xticks(x, [ratio_title(key) for key in ratios])
            ax.set(title=TITLES[role], xlabel="share of training labels")
        axes[0].set_ylabel("top-1 accuracy, per cent")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=len(MODELS))
        save(figure, file)


def line_style(number: int, points: int) -> dict[str, Any]:
    """Return how to draw a line, unlike those before it in grey too; markers are for few points or many lines."""
    colour, line, marker = CYCLE[number % len(CYCLE)]
    return {"color": colour, "linestyle": line, "marker": marker if points < 8 or number >= len(CYCLE) else None}


def loss_curves(curves: dict[str, list[dict[str, float]]], file: Path) -> None:
    """Draw one panel per training stage, one line per column but the first; stages without rows are left out."""
    drawn = {title: rows for title, rows in curves.items() if rows}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.0 * max(1, len(drawn)), 3.8), layout="constrained")
        for ax, (title, rows) in zip(figure.subplots(1, max(1, len(drawn)), squeeze=False)[0], drawn.items(), strict=False):
            x, *columns = rows[0]
            for number, column in enumerate(columns):
                name = ratio_title(column) if column.startswith("label_") else column
                heights = [row.get(column, nan) for row in rows]  # a curve that ended early lacks the last rows
                ax.plot([row[x] for row in rows], heights, label=name, **line_style(number, len(rows)))
            ax.set(title=title, xlabel=x, ylabel="loss")
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)  # where it hides no line
        save(figure, file)
