"""Positions in one column of text, and in columns as field forms name them: which are taken for one, and what they say."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cspops.errors import DataError
from cspops.intake.judging.positions import read_positions
from cspops.intake.sources.table import open_table
from cspops.intake.tables.points import position_columns, read_points
from cspops.intake.tables.table_files import open_file


def places(folder, text):
    """Return the positions of a CSV, rounded, and what is remarked about it."""
    (folder / "t.csv").write_text(text)
    source = open_table(folder / "t.csv", root=folder, columns={})
    got = []
    for batch in source.batches:
        positions = read_positions(batch["lon"], batch["lat"])
        rows = zip(positions.lon.round(6).tolist(), positions.lat.round(6).tolist(), positions.fault.to_pylist(), strict=True)
        got += [fault or ((lon, lat) if lon == lon else None) for lon, lat, fault in rows]
    return got, [remark.removeprefix("t.csv: ") for remark in source.remarks]


HERE, THERE = (8.5, 47.3), (8.6, 47.4)
FORMS = {
    "KoboToolbox": "photo,location,_location_latitude,_location_longitude,_location_altitude,_location_precision,label\n"
    "a,47.3 8.5 400 4,47.3,8.5,400,4,x\nb,47.4 8.6 400 4,47.4,8.6,400,4,x\n",
    "KoboToolbox, in a group": "photo,grp/_gps_latitude,grp/_gps_longitude,label\na,47.3,8.5,x\nb,47.4,8.6,x\n",
    "ODK Central": "photo,plot-Latitude,plot-Longitude,plot-Altitude,plot-Accuracy,label\na,47.3,8.5,1,4,x\nb,47.4,8.6,1,4,x\n",
    "ODK Briefcase": "photo,plot:Latitude,plot:Longitude,plot:Accuracy,label\na,47.3,8.5,4,x\nb,47.4,8.6,4,x\n",
    "short names": "photo,site_lon,site_lat,label\na,8.5,47.3,x\nb,8.6,47.4,x\n",
    "geopoint": "image,where,label\na,47.3 8.5 400.0 4.0,x\nb, 47.4  8.6 0 0 ,x\n",
    "WKT": "image,geometry,label\na,POINT (8.5 47.3),x\nb,point(8.6 47.4),x\n",
    "WKT of more dimensions": "image,wkt,label\na,POINT Z (8.5 47.3 400),x\nb,POINT ZM (8.6 47.4 400 1),x\n",
    "WKT without a blank": 'image,wkt,label\na,POINTZ(8.5 47.3 400),x\nb,"SRID=4326;POINT M (8.6 47.4 1)",x\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_the_positions_of_field_forms_are_read_and_it_is_said_from_where(tmp_path, name):
    got, remarks = places(tmp_path, FORMS[name])
    assert got == [HERE, THERE]
    assert name == "ODK Briefcase" or any(remark.startswith("positions are read from the column") for remark in remarks)


def test_usual_names_go_before_those_of_forms_and_pairs_before_points(tmp_path):
    head = "image,old_lat,old_lon,lat,lon,wkt,label\n"
    assert places(tmp_path, head + "a,1,2,47.3,8.5,POINT (3 4),x\n") == ([HERE], [])
    got, _ = places(tmp_path, "image,plot_lat,plot_lon,wkt,label\na,47.3,8.5,POINT (3 4),x\n")
    assert got == [HERE]


def test_rows_of_a_column_of_points_are_judged_one_by_one(tmp_path):
    square = '"POLYGON ((8 47, 9 47, 9 48, 8 48, 8 47))"'
    wkt = [square, "POINT EMPTY", "POINT (8.5 147)", "POINT (8.5", "", "NA", "POLYGON EMPTY", *["POINT (8.5 47.3)"] * 40]
    got, remarks = places(tmp_path, "image,geom,label\n" + "".join(f"a,{one},x\n" for one in wkt))
    assert got[:7] == [(8.5, 47.5), None, "latitude is outside [-90, 90]", "longitude is not a number", None, None, None]
    assert got[7:] == [HERE] * 40
    assert remarks == [
        "positions are read from the column 'geom'",
        "1 geometry is not a point; its centroid is its position",
    ]


NO_POINTS = {
    "boxes in pixels": ["10 20 64 64", "0 0 32 32"],
    "boxes in shares": ["0.25 0.5 0.1 0.1", "0.75 0.5 0.1 0.2"],
    "words": ["a b c d", "POINTED"],
    "too far": ["147.3 8.5 1 1", "148.3 8.5 1 1"],
    "three numbers": ["47.3 8.5 400", "47.4 8.6 400"],
    "few points": ["POINT (8.5 47.3)", *["oak"] * 20],
    "nothing": ["", "NA"],
}


@pytest.mark.parametrize("name", NO_POINTS)
def test_a_column_of_other_things_is_none_of_points(tmp_path, name):
    rows = "".join(f"a,{one},x\n" for one in NO_POINTS[name])
    got, remarks = places(tmp_path, f"image,thing,label\n{rows}")
    assert set(got) == {None}
    assert remarks == ["no column is known as longitude or latitude (dataset.table.columns)"]


REFUSED = {
    "two pairs": ("image,a_lat,a_lon,b_lat,b_lon\nx,1,2,3,4\n", r"\('a_lon', 'a_lat'\) and \('b_lon', 'b_lat'\) could each be"),
    "two columns of points": ("image,a,b\nx,POINT (1 2),POINT (3 4)\n", "columns 'a' and 'b' both hold points"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_two_positions_are_refused_with_their_names(tmp_path, name):
    text, says = REFUSED[name]
    with pytest.raises(DataError, match=says):
        places(tmp_path, text)


def test_params_may_name_one_column_for_both_axes(tmp_path):
    (tmp_path / "t.csv").write_text("image,a,b\nx,POINT (1 2),POINT (3 4)\n")
    source = open_table(tmp_path / "t.csv", root=tmp_path, columns={"lon": "b", "lat": "b"})
    [row] = next(iter(source.batches)).to_pylist()
    assert (row["lon"], row["lat"]) == ("3", "4")


def test_what_is_remarked_before_the_rows_is_said_once(tmp_path):
    text = "image,wkt,label\na,POINT (8.5 47.3),x\n"
    (tmp_path / "t.csv").write_bytes(text.encode("utf-16-le"))
    source = open_table(tmp_path / "t.csv", root=tmp_path, columns={})
    list(source.batches)
    assert sum("utf-16-le" in remark for remark in source.remarks) == 1


def test_a_table_that_is_read_for_its_positions_alone(tmp_path):
    for text, columns in (
        ("a,lat,lon\n1,2,3\n", ("lon", "lat")),
        ("a,plot_lat,plot_lon\n1,2,3\n", ("plot_lon", "plot_lat")),
        ("a,where\n1,POINT (1 2)\n", ("where", "where")),
    ):
        (tmp_path / "t.csv").write_text(text)
        assert position_columns(open_file(tmp_path / "t.csv", key=None)[0]) == columns
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column is known as lon or lat, and none holds points"):
        position_columns(open_file(tmp_path / "t.csv", key=None)[0])


def test_a_damaged_column_that_is_not_read_does_no_harm(tmp_path):
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    pq.write_table(pa.table({"image": ["a"], "notes": broken}), tmp_path / "t.parquet")
    source = open_table(tmp_path / "t.parquet", root=tmp_path, columns={})
    assert sum(len(batch) for batch in source.batches) == 1


def test_points_of_any_text_of_parquet():
    for kind in (pa.large_string(), pa.string_view(), pa.binary()):
        points = read_points(pa.array(["POINT (1.5 2)", None], pa.string()).cast(pa.binary()).cast(kind), what="t")
        assert (points.lon.to_pylist(), points.lat.to_pylist()) == (["1.5", None], ["2", None])
