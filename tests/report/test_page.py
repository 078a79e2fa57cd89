"""The page says what the maps show."""

from pathlib import Path
from typing import Any

import pytest

from cspops.report.material import Drawn
from cspops.report.page import NAMED, cluster_words, data_section, image_section, map_section, write_accuracy


def test_the_maps_come_with_words_and_alternative_texts() -> None:
    text = map_section(
        "Csa",
        title="Csa (hot, dry summer)",
        clusters=["untrained", "with labels"],
        words="In 12 clusters.",
        tested="those of the test set",
    )
    assert "In 12 clusters.\n\n![World maps of the clusters: untrained and with labels](figures/clusters.png)" in text
    assert "## Where `Csa (hot, dry summer)` is\n\nP(Csa | x), with" in text and "and those of the test set. Hatched" in text
    assert "![World maps of P(Csa | x) at the smallest and the largest label ratio](figures/class.png)" in text


@pytest.mark.parametrize(("titles", "said"), [("a", "one map shows before and after"), ("ab", "55 % of the land keeps")])
def test_of_equal_embeddings_there_is_one_map(titles: str, said: str) -> None:
    words = cluster_words(12, Drawn(dict.fromkeys(titles, Path()), {}, {}, [], {}, kept=0.546, end="farther than 2 km"))
    assert "in 12 clusters" in words and said in words and words.endswith(" Hatched: land farther than 2 km.")


ACCOUNT: dict[str, Any] = {
    "rows": 200,
    "observations": 193,
    "rejected": 7,
    "reasons": {"latitude is outside [-90, 90]": 4, "image file is not there": 3},
    "notes": {"decimal comma": 12},
    "warnings": ["3 classes have one example:\nx, y, z"],
    "without_position": 5,
    "without_label": 0,
    "classes": {"oak": 100, "ash": 3, "elm": 90},
    "official_split": {"none": 193},
}


def test_counts_reasons_notes_and_warnings_are_there() -> None:
    text = data_section(ACCOUNT, {"oak": "oak (Quercus)"})
    assert "200 rows of the source: 193 observations, 7 rows set aside (3.5 %)." in text
    assert "Of the observations 5 without position and 0 without label." in text
    assert "3 classes of 3 to 100 observations, median 90: oak (Quercus), ash, elm." in text
    assert r"latitude is outside \[-90, 90\] | 4 |" in text
    assert "decimal comma | 12 |" in text
    assert "- 3 classes have one example: x, y, z" in text


def test_nothing_set_aside_makes_no_table_and_many_classes_are_not_all_named() -> None:
    many = {f"class {number}": 1 for number in range(NAMED + 2)}
    text = data_section(ACCOUNT | {"rejected": 0, "reasons": {}, "notes": {}, "warnings": [], "classes": many}, {})
    assert "0 rows set aside." in text
    assert "|" not in text
    assert f"{NAMED + 2} classes of 1 observations each: class 0," in text
    assert f"class {NAMED - 1} and 2 more." in text


def test_no_class_is_said_so() -> None:
    assert "There is no class." in data_section(ACCOUNT | {"classes": {}}, {})


def test_a_method_alone() -> None:
    assert image_section({"method": "none"}) == "Pre-training of the image network: `none`."


def test_notes_and_numbers_with_their_meaning() -> None:
    facts = {"method": "geokr", "note": "It saw a raster", "fallback": 0.25, "knn_km_before": 812.5, "knn_km_after": 300.0}
    said = image_section(facts)
    assert said.startswith(
        "Pre-training of the image network: `geokr`. It saw a raster. "
        "`fallback` 0.25; `knn_km_before` 812.5; `knn_km_after` 300.0."
    )
    assert said.endswith(
        "`knn_km`: the median distance between a training image and its nearest neighbour in features, in kilometres."
    )


def scores(top1: float) -> dict[str, Any]:
    return {model: {"top1": {"mean": top1, "sd": 1.0}} for model in ("image", "location", "combined", "pool", "knn")}


def test_a_line_a_label_ratio_and_nothing_for_a_set_without_rows(tmp_path: Path) -> None:
    write_accuracy(tmp_path / "a.tsv", {"spatial_test": {"label_0p5": scores(12.5), "label_100": scores(50.0)}})
    header, *lines = [line.split("\t") for line in (tmp_path / "a.tsv").read_text().splitlines()]
    assert header == ["labels", *(f"{role}_{one}" for role in ("test", "spatial_test") for one in list(scores(0))[:4])]
    assert lines == [["0.5", *[""] * 4, *["12.5000"] * 4], ["100", *[""] * 4, *["50.0000"] * 4]]
