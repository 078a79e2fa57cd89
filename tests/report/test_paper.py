"""The paper's tables: transcribed once more from its text, and checked against what the text says of them."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from cspops.params import VIEWS, load, recorded, value_at, with_values
from cspops.report.paper import TABLES, Column, Row, Table

ROOT = Path(__file__).parents[2]

PRINTED = {
    1: """
5.28 (-) 12.44 (-) 25.33 (-) 60.2 (-)
7.12 (0.02) 12.50 (0.02) 25.36 (0.03) 72.41 (-)
8.16 (0.01) 14.65 (0.03) 25.40 (0.05) 72.98 (0.04)
8.15 (0.02) 17.80 (0.05) 27.56 (0.02) 73.27 (0.02)
8.65 (0.02) 18.75 (0.12) 28.15 (0.07) 73.33 (0.01)
9.01 (0.02) 19.68 (0.05) 29.61 (0.03) 73.79 (0.02)
""",
    2: """
9.01 19.68 29.61 73.79
8.63 19.60 29.52 73.15
8.40 17.17 26.63 73.36
8.16 16.58 25.89 73.10
""",
    3: """
7.64 16.57 25.31 71.76
8.5 19.35 29.11 72.89
9.01 19.68 29.61 73.62
8.97 18.8 27.96 73.67
8.78 17.94 26.65 73.79
""",
    4: """
5.28 12.46
7.12 18.66
8.16 18.68
8.15 20.02
8.65 20.16
9.01 20.78
""",
    5: """
59.41 (0.23) 61.91 (0.31) 62.96 (0.51) 64.45 (0.37)
65.22 (-) 66.46 (-) 67.66 (-) 69.83 (-)
66.67 (0.03) 68.22 (0.01) 69.45 (0.01) 70.30 (0.02)
67.01 (0.02) 68.91 (0.04) 70.20 (0.03) 70.77 (0.03)
67.06 (0.04) 68.90 (0.05) 70.16 (0.02) 70.45 (0.01)
67.29 (0.03) 69.20 (0.03) 70.65 (0.02) 70.89 (0.04)
67.47 (0.02) 69.23 (0.03) 70.66 (0.03) 71.00 (0.02)
""",
}


def means(number: int, name: str) -> list[float]:
    return [mean for mean, _ in TABLES[number].row(name).paper]


@pytest.mark.parametrize("number", PRINTED)
def test_the_numbers_are_those_that_are_printed(number: int) -> None:
    printed = [
        tuple(
            (float(mean), float(spread) if spread not in ("", "-") else None)
            for mean, spread in re.findall(r"([\d.]+)(?: \(([\d.-]+)\))?", line)
        )
        for line in PRINTED[number].strip().splitlines()
    ]
    rows = [row for row in TABLES[number].rows if row.paper]
    assert [row.paper for row in rows] == printed
    columns = [column for column in TABLES[number].columns if column.in_paper]
    assert all(len(row.paper) == len(columns) for row in rows)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_two_ratios_of_few_labels_come_before_those_of_the_paper_and_have_no_number_or_order_of_it(number: int) -> None:
    table = TABLES[number]
    assert [column.ratio for column in table.columns] == [0.005, 0.02, 0.05, 0.1, 0.2, 1.0]
    ours, first = table.columns[:2], table.columns[2]
    for row in table.rows:
        assert [table.printed(row, column) for column in ours] == [None, None]
        assert table.printed(row, first) == (row.paper[0] if row.paper else None)
    for row, minus in table.comparisons:
        assert [table.expected_sign(row, minus, column) for column in ours] == [None, None]
        assert [table.paper_difference(row, minus, column) for column in ours] == [None, None]


def test_relative_improvements_are_those_of_the_text() -> None:
    """Section 4.2: 10.4 %, 34.3 % and 16.6 % over Sup. Only at 5, 10 and 20 %."""
    csp, sup = means(1, "CSP-MC-BLD"), means(1, "Sup. Only (grid)")
    assert [round(100 * (a / b - 1), 1) for a, b in zip(csp, sup, strict=True)][:3] == [10.4, 34.3, 16.6]


def test_orders_are_those_of_the_text() -> None:
    """Sections 4.2 and 4.3; `CSP-MC-BLD` yields superior or comparable results of NCE in Table 5."""
    for number in (1, 5):
        names = [row.name for row in TABLES[number].rows if row.paper]
        by_column = list(zip(*(means(number, name) for name in names), strict=True))
        images = [at for at, row in enumerate(TABLES[number].rows) if row.model == "image"]
        for column in by_column:
            of = dict(zip(names, column, strict=True))
            assert max(column[at] for at in images) < min(value for at, value in enumerate(column) if at not in images)
            assert of["Sup. Only (grid)"] > of["Sup. Only (wrap)"]
            assert of["CSP-MC-BLD"] > of["CSP-NCE-BLD"] > of["MSE"]
            assert max(column) == of["CSP-MC-BLD"]
    full = means(2, "CSP-MC-BLD")
    for name in ("CSP-MC-BD", "CSP-MC-BL", "CSP-MC-B"):
        assert all(less < more for less, more in zip(means(2, name), full, strict=True))
    dims = [64, 128, 256, 512, 1024]
    columns = list(zip(*(means(3, f"CSP-MC-BLD, d = {d}") for d in dims), strict=True))
    assert [dims[column.index(max(column))] for column in columns] == [256, 256, 256, 1024]


def test_tables_repeat_one_another_where_the_paper_does() -> None:
    """Table 3's d = 256 is Table 1 but at 100 %, where Tables 1 and 2 print d = 1024; Table 4's Inception is Table 1 at 5 %."""
    assert means(2, "CSP-MC-BLD") == means(1, "CSP-MC-BLD")
    assert means(3, "CSP-MC-BLD, d = 256")[:3] == means(1, "CSP-MC-BLD")[:3]
    assert means(3, "CSP-MC-BLD, d = 1024")[3] == means(1, "CSP-MC-BLD")[3] != means(3, "CSP-MC-BLD, d = 256")[3]
    assert [row.paper[0][0] for row in TABLES[4].rows] == [row.paper[0][0] for row in TABLES[1].rows if row.paper]


COLUMN = Column("", "", 0.5)


def two_rows(a: tuple[float, float | None], b: tuple[float, float | None]) -> Table:
    rows = (Row("a", "a", (), (a,)), Row("b", "b", (), (b,)))
    return Table(9, "", "", "", (COLUMN,), rows, (("a", "b"),))


@pytest.mark.parametrize(
    ("a", "b", "sign"),
    [
        ((2.0, 0.1), (1.0, 0.1), 1),
        ((1.0, 0.1), (2.0, 0.1), -1),
        ((1.02, 0.01), (1.0, 0.01), 0),  # within 0.01 + 0.01
        ((1.03, 0.01), (1.0, 0.01), 1),
        ((1.01, None), (1.0, 0.5), 1),  # no spread is printed: the sign is all there is
        ((1.0, None), (1.0, None), 0),
    ],
)
def test_an_order_is_expected_where_the_difference_exceeds_the_printed_spreads(a: Any, b: Any, sign: int) -> None:
    assert two_rows(a, b).expected_sign("a", "b", COLUMN) == sign


def signs(number: int, name: str, minus: str) -> list[int | None]:
    """The orders of the paper's columns."""
    return [TABLES[number].expected_sign(name, minus, column) for column in TABLES[number].columns if column.in_paper]


def test_no_order_is_expected_where_the_paper_calls_results_comparable() -> None:
    assert signs(5, "CSP-MC-BLD", "CSP-NCE-BLD") == [1, 0, 0, 1]
    assert signs(1, "MSE", "Sup. Only (grid)")[0] == 0
    assert signs(3, "CSP-MC-BLD, d = 1024", "CSP-MC-BLD, d = 256") == [-1, -1, -1, 1]


@pytest.mark.parametrize("number", TABLES)
def test_every_cell_that_can_run_is_valid_params_and_rows_differ(number: int) -> None:
    table, workspace = TABLES[number], load(ROOT / "params.yaml")
    made = {}
    for row, column in itertools.product(table.rows, table.columns):
        if row.model == "combined":
            params = with_values(workspace, (*column.overrides, *row.overrides))
            made[row.slug, column.overrides] = str([recorded(params, stage) for stage in VIEWS])
    assert len(set(made.values())) == len(made) > 0
    for pair in table.comparisons:
        assert {table.row(name).name for name in pair} == set(pair)
    assert len({row.slug for row in table.rows}) == len(table.rows)


def test_a_row_is_what_its_name_says_whatever_the_workspace_holds() -> None:
    odd = with_values(
        load(ROOT / "params.yaml"),
        [
            ("loss", "none"),
            ("image_encoder.seed", 7),
            ("losses.mc.terms", "B"),
            ("losses.nce.terms", "B"),
            ("location_encoder.encoding.name", "wrap"),
            ("location_encoder.network.name", "residual"),
        ],
    )
    for name, loss in (("CSP-MC-BLD", "mc"), ("CSP-NCE-BLD", "nce"), ("MSE", "mse"), ("Sup. Only (grid)", "none")):
        params = with_values(odd, TABLES[1].row(name).overrides)
        assert params.loss == loss
        assert params.image_encoder.seed == 0
        assert params.location_encoder.encoding.name == "grid"
        assert params.location_encoder.network.name == "ffn"
        if name.startswith("CSP"):
            assert value_at(params, f"losses.{loss}.terms") == "BLD"


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("name", ["Sup. Only (grid)", "CSP-MC-BLD"])
def test_the_row_of_another_f_star_differs_in_its_image_network_alone(name: str, number: int) -> None:
    workspace, first, other = load(ROOT / "params.yaml"), TABLES[1].row(name), TABLES[1].row(f"{name}, F* {number}")
    changed = with_values(with_values(workspace, first.overrides), [("image_encoder.seed", number - 1)])
    assert with_values(workspace, other.overrides) == changed
    differ = {stage for stage in VIEWS if recorded(changed, stage) != recorded(with_values(workspace, first.overrides), stage)}
    assert differ == {"pretrain-img"}


def test_the_columns_of_fixed_labels_have_so_many_labels_of_so_many_images() -> None:
    table, labels = TABLES[6], []
    for column in table.columns:
        params = with_values(load(ROOT / "params.yaml"), column.overrides)
        assert column.ratio in params.split.label_ratios
        labels.append((params.dataset.blue_marble.train, round(column.ratio * params.dataset.blue_marble.train)))
    assert labels == [(n, m) for n in (2000, 6000, 20000, 60000) for m in (100, 400)]
    assert not any(table.printed(row, column) for row in table.rows for column in table.columns)
