"""Where and when images were taken: nulls, the numbering of places, dates, and no label."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.data import catalogue as captures
from cspops.data.catalogue import NO_DATE, SCHEMA, read_captures


def catalogue(folder: Path, **columns) -> Path:
    """A catalogue of these columns, all others null."""
    n = len(next(iter(columns.values())))
    table = {field.name: pa.array(columns.get(field.name, [None] * n), field.type) for field in SCHEMA}
    table["obs_id"] = pa.array([f"o{row}" for row in range(n)])
    pq.write_table(pa.table(table), folder / "observations.parquet", row_group_size=2)
    return folder


def test_all_columns_may_be_null(tmp_path):
    found = read_captures(catalogue(tmp_path, label=[0, 1, 2]))
    assert found.obs_id == ["o0", "o1", "o2"]
    assert found.lonlat.shape == (3, 2)
    assert found.lonlat.isnan().all()
    assert found.place.tolist() == [-1] * 3
    assert found.captured_at.tolist() == [NO_DATE] * 3


def test_a_catalogue_without_rows(tmp_path):
    found = read_captures(catalogue(tmp_path, lon=[]))
    assert (len(found.obs_id), found.lonlat.shape, found.place.shape, found.captured_at.shape) == (0, (0, 2), (0,), (0,))


def test_places_are_numbered_by_their_first_row_across_row_groups(tmp_path):
    """Not by their names, and a missing one takes no number."""
    names = ["b", None, "a", "b", "", None, "a", "c"]
    assert read_captures(catalogue(tmp_path, location_id=names)).place.tolist() == [0, -1, 1, 0, 2, -1, 1, 3]


def test_dates_are_milliseconds_in_utc_also_before_1970(tmp_path):
    dates = [
        datetime(1970, 1, 2, tzinfo=UTC),
        None,
        datetime(1969, 12, 31, 23, 59, 59, 500_000, UTC),
        datetime(2020, 2, 29, tzinfo=UTC),
    ]
    found = read_captures(catalogue(tmp_path, captured_at=dates)).captured_at.tolist()
    assert found == [86_400_000, NO_DATE, -500, int(dates[3].timestamp() * 1000)]


def test_positions_are_longitude_first(tmp_path):
    found = read_captures(catalogue(tmp_path, lon=[10.0, None], lat=[50.0, None])).lonlat
    assert found[0].tolist() == [10.0, 50.0]
    assert found[1].isnan().all()
    assert found.dtype == torch.float64


def test_no_label_is_read(tmp_path, monkeypatch):
    """Neither the label nor the image is asked for, and a catalogue that lacks both is read as well."""
    asked, real = [], pq.read_table

    def recorded(file, columns):
        asked.extend(columns)
        return real(file, columns=columns)

    monkeypatch.setattr(captures.pq, "read_table", recorded)
    file = catalogue(tmp_path, label=[0, 1], lon=[1.0, 2.0], lat=[3.0, 4.0]) / "observations.parquet"
    pq.write_table(real(file).drop_columns(["label", "image", "official_split"]), file)
    assert read_captures(tmp_path).lonlat.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert set(asked) == {"obs_id", "lon", "lat", "location_id", "captured_at"}
