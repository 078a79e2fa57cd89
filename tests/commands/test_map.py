"""Maps of a class and of the most likely class: numbers and georeference, where they end, the picture, names of classes."""

import dataclasses
import shutil
import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from in_process import command_line
from location_runs import CLASSES, POOL, make_classifier, write_run, write_validation
from PIL import Image

import cspops
from cspops.errors import DataError, ParamsError
from cspops.evaluation.pool import Places, write_pool
from cspops.library.model import Model
from cspops.library.places import checked_box
from cspops.report.place_map import PlaceMap, class_number
from cspops.report.world import PIXELS, world_of

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of rasterio's own arithmetic
ALPS = Places(torch.tensor([[8.0, 47.0], [9.0, 47.5], [9.0, 46.5]], dtype=torch.float64), torch.tensor([2, 0, 1]))


def model(places: Places | None = None) -> Model:
    classifier = make_classifier()
    pool = dataclasses.replace(POOL, kernel_km=20.0)
    return Model(classifier.encoder, classifier, classes=tuple(CLASSES), pool=places and pool, places=places)


def test_a_geotiff_holds_p_at_the_centres_of_its_pixels(tmp_path):
    import rasterio

    PlaceMap.of(model(), "FIR", box=(8.0, 47.0, 9.5, 48.0)).draw(tmp_path / "fir.tif", grid=0.5)
    with rasterio.open(tmp_path / "fir.tif") as opened:
        assert (opened.crs.to_epsg(), tuple(opened.bounds), opened.shape) == (4326, (8.0, 47.0, 9.5, 48.0), (2, 3))
        found = opened.read(1)
    centre = [9.25, 47.25]  # of the second row and third column of half-degree pixels from (8, 48)
    expected = model().predict_proba(lonlat=[centre])[0, CLASSES.index("fir")]
    assert found[1, 2] == pytest.approx(expected, rel=1e-6)
    assert found.dtype == np.float32


def test_a_png_of_a_box_and_the_same_bytes_each_time(tmp_path):
    for name in ("a", "b"):
        PlaceMap.of(model(), "oak", box=(-10.0, 35.0, 30.0, 60.0)).draw(tmp_path / f"{name}.png")
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
        PlaceMap.of(model(), "oak").draw(tmp_path / "a.svg")


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
    assert max(world.land.shape) <= PIXELS
    assert max(world.land.shape) > 0.9 * PIXELS or 0.95 < 4 * world.land.size / PIXELS**2 < 1.05
    west, south, east, north = box
    assert world.land.any()
    assert ((world.lonlat >= (west, south)) & (world.lonlat <= (east, north))).all()


def test_a_degree_with_a_coast_shows_land_sea_and_the_coast(tmp_path):
    box = (7.0, 43.2, 8.0, 44.2)
    world = world_of(box)
    assert 0.3 < world.land.mean() < 0.7
    assert len(world.coasts()) == 1
    PlaceMap.of(model(), "oak", box=box).draw(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert 500 < max(image.size) < 2000


def test_progress_is_told_by_the_places(tmp_path):
    box = (8.0, 47.0, 9.0, 48.0)
    for name, grid, count in (("a.png", None, len(world_of(box).lonlat)), ("a.tif", 0.5, 4)):
        steps: list[tuple[int, int]] = []
        PlaceMap.of(model(), "oak", box=box).draw(
            tmp_path / name, grid=grid, done=lambda *step, steps=steps: steps.append(step)
        )
        assert steps[-1] == (count, count)


def test_a_geotiff_ends_where_the_places_end(tmp_path):
    """Around three places up to 111 km apart; nodata is all that is farther than that, rounded up, from each of them."""
    import rasterio

    drawn = PlaceMap.of(model(ALPS), "fir")
    drawn.draw(tmp_path / "a.tif", grid=0.1)
    with rasterio.open(tmp_path / "a.tif") as opened:
        found, (west, south, east, north), about = opened.read(1), opened.bounds, opened.tags()
        assert np.isnan(opened.nodata)
        assert opened.res == pytest.approx((0.1, 0.1))
    assert 6 < west < 7 < 10 < east < 11 and 45 < south < 46 < 48 < north < 49
    assert about["nodata"] == f"farther than {drawn.reach.km:g} km from a labelled place ({drawn.reach.why})"
    rows, columns = found.shape
    lon, lat = west + 0.1 * (np.arange(columns) + 0.5), north - 0.1 * (np.arange(rows) + 0.5)
    points = torch.from_numpy(np.stack(np.meshgrid(lon, lat), -1).reshape(-1, 2))
    near = (ALPS.near(points, k=1).nearest_km <= drawn.reach.km).numpy().reshape(found.shape)
    np.testing.assert_array_equal(~np.isnan(found), near)
    assert 0.3 < near.mean() < 0.9
    expected = model(ALPS).place_log_p(points)[:, CLASSES.index("fir")].exp().numpy().reshape(found.shape)
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-5)


def test_the_most_likely_class_of_a_geotiff_has_numbers_names_and_colours(tmp_path):
    import rasterio

    PlaceMap.of(model(ALPS), None, box=(6.0, 45.0, 12.0, 50.0)).draw(tmp_path / "a.tif", grid=0.5)
    with rasterio.open(tmp_path / "a.tif") as opened:
        found, table, names = opened.read(1), opened.colormap(1), opened.tags()
        assert (opened.nodata, found.dtype) == (255, np.uint8)
    assert [names[f"class_{number}"] for number in range(3)] == CLASSES
    assert table[255][3] == 0
    lon, lat = np.meshgrid(np.arange(6.25, 12, 0.5), np.arange(49.75, 45, -0.5))
    points = np.stack((lon, lat), -1).reshape(-1, 2)
    best = model(ALPS).place_log_p(torch.from_numpy(points)).argmax(1).numpy().reshape(found.shape)
    drawn = found != 255
    assert 0 < drawn.sum() < found.size
    np.testing.assert_array_equal(found[drawn], best[drawn])
    assert len({table[number] for number in np.unique(found)}) == len(np.unique(found))


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
@pytest.mark.parametrize("rule", ["lpt", "0.3"])
def test_a_range_is_where_p_is_at_least_the_threshold(tmp_path, monkeypatch, capsys, name, rule):
    import rasterio

    write_run(tmp_path / "artifacts")
    val = [[8.2, 47.1], [9.1, 47.9], [8.0, 46.0], [-70.2, -33.0]]
    write_validation(tmp_path / "artifacts", [[0.0, 0.0], *val], [0, 2, 0, 2, 1])
    monkeypatch.chdir(tmp_path)
    asked = ("oak", "--binary", "--threshold", rule, "--out", name, "--box", 6, 45, 12, 50, "--beyond", "inf")
    status, _, err = command_line(monkeypatch, capsys)("map", *asked)
    assert status == 0 and "where oak is present: P at least" in err and ("validation rows" in err) == (rule == "lpt")
    loaded = cspops.load(tmp_path)
    p = loaded.place_log_p(torch.tensor(val, dtype=torch.float64))[:, 2].exp()
    threshold = float(p[[0, 2]].min()) if rule == "lpt" else 0.3
    if name == "a.png":
        return
    with rasterio.open(tmp_path / name) as opened:
        found, box, names, table = opened.read(1), opened.bounds, opened.tags(), opened.colormap(1)
        assert (opened.nodata, found.dtype, opened.descriptions) == (255, np.uint8, ("oak",))
    assert (names["class_0"], names["class_1"]) == ("absent", "present") and table[0] != table[1]
    rows, columns = found.shape
    lon = box.left + (np.arange(columns) + 0.5) * (box.right - box.left) / columns
    lat = box.top - (np.arange(rows) + 0.5) * (box.top - box.bottom) / rows
    points = torch.from_numpy(np.stack(np.meshgrid(lon, lat), -1).reshape(-1, 2))
    expected = (loaded.place_log_p(points)[:, 2].exp() >= threshold).numpy().reshape(found.shape)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["oak", "--binary"], 3, "has no validation rows to choose a threshold on"),
        (["oak", "--threshold", "f1"], 2, "--threshold says where a class is present"),
        (["oak", "--binary", "--threshold", "ltp"], 2, "--threshold ltp is no rule"),
        (["--all", "--binary"], 2, "--binary draws the range of one class"),
    ],
)
def test_what_has_no_range_is_refused(tmp_path, monkeypatch, capsys, words, status, says):
    write_run(tmp_path / "artifacts")
    monkeypatch.chdir(tmp_path)
    found, _, err = command_line(monkeypatch, capsys)("map", *words, "--out", "a.tif")
    assert (found, (tmp_path / "a.tif").exists()) == (status, False) and says in err


def test_the_numbers_of_more_than_255_classes_fit(tmp_path):
    import rasterio

    from cspops.report import geotiff

    number = np.array([[0.0, 299.0], [np.nan, 254.0]])
    geotiff.write_classes(
        [number], geotiff.Frame((2, 2), (0.0, 0.0, 2.0, 2.0)), [f"c{at}" for at in range(300)], {}, tmp_path / "a.tif"
    )
    with rasterio.open(tmp_path / "a.tif") as opened:
        assert opened.nodata == 65535
        assert opened.read(1).tolist() == [[0, 299], [65535, 254]]


@pytest.mark.parametrize("box", [(178.0, -19.0, -178.0, -16.0), (178.0, -19.0, 182.0, -16.0)])
def test_a_box_across_the_antimeridian(tmp_path, box):
    """Its longitudes go on above 180 in the GeoTIFF, and P is that of the longitudes below -178."""
    import rasterio

    for name in ("a.tif", "a.png"):
        PlaceMap.of(model(), "fir", box=box).draw(tmp_path / name, grid=1.0 if name == "a.tif" else None)
    with rasterio.open(tmp_path / "a.tif") as opened:
        assert tuple(opened.bounds) == (178.0, -19.0, 182.0, -16.0)
        found = opened.read(1)
    expected = model().predict_proba(lonlat=[[178.5, -16.5], [-178.5, -16.5]])[:, CLASSES.index("fir")]
    np.testing.assert_allclose(found[0, [0, 3]], expected, rtol=1e-5)


def test_without_a_box_it_is_around_the_places_also_across_the_antimeridian(tmp_path):
    fiji = Places(torch.tensor([[179.0, -17.0], [-179.0, -18.0], [179.5, -16.0]], dtype=torch.float64), torch.tensor([0, 1, 2]))
    west, south, east, north = PlaceMap.of(model(fiji), "fir").drawn_box()
    assert 176 < west < 179 and 181 < east < 184 and -21 < south < -18 and -16 < north < -13


@pytest.mark.parametrize(
    ("lon", "lat"),
    [([8.0, 9.0, 9.5], 47.0), ([-179.9, -178.0, -179.0], 10.0), ([-170.0, 0.0, 170.0], 0.0), ([0.0, 120.0, 240.0], 89.8)],
)
@pytest.mark.parametrize("grid", [None, 0.7, 7.0])
def test_the_box_around_places_is_one_that_can_be_drawn(lon, lat, grid):
    """Also beside the antimeridian, around the globe and at a pole, and of pixels that do not divide a circle."""
    lonlat = torch.tensor([[(x + 180) % 360 - 180, lat] for x in lon], dtype=torch.float64)
    drawn = PlaceMap.of(model(Places(lonlat, torch.tensor([0, 1, 2]))), "fir")
    west, south, east, north = drawn.drawn_box(grid)
    assert checked_box((west, south, east, north)) == (west, south, east, north)
    assert ((lonlat[:, 0] - west) % 360 <= east - west).all() and south < lat < north


@pytest.mark.parametrize(
    ("box", "beyond", "name", "says"),
    [
        ((20.0, 40.0, 22.0, 42.0), None, "a.png", "no land in the box 20 40 22 42 lies within 120 km of a labelled place"),
        ((20.0, 40.0, 22.0, 42.0), None, "a.tif", "no place in the box 20 40 22 42 lies within 120 km of a labelled place"),
        ((20.0, 40.0, 22.0, 42.0), 5.0, "a.tif", "lies within 5 km of a labelled place; these places lie within --box 7 "),
        ((-31.0, 20.0, -29.0, 21.0), float("inf"), "a.png", "no land in the box -31 20 -29 21"),
    ],
)
def test_a_box_with_nothing_to_draw_is_refused_in_one_sentence(tmp_path, box, beyond, name, says):
    with pytest.raises(ParamsError) as refused:
        PlaceMap.of(model(ALPS), "fir", box=box, beyond=beyond).draw(tmp_path / name)
    assert says in refused.value.message
    assert "--beyond KM" in str(refused.value.hint)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("beyond", "share"), [(None, 0.2), (10.0, 0.0024), (float("inf"), 1.0)])
def test_beyond_moves_the_end(tmp_path, beyond, share):
    import rasterio

    PlaceMap.of(model(ALPS), "fir", box=(0.0, 45.0, 10.0, 50.0), beyond=beyond).draw(tmp_path / "a.tif", grid=0.1)
    with rasterio.open(tmp_path / "a.tif") as opened:
        assert (~np.isnan(opened.read(1))).mean() == pytest.approx(share, rel=0.5)


@pytest.mark.parametrize(
    ("box", "grid"), [((8.0, 47.0, 8.2, 47.2), 0.001), ((5.0, 40.0, 15.0, 48.0), 0.05), ((-180.0, -90.0, 180.0, 90.0), 0.5)]
)
def test_the_pixels_of_a_geotiff_are_finer_in_a_small_box(tmp_path, box, grid):
    import rasterio

    PlaceMap.of(model(), "fir", box=box).draw(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as opened:
        assert opened.res == pytest.approx((grid, grid))


def test_titles_name_seed_and_label_ratio_where_they_are_known():
    run = dataclasses.replace(model(), seed=3, label_ratio=0.025)
    assert PlaceMap.of(run, "oak").title == "Where oak is likely (seed 3, 2.5 % of the labels)"
    assert PlaceMap.of(model(), None).title == "The most likely class"


@pytest.mark.parametrize(
    ("pool", "words", "status", "says"),
    [
        ("whole", ("oak",), 0, "a.tif: where oak is likely, by the learned model and the labelled neighbours\n"),
        ("whole", ("--all",), 0, "a.tif: the most likely class, by the learned model and the labelled neighbours\n"),
        ("whole", ("oak",), 0, "% of these have 2 others that near); --beyond KM changes that\n"),
        ("whole", ("oak", "--combine", "location"), 0, "by the learned model\n"),
        (
            "no places",
            ("oak",),
            0,
            "by the learned model; the model holds no labelled places, so that no neighbour is counted\n",
        ),
        ("none", ("oak",), 0, "by the learned model\n"),
        ("none", ("oak", "--combine", "pool"), 3, "hint: dvc repro evaluate, or --combine location\n"),
        ("whole", (), 2, "one of both is needed: a class, or --all for the most likely class\n"),
        ("whole", ("oak", "--all"), 2, "one of both is needed: a class, or --all for the most likely class\n"),
        ("whole", ("oak", "--box", "10", "47", "8", "48"), 2, "10 47 8 48 is no box\n"),
    ],
)
def test_the_command_says_by_what_it_drew_and_where_the_map_ends(tmp_path, monkeypatch, capsys, pool, words, status, says):
    write_run(tmp_path / "artifacts")
    if pool == "none":
        shutil.rmtree(tmp_path / "artifacts" / "evaluate")
    elif pool == "no places":
        write_pool(
            tmp_path / "artifacts" / "evaluate" / "seed_0" / "label_100",
            POOL,
            Places(torch.empty(0, 2), torch.empty(0, dtype=torch.long)),
        )
    monkeypatch.chdir(tmp_path)
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    box = () if "--box" in words else ("--box", "8", "47", "10", "48")
    found, _, err = command_line(monkeypatch, capsys)("map", *words, "--out", "a.tif", "--grid", "1", *box)
    assert (found, says in err) == (status, True), err


@pytest.mark.parametrize("name", ["fir", None])
def test_a_geotiff_in_parts_is_the_same_as_at_once(tmp_path, monkeypatch, name):
    """Of some rows at a time, of one row that has more places than are computed at once, and of a few classes' numbers."""
    import rasterio

    from cspops import kernels
    from cspops.report import place_map

    found = []
    for rows, table in ((8192, 2**20), (50, 2**20), (7, 30)):
        monkeypatch.setattr(place_map, "ROWS", rows)
        monkeypatch.setattr(kernels, "TABLE", table)
        PlaceMap.of(model(ALPS), name, box=(6.0, 45.0, 12.0, 50.0)).draw(tmp_path / "a.tif", grid=0.3)
        with rasterio.open(tmp_path / "a.tif") as opened:
            found.append(opened.read(1))
    assert found[0].shape == (17, 20)
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, rtol=1e-5)


def test_memory_does_not_grow_with_the_pixels(tmp_path):
    """A hundred times the pixels and the same peak, but for the blocks that a small map does not fill."""
    peaks = []
    for grid in (0.5, 0.5, 0.05):  # the first one warms up
        tracemalloc.start()
        PlaceMap.of(model(), "fir", box=(0.0, 20.0, 90.0, 65.0)).draw(tmp_path / "a.tif", grid=grid)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1]


def test_a_map_that_breaks_off_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "a.tif").write_bytes(b"mine")

    def stopped(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PlaceMap.of(model(), "fir", box=(0.0, 20.0, 90.0, 65.0)).draw(tmp_path / "a.tif", grid=0.5, done=stopped)
    assert (tmp_path / "a.tif").read_bytes() == b"mine"
    assert [one.name for one in tmp_path.iterdir()] == ["a.tif"]


def dated_run(folder):
    write_run(folder / "artifacts", dated=True)
    write_pool(folder / "artifacts" / "evaluate" / "seed_0" / "label_100", dataclasses.replace(POOL, kernel_km=20.0), ALPS)


def test_a_map_of_a_date_and_of_all_months(tmp_path, monkeypatch, capsys):
    """The bands are P at the middle of each month, on the same pixels; without a date the map is that of no date."""
    import rasterio

    dated_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    run, found, box = command_line(monkeypatch, capsys), {}, ("--grid", "0.5", "--box", "8", "46", "10", "48")
    for name, words in (("year", ()), ("june", ("--date", "June")), ("months", ("--months",))):
        status, _, err = run("map", "fir", "--out", f"{name}.tif", *words, *box)
        assert status == 0, err
        with rasterio.open(f"{name}.tif") as opened:
            found[name] = opened.read(), opened.descriptions, opened.tags()["TIFFTAG_IMAGEDESCRIPTION"]
            assert opened.bounds == (8, 46, 10, 48)
    months, names, title = found["months"]
    assert months.shape == (12, 4, 4)
    assert (names[0], names[11]) == ("P(fir | x, January)", "P(fir | x, December)")
    assert title == "Where fir is likely in the middle of each month (seed 0, 100 % of the labels)"
    np.testing.assert_array_equal(months[5], found["june"][0][0])
    assert found["june"][2] == "Where fir is likely (June, seed 0, 100 % of the labels)"
    assert found["year"][2] == "Where fir is likely (average over the year, seed 0, 100 % of the labels)"
    loaded = cspops.load(tmp_path)
    p = [loaded.predict_proba(lonlat=[[8.25, 47.75]], dates=one)[0, CLASSES.index("fir")] for one in ("October", None)]
    learned = loaded.place_log_p(torch.tensor([[8.25, 47.75]], dtype=torch.float64)).exp()[0, 1].item()
    np.testing.assert_allclose(found["year"][0][0, 0, 0], learned, rtol=1e-5)
    assert p[0] != p[1] and not np.array_equal(months[0], months[6])


def test_the_months_as_a_picture(tmp_path, monkeypatch, capsys):
    dated_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = command_line(monkeypatch, capsys)
    for name in ("a", "b"):
        status, _, err = run("map", "fir", "--months", "--out", f"{name}.png", "--box", "7", "46", "10", "48")
        assert status == 0 and f"{name}.png: where fir is likely in each month, by the learned model" in err
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open("a.png") as image:
        assert image.width > 900 and image.height > 600


@pytest.mark.parametrize(
    ("dated", "words", "says"),
    [
        (False, ("fir", "--date", "June"), "--date: the model's location encoder knows no season"),
        (False, ("fir", "--months"), "--months: the model's location encoder knows no season"),
        (True, ("--all", "--months"), "without --all"),
        (True, ("fir", "--binary", "--months"), "without --binary"),
        (True, ("fir", "--date", "June", "--months"), "without --date"),
        (True, ("fir", "--date", "03/04/2024"), "which of both is meant is not known"),
        (True, ("fir", "--date", "13/14/2024"), "there is no such day"),
    ],
)
def test_dates_that_cannot_be_mapped(tmp_path, monkeypatch, capsys, dated, words, says):
    write_run(tmp_path / "artifacts", dated=dated)
    monkeypatch.chdir(tmp_path)
    status, _, err = command_line(monkeypatch, capsys)("map", *words, "--out", "a.tif")
    assert (status, says in err, (tmp_path / "a.tif").exists()) == (2, True, False), err
