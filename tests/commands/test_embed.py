"""Embeddings into files: a grid's geometry, a table's rows, formats, memory, and what is refused."""

import gzip
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from in_process import command_line
from location_runs import make_classifier, write_location_run

import cspops
from cspops.data.dates import day_share
from cspops.errors import DataError, ParamsError
from cspops.intake.tables import parquet_table, text_lines
from cspops.library import embedding_files, places
from cspops.library.embedding import Outcome, embed
from cspops.library.model import Model
from cspops.library.places import Grid, Points, points_of_table


def model() -> Model:
    return Model(make_classifier().encoder)


def test_a_grid_runs_from_the_north_west_through_the_centres_of_its_cells():
    grid = Grid(90.0)
    assert (grid.shape, len(grid)) == ((2, 4), 8)
    assert grid.lonlat(0, 8).tolist() == [[x, y] for y in (45.0, -45.0) for x in (-135.0, -45.0, 45.0, 135.0)]
    assert Grid(0.5, (8.0, 47.0, 9.0, 48.0)).lonlat(0, 4).tolist() == [
        [8.25, 47.75],
        [8.75, 47.75],
        [8.25, 47.25],
        [8.75, 47.25],
    ]


@pytest.mark.parametrize(
    ("degrees", "box", "says"),
    [
        (1.0, (10.0, 0.0, 5.0, 1.0), "10 0 5 1 is no box"),
        (1.0, (float("nan"), 0.0, 5.0, 1.0), "is no box"),
        (1.0, (5.0, 0.0, 5.0, 1.0), "is no box"),
        (1.0, (-181.0, 0.0, 5.0, 1.0), "is no box"),
        (1.0, (0.0, 0.0, 361.0, 1.0), "is no box"),
        (1.0, (0.0, 0.0, 5.0, 91.0), "is no box"),
        (9.0, (0.0, 0.0, 5.0, 5.0), "do not fit"),
    ],
)
def test_what_is_no_grid(degrees, box, says):
    with pytest.raises(ParamsError, match=says):
        Grid(degrees, box)


def test_npy_of_a_grid_is_the_encoder_at_its_centres(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "ROWS", 5)
    grid = Grid(45.0)
    assert embed(model(), grid.points(), tmp_path / "g.npy", grid=grid) == Outcome(32)
    found = np.load(tmp_path / "g.npy")
    assert (found.shape, found.dtype) == ((4, 8, 6), np.float32)
    np.testing.assert_allclose(found[1, 2], model().encode_location([[-67.5, 22.5]])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("box", "lon"),
    [
        ((170.0, 0.0, -170.0, 10.0), [175.0, -175.0]),
        ((170.0, 0.0, 190.0, 10.0), [175.0, -175.0]),
        ((190.0, 0.0, 210.0, 10.0), [-165.0, -155.0]),
    ],
)
def test_a_grid_may_cross_the_antimeridian(box, lon):
    grid = Grid(10.0, box)
    assert grid.lonlat(0, 2).tolist() == [[x, 5.0] for x in lon]


def test_files_of_a_grid_say_in_which_order_its_cells_are(tmp_path):
    """An npz by the positions of rows and columns, a parquet file by its metadata too."""
    grid = Grid(45.0, (0.0, -90.0, 180.0, 90.0))
    for name in ("g.npz", "g.parquet"):
        assert embed(model(), grid.points(), tmp_path / name, grid=grid) == Outcome(16)
    with np.load(tmp_path / "g.npz") as found:
        assert found["lat"].tolist() == [67.5, 22.5, -22.5, -67.5]
        assert found["lon"].tolist() == [22.5, 67.5, 112.5, 157.5]
        embeddings = found["embeddings"]
    assert (embeddings.shape, embeddings.dtype) == ((4, 4, 6), np.float32)
    np.testing.assert_allclose(embeddings[1, 3], model().encode_location([[157.5, 22.5]])[0], rtol=1e-5, atol=1e-6)
    table = pq.read_table(tmp_path / "g.parquet")
    assert table.schema.metadata == {
        b"order": b"row by row from north to south, each row from west to east",
        b"shape": b"4 rows x 4 columns",
    }
    assert (table["lon"][4].as_py(), table["lat"][4].as_py()) == (22.5, 22.5)  # the first of the second row


def test_npz_of_a_table_has_the_position_of_each_row(tmp_path):
    (tmp_path / "t.csv").write_text("name,lon,lat\na,8.5,47.4\nb,,\n")
    embed(model(), points_of_table(tmp_path / "t.csv"), tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz") as found:
        np.testing.assert_array_equal(found["lon"], [8.5, np.nan])
        np.testing.assert_array_equal(found["lat"], [47.4, np.nan])
        assert found["embeddings"].shape == (2, 6)


def test_parquet_of_a_table_keeps_rows_without_a_position(tmp_path):
    (tmp_path / "t.csv").write_text("name,longitude,latitude\na,8.5,47.4\nb,,\nc,8.5,99\n")
    outcome = embed(model(), points_of_table(tmp_path / "t.csv"), tmp_path / "e.parquet")
    assert (outcome.count, outcome.lost) == (3, 2)
    a, b, c = pq.read_table(tmp_path / "e.parquet").to_pylist()
    assert (a["where"], a["lon"], a["problem"]) == ("t.csv:2", 8.5, None)
    np.testing.assert_allclose(a["embedding"], model().encode_location([[8.5, 47.4]])[0], rtol=1e-5, atol=1e-6)
    assert (b["embedding"], b["lon"], b["problem"]) == (None, None, "no position is given")
    assert c["problem"] == "latitude is outside [-90, 90]"


def test_npy_of_a_table_has_a_row_each(tmp_path):
    (tmp_path / "t.csv").write_text("name,lon,lat\na,8.5,47.4\nb,,\n")
    embed(model(), points_of_table(tmp_path / "t.csv"), tmp_path / "e.npy")
    found = np.load(tmp_path / "e.npy")
    assert found.shape == (2, 6)
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize("name", ["e.npy", "e.npz", "e.parquet"])
def test_a_file_that_is_there_stays_when_embedding_fails(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")

    def breaks():
        yield Points(["a"] * 8, np.full((8, 2), 8.5), [None] * 8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(model(), breaks(), tmp_path / name, grid=Grid(45.0))
    assert (tmp_path / name).read_bytes() == b"mine"
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_what_cannot_be_embedded(tmp_path):
    with pytest.raises(ParamsError, match=r"written as \.parquet, \.npz, \.npy"):
        embed(model(), iter([]), tmp_path / "e.csv")
    with pytest.raises(DataError, match="no place to embed"):
        embed(model(), iter([]), tmp_path / "e.parquet")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"t\.csv: no column is known as lon"):
        list(points_of_table(tmp_path / "t.csv"))
    with pytest.raises(DataError, match="is missing"):
        list(points_of_table(tmp_path / "none.csv"))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("t.csv", "", "t.csv is empty"),
        ("t.tsv", "\n\n", "t.tsv is empty"),
        ("t.csv", "lon,lat\n", "t.csv has no row"),
        ("t.geojson", "", "t.geojson: the JSON is broken or cut off"),
        ("t.geojson", '{"type": "FeatureCollection", "features": []}', "t.geojson has no row and no column"),
        ("t.parquet", "", "t.parquet is damaged or not Parquet"),
        ("t.csv", "lon,lat\nx,y\n", "no row has a position that can be used; the first, t.csv:2: "),
    ],
)
def test_a_table_without_places_is_named_with_a_way_out(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=says) as refused:
        embed(model(), points_of_table(tmp_path / name), tmp_path / "e.npy")
    assert refused.value.hint


@pytest.mark.parametrize("words", [["--lon", "8", "--lat", "47"], ["--grid", "10"]])
def test_a_distance_without_retrieval_is_refused(tmp_path, monkeypatch, capsys, words):
    found, _, err = command_line(monkeypatch, capsys)("embed", *words, "--leave-out-km", "5", "--out", tmp_path / "e.npy")
    assert found == 2 and err.startswith("error: --leave-out-km is for --retrieval, which is not given\nhint: --retrieval ")


def test_a_table_without_any_position_that_can_be_used_is_refused_and_leaves_no_file(tmp_path):
    table = tmp_path / "exchanged.csv"
    table.write_text("lon,lat\n47.4,108.5\n47.5,-120\n")
    with pytest.raises(DataError, match=r"no row has a position .* latitude is outside") as refused:
        embed(model(), points_of_table(table), tmp_path / "e.parquet")
    assert "exchanged" in refused.value.hint
    assert [file.name for file in tmp_path.iterdir()] == ["exchanged.csv"]


MANY = 900
LATE = 700
"""A row far behind the first that are read."""


def write_table(file, rows: list[tuple[object, object]]) -> None:
    lines = ["name,lon,lat", *(f"r{at},{lon},{lat}" for at, (lon, lat) in enumerate(rows))]
    text = "\n".join(lines) + "\n"
    if file.suffix == ".parquet":
        columns = [pa.array([str(row[axis]) for row in rows]) for axis in (0, 1)]
        pq.write_table(pa.table(columns, names=["lon", "lat"]), file, row_group_size=100)
    elif file.suffix == ".gz":
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text)


def good_rows() -> list[tuple[object, object]]:
    return [(-179 + 0.3 * at, 80 - 0.15 * at) for at in range(MANY)]


def read_all(file) -> np.ndarray:
    if file.suffix == ".npy":
        return np.load(file)
    if file.suffix == ".npz":
        with np.load(file) as found:
            return found["embeddings"]
    column = pq.read_table(file)["embedding"].to_pylist()
    return np.array([[np.nan] * 6 if one is None else one for one in column], np.float32)


@pytest.mark.parametrize("out", ["e.npy", "e.npz", "e.parquet"])
@pytest.mark.parametrize("table", ["t.csv", "t.csv.gz", "t.parquet"])
def test_a_table_of_many_parts_is_written_in_its_order(tmp_path, monkeypatch, table, out):
    for where in (places, embedding_files, text_lines, parquet_table):
        monkeypatch.setattr(where, "ROWS", 64, raising=False)
        monkeypatch.setattr(where, "BLOCK", 2000, raising=False)
        monkeypatch.setattr(where, "BATCH", 90, raising=False)
    rows = good_rows()
    rows[LATE] = ("", "")
    write_table(tmp_path / table, rows)
    steps: list[int] = []
    outcome = embed(model(), points_of_table(tmp_path / table), tmp_path / out, step=steps.append)
    assert (outcome.count, outcome.lost, sum(steps), len(steps) > 9) == (MANY, 1, MANY, True)
    found = read_all(tmp_path / out)
    assert np.isnan(found[LATE]).all()
    kept = [at for at in range(MANY) if at != LATE]
    expected = model().encode_location(np.array([rows[at] for at in kept], float))
    np.testing.assert_allclose(found[kept], expected, rtol=1e-5, atol=1e-6)
    if out == "e.npz":
        with np.load(tmp_path / out) as archive:
            np.testing.assert_allclose(archive["lon"][kept], [rows[at][0] for at in kept])
            assert np.isnan(archive["lat"][LATE])
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([table, out])


@pytest.mark.parametrize("out", ["e.npy", "e.npz", "e.parquet"])
def test_memory_does_not_grow_with_the_rows(tmp_path, out):
    """Four times the blocks, and the same peak within a tenth."""
    one = Points([f"t.csv:{at}" for at in range(5000)], np.full((5000, 2), 8.5), [None] * 5000)
    encoder, peaks = model(), []
    for blocks in (8, 8, 32):  # the first one warms up
        tracemalloc.start()
        embed(encoder, (one for _ in range(blocks)), tmp_path / out)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.1 * peaks[1]
    assert len(read_all(tmp_path / out)) == 32 * 5000


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (("8.5", "99"), "1 row: latitude is outside [-90, 90] (first t.csv:702)"),
        (("oak", "47"), "1 row: longitude is not a number (first t.csv:702)"),
        (("inf", "47"), "1 row: longitude is not a finite number (first t.csv:702)"),
        (("0", "0"), "1 row: position is (0, 0) (first t.csv:702)"),
        (("", "47"), "1 row: only one of longitude and latitude is given (first t.csv:702)"),
        (("8.5", "47,1,2"), "1 row: the row has more fields than the header (first t.csv:702)"),
    ],
)
def test_a_bad_row_far_down_is_set_aside_and_told(tmp_path, monkeypatch, capsys, bad, says):
    write_location_run(tmp_path / "artifacts", seeds=(0,), ratios=(1.0,))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(text_lines, "BLOCK", 2000)
    rows = good_rows()
    rows[LATE] = bad
    write_table(tmp_path / "t.csv", rows)
    found, _, err = command_line(monkeypatch, capsys)("embed", "t.csv", "--out", "e.npy")
    assert (found, says in err) == (0, True), err
    assert "900 embeddings of 6 numbers, 1 without a position" in err
    assert np.isnan(np.load("e.npy")[LATE]).all()


@pytest.mark.parametrize("out", ["e.npy", "e.npz", "e.parquet"])
@pytest.mark.parametrize("table", ["t.csv.gz", "t.parquet"])
def test_a_table_that_is_damaged_far_down_leaves_no_file_and_one_sentence(tmp_path, monkeypatch, capsys, table, out):
    write_location_run(tmp_path / "artifacts", seeds=(0,), ratios=(1.0,))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(text_lines, "BLOCK", 2000)
    write_table(tmp_path / table, good_rows())
    content = bytearray((tmp_path / table).read_bytes())
    if table == "t.csv.gz":
        del content[-40:]
    else:
        content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    (tmp_path / table).write_bytes(content)
    found, _, err = command_line(monkeypatch, capsys)("embed", table, "--out", out)
    assert found == 3
    (line,) = [line for line in err.splitlines() if line.startswith("error")]
    assert "damaged" in line and table in line
    assert not (tmp_path / out).exists()
    assert not list(tmp_path.glob(".*"))


TABLE = "name,lon,lat,date\na,8.5,47.4,2024-06-15\nb,8.5,47.4,\nc,8.5,47.4,03/04/2024\nd,,,2024-06-15\n"


def test_a_table_is_embedded_at_its_dates(tmp_path, monkeypatch, capsys):
    write_location_run(tmp_path / "artifacts", seeds=(0,), ratios=(1.0,), dated=True)
    (tmp_path / "t.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    for name in ("e.parquet", "e.npz"):
        status, _, err = command_line(monkeypatch, capsys)("embed", "t.csv", "--out", name)
        assert status == 0
        assert "2 have no date: these are averages over the year" in err
        assert "1 of 4 rows have an unusable date; the first: t.csv:4: '03/04/2024'" in err
    loaded = cspops.load(tmp_path)
    expected = loaded.encode_location([[8.5, 47.4]] * 2, ["2024-06-15", None])
    found = pq.read_table("e.parquet").to_pylist()
    np.testing.assert_allclose([row["embedding"] for row in found[:2]], expected, rtol=1e-5)
    assert [row["when"] for row in found] == [166 / 366, None, None, 166 / 366]
    assert [row["date_problem"] is not None for row in found] == [False, False, True, False]
    with np.load("e.npz") as archive:
        np.testing.assert_array_equal(archive["when"], [166 / 366, np.nan, np.nan, 166 / 366])
        np.testing.assert_allclose(archive["embeddings"][:2], expected, rtol=1e-5)


def test_one_date_for_all(tmp_path, monkeypatch, capsys):
    write_location_run(tmp_path / "artifacts", seeds=(0,), ratios=(1.0,), dated=True)
    (tmp_path / "t.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    loaded, run = cspops.load(tmp_path), command_line(monkeypatch, capsys)
    for words in (("t.csv",), ("--lon", 8.5, "--lat", 47.4)):
        status, _, err = run("embed", *words, "--date", "06-15", "--out", "e.npy")
        assert status == 0 and "date" not in err
        np.testing.assert_allclose(np.load("e.npy")[0], loaded.encode_location([[8.5, 47.4]], "06-15")[0], rtol=1e-5)
    assert run("embed", "--grid", 45, "--date", "June", "--out", "g.npz")[0] == 0
    with np.load("g.npz") as found:
        assert found["when"] == pytest.approx(day_share("June"))
        place = [[found["lon"][2], found["lat"][1]]]
        np.testing.assert_allclose(found["embeddings"][1, 2], loaded.encode_location(place, "June")[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("dated", "words", "says"),
    [
        (False, ("--date", "June"), "--date: the model's location encoder knows no season"),
        (True, ("--date", "03/04/2024"), "which of both is meant is not known"),
        (True, ("--date", "13/14/2024"), "there is no such day"),
        (True, ("--date", "June", "--retrieval"), "--retrieval embeds places without a date"),
    ],
)
def test_dates_that_cannot_be(tmp_path, monkeypatch, capsys, dated, words, says):
    write_location_run(tmp_path / "artifacts", seeds=(0,), ratios=(1.0,), dated=dated)
    monkeypatch.chdir(tmp_path)
    status, _, err = command_line(monkeypatch, capsys)("embed", "--lon", 8, "--lat", 47, "--out", "e.npy", *words)
    assert (status, says in err, (tmp_path / "e.npy").exists()) == (2, True, False)


def test_a_model_without_time_reads_no_dates(tmp_path, monkeypatch, capsys):
    write_location_run(tmp_path / "artifacts", seeds=(0,), ratios=(1.0,))
    (tmp_path / "t.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    status, _, err = command_line(monkeypatch, capsys)("embed", "t.csv", "--out", "e.parquet")
    assert status == 0 and "date" not in err
    assert pq.read_table("e.parquet").column_names == ["where", "lon", "lat", "problem", "embedding"]
