"""Dates as users give them, in an option, a call or the rows of a table, as shares of the year; UTC where they have no zone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from cspops.data.dates import NO_DATE, day_share, share_of_year
from cspops.errors import DataError, ParamsError
from cspops.intake.judging.labels import DATE, SAME_SEPARATORS, YEARS, read_dates
from cspops.shapes import Float, Tensor

FORMS = "2024-06-15, 06-15 or June"
DAY_FIRST = re.compile(r"\s*(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?=$|\D)")
"""Dates whose day or month comes first, which no two countries read alike."""
Origin = Literal["given", "table", "file", "none"]


@dataclass(frozen=True)
class Day:
    """When a row was captured."""

    when: float = float("nan")
    """The share of the year; nan without a date."""
    text: str | None = None
    """How the day is written in results: 2024-06-15 of a date in UTC, and an option as it was given."""
    origin: Origin = "none"
    """`file`: EXIF, or the JSON of Google Takeout."""
    problem: str | None = None
    """Why what stands there is not used."""


NO_DAY = Day()


def day_of_option(text: str) -> Day:
    """Return what `--date` asks for, `none` included; a ParamsError with one sentence for what is no day."""
    if text.strip().casefold() == "none":
        return Day(origin="given")
    hint = f"--date with {FORMS}, or none"
    if DAY_FIRST.match(text):
        raise ParamsError(f"--date {_fault(text)}", hint=hint)
    try:
        return Day(day_share(text), text.strip(), "given")
    except ParamsError as error:
        raise ParamsError(f"--date {error.message}", hint=hint) from None


def days_of(texts: pa.Array, origin: Origin) -> list[Day]:
    """Return the days of the dates of a table or of files, as the intake reads them."""
    if texts.null_count == len(texts):
        return [NO_DAY] * len(texts)
    when = read_dates(texts).when
    shares = share_of_year(_milliseconds(when)).tolist()
    shown = pc.strftime(when, "%Y-%m-%d").to_pylist()
    return [
        Day(share, text, origin)
        if text is not None
        else NO_DAY
        if raw is None or not raw.strip()
        else Day(problem=_fault(raw.strip()))
        for share, text, raw in zip(shares, shown, texts.to_pylist(), strict=True)
    ]


def as_when(dates: Any, count: int) -> Float[Tensor, "n"]:
    """Return the shares of the year of ``count`` rows, float64; nan for a row without a date.

    Args:
        dates: one for all rows, or one per row: texts (ISO 8601, `06-15`, `June`), `datetime`, `date`, datetime64, columns of
            pandas, polars or pyarrow; None, NaT and nan where there is none. A tensor of floats holds shares of the year
            already.
        count: of the rows.

    Raise a DataError for what is no date, and where the counts differ.
    """
    single = isinstance(dates, str | date) or np.ndim(dates) == 0
    if isinstance(dates, Tensor):
        when = _shares(dates)
    else:
        when = _read(_array([dates] if isinstance(dates, str | date) else np.atleast_1d(dates) if single else dates))
    when = when.expand(count).contiguous() if single else when
    if len(when) != count:
        raise DataError(f"{len(when)} dates and {count} rows", hint="one date per row, None for none, or one text for all")
    return when


def _shares(dates: Tensor) -> Float[Tensor, "n"]:
    when = dates.detach().cpu()
    if not when.is_floating_point() or when.ndim > 1:
        raise DataError(f"a tensor of dates holds shares of the year, floats (n,), not {when.dtype} {tuple(when.shape)}")
    when = when.double().reshape(-1)
    wrong = (~when.isnan() & ~((when >= 0) & (when < 1))).nonzero()[:, 0]
    if len(wrong):
        raise DataError(f"date {int(wrong[0])} is {when[wrong[0]]:g}, and a share of the year is in [0, 1)")
    return when


def _array(dates: Any) -> pa.Array:
    try:
        values = dates.to_arrow() if hasattr(dates, "to_arrow") else dates
        if isinstance(values, np.ndarray) and values.dtype.kind == "M":
            values = values.astype("M8[ms]")
        if not isinstance(values, pa.Array | pa.ChunkedArray):
            values = values if hasattr(values, "__array__") or isinstance(values, Sequence) else list(values)
            values = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError):
        raise DataError("dates must be texts or datetimes of one kind, one per row", hint=f"such as {FORMS}") from None
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _read(values: pa.Array) -> Float[Tensor, "n"]:
    """Return shares of the year of a column of any type that has dates; DataError names the first row that is none."""
    kind = values.type
    if values.null_count == len(values):
        return torch.full((len(values),), torch.nan, dtype=torch.float64)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return share_of_year(_milliseconds(values.cast(pa.timestamp("ms"), safe=False)))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise DataError(f"dates are texts or datetimes, not {kind}", hint=f"such as {FORMS}")
    return torch.tensor([_share(text, row) for row, text in enumerate(_days(values.cast(pa.string())))], dtype=torch.float64)


def _days(texts: pa.Array) -> list[Day | str | None]:
    """Return what the intake reads, and the texts that it does not read."""
    read = days_of(texts, "given")
    return [raw if day.problem else day for raw, day in zip(texts.to_pylist(), read, strict=True)]


def _share(day: Day | str | None, row: int) -> float:
    if isinstance(day, Day):
        return day.when
    assert day is not None
    try:
        if DAY_FIRST.match(day):
            raise ValueError
        return day_share(day)
    except (ParamsError, ValueError):
        raise DataError(f"date {row} is {_fault(day)}", hint=f"such as {FORMS}") from None


def _milliseconds(when: pa.Array) -> Tensor:
    return torch.from_numpy(when.cast(pa.int64()).fill_null(NO_DATE).to_numpy().astype(np.int64))


def _fault(text: str) -> str:
    """Return what is wrong with a text that is no date of a day or month."""
    told = repr(text[:40])
    if match := DAY_FIRST.match(text):
        first, second, year = int(match[1]), int(match[3]), match[4]
        ways = [f"{year}-{month:02}-{day:02}" for day, month in ((first, second), (second, first)) if _exists(year, month, day)]
        if not ways:
            return f"{told}: there is no such day"
        return f"{told}: the year comes first, {' or '.join(dict.fromkeys(ways))}" + (
            ", and which of both is meant is not known" if len(set(ways)) > 1 else ""
        )
    if read_dates(pa.array([text])).no_month.any():
        return f"{told}: a year, or more than a month, has no season"
    if (match := re.match(DATE, text)) and re.match(SAME_SEPARATORS, text):
        if int(match["year"]) not in YEARS:
            return f"{told}: only years from {YEARS[0]} to {YEARS[-1]} are read"
        return f"{told}: there is no such day or time"
    return f"{told}: no date that is understood"


def _exists(year: str, month: int, day: int) -> bool:
    try:
        date(int(year), month, day)
    except ValueError:
        return False
    return True
