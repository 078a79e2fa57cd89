"""Curves as TSV files, which `dvc plots` reads."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from cspops.training.loop import Curve


def write_curve(file: Path, curve: Curve, *, columns: Sequence[str]) -> None:
    """Write one line per row of the curve, under a header; the header alone when nothing was trained.

    A column that a row does not have is left empty.
    """
    lines = ["\t".join(columns)]
    lines += ["\t".join(f"{row[column]:.6g}" if column in row else "" for column in columns) for row in curve]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def read_curve(file: Path) -> Curve:
    """Read what `write_curve` wrote."""
    with file.open(newline="") as opened:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(opened, delimiter="\t")]


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Average curves of equal columns, row by row, over those that have not ended (early stopping ends some sooner)."""
    longest = max(curves, key=len)
    rows_at = [[curve[number] for curve in curves if number < len(curve)] for number in range(len(longest))]
    return [{key: sum(row[key] for row in rows) / len(rows) for key in rows[0]} for rows in rows_at]


def side_by_side(curves: Mapping[str, Curve], *, x: str, parts: Mapping[str, str]) -> Curve:
    """Join curves of one kind into one, with one column per curve and part; those that ended sooner lack the last rows.

    Args:
        curves: by name, of equal values of ``x``.
        parts: columns to take, and what each adds to the name of its curve.
    """
    longest = max(curves.values(), key=len, default=[])
    return [
        {x: row[x]}
        | {
            f"{name}{suffix}": curve[number][part]
            for name, curve in curves.items()
            if number < len(curve)
            for part, suffix in parts.items()
        }
        for number, row in enumerate(longest)
    ]
