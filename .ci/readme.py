"""Write the blocks of README.md and docs/results.md that hold numbers, from reports/: `make readme`.

A block begins with `<!-- numbers: NAME -->` and ends with `<!-- end of numbers -->`; what stands between is replaced.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cspops.report.headline import PRIORS, main_sentences
from cspops.report.paper_page import (
    MEASURE_WORDS,
    MEASURES,
    comparison_rows,
    f_star_sentence,
    interval_text,
    number_rows,
    remarks,
)
from cspops.report.tables import cell, markdown, ratio_title

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/results.md")
BLOCK = re.compile(r"(<!-- numbers: ([a-z ]+) -->).*?(<!-- end of numbers -->)", re.DOTALL)
MODELS = {
    "image alone, P(y\\|I)": "image",
    "location alone, P(y\\|x)": "location",
    "product, P(y\\|I) P(y\\|x)": "combined",
    "**pool**": "pool",
}
LOSSES = ("Sup. Only (grid)", "MSE", "CSP-NCE-BLD")
"""What CSP-MC-BLD is compared with."""

Read = Callable[[str], Any]
"""From the name of a JSON file below reports/ to its content."""


def filled(page: str, read: Read) -> str:
    """Return the text of a page with its blocks written anew."""
    return BLOCK.sub(lambda match: "\n\n".join((match[1], *BLOCKS[match[2]](read), match[3])), page)


def _run(read: Read) -> Iterator[str]:
    """The committed run: its models on the test set, and what its report says of them."""
    metrics, intervals = read("scores.json"), read("intervals.json")
    yield _table("test set", metrics["test"], MODELS)
    yield " ".join([*main_sentences(metrics, {role: intervals[role] for role in metrics}), "95 % intervals are in brackets."])


def _whole_run(read: Read) -> Iterator[str]:
    """The committed run with a prior that only counts, on both test sets."""
    metrics, prior = read("scores.json"), "distance_knn"
    models = MODELS | {f"{PRIORS[prior]}, no learning": prior}
    yield _table("test set", metrics["test"], models)
    yield _table("spatial test set", metrics["spatial_test"], models)
    first = next(iter(metrics["test"]))
    plain, pool = (metrics["test"][first][name] for name in ("combined", "pool"))
    yield (
        f"At {ratio_title(first)} of the labels the product as in the paper has a negative log-likelihood of "
        f"{plain['nll']['mean']:.2f} and a calibration error of {plain['ece']['mean']:.0f} %, the pool "
        f"{pool['nll']['mean']:.2f} and {pool['ece']['mean']:.0f} %."
    )


def _losses(read: Read) -> Iterator[str]:
    """What pre-training and its losses add by the pool, in Table 1."""
    table = read("tables/table_1.json")
    rows = [["points of top-1", *table["columns"]]]
    for minus in LOSSES:
        wanted = ("CSP-MC-BLD", minus, "pool")
        [cells] = [one["cells"] for one in table["comparisons"] if (one["row"], one["minus"], one["measure"]) == wanted]
        rows.append([f"CSP-MC-BLD minus {minus}", *map(interval_text, cells)])
    yield (shown := markdown(rows, text_columns=1))
    yield from _marks(table, shown)


def _table_1(read: Read) -> Iterator[str]:
    """Ours of Table 1 and its differences, by the product and by the pool."""
    table = read("tables/table_1.json")
    header, *body = number_rows(table)
    yield (shown := markdown([header, *(row for row in body if row[1] != "paper")], text_columns=2))
    for measure in MEASURES:
        yield f"Differences {MEASURE_WORDS[measure]}:"
        yield markdown([row for row in comparison_rows(table, measure) if row[1] != "paper"], text_columns=2)
    if sentence := f_star_sentence(table):
        yield sentence
    yield from _marks(table, shown)


def _table(title: str, scores: Any, models: dict[str, str]) -> str:
    rows: list[Sequence[str]] = [[title, *map(ratio_title, scores)]]
    rows += [[name, *(cell(of_ratio[model]["top1"]) for of_ratio in scores.values())] for name, model in models.items()]
    return markdown(rows, text_columns=1)


def _marks(table: Any, shown: str) -> Iterator[str]:
    """What the marks of the numbers that are shown mean, if there are any."""
    marks = [one for one in remarks(table) if one[0] in "†§‡" and one[0] in shown]
    if marks:
        yield "\n".join(f"- {one}" for one in marks)


BLOCKS = {"run": _run, "whole run": _whole_run, "losses": _losses, "table": _table_1}

if __name__ == "__main__":
    for name in PAGES:
        page = ROOT / name
        text = filled(page.read_text(encoding="utf-8"), lambda one: json.loads((ROOT / "reports" / one).read_text()))
        page.write_text(text, encoding="utf-8")
