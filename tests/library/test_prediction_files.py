"""Predictions as files: the same rows in every format, whole files only."""

import csv
import io
import json

import pyarrow.parquet as pq
import pytest

from cspops.library import prediction_files as files

MODELS = ("pool", "image", "location")
COLUMNS = files.Columns(MODELS, 2)
ROWS = [
    {
        "where": "a, b.png",
        "obs_id": "17",
        "lon": 8.5,
        "lat": 47.4,
        "position": "file",
        "position_problem": None,
        "error": None,
        "combine": "pool",
    }
    | {name: [{"class": "oak", "p": 0.75}, {"class": "fir", "p": 0.25}] for name in MODELS},
    {"where": "c.png", "obs_id": None, "lon": None, "lat": None, "position": "none", "position_problem": "no position is given"}
    | {"error": "image file is empty", "combine": "pool"}
    | dict.fromkeys(MODELS),
]


def text(form: str) -> str:
    out = io.StringIO()
    files.write_text(ROWS, out, COLUMNS, form=form)
    return out.getvalue()


def test_csv_has_a_column_a_guess_and_leaves_empty_what_is_not_there():
    first, second = csv.DictReader(io.StringIO(text("csv")))
    assert (first["where"], first["obs_id"], second["obs_id"]) == ("a, b.png", "17", "")
    assert (first["pool_1"], first["pool_1_p"], first["location_2"]) == ("oak", "0.75", "fir")
    assert (second["lon"], second["image_1"], second["image_1_p"]) == ("", "", "")
    assert second["error"] == "image file is empty"


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_csv_alone_keeps_a_spreadsheet_from_computing_names(tmp_path, form):
    guess = {name: [{"class": "@oak", "p": 1e-7}] for name in MODELS}
    row = ROWS[0] | {"where": "=cmd|' /C calc'!A0", "lon": -8.5, "lat": -47.4, "error": "-x", "position_problem": "+x"} | guess
    file = tmp_path / f"out.{form}"
    files.write_file([row], file, files.Columns(MODELS, 1))
    if form == "csv":
        (found,) = csv.DictReader(io.StringIO(file.read_text()))
        assert (found["where"], found["error"], found["position_problem"]) == ("'=cmd|' /C calc'!A0", "'-x", "'+x")
        assert (found["lon"], found["lat"], found["image_1"], found["image_1_p"]) == ("-8.5", "-47.4", "'@oak", "1e-07")
    else:
        assert (json.loads(file.read_text()) if form == "jsonl" else pq.read_table(file).to_pylist()[0]) == row


def test_json_lines_are_the_rows():
    assert [json.loads(line) for line in text("jsonl").splitlines()] == ROWS


def test_geojson_is_one_collection_of_points():
    document = json.loads(text("geojson"))
    assert document["type"] == "FeatureCollection"
    first, second = document["features"]
    assert first["geometry"] == {"type": "Point", "coordinates": [8.5, 47.4]}
    assert first["properties"]["pool"][0] == {"class": "oak", "p": 0.75}
    assert second["geometry"] is None
    out = io.StringIO()
    files.write_geojson([], out)
    assert json.loads(out.getvalue())["features"] == []


@pytest.mark.parametrize("suffix", list(files.SUFFIXES))
def test_a_file_is_whole_or_not_there(tmp_path, suffix):
    file = tmp_path / f"out{suffix}"
    files.write_file(ROWS, file, COLUMNS)
    before = file.read_bytes()

    def breaks():
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_file(breaks(), file, COLUMNS)
    assert file.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


def test_parquet_gives_the_rows_back(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "ROWS", 1)
    files.write_file(ROWS, tmp_path / "out.parquet", COLUMNS)
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == ROWS
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 2


def test_failures_are_counted_as_rows_go_by():
    failed = files.Failures()
    assert list(failed.watch(ROWS)) == ROWS
    assert (failed.rows, failed.count, failed.first) == (2, 1, "c.png: image file is empty")


def test_a_table_shows_guesses_or_what_is_wrong():
    header, first, second = files.table_rows(ROWS, COLUMNS)
    assert header == ["where", "position", *MODELS]
    assert first == ["a, b.png", "8.5000 47.4000 (file)", *["oak 0.75, fir 0.25"] * 3]
    assert second[1:3] == ["no position is given", "error: image file is empty"]
    assert files.first(iter(ROWS), 1) == (ROWS[:1], 1)


def test_positions_that_cannot_be_used_are_counted_and_missing_ones_are_not():
    failed = files.Failures()
    problems = ["latitude is outside [-90, 90]", "no position is given", None, "latitude is outside [-90, 90]"]
    for _ in failed.watch({"where": f"{n}.jpg", "error": None, "position_problem": one} for n, one in enumerate(problems)):
        pass
    assert (failed.misplaced, failed.first_misplaced) == (2, "0.jpg: latitude is outside [-90, 90]")
