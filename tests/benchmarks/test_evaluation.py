"""Blocks and whole tables give the same metrics on a small set, and the table is printed."""

import json
from pathlib import Path

import pytest

from benchmarks import evaluation
from benchmarks.evaluation import Shapes, in_blocks, whole, write
from cspops import kernels
from cspops.pipeline import evaluate

TINY = Shapes(rows=30, classes=12, labelled=60, features=5, dim=6, scales=3, hidden=10)


def test_both_ways_judge_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows at a time, three in the cache, against whole tables; metrics of scores.json are rounded to 4 digits."""
    inputs = write(tmp_path / "artifacts", TINY)
    monkeypatch.setattr(kernels, "TABLE", 7 * 12)
    monkeypatch.setattr(kernels, "CACHE", 3 * 12)
    monkeypatch.setattr(evaluate, "AT_ONCE", 7 * 12)
    in_blocks(inputs, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "reports" / "scores.json").read_text())["test"]["label_5"]
    tables = whole(inputs, tmp_path / "out")
    assert list(tables) == list(found)
    for model, scores in tables.items():
        for metric, value in found[model].items():
            assert value["mean"] == pytest.approx(scores[metric], abs=2e-4), (model, metric)


def test_it_prints_a_line_a_measurement(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measured(way: str, shapes: Shapes, threads: int) -> dict[str, float]:
        asked.append((way, shapes.rows, threads))
        return {"wall": 1.0, "cpu": {"whole": 4.0, "in blocks": 2.0, "product": 1.0}[way], "before_mb": 600.0, "peak_mb": 900.0}

    monkeypatch.setattr(evaluation, "in_a_process", measured)
    evaluation.main(TINY, ["--rows", "50", "--beside", "20"])
    assert asked == [("whole", 20, 1), ("in blocks", 20, 1), ("product", 50, 1), ("in blocks", 50, 1)]
    said = capsys.readouterr().out
    assert "2.00 times the CPU time and 1.00 times the memory" in said
    assert "at 2 x 50 rows the stage takes 2.00 times the CPU time of the product, 1.0 s more" in said
