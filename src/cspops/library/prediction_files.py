"""Predictions as CSV, Parquet, JSON lines or GeoJSON, written row by row."""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.parquet as pq

from cspops.files import no_formula, whole
from cspops.library.inputs import NO_POSITION

Row = Mapping[str, Any]
Format = Literal["csv", "parquet", "jsonl", "geojson"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".geojson": "geojson",
}  # fmt: skip
ABOUT = ("where", "obs_id", "lon", "lat", "position", "position_problem", "error", "combine")
GUESSES = pa.list_(pa.struct([("class", pa.string()), ("p", pa.float64())]))
ROWS = 1024
"""Rows per row group of Parquet."""


@dataclass(frozen=True)
class Columns:
    """What rows hold besides `ABOUT`."""

    models: Sequence[str]
    """Each has guesses, `top` of them at most."""
    top: int
    texts: Sequence[str] = ()
    numbers: Sequence[str] = ()


@runtime_checkable
class Text(Protocol):
    """A text stream; `typing.TextIO` fails the runtime checks of tests for real files."""

    def write(self, text: str, /) -> int:
        """Write some text."""
        ...

    def flush(self) -> None:
        """Make what is written visible to readers."""
        ...


def write_csv(rows: Iterable[Row], out: Text, columns: Columns) -> None:
    """Write `ABOUT`, for each model `MODEL_1`, `MODEL_1_p` and so on, then texts and numbers; empty where there is nothing.

    No text in it is a formula to a spreadsheet (`no_formula`).
    """
    writer = csv.writer(out, lineterminator="\n")
    guesses = [(model, place) for model in columns.models for place in range(columns.top)]
    names = (f"{model}_{place + 1}{end}" for model, place in guesses for end in ("", "_p"))
    writer.writerow([*ABOUT, *names, *columns.texts, *columns.numbers])
    for row in rows:
        cells = ["" if row[name] is None else row[name] for name in ABOUT]
        for model, place in guesses:
            guess = (row[model] or [])[place : place + 1]
            cells += [guess[0]["class"], f"{guess[0]['p']:.6g}"] if guess else ["", ""]
        cells += ["" if row[name] is None else row[name] for name in columns.texts]
        cells += ["" if row[name] is None else f"{row[name]:.6g}" for name in columns.numbers]
        writer.writerow(map(no_formula, cells))
        out.flush()


def write_jsonl(rows: Iterable[Row], out: Text) -> None:
    """Write one JSON object per line."""
    for row in rows:
        out.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        out.flush()


def write_geojson(rows: Iterable[Row], out: Text) -> None:
    """Write a FeatureCollection of points; geometry is null where there is no position."""
    out.write('{"type": "FeatureCollection", "features": [')
    for number, row in enumerate(rows):
        place = None if row["lon"] is None else {"type": "Point", "coordinates": [row["lon"], row["lat"]]}
        properties = {name: value for name, value in row.items() if name not in ("lon", "lat")}
        feature = {"type": "Feature", "geometry": place, "properties": properties}
        out.write(("\n" if number == 0 else ",\n") + json.dumps(feature, ensure_ascii=False, allow_nan=False))
    out.write("\n]}\n")


def write_parquet(rows: Iterable[Row], file: Path, columns: Columns) -> None:
    """Write `ABOUT`, for each model a list of {class, p}, texts and numbers; `ROWS` rows are in memory at a time."""
    types = dict.fromkeys(("lon", "lat", *columns.numbers), pa.float64()) | dict.fromkeys(columns.models, GUESSES)
    names = (*ABOUT, *columns.models, *columns.texts, *columns.numbers)
    schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
    source = iter(rows)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while part := [dict(row) for row in islice(source, ROWS)]:
            writer.write_table(pa.Table.from_pylist(part, schema=schema))


def write_text(rows: Iterable[Row], out: Text, columns: Columns, *, form: str) -> None:
    """Write rows as `csv`, `jsonl` or `geojson`."""
    match form:
        case "csv":
            write_csv(rows, out, columns)
        case "jsonl":
            write_jsonl(rows, out)
        case _:
            write_geojson(rows, out)


def write_file(rows: Iterable[Row], file: Path, columns: Columns) -> None:
    """Write rows in the format of the suffix of ``file``, whole or not at all."""
    form = SUFFIXES[file.suffix.lower()]
    with whole(file) as new:
        if form == "parquet":
            write_parquet(rows, new, columns)
        else:
            with new.open("w", encoding="utf-8", newline="") as out:
                write_text(rows, out, columns, form=form)


@dataclass
class Failures:
    """Counts of rows: with an error, with a position that cannot be used, far from all labels and so on."""

    rows: int = 0
    count: int = 0
    first: str = ""
    misplaced: int = 0
    first_misplaced: str = ""
    misdated: int = 0
    """Whose date cannot be used."""
    first_misdated: str = ""
    undated: int = 0
    """With a position and no date."""
    masked: int = 0
    """Whose best class is no candidate."""
    unsure: int = 0
    """That have predictions and no answer."""
    far_km: float = math.inf
    """A row is far where the nearest labelled place is farther than this."""
    located: int = 0
    far: int = 0
    farthest_km: float = 0.0

    def watch(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the same rows and count them."""
        for row in rows:
            self.rows += 1
            if row["error"] is not None:
                self.count += 1
                self.first = self.first or f"{row['where']}: {row['error']}"
            if row["position_problem"] not in (None, NO_POSITION):
                self.misplaced += 1
                self.first_misplaced = self.first_misplaced or f"{row['where']}: {row['position_problem']}"
            self.undated += row.get("lon") is not None and row.get("date") is None
            if row.get("date_problem") is not None:
                self.misdated += 1
                self.first_misdated = self.first_misdated or f"{row['where']}: {row['date_problem']}"
            if (km := row.get("nearest_km")) is not None:
                self.located += 1
                self.far += km > self.far_km
                self.farthest_km = max(self.farthest_km, km)
            self.masked += row.get("masked_best") is not None
            self.unsure += row["error"] is None and row.get("answer", "") is None
            yield row


def first(rows: Iterable[Row], count: int) -> tuple[list[Row], int]:
    """Return the first ``count`` rows, and how many came after them."""
    source = iter(rows)
    return list(islice(source, count)), sum(1 for _ in source)


def table_rows(rows: Iterable[Row], columns: Columns) -> list[list[str]]:
    """Return a header and one line per row, for a terminal; a column for problems with dates only where there are some."""
    rows = [*rows]
    texts_of = [name for name in columns.texts if name != "date_problem" or any(row[name] for row in rows)]
    out = [["where", "position", *columns.models, *(name.replace("_", " ") for name in (*texts_of, *columns.numbers))]]
    for row in rows:
        place = "" if row["lon"] is None else f"{row['lon']:.4f} {row['lat']:.4f} ({row['position']})"
        guesses = [", ".join(f"{one['class']} {one['p']:.2f}" for one in row[model] or []) for model in columns.models]
        texts = [row[name] or "" for name in texts_of]
        numbers = ["" if row[name] is None else _short(row[name]) for name in columns.numbers]
        out.append([row["where"], place or row["position_problem"] or "", *guesses, *texts, *numbers])
        if row["error"] is not None:
            out[-1][2] = f"error: {row['error']}"
    return out


def _short(number: float) -> str:
    """Return a number with three digits, or all before the point."""
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"
