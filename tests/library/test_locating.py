"""Places ranked for photos: which are listed, what is said of a photo's own position, bad photos, and models that cannot."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from gair_run import write_gair_run, write_raster
from photos import gps_exif
from PIL import Image
from unlabelled import CPU

from cspops.errors import DataError, ParamsError
from cspops.gair.raster import BlueMarble
from cspops.geo import haversine
from cspops.library.inputs import Input, read_inputs
from cspops.library.locating import Search, best_places, locate, run_of_gair, table, write_csv

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of rasterio's own arithmetic
BOX = (11.0, 41.0, 15.0, 45.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gair_run(tmp_path_factory.mktemp("run") / "artifacts")


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("raster") / "a.tif"
    write_raster(file, (10.0, 40.0, 16.0, 46.0))
    return file


def photo(file: Path, *, lonlat: tuple[float, float] | None = None) -> Path:
    pixels = np.random.default_rng(3).integers(0, 256, (40, 32, 3), dtype=np.uint8)
    exif = {} if lonlat is None else {"exif": gps_exif(*lonlat)}
    Image.fromarray(pixels).save(file, **exif)
    return file


def inputs(*paths: Path) -> list[Input]:
    return list(read_inputs(map(str, paths), stdin=(), position=None))


def test_the_best_places_lie_apart_from_one_another() -> None:
    lonlat = torch.tensor([[0.0, 0.0], [0.1, 0.0], [1.0, 0.0], [359.95, 0.0], [5.0, 0.0]], dtype=torch.float64)
    score = torch.tensor([0.5, 0.9, 0.4, 0.8, -0.3])
    assert best_places(score, lonlat, top=9, apart_km=50.0).tolist() == [1, 2, 4]
    assert best_places(score, lonlat, top=2, apart_km=0.0).tolist() == [1, 3]


def test_places_are_ranked_by_their_scores_and_the_own_position_is_compared(run: Path, raster: Path, tmp_path: Path) -> None:
    search = Search.of(run, BOX, overhead=raster, step=40.0, device=CPU)
    rows = inputs(photo(tmp_path / "a.jpg", lonlat=(12.5, 43.5)), photo(tmp_path / "b.jpg", lonlat=(30.0, 43.5)))
    found, scores = locate(search, [*rows, *inputs(photo(tmp_path / "c.png"))], top=3)
    lonlat = search.cells.lonlat()
    assert scores.shape == (3, len(lonlat))
    for one, score in zip(found, scores, strict=True):
        assert len(one.places) == 3
        assert one.places[0].score == pytest.approx(float(score.max()), abs=1e-4)
        first = lonlat[score.argmax()]
        assert (one.places[0].lon, one.places[0].lat) == pytest.approx(first.tolist(), abs=1e-4)
        listed = [place.score for place in one.places]
        assert listed == sorted(listed, reverse=True)
        for place in one.places[1:]:
            far = float(haversine(torch.tensor([place.lon, place.lat], dtype=torch.float64), first))
            assert place.from_best_km == pytest.approx(far, abs=0.1)
            assert far >= search.apart_km == pytest.approx(55.6, abs=0.1)
    inside, outside, none = found
    best = torch.tensor([inside.places[0].lon, inside.places[0].lat], dtype=torch.float64)
    assert inside.own_km == pytest.approx(float(haversine(torch.tensor([12.5, 43.5], dtype=torch.float64), best)), abs=0.1)
    own = search.cells.index(12.5, 43.5)
    assert inside.better == int((scores[0] > scores[0, own]).sum())
    assert (outside.own, outside.better, none.own) == ((pytest.approx(30.0), pytest.approx(43.5)), None, None)


def test_longitudes_across_the_antimeridian_are_those_of_the_map(run: Path, tmp_path: Path) -> None:
    write_raster(tmp_path / "fiji.tif", (177.0, -20.0, 183.0, -14.0))
    search = Search.of(run, (179.0, -18.0, 181.0, -16.0), overhead=tmp_path / "fiji.tif", step=50.0, device=CPU)
    found, _ = locate(search, inputs(photo(tmp_path / "a.jpg", lonlat=(-179.5, -17.0))), top=50)
    lon = [place.lon for place in found[0].places]
    assert all(-180 <= one < 180 for one in lon) and min(lon) < -179 and max(lon) > 179
    assert found[0].better is not None


def test_a_bad_photo_says_why_and_the_others_are_located(run: Path, raster: Path, tmp_path: Path) -> None:
    search = Search.of(run, BOX, overhead=raster, step=200.0, device=CPU)
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    rows = inputs(tmp_path / "bad.jpg", photo(tmp_path / "a.jpg"), tmp_path / "gone.jpg")
    rows.append(Input("a.csv:2", None, 8.5, 47.4, "table"))
    found, scores = locate(search, rows, top=2)
    assert found[3].error == "no image"
    assert "not an image" in str(found[0].error)
    assert (found[1].error, found[2].error, len(scores)) == (None, "no such file", 1)
    write_csv(found, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as opened:
        assert list(csv.reader(opened)) == table(found)
    assert [line[:2] for line in table(found)[1:]] == [[str(tmp_path / "a.jpg"), "1"], [str(tmp_path / "a.jpg"), "2"]]
    with pytest.raises(DataError, match=r"no photo can be read; the first: .*bad\.jpg: not an image"):
        locate(search, rows[:1], top=2)


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((9.0, 41.0, 15.0, 45.0), r"the box 9,41,15,45 reaches beyond .*a\.tif"),
        ((11.0, 41.0, 16.5, 45.0), "reaches beyond"),
        ((11.0, 39.0, 15.0, 45.0), "reaches beyond"),
        ((11.0, 41.0, 15.0, 46.1), "reaches beyond"),
        ((-160.0, 41.0, -150.0, 45.0), "reaches beyond"),
    ],
)
def test_a_box_outside_the_raster_is_refused(run: Path, raster: Path, box: tuple[float, ...], says: str) -> None:
    with pytest.raises(ParamsError, match=says) as refused:
        Search.of(run, box, overhead=raster, step=None, device=CPU)
    assert "--within 10,40,16,46" in str(refused.value.hint)


def test_the_whole_raster_can_be_looked_at_half_a_cell_at_a_time(run: Path, raster: Path) -> None:
    """Overhead images of 222 km make maps of 8 x 8 cells: half of one is 14 km, of which 6 degrees have 48."""
    assert Search.of(run, (10.0, 40.0, 16.0, 46.0), overhead=raster, step=None, device=CPU).cells.rows == 48
    wide = Search.of(run, (10.0, 40.0, 16.0, 46.0), overhead=raster, step=222.0, device=CPU).cells
    assert (wide.rows, wide.columns) == (3, 2)


def test_without_a_raster_it_is_the_embedded_one_where_that_was_trained_on(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="not trained on the embedded raster") as refused:
        Search.of(run, BOX, overhead=None, step=None, device=CPU)
    assert "--overhead RASTER.tif" in str(refused.value.hint)
    embedded = write_gair_run(tmp_path / "artifacts", source="blue_marble")
    world = Search.of(embedded, (-180.0, -90.0, 180.0, 90.0), overhead=None, step=None, device=CPU)
    assert isinstance(world.raster, BlueMarble)
    assert max(world.cells.rows, world.cells.columns) == 150


def test_a_folder_without_a_run_and_one_of_another_method_are_refused(run: Path, tmp_path: Path) -> None:
    assert run_of_gair(run) == run
    assert run_of_gair(run.parent) == run
    with pytest.raises(DataError, match="holds no run"):
        run_of_gair(tmp_path)


@pytest.mark.parametrize(("px", "warned"), [(96, False), (24, True)])
def test_a_raster_of_coarse_pixels_is_warned_of(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, px: int, warned: bool
) -> None:
    """The overhead images of the training have 32 pixels of 2 degrees."""
    write_raster(tmp_path / "a.tif", (10.0, 40.0, 16.0, 46.0), px=px)
    with caplog.at_level("WARNING", "cspops"):
        Search.of(run, BOX, overhead=tmp_path / "a.tif", step=200.0, device=CPU)
    assert [one for one in caplog.messages if "4.0 times as large" in one] == (caplog.messages if warned else [])
    assert bool(caplog.messages) == warned
