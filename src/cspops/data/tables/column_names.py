"""Which column of a table holds what: by the names in params.yaml, else by the names that such columns usually have."""

import difflib
import re
from collections.abc import Mapping, Sequence

from cspops.data.tables.records import shortened
from cspops.errors import DataError

USUAL: dict[str, tuple[tuple[str, ...], ...]] = {
    "obs_id": (
        ("obs_id", "observation_id"),
        ("gbifID",),
        ("occurrenceID",),
        ("id",),
        ("uuid",),
        ("image_id", "photo_id", "sample_id"),
        ("catalogNumber",),
    ),
    "lon": (("lon", "lng", "long", "longitude", "decimalLongitude", "gps_longitude", "gps_lon"),),
    "lat": (("lat", "latitude", "decimalLatitude", "gps_latitude", "gps_lat"),),
    "label": (
        ("label",),
        ("scientificName",),
        ("species", "taxon_name", "taxon"),
        ("class", "class_name", "category", "category_name", "class_label", "target"),
        ("vernacularName", "common_name"),
    ),
    "image": (
        ("image",),
        ("image_path", "image_file", "image_name", "img", "img_path", "file", "file_name", "file_path", "path", "photo"),
        ("image_url", "photo_url", "associatedMedia"),
    ),
    "captured_at": (
        ("captured_at",),
        ("eventDate",),
        ("datetime_original",),
        ("observed_on",),
        ("time_observed_at",),
        ("timestamp", "datetime", "taken_at", "date_taken", "acquired", "acquisition_date"),
        ("date", "time"),
    ),
    "location_id": (("location_id",), ("site_id", "station_id", "plot_id", "place_id"), ("site", "station", "plot")),
    "split": (("split",), ("official_split",), ("subset", "partition")),
}
"""Of each kind, the usual names: those of an earlier group are the more exact and win. Compared without case and without
anything but letters and digits, without a namespace before the name (`dwc:`, an address) or a unit in brackets behind it."""


def pick_columns(
    names: Sequence[str], given: Mapping[str, str | None], *, table: str, key: str, has_geometry: bool
) -> dict[str, str]:
    """The column of each kind of `USUAL` that the table has.

    Args:
        names: the table's columns.
        given: names from params.yaml, null or missing where the usual ones count.
        table: the table's name, for messages.
        key: where ``given`` stands in params.yaml.
        has_geometry: positions come from geometries unless ``given`` says otherwise.

    Raises:
        DataError: a name that the table lacks, two columns that fit equally well, one coordinate alone, no image.
    """
    found: dict[str, str] = {}
    for kind in USUAL:
        name = given.get(kind)
        if name is not None:
            if name not in names:
                raise DataError(f"{table} has no column {name!r} ({key}.{kind}){_nearest(name, names)}", hint=_listed(names))
            found[kind] = name
        elif not (has_geometry and kind in ("lon", "lat")):
            fitting = _recognise(kind, names)
            if len(fitting) > 1:
                which = " and ".join(repr(name) for name in fitting)
                raise DataError(f"{table}: the columns {which} both fit {kind}", hint=f"name one in params.yaml: {key}.{kind}")
            if fitting:
                found[kind] = fitting[0]
    if ("lon" in found) != ("lat" in found):
        has, lacks = ("lon", "lat") if "lon" in found else ("lat", "lon")
        raise DataError(
            f"{table} has a column for {has} ({found[has]!r}) and none for {lacks}",
            hint=f"name it in params.yaml: {key}.{lacks}; {_listed(names)}",
        )
    if "image" not in found:
        raise DataError(f"{table} has no column for the image", hint=f"name it in params.yaml: {key}.image; {_listed(names)}")
    return found


def recognised(names: Sequence[str]) -> bool:
    """Whether any of a header's names is a usual one."""
    return any(_recognise(kind, names) for kind in USUAL)


def _recognise(kind: str, names: Sequence[str]) -> list[str]:
    plain = {name: _plain(name) for name in names}
    for group in USUAL[kind]:
        usual = {_plain(name) for name in group}
        fitting = [name for name in names if plain[name] in usual]
        if fitting:
            return fitting
    return []


def _plain(name: str) -> str:
    bare = re.sub(r"^\s*(https?://.*[/#]|\w+:)|[\[(].*?[\])]", "", name)
    return re.sub(r"[\W_]", "", bare).casefold()


def _nearest(name: str, names: Sequence[str]) -> str:
    lower = {known.lower(): known for known in reversed(names)}
    near = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.5)
    return f"; the nearest is {lower[near[0]]!r}" if near else ""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(shortened(name, 40) for name in names[:20])
    return f"its columns are {shown}" + (f" and {len(names) - 20} more" if len(names) > 20 else "")
