"""Tables and sentences of the report from small trees of numbers."""

from typing import Any

import pytest

from cspops.report.page import EXTREMES, where_sentences
from cspops.report.tables import (
    LEAST_CALIBRATED,
    LEAST_IN_BIN,
    accuracy_rows,
    as_code,
    as_text,
    effort_rows,
    interval_rows,
    metric_rows,
    probability,
    region_rows,
    region_title,
    worst_rows,
)

ONE = {"mean": 50.0, "sd": 1.25}


def cell(west: int, south: int, rows: float, gain: float) -> dict[str, Any]:
    return {"west": west, "east": west + 30, "south": south, "north": south + 30, "rows": rows, "gain": gain}


def scores(*models: str, sd: float) -> dict[str, Any]:
    return {name: {"top1": {"mean": float(number), "sd": sd}} for number, name in enumerate(models)}


@pytest.mark.parametrize(("sd", "ending"), [(0.0, ""), (0.5, " (0.50)")])
def test_accuracy_has_a_column_for_each_model_asked_for_and_deviations_where_there_are_any(sd: float, ending: str) -> None:
    models = scores("image", "location", "combined", "pool", sd=sd)
    assert accuracy_rows({"spatial_test": {"label_0p5": models}}) == [
        ["set", "labels", "image", "location", "product", "pool"],
        ["spatial test", "0.5 %", *(f"{number}.00{ending}" for number in range(4))],
    ]
    assert accuracy_rows({"test": {"label_5": models}}, models=("location",))[1] == ["test", "5 %", f"1.00{ending}"]


def test_a_number_without_a_deviation_among_others_shows_so() -> None:
    both = {"label_5": scores("image", sd=0.5), "label_100": scores("image", sd=0.0)}
    assert [row[2] for row in accuracy_rows({"test": both}, models=("image",))[1:]] == ["0.00 (0.50)", "0.00 (0.00)"]


def test_a_model_without_a_metric_has_a_dash() -> None:
    rows = metric_rows({"combined": {"top1": ONE, "ece": ONE}, "kde": {"top1": ONE}}, rows=LEAST_CALIBRATED)
    assert rows == [["model", "top1", "ece"], ["product", "50.00 (1.25)", "50.00 (1.25)"], ["kde", "50.00 (1.25)", "-"]]
    few = metric_rows({"combined": {"top1": ONE, "ece": ONE}}, rows=LEAST_CALIBRATED - 1)
    assert few[1] == ["product", "50.00 (1.25)", "-"]
    assert metric_rows({"kde": {"top1": {"mean": 50.0, "sd": 0.0}}}, rows=1) == [["model", "top1"], ["kde", "50.00"]]


def test_differences_have_signs_and_intervals() -> None:
    found = {"combined_minus_image": {"mean": 1.234, "low": -0.5, "high": 3.0, "rows": 5000, "seeds": 5}}
    assert interval_rows({"test": {"label_5": found}}) == [
        ["set", "labels", "rows", "product minus image"],
        ["test", "5 %", "5,000", "+1.23 [-0.50, +3.00]"],
    ]


@pytest.mark.parametrize(
    ("row", "kind", "title"),
    [
        ({"from": -30, "to": -15}, "latitude", "30 S - 15 S"),
        ({"from": -15, "to": 0}, "latitude", "15 S - 0"),
        ({"from": 0, "to": 15}, "latitude", "0 - 15 N"),
        ({"from": 50.0, "to": 100.0}, "distance", "50 - 100 km"),
        ({"from": 800.0, "to": None}, "distance", "800 km or more"),
        ({"from": 0, "to": 1}, "density", "0"),
        ({"from": 3, "to": 10}, "density", "3 to 9"),
        ({"from": 30, "to": None}, "density", "30 or more"),
        ({"name": "Peru"}, "country", "Peru"),
        (cell(-180, 30, 1, 1), "cell", "180 W - 150 W, 30 N - 60 N"),
        (cell(-30, -30, 1, 1), "cell", "30 W - 0, 30 S - 0"),
    ],
)
def test_regions_are_named_with_sides_of_the_map(row: dict[str, Any], kind: str, title: str) -> None:
    assert region_title(row, kind) == title


def test_a_row_of_regions_for_each_set() -> None:
    row = {"from": 0.0, "to": 50.0, "rows": 1234.5, "image": 40.0, "location": 50.0, "combined": 38.0, "gain": -2.0}
    rows = region_rows({"test": {"distance": [row]}, "spatial_test": {"distance": []}}, "distance")
    assert rows == [
        ["set", "distance", "rows", "image", "location", "product", "product - image"],
        ["test", "0 - 50 km", "1,234.5", "40.00", "50.00", "38.00", "-2.00"],
    ]


def test_a_fusion_has_a_column_where_it_was_scored() -> None:
    models = scores("image", "location", "combined", "pool", "fusion", "kde", sd=0.0)
    assert accuracy_rows({"test": {"label_5": models}})[0][2:] == ["image", "location", "product", "pool", "fusion"]
    row = {
        "name": "Peru",
        "rows": 60.0,
        "image": 1.0,
        "location": 2.0,
        "combined": 3.0,
        "pool": 5.0,
        "fusion": 4.0,
        "gain": 4.0,
    }
    assert region_rows({"test": {"country": [row], "worst": [{"kind": "country"}]}}, "country") == [
        ["set", "country", "rows", "image", "location", "product", "fusion", "pool", "pool - image"],
        ["test", "Peru", "60", "1.00", "2.00", "3.00", "4.00", "5.00", "+4.00"],
    ]


def test_the_worst_groups_and_effort_are_one_row_each() -> None:
    worst = {
        "kind": "country",
        "model": "combined",
        "name": "Peru",
        "of": 23,
        "rows": 1234,
        "top1": 50.0,
        "low": 39.34,
        "high": 63.935,
    }
    effort = {"cells": 576.0, "cell_degrees": 5.0, "mean": 0.2035, "mean_abs": 0.31, "by_chance": 0.0333}
    places = {"test": {"worst": [worst], "effort": [effort]}, "spatial_test": {"worst": [], "effort": []}}
    assert worst_rows(places)[1:] == [["test", "country, of 23", "product", "Peru", "1,234", "50.00 [39.34, 63.94]"]]
    assert effort_rows(places)[1:] == [["test", "576", "+0.20", "+0.31", "+0.03", "-"]]
    assert len(worst_rows({"test": {"latitude": []}})) == len(effort_rows({"test": {"latitude": []}})) == 1  # of an earlier run


def test_the_sentence_names_the_extremes_among_cells_with_rows_enough_and_claims_no_more() -> None:
    """The cells of 49 rows have the greatest and the least gain, and are not named."""
    cells = [cell(0, 0, 49, 99), cell(30, 0, 50, 20), cell(60, 0, 400, 5), cell(90, 0, 80, -3.5), cell(120, 0, 49, -99)]
    assert where_sentences({"test": {"cell": cells}, "spatial_test": {"cell": cells[:2]}}) == [
        "On the test set, pool minus image is greatest in 30 E - 60 E, 0 - 30 N (+20.0 points, 50 rows) and least in "
        "90 E - 120 E, 0 - 30 N (-3.5 points, 80 rows), of the 3 cells of 30 degrees with at least 50 rows.",
        "On the spatial test set, fewer than two cells of 30 degrees have 50 rows.",
        EXTREMES,
    ]
    assert len(where_sentences({"test": {"cell": cells[:2]}})) == 1


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("Csa", "Csa", "`Csa`"),
        ("Quercus robur", "Quercus robur", "`Quercus robur`"),
        ("a|b", r"a\|b", "`a|b`"),
        (" two\r\n\tlines ", "two lines", "`two lines`"),
        ("`x`", r"\`x\`", "`` `x` ``"),
        ("a``b", r"a\`\`b", "``` a``b ```"),
        ("air_port*", r"air\_port\*", "`air_port*`"),
        ("\\", "\\\\", "`\\`"),
        ("動物", "動物", "`動物`"),
    ],
)
def test_names_of_the_data_are_no_markup(name: str, text: str, code: str) -> None:
    assert (as_text(name), as_code(name)) == (text, code)


def test_small_regions_are_one_row_of_all_their_rows() -> None:
    def region(start: int, rows: float, image: float) -> dict[str, float]:
        return {"from": start, "to": start + 15, "rows": rows, "image": image, "location": 0.0, "combined": 0.0} | {
            "gain": -image
        }

    places = {"latitude": [region(-30, 1.0, 100.0), region(-15, LEAST_IN_BIN, 50.0), region(0, 3.0, 60.0)]}
    rows = [row[1:4] for row in region_rows({"test": places}, "latitude")[1:]]
    assert rows == [["15 S - 0", "20", "50.00"], ["others (2 bins)", "4", "70.00"]]
    assert region_rows({"test": {"latitude": places["latitude"][:1]}}, "latitude")[1][1] == "others (1 bin)"
    assert region_title({"others": 2}, "continent") == "others (2 continents)"


@pytest.mark.parametrize(("share", "text"), [(0.0, "< 0.01"), (0.01, "0.01"), (0.99, "0.99"), (0.9951, "> 0.99")])
def test_no_probability_is_written_as_certain(share: float, text: str) -> None:
    assert probability(share) == text
