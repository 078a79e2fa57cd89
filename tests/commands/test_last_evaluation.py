"""What stage evaluate wrote last, read again: by label ratio, by region, by class."""

import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from in_process import command_line
from judged_set import RATIOS, SEEDS, UNLOCATED, VIEW, write_site

from cspops.commands.evaluate import metrics_text, read_last
from cspops.data.splits import ratio_key
from cspops.errors import DataError, ParamsError
from cspops.pipeline import evaluate
from cspops.report.tables import TITLES


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The folder of a project with the results of a small stage evaluate."""
    folder = tmp_path_factory.mktemp("site")
    site = write_site(folder)
    evaluate.run(VIEW, site)
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(site.out / "reports", project / "reports")
    shutil.copytree(site.out, project / "artifacts" / "evaluate")
    shutil.copytree(folder / "download", project / "artifacts" / "download")
    return project


@pytest.fixture(autouse=True)
def here(evaluated, monkeypatch):
    monkeypatch.chdir(evaluated)


def test_metrics_are_the_file_and_of_one_ratio_a_part_of_it(evaluated):
    whole = json.loads(metrics_text())
    assert read_last()["metrics"] == whole == json.loads((evaluated / "reports" / "scores.json").read_text())
    part = read_last(label_ratio=0.5)
    assert part["label_ratio"] == 0.5
    assert part["metrics"] == {role: {"label_50": found["label_50"]} for role, found in whole.items()}


def test_each_set_is_shown_with_its_rows_and_seeds(evaluated, monkeypatch, capsys):
    rows = {role: next(iter(gaps.values()))["pool_minus_image"]["rows"] for role, gaps in intervals(evaluated).items()}
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = command_line(monkeypatch, capsys)("evaluate", "--show", "--by", "region")
    over = f"per cent, mean (sd) over {len(SEEDS)} seeds"
    assert status == 0
    assert [line for line in out.splitlines() if line.startswith("Top-1 on ")] == [
        f"Top-1 on {TITLES[role]}: {rows[role]:,} rows, {over}" for role in read_last()["metrics"]
    ]
    assert {f"Top-1 by {kind} on test, 100 % of the labels" for kind in ("latitude", "cell", "distance")} <= {*out.splitlines()}


def test_of_one_seed_no_deviation_is_shown(evaluated, tmp_path, monkeypatch, capsys):
    shutil.copytree(evaluated / "reports", tmp_path / "reports")
    monkeypatch.chdir(tmp_path)
    for name, old, new in (("intervals", r'"seeds": \d+', '"seeds": 1'), ("scores", r'"sd": [\d.]+', '"sd": 0.0')):
        file = tmp_path / "reports" / f"{name}.json"
        file.write_text(re.sub(old, new, file.read_text()))
    cspops = command_line(monkeypatch, capsys)
    _, out, _ = cspops("evaluate", "--show")
    assert "rows, per cent, one seed" in out and "(sd)" not in out and not re.search(r"\(\d", out)
    (tmp_path / "reports" / "intervals.json").write_text("{}")
    assert cspops("evaluate", "--show")[2] == "error: reports/intervals.json holds nothing on test\nhint: dvc repro evaluate\n"


def intervals(project):
    return json.loads((project / "reports" / "intervals.json").read_text())


@pytest.mark.parametrize("ratio", [None, *RATIOS])
def test_regions_are_those_of_one_ratio(evaluated, ratio):
    places = json.loads((evaluated / "reports" / "regions.json").read_text())
    key = ratio_key(ratio or 1.0)
    assert read_last(label_ratio=ratio, by_region=True)["regions"] == {role: found[key] for role, found in places.items()}


def test_the_classes_together_are_the_metrics(evaluated):
    """Top-1 of all rows is the mean of the classes' top-1 by their rows; here location meets a row without a position."""
    pieces = pq.read_table(evaluated / "artifacts/evaluate/predictions.parquet", columns=["obs_id"])
    assert any(f"o{number}" in pieces["obs_id"].to_pylist() for number in UNLOCATED)
    for ratio in RATIOS:
        document = read_last(label_ratio=ratio, by_class=True)
        for role, models in document["metrics"].items():
            classes = document["per_class"][role]
            rows = sum(one["rows"] for one in classes)
            for model in ("image", "location", "combined", "pool"):
                top1 = sum(one["rows"] * one["top1"][model] for one in classes) / rows
                assert top1 == pytest.approx(models[ratio_key(ratio)][model]["top1"]["mean"], abs=1e-3)
                for one in classes:
                    other = one["taken_for"][model]
                    assert other is None or (
                        other["class"] != one["class"] and other["share"] <= 100 - one["top1"][model] + 1e-3
                    )


def test_what_is_missing_or_broken_is_named(evaluated, tmp_path, monkeypatch):
    with pytest.raises(ParamsError, match=r"has no label ratio 0\.1: it has 0\.5, 1"):
        read_last(label_ratio=0.1)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"reports/scores\.json is missing"):
        metrics_text()
    shutil.copytree(evaluated / "reports", "reports")
    with pytest.raises(DataError, match=r"artifacts/download/classes\.json is missing"):
        read_last(by_class=True)
    shutil.copytree(evaluated / "artifacts" / "download", "artifacts/download")
    with pytest.raises(DataError, match=r"predictions\.parquet is missing"):
        read_last(by_class=True)
    (tmp_path / "artifacts" / "evaluate").mkdir()
    (tmp_path / "artifacts" / "evaluate" / "predictions.parquet").write_bytes(b"PAR1 broken PAR1")
    with pytest.raises(DataError, match=r"predictions\.parquet is broken"):
        read_last(by_class=True)
    pq.write_table(pa.table({"seed": SEEDS}), "artifacts/evaluate/predictions.parquet")
    with pytest.raises(DataError, match=r"predictions\.parquet is broken"):
        read_last(by_class=True)
    for text in ("[", "[]", "{}"):
        (tmp_path / "reports" / "scores.json").write_text(text)
        with pytest.raises(DataError, match=r"scores\.json (is broken|holds no results)"):
            read_last()


def test_the_predictions_are_read_in_parts(monkeypatch):
    whole = read_last(by_class=True)
    batches = pq.ParquetFile.iter_batches
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda self, columns: batches(self, batch_size=7, columns=columns))
    assert read_last(by_class=True) == whole
