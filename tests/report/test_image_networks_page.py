"""The page of image networks."""

from typing import Any

from cspops.report.image_networks_page import accuracy_rows, fact_rows, listing_rows, page, remarks, roles, setting_rows

BARE: dict[str, Any] = {"files": {}, "images": {"px": 32}, "settings": None, "method": "none"}
DOCUMENT: dict[str, Any] = {
    "title": "Image networks",
    "dataset": "folder",
    "rows_of_data": {"train": 2000, "val": 40, "test": 50, "classes": 3},
    "labels": {"label_0p5": [10, 12], "label_100": [2000]},
    "seeds": [0, 3],
    "probe": {"l2": [0.1, 0.003], "max_iterations": 7},
    "rows": [
        BARE
        | {"name": "colour statistics", "model": None, "weights": None, "dim": 6, "note": None, "facts": {}}
        | {"scores": {"label_0p5": {"val": {"mean": 25.004, "sd": 0.5}, "test": {"mean": 26.0, "sd": 1.0}}, "label_100": {}}},
        BARE
        | {
            "name": "geo_kr",
            "model": "timm:a",
            "weights": "random",
            "method": "geo_kr",
            "settings": {"epochs": 2, "x": None, "turns": True},
        }
        | {"dim": 512, "note": "It saw a raster", "scores": {}}
        | {"facts": {"knn_km_after": {"mean": 1234.5678, "sd": 12.3}, "kind": "a|b"}},
        BARE | {"name": "seco", "model": "timm:a", "weights": "random", "refused": "no image has a date"},
    ],
}


def test_a_network_without_a_number_has_a_dash() -> None:
    header, *rows = accuracy_rows(DOCUMENT, "test")
    assert header == ["features", "numbers", "0.5 %", "100 %"]
    assert rows == [["colour statistics", "6", "26.00 (1.00)", "-"], ["geo_kr", "512", "-", "-"], ["seco", "missing", "-", "-"]]
    assert accuracy_rows(DOCUMENT, "val")[1][2] == "25.00 (0.50)"


def test_one_seed_has_no_deviation() -> None:
    alone = DOCUMENT | {"seeds": [0]}
    assert accuracy_rows(alone, "test")[1] == ["colour statistics", "6", "26.00", "-"]
    assert fact_rows(alone)[1] == ["geo_kr", "knn_km_after", "1235"]
    assert "Top-1, per cent: one seed. Labels" in page(alone)


def test_a_set_without_rows_is_left_out() -> None:
    assert roles(DOCUMENT) == ["test", "val"]
    without = DOCUMENT | {"rows_of_data": {"train": 2000, "val": 40, "classes": 3}}
    assert roles(without) == ["val"]
    assert "## Test" not in page(without)
    assert "2,000 training rows, 40 validation rows with a label" in page(without)


def test_facts_are_numbers_over_seeds_or_words() -> None:
    assert fact_rows(DOCUMENT)[1:] == [["geo_kr", "knn_km_after", "1235 (12.3)"], ["geo_kr", "kind", "a|b"]]


def test_settings_name_what_each_network_is() -> None:
    assert setting_rows(DOCUMENT)[1:] == [
        ["colour statistics", "-", "none", "px 32"],
        ["geo_kr", "timm:a", "geo_kr", "weights random, px 32, epochs 2, turns true"],
        ["seco", "timm:a", "none", "weights random, px 32"],
    ]


def test_remarks_hold_notes_refusals_and_what_facts_mean() -> None:
    assert remarks(DOCUMENT) == [
        "geo_kr: It saw a raster",
        "Missing: seco: no image has a date",
        "knn_km: the median distance between a training image and its nearest neighbour in features, in kilometres",
        "50 test rows: one is 2.0 points",
        "40 validation rows: one is 2.5 points",
    ]
    assert remarks(DOCUMENT | {"rows": [], "rows_of_data": {"train": 2000, "val": 500, "test": 5000, "classes": 3}}) == []


def test_no_name_on_the_page_steers_a_terminal() -> None:
    said = page(DOCUMENT | {"dataset": "a\x1b]0;x\x07\u202e"})
    assert r"\x1b]0;x\x07\u202e" in said.replace("\\\\", "\\")
    assert "\x1b" not in said


def test_the_page() -> None:
    said = page(DOCUMENT)
    assert "50 test and 40 validation rows with a label, 3 classes. A seed (0, 3) draws" in said
    assert "mean (standard deviation) over 2 seeds. Labels taught: 0.5 %: 10 or 12; 100 %: 2,000." in said
    assert "| geo\\_kr | kind | a\\|b |" in said
    assert "| colour statistics | 6 | 26.00 (1.00) | - |" in said
    assert "Probe: L2 one of 0.1, 0.003, at most 7 iterations." in said
    assert said.endswith("\n")


def test_the_listing() -> None:
    rows = [row | {"computed": "scores" in row} for row in DOCUMENT["rows"]]
    assert [line[0] + " " + line[-1] for line in listing_rows(rows)[1:]] == ["colour statistics yes", "geo_kr yes", "seco no"]
