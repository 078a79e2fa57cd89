"""Dates in the forms that users have: options, texts and datetimes of tables, time zones, and what is none."""

import math
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
import torch

from cspops.data.dates import day_share
from cspops.errors import DataError, ParamsError
from cspops.library.given_dates import NO_DAY, as_when, day_of_option, days_of

ZONE = timezone(timedelta(hours=2))
NOON = day_share("2024-06-15") + 0.5 / 366


@pytest.mark.parametrize("text", ["2024-06-15", "06-15", "June", " jun "])
def test_an_option_is_a_day_as_it_was_typed(text):
    day = day_of_option(text)
    assert (day.when, day.text, day.origin, day.problem) == (day_share(text), text.strip(), "given", None)


def test_an_option_may_ask_for_no_date():
    day = day_of_option("None")
    assert math.isnan(day.when)
    assert (day.text, day.origin) == (None, "given")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("03/04/2024", "2024-04-03 or 2024-03-04, and which of both is meant is not known"),
        ("3.4.2024", "2024-04-03 or 2024-03-04, and which"),
        ("05-05-2024", "the year comes first, 2024-05-05\n"),
        ("25/12/2024", "the year comes first, 2024-12-25\n"),
        ("13/14/2024", "'13/14/2024': there is no such day"),
        ("30/02/2024", "there is no such day"),
        ("2024-02-30", "2024-02-30"),
        ("02-30", "02-30"),
        ("2024", "2024"),
        ("Febtober", "Febtober"),
        ("", "''"),
    ],
)
def test_an_option_that_is_no_day_is_refused_in_one_sentence(text, says):
    with pytest.raises(ParamsError, match=says) as caught:
        day_of_option(text)
    assert caught.value.message.startswith("--date ")
    assert "\n" not in caught.value.message
    assert "06-15" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "shown", "says"),
    [
        ("2024-06-15", "2024-06-15", None),
        ("2024-06-15T23:30:00-05:00", "2024-06-16", None),
        ("2024:06:15 10:00:00", "2024-06-15", None),
        ("2024-06", "2024-06-01", None),
        ("2024-06-10/2024-06-12", "2024-06-10", None),
        (" ", None, None),
        (None, None, None),
        ("03/04/2024", None, "2024-04-03 or 2024-03-04"),
        ("13/14/2024", None, "no such day"),
        ("2024-02-30", None, "no such day or time"),
        ("2024-06-15T25:00", None, "no such day or time"),
        ("2024", None, "has no season"),
        ("2023/2024", None, "has no season"),
        ("2024-01-01/2024-12-31", None, "has no season"),
        ("1600-06-15", None, "only years from 1800 to 2100 are read"),
        ("2024-06-15 01:30 PM", None, "no date that is understood"),
        ("2024-06/15", None, "no date that is understood"),
        ("last week", None, "no date that is understood"),
    ],
)
def test_the_days_of_a_column_are_those_of_the_intake_in_utc(text, shown, says):
    [day] = days_of(pa.array([text], pa.string()), "table")
    assert day.text == shown
    assert math.isnan(day.when) == (shown is None)
    assert day.origin == ("none" if shown is None else "table")
    assert day.problem is None if says is None else says in str(day.problem)
    if text is None or not text.strip():
        assert day is NO_DAY


@pytest.mark.parametrize(
    "dates",
    [
        ["2024-06-15T12:00:00Z", None],
        ["2024-06-15T14:00:00+02:00", ""],
        [datetime(2024, 6, 15, 12), None],
        [datetime(2024, 6, 15, 14, tzinfo=ZONE), None],
        np.array(["2024-06-15T12", "NaT"], "M8[h]"),
        np.array(["2024-06-15T12:00:00", "NaT"], "M8[ns]"),
        pa.array([datetime(2024, 6, 15, 14, tzinfo=ZONE), None]),
        pa.chunked_array([["2024-06-15 12:00"], [None]]),
        torch.tensor([NOON, torch.nan], dtype=torch.float64),
    ],
)
def test_one_date_per_row(dates):
    when = as_when(dates, 2)
    assert when.dtype == torch.float64
    assert when[0].item() == pytest.approx(NOON, abs=1e-12)
    assert when[1].isnan()


@pytest.mark.parametrize("one", ["2024-06-15", date(2024, 6, 15), np.datetime64("2024-06-15"), "06-15", torch.tensor(0.25)])
def test_one_date_for_all_rows(one):
    when = as_when(one, 3)
    assert when.shape == (3,)
    assert len(when.unique()) == 1
    assert not when.isnan().any()


@pytest.mark.parametrize("dates", [[None] * 2, np.array([np.nan] * 2), pa.nulls(2, pa.float64()), math.nan])
def test_a_column_may_be_empty(dates):
    assert as_when(dates, 2).isnan().tolist() == [True, True]


def test_texts_of_an_option_stand_among_others():
    assert as_when(["June", "06-15", "2023-06-15"], 3).tolist() == [day_share(one) for one in ("June", "06-15", "2023-06-15")]


@pytest.mark.parametrize(
    ("dates", "says"),
    [
        (["2024-06-15", "03/04/2024"], "date 1 is '03/04/2024'.*not known"),
        (["2024-02-30", None], "date 0 is '2024-02-30'"),
        (["2024", None], "has no season"),
        ([3, 4], "not int64"),
        ([0.2, 0.4], "not double"),
        (3, "texts or datetimes"),
        ([date(2024, 6, 15), "x"], "of one kind"),
        (["June"], "1 dates and 2 rows"),
        ([None] * 3, "3 dates and 2 rows"),
        (torch.tensor([0.5, 1.5]), "date 1 is 1.5"),
        (torch.tensor([0.5, -0.1]), "in \\[0, 1\\)"),
        (torch.tensor([0, 1]), "not torch.int64"),
        (torch.zeros(2, 2), "floats \\(n,\\)"),
    ],
)
def test_what_is_no_date_is_refused_with_its_row(dates, says):
    with pytest.raises(DataError, match=says):
        as_when(dates, 2)
