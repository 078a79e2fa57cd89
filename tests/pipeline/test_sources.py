"""Every source gives a catalogue that is split; one of each kind goes on through every stage. Small, in one process."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from edited_params import set_params
from photos import write_photos
from published_sets import write_fmow, write_fmow_features, write_inat2018, write_inat2018_features
from typer.testing import CliRunner

from cspops.commands import app
from cspops.data.catalogue import read_observations
from cspops.data.schemas import REJECTED_SCHEMA, SCHEMA
from cspops.params import VIEWS
from cspops.params.graph import NEEDS
from cspops.report import figures

ROOT = Path(__file__).parents[2]

SMALL: dict[str, Any] = {
    "seeds": [0, 1],
    "split.label_ratios": [0.1, 1.0],
    "image_encoder.model": "timm:test_resnet",
    "pretrain_img.method": "none",
    "pretrain.epochs": 3,
    "pretrain.batch_size": 64,
    "finetune_loc.modes.probe_then_full.steps": 40,
    "finetune_img.modes.linear_probe.max_iterations": 20,
    "report.grid_degrees": 5.0,
}


def write_folder(data: Path, host: Path) -> dict[str, Any]:
    write_photos(data, 120, exif=True)
    return {"dataset.source": "folder"}


def write_table(data: Path, host: Path) -> dict[str, Any]:
    photos = write_photos(data / "images", 120, exif=False)
    with (data / "sightings.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["occurrenceID", "decimalLatitude", "decimalLongitude", "scientificName", "image", "locationID"])
        for number, photo in enumerate(photos):
            position = ["", ""] if number % 10 == 0 else [f"{photo.lat}".replace(".", ","), f"{photo.lon}".replace(".", ",")]
            label = "" if number % 7 == 0 else photo.label
            writer.writerow([f"o{number}", *position, label, f"images/{photo.path}", f"place {number // 4}"])
    columns = {"dataset.table.columns.location_id": "locationID", "dataset.table.file": "sightings.csv"}
    return {"dataset.source": "table", "split.unit": "location_id"} | columns


def write_inat(data: Path, host: Path) -> dict[str, Any]:
    write_inat2018(host / "inat2018")
    return {"dataset.source": "inat2018"}


def write_inat_features(data: Path, host: Path) -> dict[str, Any]:
    write_inat2018_features(host / "inat2018")
    return {"dataset.source": "inat2018", "dataset.inat2018.form": "features", "location_encoder.time": "harmonics"}


def write_inat_predictions(data: Path, host: Path) -> dict[str, Any]:
    write_inat2018_features(host / "inat2018")
    released = {"finetune_img.mode": "released", "split.label_ratios": [0.05, 1.0]}
    return {"dataset.source": "inat2018", "dataset.inat2018.form": "features"} | released


def write_fmow_images(data: Path, host: Path) -> dict[str, Any]:
    write_fmow(host / "fmow")
    return {"dataset.source": "fmow", "split.unit": "location_id"}


def write_fmow_given(data: Path, host: Path) -> dict[str, Any]:
    write_fmow_features(host / "fmow")
    return {"dataset.source": "fmow", "dataset.fmow.form": "features"}


SOURCES: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "folder": write_folder,
    "table": write_table,
    "inat2018": write_inat,
    "inat2018, features": write_inat_features,
    "inat2018, released predictions": write_inat_predictions,
    "fmow": write_fmow_images,
    "fmow, features": write_fmow_given,
}


WHOLE = ("folder", "inat2018, features", "fmow")
"""Whose catalogues differ in what later stages read: photos without a split, given features with one, places."""
LAST = dict.fromkeys(SOURCES, "split") | dict.fromkeys(WHOLE, "report") | {"inat2018, released predictions": "finetune-img"}


def stages_up_to(last: str) -> list[str]:
    """The stages that it needs, in the order of the graph, and itself."""
    needed = {last}
    for name in reversed(VIEWS):
        needed |= set(NEEDS[name]) if name in needed else set()
    return [name for name in VIEWS if name in needed]


def stage(name: str) -> str:
    """Run one subcommand in this process."""
    done = CliRunner().invoke(app, [name])
    assert done.exit_code == 0, (name, done.exception, done.output[-2000:])
    return done.output


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder, with a data root beside it."""
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (tmp_path / "host").mkdir()
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CSPOPS_DATA_ROOT", str(tmp_path / "host"))
    monkeypatch.setenv("CSPOPS_WORKERS", "0")
    monkeypatch.setitem(figures.STYLE, "savefig.dpi", 40)
    return folder


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_gives_a_catalogue_that_later_stages_read(source: str, project: Path, tmp_path: Path) -> None:
    set_params(project, SMALL | SOURCES[source](project / "data", tmp_path / "host"))
    for name in stages_up_to(LAST[source]):
        stage(name)
    account = json.loads((project / "artifacts/download/account.json").read_text())
    observations = pq.read_table(project / "artifacts/download/observations.parquet")
    rejected = pq.read_table(project / "artifacts/download/rejected.parquet")
    assert account["rows"] == account["observations"] + account["rejected"]
    assert (account["observations"], account["rejected"]) == (len(observations), len(rejected))
    assert len(observations) >= 100
    assert [observations.schema.field(column.name) for column in SCHEMA] == list(SCHEMA)
    assert [rejected.schema.field(column.name) for column in REJECTED_SCHEMA] == list(REJECTED_SCHEMA)
    roles = pq.read_table(project / "artifacts/split/roles.parquet")
    assert roles["obs_id"] == observations["obs_id"]
    assert {"train", "val", "test"} <= set(roles["role"].to_pylist())
    if source == "table":
        assert account["without_position"] == 12
        assert account["without_label"] == 18
        assert any("decimal comma" in note for note in account["notes"])
        places: dict[str, set[str]] = {}
        for place, role in zip(observations["location_id"].to_pylist(), roles["role"].to_pylist(), strict=True):
            places.setdefault(place, set()).add(role)
        assert max(map(len, places.values())) == 1, "a place is in two roles"
    if source in WHOLE:
        it_is_learned(project, account)
    if source == "inat2018, features":
        it_takes_dates(project)


def it_takes_dates(project: Path) -> None:
    """From the file's dates to the neighbours of the pool; evaluation asks for the dates of its rows."""
    observations = read_observations(project / "artifacts/download")
    assert observations.when.isnan().sum() == 0
    assert len(observations.when.unique()) == 12  # the fifth of each month, half past ten
    assert float(observations.when.min()) == pytest.approx((4 + 10.5 / 24) / 365)
    for folder in ("pretrain/seed_1", "finetune_loc/seed_1/label_100"):
        config = json.loads((project / "artifacts" / folder / "config.json").read_text())
        assert config.get("encoder", config)["time"] == {"name": "harmonics", "orders": 4, "dropped": 0.25}


def it_is_learned(project: Path, account: dict[str, Any]) -> None:
    metrics = json.loads((project / "reports/scores.json").read_text())["test"]
    chance = 100 / len(account["classes"])
    combined = metrics["label_100"]["combined"]["top1"]["mean"]
    assert combined > 1.5 * chance, (combined, chance)
    text = (project / "reports/report.md").read_text()
    assert f"{account['observations']:,} observations" in text


# --- real data, where its folder is given

REALDATA = os.environ.get("CSPOPS_TEST_REALDATA")
real = pytest.mark.skipif(REALDATA is None, reason="CSPOPS_TEST_REALDATA names no folder")


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@real
def test_the_gps_of_real_cameras_is_the_listed_one(project: Path) -> None:
    samples = Path(str(REALDATA)) / "exif_gps_samples"
    shutil.copytree(samples, project / "data", dirs_exist_ok=True)
    set_params(project, {"dataset.source": "folder", "dataset.folder.label": "none"})
    stage("download")
    found = pq.read_table(project / "artifacts/download/observations.parquet").to_pylist()
    listed = {row["file"]: row for row in rows_of(samples / "expected.csv")}
    assert {row["obs_id"] for row in found} == set(listed)
    for row in found:  # listed to 7 decimals, so to half of the last
        assert row["lon"] == pytest.approx(float(listed[row["obs_id"]]["lon"]), abs=0.51e-7)
        assert row["lat"] == pytest.approx(float(listed[row["obs_id"]]["lat"]), abs=0.51e-7)
        assert row["captured_at"] is not None
        assert row["label"] is None


@real
def test_geotiff_tiles_go_from_their_bands_to_features(project: Path) -> None:
    """EuroSAT's 13-band tiles: positions from the files' own georeference, an official split from nowhere."""
    tiles = Path(str(REALDATA)) / "eurosat100"
    shutil.copytree(tiles / "tif", project / "data", dirs_exist_ok=True)
    bands = {"dataset.folder.images.bands": [4, 3, 2], "dataset.folder.images.white": 3000.0}
    set_params(project, SMALL | {"dataset.source": "folder", "image_encoder.px": 64} | bands)
    for name in stages_up_to("featurize"):
        stage(name)
    found = {row["obs_id"]: row for row in pq.read_table(project / "artifacts/download/observations.parquet").to_pylist()}
    classes = json.loads((project / "artifacts/download/classes.json").read_text())
    listed = rows_of(tiles / "catalogue.csv")
    assert len(found) == len(listed) == 100
    for row in listed:
        one = found[row["geotiff"].removeprefix("tif/")]
        # the list gives 6 decimals of the centre of the bounds in degrees; the centre in UTM lies within 1e-6 of it
        assert one["lon"] == pytest.approx(float(row["lon"]), abs=2e-6)
        assert one["lat"] == pytest.approx(float(row["lat"]), abs=2e-6)
        assert classes[one["label"]] == row["label"]
    account = json.loads((project / "artifacts/download/account.json").read_text())
    assert (account["rows"], account["observations"], account["rejected"]) == (100, 100, 0)
