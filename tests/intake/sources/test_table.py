"""The source `table` from files to rows: every row of a file comes out once, as it is or with its reason."""

import datetime
import gzip
import hashlib
import json
import os
import struct
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cspops.intake.tables.geojson
import cspops.intake.tables.parquet_table
import cspops.intake.tables.text_lines
from cspops.errors import DataError
from cspops.intake.rows import ROWS
from cspops.intake.sources.table import ABSOLUTE, ADDRESS, NUL, OUTSIDE, normalise_paths, open_table, read_sidecar, table_format
from cspops.intake.tables.geojson import NO_FEATURE, NO_JSON
from cspops.intake.tables.geometry import UNREADABLE
from cspops.pixels.reading import Reading

READING = Reading("data_root", "", black=3.0)


def open_it(file, root, **columns):
    return open_table(file, root=root, columns=columns)


def rows_of(source):
    """Rows as dicts of what is not null; an image by its path, or its bytes."""
    out = []
    for batch in source.batches:
        assert batch.schema.names == ROWS.names
        assert all(batch.schema.field(f.name).type == f.type for f in ROWS if f.name not in ("lon", "lat"))
        assert batch.schema.field("lon").type == batch.schema.field("lat").type
        for row in batch.to_pylist():
            image = row.pop("image")
            kept = {name: value for name, value in row.items() if value is not None}
            if image and (image["bytes"] is not None or image["path"] is not None):
                kept["image"] = image["path"] if image["bytes"] is None else image["bytes"]
                assert image["path"] is None or image["bytes"] is None
            out.append(kept)
    return out


def text_table(root, text, name="t.csv"):
    (root / name).write_text(text, encoding="utf-8", newline="")
    return root / name


def parquet(root, columns, name="t.parquet", geo=None, **options):
    table = pa.table(columns)
    if geo is not None:
        table = table.replace_schema_metadata({"geo": json.dumps(geo)})
    pq.write_table(table, root / name, **options)
    return root / name


def collection(root, *features, name="t.geojson", **members):
    (root / name).write_text(json.dumps({"type": "FeatureCollection"} | members | {"features": list(features)}))
    return root / name


def feature(lonlat=(1.5, 2.5), **properties):
    geometry = None if lonlat is None else {"type": "Point", "coordinates": list(lonlat)}
    return {"type": "Feature", "geometry": geometry, "properties": {"image": "a.jpg"} | properties}


# --- text


def test_all_kinds_of_columns_of_a_text_table(tmp_path):
    text = (
        "id,lon,lat,label,image,date,site,split\n"
        '7, 1.50 ,"2,5",Quercus robur ,oak/a.jpg,2020-01-02,p1,training\n'
        '8,"43°28\'2""N",x, oak,b.jpg,,,\n'
    )
    assert rows_of(open_it(text_table(tmp_path, text), tmp_path)) == [
        {"where": "t.csv:2", "obs_id": "7", "lon": "1.50 ", "lat": "2,5", "label": "Quercus robur ", "image": "oak/a.jpg",
         "captured_at": "2020-01-02", "location_id": "p1", "official_split": "training"},
        {"where": "t.csv:3", "obs_id": "8", "lon": "43°28'2\"N", "lat": "x", "label": "oak", "image": "b.jpg"},
    ]  # fmt: skip


def test_without_a_column_for_ids_they_are_the_file_and_the_line(tmp_path):
    text = 'image,label\na.jpg,"x\ny"\n\nb.jpg,z\n'
    for name in ("my.photos.csv", "my.photos.TSV"):
        rows = rows_of(open_it(text_table(tmp_path, text, name), tmp_path))
        assert [(row["obs_id"], row["where"]) for row in rows] == [
            ("my.photos:2", f"{name}:2"),
            ("my.photos:5", f"{name}:5"),
        ]
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert rows_of(open_it(tmp_path / "p.csv.gz", tmp_path))[0]["obs_id"] == "p:2"


@pytest.mark.parametrize("spelt", ["", "NA", "N/A", "nan", "NaN", "null", "None", "-", " NA ", "#N/A"])
def test_missing_values_are_null_whatever_their_spelling(tmp_path, spelt):
    source = open_it(
        text_table(tmp_path, "image,lon,lat,label,site,id\na.jpg" + f",{spelt}" * 5 + "\nb.jpg,1,2,x,p,i\n"), tmp_path
    )
    first, second = rows_of(source)
    assert first == {"where": "t.csv:2", "image": "a.jpg"}
    assert second.keys() == {"where", "image", "lon", "lat", "label", "location_id", "obs_id"}
    bare = spelt.strip()
    assert source.remarks == ([f"t.csv: labels that are read as missing: {bare} (1)"] if bare else [])


def test_classes_that_only_look_like_missing_stay(tmp_path):
    source = open_it(text_table(tmp_path, "image,label,lon,lat\na,none,NONE,Na\nb,nA,1,2\nc,Nan,1,2\n"), tmp_path)
    rows = rows_of(source)
    assert [row["label"] for row in rows] == ["none", "nA", "Nan"]
    assert "lon" not in rows[0] and "lat" not in rows[0]
    assert source.remarks == []


def test_columns_that_are_not_there_are_remarked_and_null(tmp_path):
    source = open_it(text_table(tmp_path, "image\na.jpg\n"), tmp_path)
    assert rows_of(source) == [{"where": "t.csv:2", "obs_id": "t:2", "image": "a.jpg"}]
    assert source.remarks == [
        "t.csv: no column is known as longitude or latitude (dataset.table.columns)",
        "t.csv: no column is known as label (dataset.table.columns.label)",
    ]


def test_rows_that_cannot_be_used_keep_their_place_and_say_why(tmp_path):
    text = "id,image,label\n1,a.jpg,x\n2,https://e.org/a.jpg,x\n3,/a.jpg,x\n4,../a.jpg,x\n5,b.jpg,x,y\n6,c.jpg\n"
    rows = rows_of(open_it(text_table(tmp_path, text), tmp_path))
    assert [(row["where"], row["obs_id"], row.get("image"), row.get("reason"), row.get("detail")) for row in rows] == [
        ("t.csv:2", "1", "a.jpg", None, None),
        ("t.csv:3", "2", None, ADDRESS, "https://e.org/a.jpg"),
        ("t.csv:4", "3", None, ABSOLUTE, "/a.jpg"),
        ("t.csv:5", "4", None, OUTSIDE, "../a.jpg"),
        ("t.csv:6", "5", "b.jpg", "the row has more fields than the header", "4 fields, the header has 3"),
        ("t.csv:7", "6", "c.jpg", "the row has fewer fields than the header", "2 fields, the header has 3"),
    ]


def test_notes_of_odd_rows_come_through(tmp_path):
    rows = rows_of(open_it(text_table(tmp_path, "id,image\n1,a.jpg,,\n2,b.jpg\n"), tmp_path))
    assert [row.get("notes") for row in rows] == [["more fields than the header, all empty"], None]


def test_paths_start_at_the_tables_own_folder_and_come_out_below_the_root(tmp_path):
    (tmp_path / "sets" / "trees").mkdir(parents=True)
    (tmp_path / "sets" / "birds").mkdir()
    text_table(tmp_path / "sets" / "trees", "image\noak\\a.jpg\n../birds/b.jpg\n../../../c.jpg\n")
    source = open_it(Path("sets/trees/t.csv"), tmp_path)
    assert [row.get("image") for row in rows_of(source)] == ["sets/trees/oak/a.jpg", "sets/birds/b.jpg", None]
    assert list(source.files) == ["sets/trees/t.csv"]


def test_facts_about_the_file_are_there_at_the_end(tmp_path):
    file = text_table(tmp_path, "image,class\na.jpg,x\n")
    source = open_it(file, tmp_path)
    assert source.files == {}
    rows_of(source)
    assert source.files == {
        "t.csv": {
            "size": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "format": "delimited",
            "columns": {"image": "image", "label": "class"},
        }
    }


# --- Parquet


def test_types_of_parquet_become_text_or_degrees(tmp_path):
    when = datetime.datetime(2020, 1, 2, 3, 4, 5, 678000, datetime.UTC)
    file = parquet(
        tmp_path,
        {
            "id": pa.array([1, 2, None]),
            "lon": pa.array([1.5, float("nan"), None], pa.float32()),
            "lat": pa.array([Decimal("2.50"), None, None], pa.decimal128(6, 2)),
            "label": pa.array([1.0, 2.5, float("nan")]),
            "image": pa.array(["a.jpg", None, "NA"], pa.large_string()),
            "captured_at": pa.array([when, None, None], pa.timestamp("ms", tz="Asia/Tokyo")),
            "location_id": pa.array(["p", "p", None]).dictionary_encode(),
            "split": pa.array([True, False, None]),
        },
    )
    assert rows_of(open_it(file, tmp_path)) == [
        {"where": "t.parquet:1", "obs_id": "1", "lon": 1.5, "lat": 2.5, "label": "1", "image": "a.jpg",
         "captured_at": "2020-01-02T03:04:05.678Z", "location_id": "p", "official_split": "true"},
        {"where": "t.parquet:2", "obs_id": "2", "label": "2.5", "location_id": "p", "official_split": "false"},
        {"where": "t.parquet:3"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([datetime.datetime(2020, 1, 2, 3)], pa.timestamp("ms")), "2020-01-02T03:00:00.000"),
        (pa.array([datetime.date(2020, 1, 2)]), "2020-01-02"),
        (pa.array(["2020:01:02"]), "2020:01:02"),
    ],
)
def test_times_without_a_zone_are_given_none(tmp_path, values, text):
    file = parquet(tmp_path, {"image": ["a"], "captured_at": values})
    assert rows_of(open_it(file, tmp_path))[0]["captured_at"] == text


@pytest.mark.parametrize("value", [1e300, float("inf"), 2.0**60, 0.1])
def test_numbers_that_no_integer_holds_exactly_stay_as_they_print(tmp_path, value):
    file = parquet(tmp_path, {"image": ["a"], "label": [value]})
    assert float(rows_of(open_it(file, tmp_path))[0]["label"]) == value


def test_longitudes_as_text_make_latitudes_text(tmp_path):
    file = parquet(tmp_path, {"image": ["a", "b"], "lon": ["1,5", "nan"], "lat": [2.5, None]})
    rows = rows_of(open_it(file, tmp_path))
    assert [(row.get("lon"), row.get("lat")) for row in rows] == [("1,5", "2.5"), (None, None)]


HUGGING_FACE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
IMAGES = {
    "struct": (
        pa.array([{"bytes": b"P6", "path": "/gone/a.jpg"}, {"bytes": None, "path": "b.jpg"}, None], HUGGING_FACE),
        [b"P6", "b.jpg", None],
    ),
    "struct of bytes": (
        pa.array([{"bytes": b"P6"}, {"bytes": b""}, None], pa.struct([("bytes", pa.large_binary())])),
        [b"P6", b"", None],
    ),
    "binary": (pa.array([b"P6", None, b"x"]), [b"P6", None, b"x"]),
    "large binary": (pa.array([b"P6", None, b"x"], pa.large_binary()), [b"P6", None, b"x"]),
    "text": (pa.array(["./a.jpg", None, "-"]), ["a.jpg", None, None]),
    "categories": (pa.array(["a.jpg", None, "a.jpg"]).dictionary_encode(), ["a.jpg", None, "a.jpg"]),
    "nulls": (pa.nulls(3), [None, None, None]),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_of_parquet_are_bytes_or_paths(tmp_path, name):
    values, images = IMAGES[name]
    assert [row.get("image") for row in rows_of(open_it(parquet(tmp_path, {"image": values}), tmp_path))] == images


def test_batches_of_images_are_bounded_in_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(cspops.intake.tables.parquet_table, "BATCH_BYTES", 10_000)
    data = [os.urandom(1000) for _ in range(40)]
    file = parquet(tmp_path, {"image": data, "label": ["x"] * 40}, row_group_size=25)
    batches = list(open_it(file, tmp_path).batches)
    assert max(len(batch) for batch in batches) <= 10
    assert [row["bytes"] for batch in batches for row in batch.column("image").to_pylist()] == data
    assert [where for batch in batches for where in batch.column("where").to_pylist()] == [
        f"t.parquet:{i}" for i in range(1, 41)
    ]


def geo(encoding="WKB", **column):
    return {"primary_column": "geometry", "columns": {"geometry": {"encoding": encoding} | column}}


def wkb(x, y):
    return struct.pack("<BIdd", 1, 1, x, y)


def test_geoparquet_points_are_positions(tmp_path):
    columns = {"geometry": [wkb(1.5, 2.5), None, b"?"], "image": ["a", "b", "c"], "lon": [9.0] * 3, "lat": [9.0] * 3}
    rows = rows_of(open_it(parquet(tmp_path, columns, geo=geo()), tmp_path))
    assert [(row.get("lon"), row.get("lat"), row.get("reason"), row.get("detail")) for row in rows] == [
        (1.5, 2.5, None, None),
        (None, None, None, None),
        (None, None, UNREADABLE, "1 bytes"),
    ]
    rows = rows_of(open_it(tmp_path / "t.parquet", tmp_path, lon="lon", lat="lat"))
    assert [(row["lon"], row["lat"]) for row in rows] == [(9.0, 9.0)] * 3


def test_geoparquet_in_another_reference_system(tmp_path):
    """In Web Mercator pi R metres east of Greenwich are 180 degrees, and y = 0 is the equator."""
    import pyproj

    columns = {"geometry": [wkb(3.141592653589793 * 6378137 / 2, 0.0), None], "image": ["a", "b"]}
    rows = rows_of(open_it(parquet(tmp_path, columns, geo=geo(crs=pyproj.CRS(3857).to_json_dict())), tmp_path))
    assert rows[0]["lon"] == pytest.approx(90.0, abs=1e-9) and rows[0]["lat"] == pytest.approx(0.0, abs=1e-9)
    assert "lon" not in rows[1]


def test_geoparquet_points_as_structs_and_an_unknown_reference_system(tmp_path):
    kind = pa.struct([("x", pa.float64()), ("y", pa.float64())])
    columns = {"geometry": pa.array([{"x": 1.0, "y": 2.0}, None], kind), "image": ["a", "b"], "label": ["x", "y"]}
    source = open_it(parquet(tmp_path, columns, geo=geo("point", crs=None)), tmp_path)
    assert [(row.get("lon"), row.get("lat")) for row in rows_of(source)] == [(1.0, 2.0), (None, None)]
    assert source.remarks == ["t.parquet: its reference system is unknown; positions are taken as degrees WGS84"]


def test_polygons_are_counted_in_a_remark(tmp_path):
    square = struct.pack("<BIII10d", 1, 3, 1, 5, 0, 0, 4, 0, 4, 2, 0, 2, 0, 0)
    source = open_it(parquet(tmp_path, {"geometry": [square], "image": ["a"], "label": ["x"]}, geo=geo()), tmp_path)
    assert [(row["lon"], row["lat"]) for row in rows_of(source)] == [(2.0, 1.0)]
    assert source.remarks == ["t.parquet: 1 geometry is not a point; its centroid is its position"]


# --- GeoJSON


def test_features_are_rows_whatever_their_properties(tmp_path, monkeypatch):
    monkeypatch.setattr(cspops.intake.tables.geojson, "BATCH", 2)
    file = collection(
        tmp_path,
        feature(label="oak", id=3) | {"id": 9},
        feature((1, 2, 300), label=1.0) | {"id": 4},
        feature(None, label=None),
        feature(("7,5", "8"), label=True),
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": []}, "properties": None},
        None,
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1]}, "properties": {"image": "b.jpg"}},
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [[1, 2], 3]}, "properties": {"image": "b.jpg"}},
    )
    assert rows_of(open_it(file, tmp_path)) == [
        {"where": "t.geojson:1", "obs_id": "3", "lon": 1.5, "lat": 2.5, "label": "oak", "image": "a.jpg"},
        {"where": "t.geojson:2", "obs_id": "4", "lon": 1.0, "lat": 2.0, "label": "1", "image": "a.jpg"},
        {"where": "t.geojson:3", "image": "a.jpg"},
        {"where": "t.geojson:4", "lon": "7,5", "lat": "8", "label": "true", "image": "a.jpg"},
        {"where": "t.geojson:5"},
        {"where": "t.geojson:6", "reason": NO_FEATURE, "detail": "None"},
        {"where": "t.geojson:7", "image": "b.jpg", "reason": UNREADABLE, "detail": '{"type": "Point", "coordinates": [1]}'},
        {"where": "t.geojson:8", "image": "b.jpg", "reason": UNREADABLE,
         "detail": '{"type": "Point", "coordinates": [[1, 2], 3]}'},
    ]  # fmt: skip


def test_positions_in_properties_count_where_no_feature_has_a_geometry(tmp_path):
    rows = rows_of(open_it(collection(tmp_path, feature(None, lon=1.5, lat="2.5")), tmp_path))
    assert (rows[0]["lon"], rows[0]["lat"]) == ("1.5", "2.5")


def test_an_old_crs_member_is_obeyed(tmp_path):
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    rows = rows_of(open_it(collection(tmp_path, feature((3.141592653589793 * 6378137 / 2, 0)), crs=crs), tmp_path))
    assert rows[0]["lon"] == pytest.approx(90.0, abs=1e-9)
    rows = rows_of(open_it(collection(tmp_path, feature((90, 1), crs="mine"), crs=None), tmp_path))
    assert rows[0]["lon"] == 90.0


def test_one_feature_and_features_by_line(tmp_path):
    (tmp_path / "one.json").write_text("\ufeff" + json.dumps(feature(), indent=1))
    assert [row["where"] for row in rows_of(open_it(tmp_path / "one.json", tmp_path))] == ["one.json:1"]
    lines = [json.dumps(feature()), "", '{"type": "Feature", "prop', "[1]", json.dumps(feature((3, 4), label="elm"))]
    (tmp_path / "l.geojson").write_text("\r\n".join(lines))
    (tmp_path / "l.geojsonl.gz").write_bytes(gzip.compress(("\x1e" + "\n\x1e".join(lines)).encode()))
    for name in ("l.geojson", "l.geojsonl.gz"):
        assert rows_of(open_it(tmp_path / name, tmp_path)) == [
            {"where": f"{name}:1", "obs_id": "l:1", "lon": 1.5, "lat": 2.5, "image": "a.jpg"},
            {"where": f"{name}:3", "obs_id": "l:3", "reason": NO_JSON, "detail": '{"type": "Feature", "prop'},
            {"where": f"{name}:4", "obs_id": "l:4", "reason": NO_FEATURE, "detail": "[1]"},
            {"where": f"{name}:5", "obs_id": "l:5", "lon": 3.0, "lat": 4.0, "label": "elm", "image": "a.jpg"},
        ]


def test_lines_are_numbered_through_the_blocks_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(cspops.intake.tables.text_lines, "BLOCK", 30)
    (tmp_path / "t.jsonl").write_text('{"image": "a.jpg"}\n\n' * 4)
    rows = rows_of(open_it(None, tmp_path))
    assert [row["where"] for row in rows] == ["t.jsonl:1", "t.jsonl:3", "t.jsonl:5", "t.jsonl:7"]


def test_polygons_of_features_give_their_centroids(tmp_path):
    square = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]]}
    source = open_it(collection(tmp_path, feature(label="x") | {"geometry": square}, feature()), tmp_path)
    assert [(row["lon"], row["lat"]) for row in rows_of(source)] == [(2.0, 1.0), (1.5, 2.5)]
    assert source.remarks == ["t.geojson: 1 geometry is not a point; its centroid is its position"]


def test_json_lines_of_an_image_folder(tmp_path):
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.jpg", "lon": 1.5, "lat": 2, "label": 3}\n')
    assert rows_of(open_it(None, tmp_path)) == [
        {"where": "metadata.jsonl:1", "obs_id": "metadata:1", "lon": 1.5, "lat": 2.0, "label": "3", "image": "a.jpg"}
    ]


# --- files that are refused

GOOD = "image,lon,lat\na.jpg,1,2\n"
REFUSED = {
    "header alone": ({"t.csv": b"image,lon,lat\n"}, "t.csv", "t.csv has no rows"),
    "empty": ({"t.csv": b""}, "t.csv", "t.csv is empty"),
    "column twice": ({"t.csv": b"image,lon,lon\na,1,2\n"}, "t.csv", "t.csv: the header has the column 'lon' more than once"),
    "missing": ({}, "t.csv", "the table {root}/t.csv is missing"),
    "a folder": ({"f/t.csv": GOOD.encode()}, "f", "f is not a table that can be read"),
    "a spreadsheet": ({"t.xlsx": b"PK\x03\x04rest"}, "t.xlsx", "t.xlsx is not a table that can be read"),
    "a spreadsheet called csv": ({"t.csv": b"PK\x03\x04rest"}, "t.csv", "t.csv is not a table that can be read"),
    "a picture": ({"t.csv": b"\x89PNG\r\n"}, "t.csv", "t.csv is not a table that can be read"),
    "no Parquet": ({"t.parquet": GOOD.encode()}, "t.parquet", "t.parquet is damaged or not Parquet"),
    "cut off Parquet": ({"t.pq": b"PAR1\x15\x00\x15"}, "t.pq", "t.pq is damaged or not Parquet"),
    "damaged gzip": ({"t.csv.gz": b"\x1f\x8b\x08broken"}, "t.csv.gz", "t.csv.gz: the gzip file is damaged or cut off"),
    "JSON of another kind": ({"t.json": b'{"a": 1}'}, "t.json", "t.json is not a table that can be read"),
    "no features": ({"t.geojson": b'{"a": 1}'}, "t.geojson", "t.geojson is JSON without features, not GeoJSON"),
    "no JSON": ({"t.geojson": b"hello"}, "t.geojson", "t.geojson: the JSON is broken or cut off: "),
    "empty collection": ({"t.geojson": b'{"features": []}'}, "t.geojson", "t.geojson has no column for the image"),
    "damaged gzip of GeoJSON": (
        {"t.geojson.gz": gzip.compress(b'{"features": [' + b"1" * 99)[:-9]},
        "t.geojson.gz",
        "t.geojson.gz: the JSON is broken or cut off: ",
    ),
    "a header beyond all bounds": ({"t.csv": b"x" * 200_000}, "t.csv", "t.csv: no header of a table"),
    "wrong crs": (
        {"t.geojson": b'{"crs": {"a": 1}, "features": [{}]}'},
        "t.geojson",
        "t.geojson: its crs member does",
    ),
    "no image": ({"t.csv": b"lon,lat\n1,2\n"}, "t.csv", "t.csv has no column for the image"),
    "no table": ({"read.me": b"x"}, None, "{root} has no table"),
    "two tables": (
        {"b.csv": GOOD.encode(), "a.tsv": GOOD.encode(), ".c.csv": GOOD.encode(), "d/e.csv": GOOD.encode()},
        None,
        "{root} has 2 tables: a.tsv, b.csv",
    ),
    "outside": ({"in/x": b""}, "../outside.csv", "{root}/../outside.csv is not below {root}"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_table_is_refused_by_name(tmp_path, name):
    files, asked, message = REFUSED[name]
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside.csv").write_text(GOOD)
    for path, data in files.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(data)
    with pytest.raises(DataError) as error:
        rows_of(open_it(asked and Path(asked), root))
    assert error.value.message.startswith(message.format(root=root))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"the folder .*/gone is missing"):
        open_it(None, tmp_path / "gone")


BAD_PARQUET = {
    "image of numbers": ({"image": [1]}, None, "t.parquet: column 'image' holds int64, neither paths nor bytes of images"),
    "label of lists": ({"image": ["a"], "label": [[1]]}, None, "t.parquet: column 'label' holds list<"),
    "bytes that are no text": ({"image": ["a"], "label": [b"\xff"]}, None, "t.parquet: column 'label' holds binary, not text"),
    "text that is not UTF-8": (
        {"image": pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())},
        None,
        "t.parquet is damaged after row 0: ",
    ),
    "no rows": ({"image": pa.array([], pa.string())}, None, "t.parquet has no rows"),
    "geometry not there": ({"image": ["a"]}, geo(), "t.parquet: its GeoParquet metadata names a column 'geometry'"),
    "geometry of another kind": ({"image": ["a"], "geometry": ["x"]}, geo("polygon"), "t.parquet: its geometry is encoded as"),
    "broken metadata": ({"image": ["a"]}, {}, "t.parquet: its GeoParquet metadata is broken"),
}


@pytest.mark.parametrize("name", BAD_PARQUET)
def test_parquet_that_cannot_be_used_names_the_column(tmp_path, name):
    columns, about, message = BAD_PARQUET[name]
    with pytest.raises(DataError) as error:
        rows_of(open_it(parquet(tmp_path, columns, geo=about), tmp_path))
    assert error.value.message.startswith(message)


def test_json_that_breaks_off_says_where(tmp_path):
    file = collection(tmp_path, feature(), feature())
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"t.geojson: the JSON is broken or cut off: Unterminated string starting at: line 1"):
        rows_of(open_it(file, tmp_path))


@settings(deadline=None, derandomize=True, max_examples=30)
@given(data=st.data())
@pytest.mark.parametrize("name", ["t.csv", "t.geojson", "t.jsonl", "t.parquet", "t.csv.gz"])
def test_a_file_with_wrong_bytes_gives_rows_or_a_sentence(tmp_path_factory, name, data):
    """A good file of each kind, some bytes of it changed or missing: no other exception than DataError.

    Parquet is only cut off: at some changed bytes Arrow itself ends the process.
    """
    root = tmp_path_factory.getbasetemp()
    lines = "image,lon,lat,label\n" + 'a.jpg,1,2,"x, y"\n' * 3
    good = {
        "t.csv": lines.encode(),
        "t.csv.gz": gzip.compress(lines.encode(), mtime=0),
        "t.geojson": json.dumps({"crs": None, "features": [feature(), feature(label="\ud800")]}).encode(),
        "t.jsonl": "\n".join(json.dumps(feature(label=each)) for each in (1.5, "\ud800", [1])).encode(),
        "t.parquet": b"",
    }
    file = root / name
    if name == "t.parquet":
        good[name] = parquet(root, {"image": ["a", "b"], "geometry": [wkb(1, 2), None]}, geo=geo()).read_bytes()
    size = len(good[name])
    broken = bytearray(good[name])
    changes = 0 if name == "t.parquet" else 3
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, 255)), max_size=changes)):
        broken[place] = byte
    file.write_bytes(broken[: data.draw(st.one_of(st.just(size), st.integers(0, size)))])
    try:
        rows = rows_of(open_it(file, root))
    except DataError as error:
        assert name in error.message
    else:
        assert rows


# --- which files are tables

FORMATS = {
    "t.csv": (GOOD, "delimited"),
    "T.TSV": (GOOD, "delimited"),
    "t.txt": ("image\tlon\tlat\na\t1\t2\n", "delimited"),
    "occurrence.txt": ("gbifID\tscientificName\n1\toak\n", "delimited"),
    "LICENSE.txt": ("Licence, version 1, of June\n\nThis is free, for all, and more\n", None),
    "list.txt": ("image\na.jpg\n", None),
    "odd.txt": ("image,lon,lat\na\n", None),
    "t.geojson": ('{"type": "FeatureCollection", "features": []}', "geojson"),
    "t.json": ('{"features": [], "type": "FeatureCollection"}', "geojson"),
    "manifest.json": ('{"a.jpg": {"sha256": "x"}}', None),
    "one.json": ('{"type": "Feature"}', "geojson"),
    "lines.json": ('{"type": "Feature"}\n{"type": "Feature"}\n', "geojson lines"),
    "t.ndjson": ('{"type": "Feature"}', "geojson lines"),
    "t.parquet": ("PAR1", "parquet"),
    "parquet.dat": ("PAR1", "parquet"),
    ".hidden.csv": (GOOD, None),
    "a.jpg": ("x", None),
    "README": (GOOD, None),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_by_suffix_and_content(tmp_path, name):
    text, kind = FORMATS[name]
    assert table_format(text_table(tmp_path, text, name)) == kind


def test_a_folder_and_a_missing_file_are_no_table(tmp_path):
    assert table_format(tmp_path) is None
    assert table_format(tmp_path / "t.csv") is None


def test_a_text_file_that_params_name_is_a_table(tmp_path):
    text_table(tmp_path, "foto;x;y\na.jpg;1,5;2,5\n", "t.txt")
    rows = rows_of(open_it(Path("t.txt"), tmp_path, image="foto", lon="x", lat="y"))
    assert [(row["image"], row["lon"], row["lat"]) for row in rows] == [("a.jpg", "1,5", "2,5")]


# --- side-cars


def test_a_sidecar_gives_the_text_of_the_image_column(tmp_path):
    file = text_table(tmp_path, "file,lon,lat,label\n..\\img\\a.jpg,1,2,NA\nb,3,4,x\nhttp://e.org,5,6,x\n")
    remarks = []
    (batch,) = read_sidecar(file, columns={"label": None}, remarks=remarks)
    got = batch.select(["where", "obs_id", "lon", "label", "reason"]).to_pydict()
    assert got == {
        "where": ["t.csv:2", "t.csv:3", "t.csv:4"],
        "obs_id": [None] * 3,
        "lon": ["1", "3", "5"],
        "label": [None, "x", "x"],
        "reason": [None, None, ADDRESS],
    }
    assert [image["path"] for image in batch.column("image").to_pylist()] == ["../img/a.jpg", "b", None]
    assert remarks == ["t.csv: labels that are read as missing: NA (1)"]


def test_a_sidecar_names_its_own_keys(tmp_path):
    with pytest.raises(DataError, match=r"no column 'x' \(dataset.folder.columns.image\)"):
        list(read_sidecar(text_table(tmp_path, GOOD), columns={"image": "x"}, remarks=[]))
    with pytest.raises(DataError, match=r"gone.csv is missing") as error:
        list(read_sidecar(tmp_path / "gone.csv", columns={}, remarks=[]))
    assert "dataset.folder.sidecar" in error.value.hint


# --- real data


@pytest.mark.skipif("CSPOPS_TEST_REALDATA" not in os.environ, reason="CSPOPS_TEST_REALDATA names no folder")
def test_the_table_of_the_eurosat_tiles():
    root = Path(os.environ["CSPOPS_TEST_REALDATA"])
    source = open_it(Path("eurosat100/catalogue.csv"), root)
    rows = rows_of(source)
    assert len(rows) == 100 and not source.remarks and not any("reason" in row for row in rows)
    assert len({row["label"] for row in rows}) == 10
    assert all((root / row["image"]).is_file() for row in rows)
    first = {"where": "catalogue.csv:2", "obs_id": "AnnualCrop_1175", "lon": "4.682433", "lat": "48.951615"}
    assert first.items() <= rows[0].items()


PATHS = {
    # as written, with the table in `sets/trees` below the root: below the root, or a reason
    "a.jpg": "sets/trees/a.jpg",
    "oak/a b.jpg": "sets/trees/oak/a b.jpg",
    "./oak/a.jpg": "sets/trees/oak/a.jpg",
    "././a.jpg": "sets/trees/a.jpg",
    "oak//./a.jpg": "sets/trees/oak/a.jpg",
    "oak\\a.jpg": "sets/trees/oak/a.jpg",
    ".\\oak\\a.jpg": "sets/trees/oak/a.jpg",
    "oak/../elm/a.jpg": "sets/trees/elm/a.jpg",
    "../birds/a.jpg": "sets/birds/a.jpg",
    "../../a.jpg": "a.jpg",
    "..a.jpg": "sets/trees/..a.jpg",
    ".hidden/a..jpg": "sets/trees/.hidden/a..jpg",
    "a:b.jpg": ABSOLUTE,  # a drive
    "../../../a.jpg": OUTSIDE,
    "oak/../../../../a.jpg": OUTSIDE,
    "..\\..\\..\\a.jpg": OUTSIDE,
    "../../..": OUTSIDE,
    "/home/me/a.jpg": ABSOLUTE,
    "/../../../../a.jpg": ABSOLUTE,
    "~/a.jpg": ABSOLUTE,
    "C:\\photos\\a.jpg": ABSOLUTE,
    "c:/photos/a.jpg": ABSOLUTE,
    "\\\\server\\a.jpg": ABSOLUTE,
    "https://example.org/a.jpg": ADDRESS,
    "HTTP://example.org/a.jpg|https://example.org/b.jpg": ADDRESS,
    "s3://bucket/a.jpg": ADDRESS,
    "file:///a.jpg": ADDRESS,
    "a\0.jpg": NUL,
}


@pytest.mark.parametrize("written", PATHS)
def test_a_path_is_brought_below_the_root_or_given_up_with_its_text(written):
    paths, reasons = normalise_paths(pa.array([None, written, "z.jpg"]), "sets/trees")
    wanted = PATHS[written]
    if wanted in (ABSOLUTE, ADDRESS, NUL, OUTSIDE):
        assert reasons == {1: (wanted, written.replace("\0", ""))}
        wanted = None
    else:
        assert reasons == {}
    assert paths.to_pylist() == [None, wanted, "sets/trees/z.jpg"]


@pytest.mark.parametrize("folder", ["", "."])
def test_a_table_in_the_root_adds_nothing(folder):
    paths, reasons = normalise_paths(pa.array(["oak/a.jpg", "./b.jpg", "../c.jpg"]), folder)
    assert paths.to_pylist() == ["oak/a.jpg", "b.jpg", None]
    assert reasons == {2: (OUTSIDE, "../c.jpg")}


def test_a_sidecar_may_point_up():
    paths, reasons = normalise_paths(pa.array(["..\\images\\.\\a.jpg", "/a.jpg"]), "", inside=False)
    assert paths.to_pylist() == ["../images/a.jpg", None]
    assert reasons == {1: (ABSOLUTE, "/a.jpg")}
