"""The tables of report.html, from scores.json and similar files."""

from collections.abc import Mapping, Sequence

from cspops.report.headline import PRIORS
from cspops.report.html_parts import Group, Table
from cspops.report.paper import TABLE_1, TABLE_5
from cspops.report.paper import Table as PaperTable
from cspops.report.tables import (
    FUSION,
    MODELS,
    TITLES,
    Interval,
    Intervals,
    Metrics,
    Models,
    Places,
    cell,
    counted,
    difference_title,
    gathered,
    is_shown,
    ratio_title,
    region_models,
    region_title,
    short_name,
    shown_models,
)

NAMES = PRIORS | {
    "image": "image, P(y|I)",
    "location": "location, P(y|x)",
    "combined": "product, P(y|I) P(y|x)",
    "pool": "pool",
    "fusion": "fusion, P(y|I, x) of one network",
}
DATASETS = {"inat2018": "iNat2018", "fmow": "fMoW"}
"""The paper's names of the sources that it used too."""


def model_name(model: str) -> str:
    """Return the name of a model in words."""
    return NAMES.get(model, model)


def accuracy_table(metrics: Metrics, *, seeds: int) -> Table:
    """Return top-1 of image, location, product and pool at each label ratio: the test sets one below the other."""
    return _by_ratio(metrics, shown_models(metrics), "Top-1 by share of the training labels", seeds)


def prior_table(metrics: Metrics, *, seeds: int) -> Table:
    """Return top-1 of the priors that only count labelled places."""
    return _by_ratio(metrics, counting(next(iter(metrics.values()))), "Top-1 of priors that only count labelled places", seeds)


def _by_ratio(metrics: Metrics, models: Sequence[str], what: str, seeds: int) -> Table:
    ratios = list(next(iter(metrics.values())))
    groups = [
        Group(
            f"{TITLES[role].capitalize()} set",
            [
                [model_name(model), *(cell(by_ratio[one][model]["top1"], spread=seeds > 1) for one in ratios)]
                for model in models
            ],
        )
        for role, by_ratio in metrics.items()
    ]
    spread = "mean (standard deviation over seeds)" if seeds > 1 else "one seed, so without a deviation"
    return Table(f"{what}, per cent; {spread}", ["model", *(ratio_title(one) for one in ratios)], groups)


def paper_table(ratios: Sequence[str], source: str) -> Table | None:
    """Return the paper's rows at the ratios that this run has too; None where it has none of them."""
    tables = (TABLE_5, TABLE_1) if source == "fmow" else (TABLE_1, TABLE_5)
    groups = [group for table in tables if (group := _paper_group(table, ratios, source))]
    header = ["model", *(ratio_title(one) for one in ratios)]
    return Table("Top-1 in the paper, per cent", header, groups) if groups else None


def counting(ratios: Mapping[str, Models]) -> list[str]:
    """Return the priors without learning that were scored."""
    return [name for name in next(iter(ratios.values())) if name in PRIORS]


def _paper_group(table: PaperTable, ratios: Sequence[str], source: str) -> Group | None:
    """Return the paper's rows at the ratios that this run has too."""
    columns = {column.title: column for column in table.columns if column.in_paper}
    if not columns.keys() & {ratio_title(one) for one in ratios}:
        return None
    same = DATASETS.get(source) == table.dataset_of_paper
    data = "the same data set" if same else "another data set: only the order of its rows compares with ours"
    rows = []
    for row in (row for row in table.rows if row.paper):
        cells = []
        for ratio in ratios:
            column = columns.get(ratio_title(ratio))
            mean, sd = (column and table.printed(row, column)) or (None, None)
            cells.append("–" if mean is None else f"{mean:.2f}" if sd is None else f"{mean:.2f} ({sd:.2f})")
        rows.append([row.name, *cells])
    spread = "" if table.spread_of_paper == "not given" else f"; in parentheses: {table.spread_of_paper}"
    return Group(f"Paper, Table {table.number}, {table.dataset_of_paper}: {data}{spread}", rows)


def metric_table(models: Models, *, role: str, ratio: str, seeds: int, rows: int) -> Table:
    """Return every metric of `MODELS`, a dash in place of the calibration error of few ``rows``."""
    names = list(models["combined"])
    body = [
        [model_name(model), *(cell(models[model][name], spread=seeds > 1) if is_shown(name, rows) else "–" for name in names)]
        for model in (*MODELS, FUSION)
        if model in models or model != FUSION
    ]
    caption = f"All metrics, {TITLES[role]}, {ratio_title(ratio)} of the labels"
    return Table(caption, ["model", *(name.replace("_", " ") for name in names)], [Group(None, body)])


def interval_table(intervals: Intervals) -> Table:
    """Return the differences with their 95 % intervals."""
    names = list(next(iter(next(iter(intervals.values())).values())))
    groups = [
        Group(
            f"{TITLES[role]}, {next(iter(ratios.values()))[names[0]]['rows']:,} rows",
            [[ratio_title(ratio), *(_interval(gaps[name]) for name in names)] for ratio, gaps in ratios.items()],
        )
        for role, ratios in intervals.items()
    ]
    caption = "Differences of top-1 in percentage points, with 95 % paired bootstrap intervals over rows and seeds"
    return Table(caption, ["labels", *map(difference_title, names)], groups)


def _interval(one: Interval) -> str:
    return f"{one['mean']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}]"


def region_table(places: Mapping[str, Places], kind: str, caption: str) -> Table:
    """Return top-1 by region of a kind, one group per set."""
    models = region_models(places)
    groups = [
        Group(
            TITLES[role],
            [
                [
                    region_title(row, kind),
                    counted(row["rows"]),
                    *(f"{row[model]:.2f}" for model in models),
                    f"{row['gain']:+.2f}",
                ]
                for row in gathered(kinds[kind], models)
            ],
        )
        for role, kinds in places.items()
        if kinds.get(kind)
    ]
    return Table(caption, ["region", "rows per seed", *map(short_name, models), f"{short_name(models[-1])} - image"], groups)


def count_table(caption: str, what: str, counts: Mapping[str, int]) -> Table:
    """Return names and how many rows each has."""
    return Table(caption, [what, "rows"], [Group(None, [[name, f"{count:,}"] for name, count in counts.items()])])
