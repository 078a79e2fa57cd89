"""What was trained, used through the command line, says what stage evaluate wrote down of the same rows."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_project import run

ROWS, SEED, RATIO = 24, 1, 0.1


@pytest.fixture(scope="module")
def judged(project: Path) -> list[dict[str, Any]]:
    """The first test rows: their observation, and what stage evaluate says of them."""
    rows = pq.read_table(project / "artifacts/evaluate/predictions.parquet").to_pylist()
    said = [row for row in rows if (row["role"], row["seed"], row["label_ratio"]) == ("test", SEED, RATIO)][:ROWS]
    observations = {
        row["obs_id"]: row for row in pq.read_table(project / "artifacts/download/observations.parquet").to_pylist()
    }
    return [row | {"observation": observations[row["obs_id"]]} for row in said]


@pytest.fixture(scope="module")
def classes(project: Path) -> list[str]:
    names: list[str] = json.loads((project / "artifacts/download/classes.json").read_text())
    return names


@pytest.fixture(scope="module")
def table(project: Path, judged: list[dict[str, Any]], classes: list[str]) -> Path:
    """A CSV table beside lossless copies of the images."""
    folder = project / "given"
    folder.mkdir()
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "lon", "lat", "label"])
        for row in judged:
            seen = row["observation"]
            with Image.open(io.BytesIO(seen["image"]["bytes"])) as image:
                image.save(folder / f"{row['obs_id']}.png")
            writer.writerow([f"{row['obs_id']}.png", seen["lon"], seen["lat"], classes[row["label"]]])
    return folder / "table.csv"


def test_predict_says_what_evaluate_wrote(project: Path, table: Path, judged: list[dict[str, Any]], classes: list[str]) -> None:
    words = ["predict", str(table), "--format", "jsonl", "--top", "3", "--seed", str(SEED), "--label-ratio", str(RATIO)]
    found = [json.loads(line) for line in run(project, "cspops", *words).stdout.splitlines()]
    assert len(found) == len(judged)
    for row, evaluated in zip(found, judged, strict=True):
        for said, model in {"image": "image", "location": "location", "pool": "pool"}.items():
            assert [one["class"] for one in row[said]] == [classes[number] for number in evaluated[model][:3]]


def test_evaluate_on_the_same_rows_counts_the_same(project: Path, table: Path, judged: list[dict[str, Any]]) -> None:
    words = ["evaluate", "--on", str(table), "--seed", str(SEED), "--label-ratio", str(RATIO), "--json"]
    document = json.loads(run(project, "cspops", *words).stdout)
    for model in ("image", "location", "combined", "pool"):
        hits = sum(row[model][0] == row["label"] for row in judged)
        assert document["metrics"][model]["top1"]["mean"] == pytest.approx(100 * hits / len(judged), abs=1e-3)


def test_one_bad_image_does_not_stop_the_rest(project: Path, table: Path) -> None:
    (table.parent / "broken.jpg").write_bytes(b"not an image")
    done = run(project, "cspops", "predict", str(table.parent / "broken.jpg"), str(table), "--format", "csv", check=False)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1 + 1 + ROWS
    assert "1 of 25 rows" in done.stderr


def test_the_map_of_a_class_is_the_learned_location_and_the_neighbours_on_a_grid(project: Path, classes: list[str]) -> None:
    import rasterio
    import torch

    import cspops

    model = cspops.load(project, seed=1)
    words = ["map", classes[0], "--out", "class.tif", "--box", "0", "40", "4", "42", "--grid", "1", "--seed", "1"]
    for more, log_p in (([], model.place_log_p), (["--combine", "location"], model.location_log_p)):
        run(project, "cspops", *words, *more)
        with rasterio.open(project / "class.tif") as raster:
            values, lonlat = raster.read(1), [raster.xy(row, column) for row in range(2) for column in range(4)]
        expected = log_p(torch.tensor(lonlat, dtype=torch.float64)).exp()[:, 0]
        assert values.ravel().tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_notebook_embeds_places_with_the_encoder_alone(project: Path) -> None:
    code = (
        "import sys, cspops; model = cspops.load('artifacts/pretrain/seed_0');"
        "print(model.encode_location([[8.54, 47.37]]).shape);"
        "assert not {'timm', 'torchvision', 'PIL'} & set(sys.modules)"
    )
    assert run(project, "python", "-c", code, processes="cold").stdout.strip() == "(1, 256)"
