"""A table of the paper beside ours, from finished runs and from kept numbers of earlier ones."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from cspops.data.splits import ratio_key
from cspops.errors import DataError, ParamsError
from cspops.evaluation.compared_rows import Hits, HitsByRoleAndRatio, difference
from cspops.params import Params, recorded, with_values
from cspops.report.paper import Column, Model, Overrides, Row, Table
from cspops.report.paper_page import MEASURES, Cell, Difference, Measure, Ours, TableDocument
from cspops.report.run_record import Run, RunRecord

HitsOf = Callable[[str], HitsByRoleAndRatio | None]
"""Returns which predictions of a commit are right; None where they are not available."""
NUMBER = ("mean", "sd", "key", "code", "numerics", "revision", "commit", "date")
ROUNDING = 1e-3
"""Means are rounded to 4 digits: a difference of predictions this close belongs to the same runs."""


@dataclass(frozen=True)
class Kept:
    """The numbers and intervals of reports/tables/table_N.json, each with its keys and code."""

    numbers: Mapping[tuple[str, str, str], Sequence[Ours]]
    """By row, column and model."""
    intervals: Mapping[tuple[Any, ...], tuple[float, float]]
    """By the two rows, column, measure, keys, code and difference."""

    @classmethod
    def of(cls, texts: Iterable[bytes | None]) -> "Kept":
        """Read the texts of a table as far as possible; earlier texts take precedence."""
        numbers: dict[tuple[str, str, str], list[Ours]] = defaultdict(list)
        intervals: dict[tuple[Any, ...], tuple[float, float]] = {}
        for text in texts:
            try:
                document = json.loads(text or b"")
                for row in document["rows"]:
                    for column, cell in zip(document["columns"], row["cells"], strict=True):
                        if cell["ours"] is not None:
                            number = {"numerics": None} | cell["ours"]  # a table of an older form has none
                            numbers[row["name"], column, row["model"]].append(
                                cast(Ours, {name: number[name] for name in NUMBER})
                            )
                for one in document["comparisons"]:
                    for column, cell in zip(document["columns"], one["cells"], strict=True):
                        if cell["low"] is not None:
                            place = (one["row"], one["minus"], column, one.get("measure", "combined"))
                            intervals.setdefault((*place, *_run_key(cell)), (cell["low"], cell["high"]))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
        return cls(numbers, intervals)


def _run_key(difference: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*difference["keys"], *difference["codes"], difference["difference"])


@dataclass(frozen=True)
class Place:
    """The place of a cell, and the run that it needs."""

    row: Row
    """Its ``model`` is the one that is looked for."""
    column: Column
    overrides: Overrides
    params: Params
    key: str = ""
    code: str = ""
    other_data: bool = False
    """Whether the catalogue is not the workspace's: the run is known by its params alone."""
    impossible: str | None = None
    """Why there cannot be such a run."""


@dataclass(frozen=True)
class Filled:
    """A filled cell of the document, with its run where this clone has it."""

    cell: Cell
    run: Run | None = None


@dataclass(frozen=True)
class PaperTable:
    """A table, the workspace's params and last run, all runs, and the kept table."""

    table: Table
    params: Params
    last: RunRecord
    runs: Sequence[Run]
    kept: Kept

    def cells(self) -> list[Place]:
        """Return all cells, row by row."""
        return [self._cell(row, column) for row in self.table.rows for column in self.table.columns]

    def _rows(self) -> list[Row]:
        """Return the rows as the paper has them, and those of both image and location once more, by the pool."""
        return [*self.table.rows, *(replace(row, model="pool") for row in self.table.rows if row.model == "combined")]

    def run_name(self, cell: Place) -> str:
        """Return for example `t1-sup-wrap`: one run fills a whole row, unless the columns set params."""
        parts = (cell.column.slug, cell.row.slug) if cell.column.overrides else (cell.row.slug,)
        return "-".join((f"t{self.table.number}", *parts))

    def made_by(self, record: RunRecord, cell: Place) -> bool:
        """Return whether a run with this record is that of the cell."""
        return (record.on_any_catalogue() if cell.other_data else record).key(cell.row.model) == cell.key

    def fill(self, cell: Place, *, any_code: bool) -> Filled:
        """Find the number of a cell.

        A run counts when its params and catalogue are those of the row and its code that of the workspace's run; with
        ``any_code`` one of other code fills what is missing, and is marked. Where no run is found, as in a fresh clone, a
        kept number stays, and is marked when its code, machine or params are others.
        """
        paper = self.table.printed(cell.row, cell.column) if cell.row.model != "pool" else None
        model, every_kept = cell.row.model, self.kept.numbers.get((cell.row.name, cell.column.title, cell.row.model), ())
        same_key = [run for run in self.runs if self.made_by(run.record, cell)]
        numbers = [(run.number(ratio_key(cell.column.ratio), model), run) for run in same_key]
        ran = [(number | {"key": cell.key}, run) for number, run in numbers if number is not None]
        same = [one for one in ran if one[0]["code"] == cell.code]
        kept = [(number, None) for number in every_kept if number["key"] == cell.key]
        kept_same = [one for one in kept if one[0]["code"] == cell.code]
        missing, of_other_params = None, False
        candidates = [*same, *(ran if any_code and not kept_same else ()), *kept_same, *kept]
        if cell.impossible is not None or not candidates:
            missing = cell.impossible or _why_missing(ran, same_key, kept=bool(every_kept))
            candidates, of_other_params = [(number, None) for number in every_kept], bool(every_kept)
        number, run = candidates[0] if candidates else (None, None)
        # A number that is kept already stays with the revision it was first read from: the file changes with results only.
        names = ("mean", "sd", "key", "code")
        ours = next((one for one in every_kept if number and all(one.get(name) == number.get(name) for name in names)), number)
        if ours is not None and number is not None:
            ours = cast(Ours, {**ours, "numerics": number["numerics"]})
        return Filled(
            {
                "paper": None if paper is None else {"mean": paper[0], "sd": paper[1]},
                "ours": ours,
                "other_code": ours is not None and ours["code"] != cell.code,
                "other_machine": ours is not None and (ours["numerics"] is None or ours["numerics"] != self.last.numerics),
                "other_params": of_other_params,
                "missing": missing,
            },
            run,
        )

    def document(self, hits_of: HitsOf, *, any_code: bool) -> TableDocument:
        """Return the whole table; intervals that were not kept are computed from the runs' predictions."""
        rows, columns = self._rows(), self.table.columns
        filled = {
            (row.name, row.model, column): self.fill(self._cell(row, column), any_code=any_code)
            for row in rows
            for column in columns
        }
        return {
            "table": self.table.number,
            "title": self.table.title,
            "dataset": self.params.dataset.source,
            "seeds": list(self.params.seeds),
            "paper": {"dataset": self.table.dataset_of_paper, "spread": self.table.spread_of_paper},
            "columns": [column.title for column in columns],
            "rows": [
                {
                    "name": row.name,
                    "model": row.model,
                    "cells": [filled[row.name, row.model, column].cell for column in columns],
                }
                for row in rows
            ],
            "comparisons": [
                {
                    "row": row,
                    "minus": minus,
                    "measure": measure,
                    "cells": [self._compared((row, minus), measure, column, filled, hits_of) for column in columns],
                }
                for measure in MEASURES
                for row, minus in self.table.comparisons
            ],
            "notes": list(self.table.notes),
        }

    def _cell(self, row: Row, column: Column) -> Place:
        overrides = (*column.overrides, *row.overrides)
        if self.table.source not in (None, self.params.dataset.source):
            return Place(row, column, overrides, self.params, impossible=f"it is of dataset.source {self.table.source}")
        try:
            params = with_values(self.params, overrides)
        except ParamsError as error:
            return Place(row, column, overrides, self.params, impossible=error.lines[0])
        if column.ratio not in params.split.label_ratios:
            reason = f"split.label_ratios in params.yaml has no {column.ratio:g}"
            return Place(row, column, overrides, params, impossible=reason)
        record = self.last.with_params(params)
        other_data = recorded(params, "download") != recorded(self.params, "download")
        key = (record.on_any_catalogue() if other_data else record).key(row.model)
        return Place(row, column, overrides, params, key, record.code_of(row.model), other_data)

    def _compared(
        self,
        pair: tuple[str, str],
        measure: Measure,
        column: Column,
        filled: Mapping[tuple[str, Model, Column], Filled],
        hits_of: HitsOf,
    ) -> Difference:
        """Return the difference of two rows in one column, with the kept interval or that of the predictions."""
        row, minus = pair
        of_rows = [self.table.row(name).model for name in pair]
        models = [measure if model == "combined" else model for model in of_rows]
        out: Difference = {
            "paper": self.table.paper_difference(row, minus, column),
            "difference": None,
            "low": None,
            "high": None,
            "keys": None,
            "codes": None,
            "verdict": None,
            "why": None,
        }
        first, second = (filled[name, model, column] for name, model in zip(pair, models, strict=True))
        a, b = first.cell["ours"], second.cell["ours"]
        if a is None or b is None:
            return out | {"why": "a number is missing"}
        gap = round(a["mean"] - b["mean"], 4)
        out |= {"difference": gap, "keys": [a["key"], b["key"]], "codes": [a["code"], b["code"]]}
        if a["numerics"] != b["numerics"]:
            return out | {"why": "the two runs are not comparable: they are of different machines, or of an unknown one"}
        place = (row, minus, column.title, measure)
        interval = self.kept.intervals.get((*place, *_run_key(out)))
        if interval is None:
            if first.cell["other_params"] or second.cell["other_params"]:
                return out | {"why": "a number is of other params or data"}
            if first.run is None or second.run is None:
                same = (*place, a["key"], b["key"])
                if any(one[:6] == same and one[6:8] != (a["code"], b["code"]) for one in self.kept.intervals):
                    return out | {"why": "the interval kept in reports/tables is of other code"}
                return out | {"why": "this clone lacks the runs, and no interval of them was kept"}
            try:
                hits = [_test_hits(run, column.ratio, hits_of) for run in (first.run, second.run)]
                gap_of_hits = difference(hits[0], models[0], hits[1], models[1])
            except DataError as error:
                return out | {"why": error.message}
            if abs(gap_of_hits.mean - gap) > ROUNDING:
                return out | {"why": "the predictions in DVC's cache are not those of scores.json"}
            interval = round(gap_of_hits.low, 4), round(gap_of_hits.high, 4)
        low, high = interval
        return out | {"low": low, "high": high, "verdict": verdict(self.table.expected_sign(row, minus, column), low, high)}


def _why_missing(ran: Sequence[Any], same_key: Sequence[Run], *, kept: bool) -> str:
    """Return why there is no number, by what was found: runs with these params and a number, and those with these params."""
    names = ", ".join(dict.fromkeys(run.name for run in same_key))
    if ran:
        return f"run only by other code ({names}); --any-code shows it"
    if same_key and all(run.metrics is None for run in same_key):
        return f"{names} has these params, but no scores.json: it is of older code"
    if same_key:
        return f"{names} has these params, but its scores.json belongs to another run"
    return "not run with these params and data" + ("; the number in reports/tables has others" if kept else "")


def _test_hits(run: Run, ratio: float, hits_of: HitsOf) -> Hits:
    hits = hits_of(run.commit)
    if hits is None:
        raise DataError(f"the predictions of {run.name} are not in DVC's cache")
    if ("test", ratio) not in hits:
        raise DataError(f"the predictions of {run.name} have no test set at {100 * ratio:g} % labels")
    return hits["test", ratio]


def verdict(expected: int | None, low: float, high: float) -> str:
    """Return whether an interval agrees with the paper's order (1 more, -1 less, 0 none); None: the paper has no number."""
    if expected is None:
        return "not in the paper"
    if not expected:
        return "no order in the paper"
    if low <= 0 <= high:
        return "within noise"
    return "holds" if (low > 0) == (expected > 0) else "does not hold"
