"""Dates as the location encoder takes them: shares of the year, in UTC.

A share is (day of the year - 1 + share of the day) / days of that year: 0 is the start of 1 January, and 31 December ends at
1. It lies in [0, 1), and is nan where there is no date. The length of the year is that of the date's own.
"""

import calendar
import re
from datetime import UTC, datetime

import numpy as np
import torch

from cspops.errors import ParamsError
from cspops.shapes import Float, Int, Tensor

NO_DATE = -(2**62)
"""Among milliseconds since 1970: the date is missing."""
HINT = "a date is written as 2024-06-15, as 06-15 (month and day), or as a month, such as June"
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
PLAIN_YEAR, LEAP_YEAR = 2023, 2024
"""Of days without a year; 29 February is in the second."""


def share_of_year(captured_at_ms: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Return shares of the year, in float64, of milliseconds since 1970 in UTC; nan for `NO_DATE`."""
    there = captured_at_ms != NO_DATE
    moment = captured_at_ms.where(there, 0).cpu().numpy().astype("datetime64[ms]")
    year = moment.astype("datetime64[Y]")
    first, next_first = year.astype("datetime64[ms]"), (year + 1).astype("datetime64[ms]")
    share = (moment - first).astype(np.float64) / (next_first - first).astype(np.float64)
    return torch.from_numpy(share).to(captured_at_ms.device).where(there, torch.nan)


def day_share(text: str) -> float:
    """Return the share of the year of a date that somebody typed: its start in UTC; of a month alone, the month's middle.

    A day without a year is one of a year of 365 days, 29 February of one of 366. A date may have a time of the day, and that
    an offset from UTC (2024-06-15T14:30+02:00).

    Raises:
        ParamsError: the text is no date, or one that does not exist.
    """
    text = text.strip()
    if month := _month(text):
        days = calendar.monthrange(PLAIN_YEAR, month)[1]
        return _share(datetime(PLAIN_YEAR, month, 1)) + days / 2 / 365
    if parts := re.fullmatch(r"(?:--)?(\d{1,2})-(\d{1,2})", text):
        number, day = map(int, parts.groups())
        return _share(_existing(text, LEAP_YEAR if number == 2 and day > 28 else PLAIN_YEAR, number, day))
    if parts := re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", text):
        return _share(_existing(text, *map(int, parts.groups())))
    if re.match(r"\d{4}-\d\d-\d\d[T ]", text):
        try:
            moment = datetime.fromisoformat(text)
            return _share(moment.astimezone(UTC) if moment.tzinfo else moment)
        except (ValueError, OverflowError) as error:
            raise ParamsError(f"{text!r} is no date: {error}", hint=HINT) from None
    raise ParamsError(f"{text!r} is no date that is understood", hint=HINT)


def _month(text: str) -> int | None:
    """Return the number of a month that is written in English, in full or by its first three letters (or Sept)."""
    word = text.lower().removesuffix(".")
    numbers = (number for number, name in enumerate(MONTHS, 1) if word in (name, name[:3]) or word == "sept" == name[:4])
    return next(numbers, None)


def _existing(text: str, year: int, month: int, day: int) -> datetime:
    """Return the start of a day, or raise a ParamsError where there is no such day."""
    if not year >= 1:
        raise ParamsError(f"{text!r} is no date: there is no year {year}", hint=HINT)
    if not 1 <= month <= 12:
        raise ParamsError(f"{text!r} is no date: there is no month {month}", hint=HINT)
    days = calendar.monthrange(year, month)[1]
    if not 1 <= day <= days:
        raise ParamsError(f"{text!r} is no date: that month has {days} days", hint=HINT)
    return datetime(year, month, day)


def _share(moment: datetime) -> float:
    day = moment.timetuple().tm_yday - 1
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
    return (day + seconds / 86400) / (366 if calendar.isleap(moment.year) else 365)
