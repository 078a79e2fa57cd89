"""Shares of the year: of the catalogue's milliseconds, and of what somebody types."""

import calendar
from datetime import UTC, datetime, timedelta, timezone

import pytest
import torch

from cspops.data.dates import NO_DATE, day_share, share_of_year
from cspops.errors import ParamsError


def share(moment: datetime) -> float:
    """The share of the year by its definition, of a moment in UTC."""
    first = datetime(moment.year, 1, 1, tzinfo=moment.tzinfo)
    return (moment - first) / (datetime(moment.year + 1, 1, 1, tzinfo=moment.tzinfo) - first)


MOMENTS = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    datetime(1900, 3, 1, tzinfo=UTC),  # no leap year
    datetime(2000, 2, 29, 12, tzinfo=UTC),  # one
    datetime(2023, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    datetime(2024, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    datetime(2024, 7, 1, tzinfo=UTC),
    datetime(2023, 7, 1, tzinfo=UTC),
    datetime(1, 1, 2, tzinfo=UTC),
    datetime(9998, 6, 1, tzinfo=UTC),
    datetime(2024, 6, 15, 1, tzinfo=timezone(timedelta(hours=14))),
]


def test_milliseconds_become_shares_of_their_own_year() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds = [(moment - epoch) // timedelta(milliseconds=1) for moment in MOMENTS]
    found = share_of_year(torch.tensor([*milliseconds, NO_DATE]))
    wanted = torch.tensor([share(moment.astimezone(UTC)) for moment in MOMENTS], dtype=torch.float64)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found[:-1], wanted, rtol=0, atol=1e-12)
    assert found[-1].isnan() and (found[:-1] >= 0).all() and (found[:-1] < 1).all()
    assert share_of_year(torch.empty(0, dtype=torch.long)).shape == (0,)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-01-01", 0.0),
        ("2024-06-15", 166 / 366),
        (" 2023-06-15 ", 165 / 365),
        ("2023-6-5", 155 / 365),
        ("06-15", 165 / 365),
        ("6-15", 165 / 365),
        ("--06-15", 165 / 365),
        ("02-29", 59 / 366),
        ("2024-02-29", 59 / 366),
        ("12-31", 364 / 365),
        ("2024-12-31", 365 / 366),
        ("January", 15.5 / 365),
        ("jan", 15.5 / 365),
        ("JUNE", (151 + 15) / 365),
        ("jun.", (151 + 15) / 365),
        ("Sept", (243 + 15) / 365),
        ("may", (120 + 15.5) / 365),
        ("december", (334 + 15.5) / 365),
        ("2023-06-15T12:00", 165.5 / 365),
        ("2023-06-15 12:00:00Z", 165.5 / 365),
        ("2023-06-15T01:00+13:00", 164.5 / 365),
        ("2023-01-01T00:00+01:00", (365 - 1 / 24) / 365),
    ],
)
def test_what_people_type(text: str, wanted: float) -> None:
    assert day_share(text) == pytest.approx(wanted, abs=1e-12)


def test_the_months_follow_one_another() -> None:
    found = [day_share(calendar.month_name[month]) for month in range(1, 13)]
    assert found == sorted(found) and found[0] == pytest.approx(1 - found[-1])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("02-30", "that month has 29 days"),
        ("2023-02-29", "that month has 28 days"),
        ("04-31", "that month has 30 days"),
        ("15-06", "there is no month 15"),
        ("2024-00-10", "there is no month 0"),
        ("2024-01-00", "that month has 31 days"),
        ("0000-01-01", "there is no year 0"),
        ("2024-06-15T25:00", "hour must be in"),
        ("0001-01-01T00:00+10:00", "is no date"),
        ("", "understood"),
        ("2024", "understood"),
        ("15.06.2024", "understood"),
        ("06/15", "understood"),
        ("ju", "understood"),
        ("summer", "understood"),
        ("0.5", "understood"),
        ("nan", "understood"),
    ],
)
def test_what_is_no_date_is_refused_in_a_sentence_with_a_hint(text: str, why: str) -> None:
    with pytest.raises(ParamsError, match=why) as caught:
        day_share(text)
    assert repr(text) in caught.value.message and "06-15" in str(caught.value.hint)
