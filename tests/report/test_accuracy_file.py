"""accuracy.tsv has the same columns whatever the run."""

from pathlib import Path
from typing import Any

from cspops.report.page import write_accuracy


def scores(top1: float) -> dict[str, Any]:
    return {model: {"top1": {"mean": top1, "sd": 1.0}} for model in ("image", "location", "combined", "calibrated", "knn")}


def test_a_line_a_label_ratio_and_nothing_for_a_set_without_rows(tmp_path: Path) -> None:
    write_accuracy(tmp_path / "a.tsv", {"spatial_test": {"label_0p5": scores(12.5), "label_100": scores(50.0)}})
    header, *lines = [line.split("\t") for line in (tmp_path / "a.tsv").read_text().splitlines()]
    assert header == ["labels", *(f"{role}_{one}" for role in ("test", "spatial_test") for one in list(scores(0))[:4])]
    assert lines == [["0.5", *[""] * 4, *["12.5000"] * 4], ["100", *[""] * 4, *["50.0000"] * 4]]
