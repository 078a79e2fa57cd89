"""The paper's tables from finished runs, and the runs that they still need."""

import json
import logging
from dataclasses import dataclass, field

from cspops.commands import compared_rows
from cspops.commands import queue as dvc_queue
from cspops.commands import runs as git
from cspops.commands.tables_page import Cell, Comparison, Difference, Number, Ours, TableDocument, page
from cspops.data.json_files import Document
from cspops.data.splits import ratio_key
from cspops.errors import DataError, ParamsError
from cspops.files import write_whole
from cspops.params import Params, value_at
from cspops.pipeline import paths
from cspops.report.paper import TABLES, Column, Overrides, Row, Table

log = logging.getLogger(__name__)

FOLDER = paths.REPORTS / "tables"
ROUNDING = 1e-3
"""Means are rounded to 4 digits: differences of means that differ by less are of the same runs."""

NUMBER = {"mean", "sd", "key", "code", "revision", "commit", "date"}
INTERVAL = {"difference", "low", "high", "keys", "codes"}
"""What a number and an interval in reports/tables/ must hold to be kept."""


def listing(params: Params) -> list[Document]:
    """One entry a table: what it is, and how many of its cells have a number of ours."""
    here = _look_around(params)
    out = []
    for number, table in TABLES.items():
        found = [_fill(here, place, any_code=False)[0]["ours"] for place in _places(table)]
        out.append(
            {"table": number, "title": table.title, "dataset_of_paper": table.dataset_of_paper, "rows": len(table.rows)}
            | {"columns": len(table.columns), "cells_with_results": len(found) - found.count(None)}
        )
    return out


def collect(number: int, params: Params, *, any_code: bool) -> TableDocument:
    """Fill a table from finished runs and from what reports/tables/ holds; write it there as JSON and Markdown.

    A run counts when its params and raw inputs are those that the row asks for and its sources those of the workspace's
    dvc.lock; with ``any_code`` one of other sources fills what is missing, and is marked. A number in reports/tables/ of
    the same params stays where no run is found, as in a fresh clone, and is marked too when the sources have changed.
    """
    table = _table(number)
    here = _look_around(params)
    for warning in _warnings(here):
        log.info(warning)
    found = {(place.row.name, place.index): _fill(here, place, any_code=any_code) for place in _places(table)}
    columns = range(len(table.columns))
    document: TableDocument = {
        "table": number,
        "title": table.title,
        "dataset": params.dataset.source,
        "seeds": list(params.seeds),
        "paper": {"dataset": table.dataset_of_paper, "spread": table.spread_of_paper},
        "columns": [column.title for column in table.columns],
        "rows": [
            {"name": row.name, "model": row.model, "cells": [found[row.name, column][0] for column in columns]}
            for row in table.rows
        ],
        "comparisons": _Comparisons(here, table, found).all(),
        "notes": list(table.notes),
    }
    write_whole(FOLDER / f"table_{number}.json", json.dumps(document, indent=1) + "\n")
    write_whole(FOLDER / f"table_{number}.md", page(document))
    return document


def queue(number: int, params: Params, *, any_code: bool) -> Document:
    """Queue an experiment for each run that a table lacks; those that wait already and those that cannot be are named."""
    table = _table(number)
    here = _look_around(params)
    if git.differs_from_head(paths.PARAMS):
        raise ParamsError(
            "params.yaml differs from HEAD: the queued runs would belong to no commit",
            hint="git commit params.yaml, or git restore params.yaml",
        )
    for warning in (*_warnings(here), *_warn_of_untracked()):
        log.info(warning)
    entries = dvc_queue.waiting()
    texts = git.read((entry.commit, paths.PARAMS) for entry in entries)
    coming = [one for entry in entries if (one := git.parsed(texts[entry.commit, paths.PARAMS]))]
    taken = {entry.name for entry in entries} | {revision.name for revision in git.revisions()}
    queued: list[Document] = []
    waiting: list[str] = []
    finished: list[str] = []
    unavailable: list[dict[str, str]] = []
    # Rows that report the image alone come last: any other row's run brings their number.
    for place in sorted(_places(table), key=lambda place: place.row.model == "image"):
        want = _want(here, place)
        if want.impossible is not None:
            unavailable.append({"row": place.row.name, "column": place.column.title, "reason": want.impossible})
            continue
        cell, _ = _fill(here, place, any_code=any_code)
        if cell["ours"] is not None and (any_code or not cell["other_code"]):
            finished.append(place.run_name)
        elif any(here.lock.key(one, git.STAGES[place.row.model]) == want.key for one in coming):
            waiting.append(place.run_name)
        else:
            name = _free_name(place.run_name, taken)
            changed = {path: value for path, value in want.overrides if value_at(params, path) != value}
            dvc_queue.add(name, changed)
            settings = ", ".join(f"{path}={'null' if value is None else value}" for path, value in changed.items())
            log.info(f"queued {name}: {settings or 'params.yaml as it is'}")
            taken.add(name)
            coming.append(want.params)
            queued.append({"name": name, "run": place.run_name, "params": changed})
    new = {one["run"] for one in queued}
    return {
        "table": number,
        "queued": [{"name": one["name"], "params": one["params"]} for one in queued],
        "waiting": [name for name in dict.fromkeys(waiting) if name not in new],
        "finished": list(dict.fromkeys(finished)),
        "unavailable": unavailable,
    }


@dataclass(frozen=True)
class _Here:
    """The workspace, the runs that git knows and the numbers that were kept in reports/tables/, by table."""

    params: Params
    lock: git.Lock
    runs: list[git.Run]
    kept: dict[int, list[TableDocument]]


@dataclass(frozen=True)
class _Place:
    """A cell of a table."""

    table: Table
    row: Row
    index: int

    @property
    def column(self) -> Column:
        return self.table.columns[self.index]

    @property
    def run_name(self) -> str:
        """`t1-sup-wrap`: one run fills a whole row, unless the columns set params themselves."""
        parts = (self.column.slug, self.row.slug) if self.column.overrides else (self.row.slug,)
        return "-".join((f"t{self.table.number}", *parts))


@dataclass(frozen=True)
class _Want:
    """The run that a cell needs; ``impossible`` says why there cannot be one."""

    params: Params
    overrides: Overrides
    key: str = ""
    code: str = ""
    impossible: str | None = None


def _look_around(params: Params) -> _Here:
    git.require_repository()
    return _Here(params, git.workspace_lock(), git.runs(), {number: _kept_documents(number) for number in TABLES})


def _table(number: int) -> Table:
    if number not in TABLES:
        raise ParamsError(f"there is no table {number}", hint=f"tables: {', '.join(map(str, TABLES))}")
    return TABLES[number]


def _places(table: Table) -> list[_Place]:
    return [_Place(table, row, index) for row in table.rows for index in range(len(table.columns))]


def _kept_documents(number: int) -> list[TableDocument]:
    """The table as it lies in the workspace and in HEAD, where it can be read."""
    file = FOLDER / f"table_{number}.json"
    texts = [file.read_bytes() if file.is_file() else None, git.read([("HEAD", file)])["HEAD", file]]
    found = []
    for text in texts:
        try:
            document = json.loads(text or b"")
            numbers = [cell["ours"] for row in document["rows"] for cell in row["cells"] if row["name"]]
            intervals = [cell for one in document["comparisons"] for cell in one["cells"] if one["row"] and one["minus"]]
            whole = all(one.keys() >= NUMBER for one in numbers if one) and all(one.keys() >= INTERVAL for one in intervals)
            if whole and isinstance(document["columns"], list):
                found.append(document)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def _want(here: _Here, place: _Place) -> _Want:
    overrides = (*place.column.overrides, *place.row.overrides)
    try:
        params = git.with_values(here.params, overrides)
    except ParamsError as error:
        return _Want(here.params, overrides, impossible=error.message.splitlines()[0])
    if place.column.ratio not in params.split.label_ratios:
        return _Want(params, overrides, impossible=f"split.label_ratios in params.yaml has no {place.column.ratio:g}")
    stages = git.STAGES[place.row.model]
    return _Want(params, overrides, here.lock.key(params, stages), here.lock.code(stages))


def _fill(here: _Here, place: _Place, *, any_code: bool) -> tuple[Cell, git.Run | None]:
    """A cell of the document, and the run that it is of where this clone has it."""
    mean, spread = place.row.paper[place.index]
    paper: Number = {"mean": mean, "sd": spread}
    want = _want(here, place)

    def filled(ours: Ours) -> Cell:
        return {"paper": paper, "ours": ours, "other_code": ours["code"] != want.code, "missing": None}

    def lacking(reason: str) -> Cell:
        return {"paper": paper, "ours": None, "other_code": False, "missing": reason}

    if want.impossible is not None:
        return lacking(want.impossible), None
    model = place.row.model
    matching = [run for run in here.runs if run.keys[model] == want.key]
    finished = [run for run in matching if run.finished]
    same = [run for run in finished if run.codes[model] == want.code]
    every_kept = _kept_numbers(here, place)
    kept = [one for one in every_kept if one["key"] == want.key]
    kept_same = [one for one in kept if one["code"] == want.code]
    for run in (*same, *(finished if any_code and not kept_same else ())):
        top1 = run.top1(ratio_key(place.column.ratio), model)
        if top1 is None:
            continue
        ours: Ours = {
            "mean": top1[0],
            "sd": top1[1],
            "key": want.key,
            "code": run.codes[model],
            "revision": run.revision.name,
            "commit": run.revision.commit[:7],
            "date": run.revision.date,
        }
        # A number that is kept already stays with the revision it was first read from: the file changes with results only.
        earlier = [one for one in kept if (one["mean"], one["sd"], one["code"]) == (*top1, run.codes[model])]
        return filled(earlier[0] if earlier else ours), run
    if kept:
        return filled((kept_same or kept)[0]), None
    if finished:
        reason = f"run by other sources only ({_names(finished)}); --any-code shows it"
    elif matching:
        reason = f"{_names(matching)} has these params, but its dvc.lock or metrics.json is of another run"
    elif every_kept:
        reason = "not run with these params and data; the number in reports/tables is of other ones"
    else:
        reason = "not run with these params and data"
    return lacking(reason), None


def _names(found: list[git.Run]) -> str:
    return ", ".join(dict.fromkeys(run.revision.name for run in found))


def _kept_numbers(here: _Here, place: _Place) -> list[Ours]:
    return [
        cell["ours"]
        for document in here.kept[place.table.number]
        for row in document["rows"]
        if row["name"] == place.row.name
        for title, cell in zip(document["columns"], row["cells"], strict=False)
        if title == place.column.title and cell["ours"] is not None
    ]


def _free_name(name: str, taken: set[str]) -> str:
    tries = 1
    free = name
    while free in taken:
        tries += 1
        free = f"{name}-{tries}"
    return free


def _warnings(here: _Here) -> list[str]:
    out = []
    if differ := git.differs_from_head(paths.PARAMS, git.LOCK, git.METRICS):
        out.append(f"note: not as in HEAD: {', '.join(differ)}; runs that are not committed do not count")
    if changed := here.lock.changed_code():
        stages = ", ".join(changed)
        out.append(f"note: the code of {stages} changed since the run of dvc.lock, by which runs are chosen: dvc repro first")
    return out


def _warn_of_untracked() -> list[str]:
    files = git.untracked_sources()
    return [f"note: not in git, so queued runs will not have it: {', '.join(files)} (git add -N)"] if files else []


@dataclass
class _Comparisons:
    """Differences between rows of a table, with the intervals that predictions in DVC's cache give."""

    here: _Here
    table: Table
    found: dict[tuple[str, int], tuple[Cell, git.Run | None]]
    _read: dict[str, compared_rows.HitsByRoleAndRatio | DataError] = field(default_factory=dict)

    def all(self) -> list[Comparison]:
        columns = range(len(self.table.columns))
        return [
            {"row": row, "minus": minus, "cells": [self._one(row, minus, column) for column in columns]}
            for row, minus in self.table.comparisons
        ]

    def _one(self, row: str, minus: str, column: int) -> Difference:
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
        (cell_a, run_a), (cell_b, run_b) = self.found[row, column], self.found[minus, column]
        a, b = cell_a["ours"], cell_b["ours"]
        if a is None or b is None:
            return {**out, "why": "a number is missing"}
        difference = round(a["mean"] - b["mean"], 4)
        out = {**out, "difference": difference, "keys": [a["key"], b["key"]], "codes": [a["code"], b["code"]]}
        interval = self._kept(row, minus, column, out)
        if interval is None:
            if run_a is None or run_b is None:
                return {**out, "why": "this clone lacks the runs, and no interval of them was kept"}
            try:
                interval = self._interval(row, run_a, minus, run_b, column, difference)
            except DataError as error:
                return {**out, "why": error.message}
        low, high = interval
        holds = verdict(self.table.expected_sign(row, minus, column), low, high)
        return {**out, "low": low, "high": high, "verdict": holds}

    def _kept(self, row: str, minus: str, column: int, now: Difference) -> tuple[float, float] | None:
        """The interval in reports/tables/ of the same two runs."""
        for document in self.here.kept[self.table.number]:
            for one in document["comparisons"]:
                if (one["row"], one["minus"]) != (row, minus):
                    continue
                for title, cell in zip(document["columns"], one["cells"], strict=False):
                    same = title == self.table.columns[column].title
                    if same and (cell["keys"], cell["codes"]) == (now["keys"], now["codes"]) and (span := _span(cell, now)):
                        return span
        return None

    def _interval(
        self, row: str, run: git.Run, minus: str, other: git.Run, column: int, difference: float
    ) -> tuple[float, float]:
        ratio = self.table.columns[column].ratio
        models = (self.table.row(row).model, self.table.row(minus).model)
        found = compared_rows.difference(self._hits(run, ratio), models[0], self._hits(other, ratio), models[1])
        if abs(found.mean - difference) > ROUNDING:
            raise DataError("the predictions in DVC's cache are not those of metrics.json")
        return round(found.low, 4), round(found.high, 4)

    def _hits(self, run: git.Run, ratio: float) -> compared_rows.Hits:
        commit, name = run.revision.commit, run.revision.name
        if commit not in self._read:
            try:
                self._read[commit] = compared_rows.hits_of(paths.folder_of("evaluate") / "predictions.parquet", commit)
            except DataError:
                self._read[commit] = DataError(f"the predictions of {name} are not in DVC's cache")
        hits = self._read[commit]
        if isinstance(hits, DataError):
            raise hits
        if ("test", ratio) not in hits:
            raise DataError(f"the predictions of {name} have no test set at {100 * ratio:g} % labels")
        return hits["test", ratio]


def _span(kept: Difference, now: Difference) -> tuple[float, float] | None:
    """The kept interval, where it is of the difference as it is now."""
    low, high, then, difference = kept["low"], kept["high"], kept["difference"], now["difference"]
    if low is None or high is None or then is None or difference is None or abs(then - difference) >= ROUNDING:
        return None
    return low, high


def verdict(expected: int, low: float, high: float) -> str:
    """Whether an interval agrees with the paper's order (1 more, -1 less, 0 none)."""
    if not expected:
        return "no order in the paper"
    if low <= 0 <= high:
        return "within noise"
    return "holds" if (low > 0) == (expected > 0) else "does not hold"
