"""Which column of a table holds what, and its values as text or degrees."""

import re
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from cspops.errors import DataError, nearest
from cspops.intake.tables.records import shortened

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
    "lon": (("decimalLongitude",), ("longitude",), ("lon", "lng", "long"), ("gps_longitude", "gps_lon")),
    "lat": (("decimalLatitude",), ("latitude",), ("lat",), ("gps_latitude", "gps_lat")),
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
        ("date",),
        ("time",),
    ),
    "location_id": (("location_id",), ("site_id", "station_id", "plot_id", "place_id"), ("site", "station", "plot")),
    "split": (("split",), ("official_split",), ("subset", "partition")),
}
"""Of each kind, the usual names: those of an earlier group are the more exact and win. Compared without case and without
anything but letters and digits, without a namespace before the name (`dwc:`, an address) or a unit in brackets behind it.
Longitude and latitude come from the first group that has both, so that one is not read from the GPS and the other from
elsewhere; within a group of theirs an earlier name wins."""

AXES = ("lon", "lat")
LENIENT = ("captured_at", "location_id", "split")
"""Where several names of a group are there, the header's first is read, with a remark; of other kinds that is an error."""


def pick_columns(
    names: Sequence[str],
    given: Mapping[str, str | None],
    *,
    table: str,
    key: str,
    has_geometry: bool,
    remarks: list[str],
) -> dict[str, str]:
    """Return the column of each kind of `USUAL` that the table has.

    Args:
        names: the table's columns.
        given: names from params.yaml, null or missing where the usual ones count.
        table: the table's name, for messages.
        key: where ``given`` stands in params.yaml.
        has_geometry: positions come from geometries unless ``given`` says otherwise.
        remarks: gets which of several columns is read.

    Raises:
        DataError: a name that the table lacks, two columns that fit equally well, one coordinate alone, no image.
    """
    picked: dict[str, str] = {}
    usual = USUAL | _same_form(names)
    for kind in USUAL:
        name = given.get(kind)
        if name is not None:
            if name not in names:
                raise DataError(f"{table} has no column {name!r} ({key}.{kind}){_guess(name, names)}", hint=_listed(names))
            picked[kind] = name
        elif not (has_geometry and kind in AXES):
            fitting = _recognise(usual[kind], names)
            if len(fitting) > 1 and kind in LENIENT:
                others = " and ".join(repr(name) for name in fitting[1:])
                remarks.append(f"{table}: {kind} is read from the column {fitting[0]!r}, not from {others} ({key}.{kind})")
            elif len(fitting) > 1:
                which = " and ".join(repr(name) for name in fitting)
                raise DataError(f"{table}: the columns {which} both fit {kind}", hint=f"name one in params.yaml: {key}.{kind}")
            if fitting:
                picked[kind] = fitting[0]
    if ("lon" in picked) != ("lat" in picked):
        has, lacks = ("lon", "lat") if "lon" in picked else ("lat", "lon")
        raise DataError(
            f"{table} has a column for {has} ({picked[has]!r}) and none for {lacks}",
            hint=f"name it in params.yaml: {key}.{lacks}; {_listed(names)}",
        )
    if "image" not in picked:
        raise DataError(f"{table} has no column for the image", hint=f"name it in params.yaml: {key}.image; {_listed(names)}")
    return picked


def position_columns(names: Sequence[str], *, table: str) -> tuple[str, str]:
    """Return the columns of longitude and latitude by their usual names; DataError for none, or several of one."""
    usual, pair = _same_form(names), []
    for axis in AXES:
        fitting = _recognise(usual[axis], names)
        if len(fitting) != 1:
            what = f"the columns {' and '.join(map(repr, fitting))} all fit" if fitting else "no column is known as"
            raise DataError(f"{table}: {what} {axis}", hint=f"rename one to {axis}; {_listed(names)}")
        pair += fitting
    return pair[0], pair[1]


def recognised(names: Sequence[str]) -> bool:
    """Return whether any of a header's names is a usual one."""
    return any(_recognise(groups, names) for groups in USUAL.values())


def _same_form(names: Sequence[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Return longitude's and latitude's names in the first group that has both, one by one; all groups where none has."""
    pairs = list(zip(*(USUAL[axis] for axis in AXES), strict=True))
    both = [pair for pair in pairs if all(_recognise([group], names) for group in pair)][:1]
    return {axis: tuple((name,) for pair in both or pairs for name in pair[at]) for at, axis in enumerate(AXES)}


def _recognise(groups: Iterable[tuple[str, ...]], names: Sequence[str]) -> list[str]:
    plain = {name: _plain(name) for name in names}
    for group in groups:
        usual = {_plain(name) for name in group}
        fitting = [name for name in names if plain[name] in usual]
        if fitting:
            return fitting
    return []


def _plain(name: str) -> str:
    bare = re.sub(r"^\s*(https?://.*[/#]|\w+:)|[\[(].*?[\])]", "", name)
    return re.sub(r"[\W_]", "", bare).casefold()


def _guess(name: str, names: Sequence[str]) -> str:
    near = nearest(name, names)
    return f"; the nearest is {near[0]!r}" if near else ""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(shortened(name, 40) for name in names[:20])
    return f"its columns are {shown}" + (f" and {len(names) - 20} more" if len(names) > 20 else "")


MISSING = ("", "NA", "N/A", "n/a", "#N/A", "nan", "NaN", "NAN", "null", "NULL", "Null", "None", "-")
"""How a missing value is spelled, in any column, with or without blanks around."""

MISSING_POSITION = ("", "na", "n/a", "#n/a", "nan", "null", "none", "-")
"""The same for longitude and latitude, in any case."""


def degrees(lon: pa.Array, lat: pa.Array, *, what: str) -> tuple[pa.Array, pa.Array]:
    """Return both as float64, or as text as it stands where one is text; null where they are missing."""
    numbers = [_numbers_of(lon), _numbers_of(lat)]
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0], numbers[1]
    text = [as_text(values, what) for values in (lon, lat)]
    missing = [pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(part)), pa.array(MISSING_POSITION)) for part in text]
    first, second = (pc.if_else(no, pa.scalar(None, pa.string()), part) for no, part in zip(missing, text, strict=True))
    return first, second


def _numbers_of(values: pa.Array) -> pa.Array | None:
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    numbers = values.cast(pa.float64())
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)


def trimmed(text: pa.Array) -> pa.Array:
    """Return texts without blanks around, null where missing."""
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.is_in(text, pa.array(MISSING)), pa.scalar(None, pa.string()), text)


def as_text(values: pa.Array, what: str) -> pa.Array:
    """Return whole numbers without a fraction, times as ISO 8601; DataError, which names ``what``, for nested values."""
    values = decoded(values)
    kind = values.type
    if pa.types.is_floating(kind):
        whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 2**53))
        number = pc.if_else(whole, values, pa.scalar(None, kind)).cast(pa.int64()).cast(pa.string())
        text = pc.coalesce(number, values.cast(pa.string()))
        return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.string()), text)
    if pa.types.is_timestamp(kind):
        text = pc.strftime(values.cast(pa.timestamp(kind.unit)), "%Y-%m-%dT%H:%M:%S")
        return pc.binary_join_element_wise(text, "Z", "") if kind.tz else text
    if pa.types.is_nested(kind):
        raise DataError(f"{what} holds {kind}, not text")
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"{what} holds {kind}, not text") from None


def decoded(values: pa.Array) -> pa.Array:
    """Return values without dictionary encoding, which pandas' categories have."""
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )
