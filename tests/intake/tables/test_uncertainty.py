"""How exact positions are, by the columns of GBIF's and iNaturalist's exports."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cspops.intake.sources.table import open_table


def metres(folder, header, *rows, lonlat="1.5,2.5"):
    """Return the uncertainty of each row of a CSV with these columns, and what is said about it."""
    lines = [f"image,lon,lat,label,{header}", *(f"a{n}.jpg,{lonlat},x,{row}" for n, row in enumerate(rows))]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    source = open_table(folder / "t.csv", root=folder, columns={})
    got = [value for batch in source.batches for value in batch["uncertainty_m"].to_pylist()]
    return got, [remark.removeprefix("t.csv: ") for remark in source.remarks]


INF = math.inf
CASES = {
    "GBIF": ("coordinateUncertaintyInMeters", ["28000", "10.5", "", "NA", "0"], [28000, 10.5, None, None, None]),
    "with a namespace": ("dwc:coordinateUncertaintyInMeters", ["5"], [5]),
    "with a unit": ("coordinate_uncertainty", ["5 m", "+7"], [5, 7]),
    "iNaturalist": (
        "positional_accuracy,public_positional_accuracy,coordinates_obscured",
        ["10,28000,true", "10,10,false", ",28000,true", "10,,true", "10,,false", ",,"],
        [28000, 10, 28000, INF, 10, None],
    ),
    "privacy": (
        "geoprivacy,taxon_geoprivacy,positional_accuracy",
        ["obscured,,10", ",obscured,10", "private,,", "open,open,10", ",,10"],
        [INF, INF, INF, 10, 10],
    ),
    "the larger of two": ("coordinateUncertaintyInMeters,positional_accuracy", ["5,9", "9,5", "5,"], [9, 9, 5]),
    "what GBIF withholds": (
        "informationWithheld,dataGeneralizations,coordinateUncertaintyInMeters",
        [
            "Coordinate uncertainty increased to 28km to protect threatened taxon,,28000",
            "exact locality on request,,",
            ",Coordinates rounded to 0.1 degrees,",
            "tissue samples,,",
            ",date rounded,30",
        ],
        [28000, INF, INF, None, 30],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_metres_are_read_and_what_is_obscured_is_not_known(tmp_path, name):
    header, rows, expected = CASES[name]
    assert metres(tmp_path, header, *rows)[0] == expected


def test_one_sentence_counts_the_uncertain_with_their_median(tmp_path):
    header = "coordinateUncertaintyInMeters,coordinates_obscured"
    _, remarks = metres(tmp_path, header, "10,", "30,", "28000,true", ",true", ",")
    assert remarks == [
        "positions are taken as exact, although an uncertainty is stated of 3 of 5 (median 30 m, above 1 km of 1) and 1 is "
        "obscured by an unknown distance; dataset.max_uncertainty_m sets a limit"
    ]
    assert metres(tmp_path, header, "10,true", lonlat=",")[1] == []  # of no position nothing is uncertain
    assert metres(tmp_path, header, ",")[1] == []
    assert metres(tmp_path, header, "far,", "-5,")[1] == [
        "2 uncertainties of positions are not metres, left out, such as 'far'"
    ]


def test_a_table_without_such_columns_has_none(tmp_path):
    assert metres(tmp_path, "accuracy", "5") == ([None], [])


def test_numbers_and_flags_of_parquet(tmp_path):
    table = {"image": ["a", "b"], "lon": [1.5, 1.5], "lat": [2.5, 2.5], "positional_accuracy": pa.array([5, 9], pa.int16())}
    pq.write_table(pa.table(table | {"coordinates_obscured": [False, True]}), tmp_path / "t.parquet")
    source = open_table(tmp_path / "t.parquet", root=tmp_path, columns={})
    assert [value for batch in source.batches for value in batch["uncertainty_m"].to_pylist()] == [5, INF]
