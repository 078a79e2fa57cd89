"""Embeddings into files: a grid's geometry, a table's rows, formats, and what is refused."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from location_runs import make_classifier

from cspops.errors import DataError, ParamsError
from cspops.library import embedding
from cspops.library.embedding import Grid, Points, embed, points_of_table
from cspops.library.model import Model


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
    monkeypatch.setattr(embedding, "ROWS", 5)
    grid = Grid(45.0)
    assert embed(model(), grid.points(), tmp_path / "g.npy", grid=grid) == (32, 0)
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
        assert embed(model(), grid.points(), tmp_path / name, grid=grid) == (16, 0)
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
    assert embed(model(), points_of_table(tmp_path / "t.csv"), tmp_path / "e.parquet") == (3, 2)
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


def test_a_table_without_any_position_that_can_be_used_is_refused_and_leaves_no_file(tmp_path):
    table = tmp_path / "exchanged.csv"
    table.write_text("lon,lat\n47.4,108.5\n47.5,-120\n")
    with pytest.raises(DataError, match=r"no row has a position .* latitude is outside") as refused:
        embed(model(), points_of_table(table), tmp_path / "e.parquet")
    assert "exchanged" in refused.value.hint
    assert [file.name for file in tmp_path.iterdir()] == ["exchanged.csv"]
