"""Curves as TSV files, which `dvc plots` reads."""

import csv
from collections.abc import Sequence
from pathlib import Path

from cspops.training.loop import Curve


def write_curve(file: Path, curve: Curve, *, columns: Sequence[str]) -> None:
    """One line a row of the curve, under a header; the header alone when nothing was trained."""
    lines = ["\t".join(columns)]
    lines += ["\t".join(f"{row[column]:.6g}" for column in columns) for row in curve]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def read_curve(file: Path) -> Curve:
    """The inverse of :func:`write_curve`."""
    with file.open(newline="") as opened:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(opened, delimiter="\t")]


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of curves of equal length and columns, row by row."""
    return [{key: sum(row[key] for row in rows) / len(rows) for key in rows[0]} for rows in zip(*curves, strict=True)]
