import pytest

from cspops.errors import DataError
from cspops.intake.tables.columns import USUAL, pick_columns


def pick(names, given=None, *, has_geometry=False, remarks=None):
    key, remarks = "dataset.table.columns", [] if remarks is None else remarks
    return pick_columns(names, given or {}, table="t.csv", key=key, has_geometry=has_geometry, remarks=remarks)


KNOWN = {
    "the names of params.yaml": (
        ["obs_id", "lon", "lat", "label", "image", "captured_at", "location_id", "split", "overhead", "overhead_bbox"],
        {kind: kind for kind in USUAL},
    ),
    "an overhead image alone is the image": (
        ["overhead", "overhead_bbox"],
        {"image": "overhead", "overhead_bbox": "overhead_bbox"},
    ),
    "EuroSAT tiles": (
        ["id", "split", "label", "lon", "lat", "lon_min", "lat_min", "lon_max", "lat_max", "epsg", "image", "geotiff"],
        {"obs_id": "id", "lon": "lon", "lat": "lat", "label": "label", "image": "image", "split": "split"},
    ),
    "GBIF, Darwin Core": (
        ["gbifID", "occurrenceID", "catalogNumber", "class", "species", "scientificName", "decimalLatitude",
         "decimalLongitude", "eventDate", "dateIdentified", "locationID", "associatedMedia"],
        {"obs_id": "gbifID", "lon": "decimalLongitude", "lat": "decimalLatitude", "label": "scientificName",
         "image": "associatedMedia", "captured_at": "eventDate", "location_id": "locationID"},
    ),
    "iNaturalist": (
        ["id", "uuid", "observed_on_string", "observed_on", "time_observed_at", "user_id", "url", "image_url", "latitude",
         "longitude", "private_latitude", "private_longitude", "species_guess", "scientific_name", "common_name", "taxon_id"],
        {"obs_id": "id", "lon": "longitude", "lat": "latitude", "label": "scientific_name", "image": "image_url",
         "captured_at": "observed_on"},
    ),
    "any case, any separators, units": (
        ["FILE-NAME", "Longitude (deg)", "GPS Latitude [°]", "Scientific Name"],
        {"image": "FILE-NAME", "lon": "Longitude (deg)", "lat": "GPS Latitude [°]", "label": "Scientific Name"},
    ),
    "namespaces": (
        ["dwc:decimalLongitude", "http://rs.tdwg.org/dwc/terms/decimalLatitude", "image"],
        {"lon": "dwc:decimalLongitude", "lat": "http://rs.tdwg.org/dwc/terms/decimalLatitude", "image": "image"},
    ),
    "the kind's own name before others": (["image", "file_name", "label", "class"], {"image": "image", "label": "label"}),
    "date and time": (["image", "date", "time"], {"image": "image", "captured_at": "date"}),
    "long and short names": (
        ["image", "lat", "latitude", "lon", "longitude"],
        {"image": "image", "lon": "longitude", "lat": "latitude"},
    ),
    "several short names": (["image", "lat", "long", "lng"], {"image": "image", "lon": "lng", "lat": "lat"}),
    "of the same form": (["image", "longitude", "lat", "lng"], {"image": "image", "lon": "lng", "lat": "lat"}),
    "of GPS": (["image", "gps_lat", "gps_lon", "lon"], {"image": "image", "lon": "gps_lon", "lat": "gps_lat"}),
    "of two forms": (["image", "decimalLongitude", "lat"], {"image": "image", "lon": "decimalLongitude", "lat": "lat"}),
    "an image alone": (["path", "x", "y", "lon/lat"], {"image": "path"}),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_usual_names_are_recognised(name):
    names, picked = KNOWN[name]
    assert pick(names) == picked
    assert pick(names[::-1]) == picked


def test_of_columns_that_may_be_missing_the_first_is_read_with_a_remark():
    said = []
    names = ["image", "plot", "site", "Split", "split"]
    assert pick(names, remarks=said) == {"image": "image", "location_id": "plot", "split": "Split"}
    assert said == [
        "t.csv: location_id is read from the column 'plot', not from 'site' (dataset.table.columns.location_id)",
        "t.csv: split is read from the column 'Split', not from 'split' (dataset.table.columns.split)",
    ]
    assert pick(names[::-1])["location_id"] == "site"


def test_names_of_params_go_before_usual_ones():
    picked = pick(["image", "lon", "lat", "X", "Y", "class", "category"], {"lon": "X", "lat": "Y", "label": "class"})
    assert picked == {"image": "image", "lon": "X", "lat": "Y", "label": "class"}


def test_geometries_give_the_position_unless_params_say_otherwise():
    names = ["image", "lon", "lat"]
    assert pick(names, has_geometry=True) == {"image": "image"}
    given = {"lon": "lon", "lat": "lat"}
    assert pick(names, given, has_geometry=True) == {"image": "image"} | given


REFUSED = {
    "no image": (
        ["lon", "lat"],
        {},
        "t.csv has no column for the image",
        "dataset.table.columns.image; its columns are lon, lat",
    ),
    "not there": (
        ["image", "Longitude", "lat"],
        {"lon": "longitud"},
        "t.csv has no column 'longitud' (dataset.table.columns.lon); the nearest is 'Longitude'",
        "its columns are image, Longitude, lat",
    ),
    "nothing like it": (
        ["image"],
        {"label": "zzz"},
        "t.csv has no column 'zzz' (dataset.table.columns.label)",
        "columns are image",
    ),
    "case counts for given names": (
        ["Image"],
        {"image": "image"},
        "no column 'image' (dataset.table.columns.image); the nearest is 'Image'",
        "",
    ),
    "two labels": (
        ["image", "class", "category"],
        {},
        "the columns 'class' and 'category' both fit label",
        "dataset.table.columns.label",
    ),
    "two longitudes": (
        ["image", "lon", "LON", "lat"],
        {},
        "the columns 'lon' and 'LON' both fit lon",
        "columns.lon",
    ),
    "same but for case": (
        ["image", "Image"],
        {},
        "the columns 'image' and 'Image' both fit image",
        "dataset.table.columns.image",
    ),
    "longitude alone": (
        ["image", "lng"],
        {},
        "a column for lon ('lng') and none for lat",
        "dataset.table.columns.lat; its columns",
    ),
    "latitude alone": (
        ["image", "lat"],
        {},
        "a column for lat ('lat') and none for lon",
        "dataset.table.columns.lon; its columns",
    ),
    "many columns": ([f"c{i}" for i in range(25)], {}, "t.csv has no column for the image", "c18, c19 and 5 more"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_missing_or_of_two_minds_is_named_with_the_key(name):
    names, given, message, hint = REFUSED[name]
    with pytest.raises(DataError) as error:
        pick(names, given)
    assert message in error.value.message
    assert hint in error.value.hint


def test_no_usual_name_fits_two_kinds():
    plain = [name.replace("_", "").casefold() for groups in USUAL.values() for group in groups for name in group]
    assert len(plain) == len(set(plain))
