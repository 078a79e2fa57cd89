"""Figures of the report, drawn without a display and written with the same bytes each time."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from cspops.report.tables import MODELS, TITLES, ratio_title

# Okabe and Ito's palette: distinguishable with every common colour blindness; markers and dashes say the same in grey.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"
STYLES = {"image": (GREY, "s", ":"), "location": (ORANGE, "^", "--"), "combined": (BLUE, "o", "-")}
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "legend.frameon": False,
    "figure.dpi": 120,
    "savefig.dpi": 120,
    "svg.hashsalt": "cspops",
}
OCEAN = 32


def save(figure: Figure, file: Path) -> None:
    """Write a PNG that does not name its maker, so that equal figures are equal bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Software": None}, bbox_inches="tight")


def accuracy_by_ratio(summary: dict[str, Any], file: Path) -> None:
    """Top-1 of the three models against the label ratio, one panel a set, one standard deviation as error bars."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4 * len(summary), 3.4), layout="constrained")
        axes = figure.subplots(1, len(summary), sharey=True, squeeze=False)[0]
        for ax, (role, ratios) in zip(axes, summary.items(), strict=True):
            x = np.arange(len(ratios))
            for model in MODELS:
                colour, marker, line = STYLES[model]
                values = [models[model]["top1"] for models in ratios.values()]
                mean, sd = [value["mean"] for value in values], [value["sd"] for value in values]
                ax.errorbar(x, mean, yerr=sd, color=colour, marker=marker, linestyle=line, capsize=3, label=model)
            ax.set_xticks(x, [ratio_title(key) for key in ratios])
            ax.set(title=TITLES[role], xlabel="share of training labels")
        axes[0].set_ylabel("top-1 accuracy, per cent")
        axes[0].legend()
        save(figure, file)


def loss_curves(curves: dict[str, list[dict[str, float]]], file: Path) -> None:
    """One panel a training stage, a line for every column but the first; stages without rows are left out."""
    drawn = {title: rows for title, rows in curves.items() if rows}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.0 * max(1, len(drawn)), 3.2), layout="constrained")
        for ax, (title, rows) in zip(figure.subplots(1, max(1, len(drawn)), squeeze=False)[0], drawn.items(), strict=False):
            x, *columns = rows[0]
            for number, column in enumerate(columns):
                colour = (BLUE, ORANGE, GREEN, GREY)[number % 4]
                name = ratio_title(column) if column.startswith("label_") else column
                line, marker = ("-", "--", "-.", ":")[number % 4], "." if len(rows) < 5 else None
                heights = [row[column] for row in rows]
                ax.plot([row[x] for row in rows], heights, color=colour, linestyle=line, marker=marker, label=name)
            ax.set(title=title, xlabel=x, ylabel="loss")
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            ax.legend()
        save(figure, file)


def observation_map(groups: dict[str, np.ndarray], file: Path) -> None:
    """One world map a group of positions (n, 2), degrees, over the land of the embedded climate raster."""
    land = _land()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.2 * ((len(groups) + 1) // 2)), layout="constrained")
        cells = figure.subplots((len(groups) + 1) // 2, 2, squeeze=False).flatten()
        for ax, (title, lonlat) in zip(cells, groups.items(), strict=False):
            _map_axes(ax, land)
            size = float(np.clip(4000 / max(len(lonlat), 1), 0.4, 6))
            ax.scatter(lonlat[:, 0], lonlat[:, 1], s=size, color=BLUE, linewidths=0, alpha=0.7, rasterized=True)
            ax.set_title(f"{title}: {len(lonlat):,}")
        for ax in cells[len(groups) :]:
            ax.remove()
        save(figure, file)


def _map_axes(ax: Axes, land: np.ndarray) -> None:
    ax.imshow(land, extent=(-180, 180, -90, 90), cmap="Greys", vmin=0, vmax=6, interpolation="nearest", zorder=0)
    ax.set(xlim=(-180, 180), ylim=(-62, 86), xticks=[-120, 0, 120], yticks=[-30, 0, 30, 60], aspect="equal")
    ax.tick_params(length=0, labelsize=8)
    ax.grid(linewidth=0.4)


def _land() -> np.ndarray:
    """1 for land, 0 for sea, every tenth pixel of the embedded climate raster."""
    with files("cspops").joinpath("sample/climate_zones.png").open("rb") as opened, Image.open(opened) as image:
        land: np.ndarray = (np.asarray(image)[5::10, 5::10] != OCEAN).astype(np.uint8)
    return land
