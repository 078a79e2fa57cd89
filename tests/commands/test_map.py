"""Maps of a class: the raster's numbers and georeference, the picture, names of classes."""

import shutil
import warnings

import numpy as np
import pytest
from in_process import command_line
from location_runs import CLASSES, POOL, make_classifier, write_run
from PIL import Image

from cspops.errors import DataError, ParamsError
from cspops.evaluation.pool import write_pool
from cspops.library.model import NOWHERE, Model
from cspops.report.place_map import PIXELS, class_number, map_of_class, world_of


def model() -> Model:
    classifier = make_classifier()
    return Model(classifier.encoder, classifier, classes=tuple(CLASSES))


def test_a_geotiff_holds_p_at_the_centres_of_its_pixels(tmp_path):
    import rasterio

    warnings.simplefilter("ignore", PendingDeprecationWarning)  # of rasterio's own arithmetic
    assert map_of_class(model(), "FIR", tmp_path / "fir.tif", grid=0.5, box=(8.0, 47.0, 9.5, 48.0)) == "fir"
    with rasterio.open(tmp_path / "fir.tif") as opened:
        assert (opened.crs.to_epsg(), tuple(opened.bounds), opened.shape) == (4326, (8.0, 47.0, 9.5, 48.0), (2, 3))
        found = opened.read(1)
    centre = [9.25, 47.25]  # of the second row and third column of half-degree pixels from (8, 48)
    expected = model().predict_proba(lonlat=[centre])[0, CLASSES.index("fir")]
    assert found[1, 2] == pytest.approx(expected, rel=1e-6)
    assert found.dtype == np.float32


def test_a_png_of_a_box_and_the_same_bytes_each_time(tmp_path):
    for name in ("a", "b"):
        map_of_class(model(), "oak", tmp_path / f"{name}.png", grid=0.5, box=(-10.0, 35.0, 30.0, 60.0))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert min(image.size) > 300


def test_classes_are_found_whatever_their_case_and_near_names_are_said():
    assert class_number(model(), "Oak") == CLASSES.index("oak")
    with pytest.raises(ParamsError, match="no class 'oke'") as caught:
        class_number(model(), "oke")
    assert "oak" in str(caught.value.hint)
    with pytest.raises(DataError, match="no location classifier"):
        class_number(Model(make_classifier().encoder), "oak")


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ParamsError, match=r"written as \.png"):
        map_of_class(model(), "oak", tmp_path / "a.svg", grid=0.5)


@pytest.mark.parametrize(
    "box",
    [
        (7.0, 43.2, 8.0, 44.2),
        (8.0, 47.0, 8.05, 47.05),
        (2.0, -60.0, 3.0, 60.0),
        (-180.0, 40.0, 180.0, 40.5),
        (179.0, 65.0, 180.0, 66.0),
        (-180.0, -90.0, 180.0, 90.0),
    ],
)
def test_a_map_of_any_box_has_few_pixels_and_land_inside_it_alone(box):
    """A degree drawn as part of a globe would be one of 288,000 x 140,000 pixels."""
    world = world_of(box)
    assert 0.95 * PIXELS < max(world.land.shape) <= PIXELS
    west, south, east, north = box
    assert world.land.any()
    assert ((world.lonlat >= (west, south)) & (world.lonlat <= (east, north))).all()


def test_a_degree_with_a_coast_shows_land_sea_and_the_coast(tmp_path):
    box = (7.0, 43.2, 8.0, 44.2)
    world = world_of(box)
    assert 0.3 < world.land.mean() < 0.7
    assert len(world.coasts()) == 1
    map_of_class(model(), "oak", tmp_path / "a.png", grid=0.5, box=box)
    with Image.open(tmp_path / "a.png") as image:
        assert 500 < max(image.size) < 2000


def test_progress_is_told_by_the_places(tmp_path):
    for name, count in (("a.png", len(world_of((8.0, 47.0, 9.0, 48.0)).lonlat)), ("a.tif", 4)):
        if name == "a.tif":
            warnings.simplefilter("ignore", PendingDeprecationWarning)
        steps: list[int] = []
        map_of_class(model(), "oak", tmp_path / name, grid=0.5, box=(8.0, 47.0, 9.0, 48.0), step=steps.append)
        assert sum(steps) == count


@pytest.mark.parametrize(
    ("pool", "words", "status", "says"),
    [
        ("whole", (), 0, "by the learned model and the labelled neighbours\n"),
        ("whole", ("--combine", "location"), 0, "by the learned model\n"),
        ("no places", (), 0, "by the learned model; the model holds no labelled places, so that no neighbour is counted\n"),
        ("none", (), 0, "by the learned model\n"),
        ("none", ("--combine", "pool"), 3, "hint: dvc repro evaluate, or --combine location\n"),
    ],
)
def test_the_command_says_by_what_it_drew(tmp_path, monkeypatch, capsys, pool, words, status, says):
    write_run(tmp_path / "artifacts")
    if pool == "none":
        shutil.rmtree(tmp_path / "artifacts" / "evaluate")
    elif pool == "no places":
        write_pool(tmp_path / "artifacts" / "evaluate" / "seed_0" / "label_100", POOL, NOWHERE)
    monkeypatch.chdir(tmp_path)
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    asked = ("map", "oak", "--out", "a.tif", "--grid", "1", "--box", "8", "47", "10", "48", *words)
    found, _, err = command_line(monkeypatch, capsys)(*asked)
    assert (found, err.endswith(says)) == (status, True), err
