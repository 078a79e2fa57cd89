"""The command: what it prints and writes, and how it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from gair_run import write_gair_run, write_raster
from in_process import command_line
from location_runs import write_run
from photos import gps_exif
from PIL import Image

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of rasterio's own arithmetic
BOX = ("--within", "11,41,15,45", "--step", "60")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a raster, photos with and without a position, and a broken one."""
    folder = tmp_path_factory.mktemp("project")
    write_gair_run(folder / "artifacts")
    write_raster(folder / "a.tif", (10.0, 40.0, 16.0, 46.0))
    image = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 32, 3), dtype=np.uint8))
    image.save(folder / "a.jpg", exif=gps_exif(12.5, 43.5))
    image.save(folder / "far.jpg", exif=gps_exif(-70.0, -33.5))
    image.save(folder / "b.png")
    (folder / "bad.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture
def locate(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(project)
    return command_line(monkeypatch, capsys, "locate")


def test_a_table_of_the_best_places_and_the_distance_from_the_photo_s_own(locate) -> None:
    status, out, err = locate("a.jpg", *BOX, "--overhead", "a.tif", "--top", "3")
    header, _, *rows = [line.split() for line in out.splitlines() if line]
    assert (status, header) == (0, ["photo", "rank", "lon", "lat", "score", "by_place", "from_best_km"])
    assert [row[:2] for row in rows] == [["a.jpg", "1"], ["a.jpg", "2"], ["a.jpg", "3"]]
    assert "a.jpg: its own position 12.5000 43.5000 is " in err
    assert " km from the best place; " in err and " places score higher" in err
    assert "it lies outside the box" in locate("far.jpg", *BOX, "--overhead", "a.tif")[2]


def test_a_document_has_the_same_places(locate) -> None:
    status, out, _ = locate("b.png", "a.jpg", *BOX, "--overhead", "a.tif", "--top", "2", "--json")
    document = json.loads(out)
    first, second = document["photos"]
    assert (status, document["within"], first["own_position"]) == (0, [11, 41, 15, 45], None)
    assert second["own_position"]["lon"] == pytest.approx(12.5)
    assert [set(place) for place in first["places"]] == [{"lon", "lat", "score", "by_place", "from_best_km"}] * 2


def test_files_are_written(locate, project: Path) -> None:
    import rasterio

    assert locate("a.jpg", *BOX, "--overhead", "a.tif", "--out", "places.csv")[:2] == (0, "")
    assert (project / "places.csv").read_text().startswith("photo,rank,lon,lat,")
    for name in ("map.png", "map.tif"):
        status, out, err = locate("a.jpg", *BOX, "--overhead", "a.tif", "--out", name)
        assert (status, "by_place" in out, f"{name}: the scores of all places" in err) == (0, True, True)
    with rasterio.open(project / "map.tif") as opened:
        assert tuple(opened.bounds) == (11, 41, 15, 45)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("a.jpg", "--within", "15,41,11,45", "--overhead", "a.tif"), 2, "15,41,11,45 is no box: its west is above its east"),
        (("a.jpg", "--within", "11,45,15,41", "--overhead", "a.tif"), 2, "its south is above its north"),
        (("a.jpg", "--within", "1,41,15,45", "--overhead", "a.tif"), 2, "the box 1,41,15,45 reaches beyond a.tif"),
        (("a.jpg", *BOX), 2, "not trained on the embedded raster"),
        (("a.jpg", *BOX, "--overhead", "b.png"), 3, "b.png cannot be used"),
        (("a.jpg", *BOX, "--overhead", "gone.tif"), 3, "gone.tif is missing"),
        (("a.jpg", *BOX, "--overhead", "a.tif", "--out", "a.svg"), 2, "places are written as .csv, .png, .tif"),
        (("a.jpg", *BOX, "--overhead", "a.tif", "--out", "no/a.csv"), 2, "the folder no is missing"),
        (("a.jpg", "b.png", *BOX, "--overhead", "a.tif", "--out", "a.png"), 2, "a map is of one photo, and 2 are named"),
        (("bad.jpg", *BOX, "--overhead", "a.tif"), 3, "no photo can be read; the first: bad.jpg"),
        (("bad.jpg", "a.jpg", *BOX, "--overhead", "a.tif"), 1, "warning: bad.jpg: not an image"),
        (("a.jpg", *BOX, "--model", "nowhere"), 3, "nowhere holds no run"),
        (("a.jpg",), 2, "--within"),
    ],
)
def test_what_is_wrong_is_said(locate, project: Path, words, status, says) -> None:
    found, _, err = locate(*words)
    assert (found, says in err) == (status, True), err
    assert not (project / "a.png").exists()


def test_models_of_other_methods_and_without_photos_are_refused(locate, tmp_path: Path) -> None:
    write_run(tmp_path / "moco")
    status, _, err = locate("a.jpg", *BOX, "--model", tmp_path / "moco")
    assert (status, "holds no GAIR model: it was made by another" in err) == (3, True), err
    write_gair_run(tmp_path / "alone", photos=False)
    status, _, err = locate("a.jpg", *BOX, "--model", tmp_path / "alone")
    assert (status, "trained without photos" in err) == (3, True), err
