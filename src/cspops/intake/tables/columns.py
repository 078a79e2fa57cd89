"""Which column of a table holds what."""

import re
from collections.abc import Iterable, Mapping, Sequence

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
    "overhead": (("overhead",), ("overhead_image", "overhead_path", "overhead_file")),
    "overhead_bbox": (("overhead_bbox",),),
}
"""Of each kind, the usual names: those of an earlier group are the more exact and win. Compared without case and without
anything but letters and digits, without a namespace before the name (`dwc:`, an address) or a unit in brackets behind it.
Longitude and latitude come from the first group that has both, so that one is not read from the GPS and the other from
elsewhere; within a group of theirs an earlier name wins."""

AXES = ("lon", "lat")
LENIENT = ("captured_at", "location_id", "split")
"""Where several names of a group are there, the header's first is read, with a remark; of other kinds that is an error."""


UNCERTAINTY = (
    "coordinateUncertaintyInMeters", "uncertainty_m", "public_positional_accuracy", "coordinate_uncertainty",
    "positional_accuracy", "coordinates_obscured", "geoprivacy", "taxon_geoprivacy", "informationWithheld",
    "dataGeneralizations",
)  # fmt: skip
"""Names, as in `USUAL`, of all columns that say how exact a position is: see `uncertainty`."""


def pick_columns(
    names: Sequence[str],
    given: Mapping[str, str | None],
    *,
    table: str,
    key: str | None,
    has_geometry: bool,
    remarks: list[str],
    needs_image: bool = True,
) -> dict[str, str]:
    """Return the column of each kind of `USUAL` that the table has.

    Args:
        names: the table's columns.
        given: names from params.yaml, null or missing where the usual ones count.
        table: the table's name, for messages.
        key: where ``given`` stands in params.yaml; None for a table that a command names, whose columns can be renamed.
        has_geometry: positions come from geometries unless ``given`` says otherwise.
        remarks: gets which of several columns is read.
        needs_image: whether a table without a column for the image is refused.

    Raises:
        DataError: a name that the table lacks, two columns that fit equally well, one coordinate alone, no image.
    """
    picked: dict[str, str] = {}
    usual = USUAL | _same_form(names)
    for kind in USUAL:
        name = given.get(kind)
        if name is not None:
            if name not in names:
                raise DataError(
                    f"{table} has no column {name!r} ({key}.{kind}){_guess(name, names)}", hint=listed_columns(names)
                )
            picked[kind] = name
        elif not (has_geometry and kind in AXES):
            fitting = _recognise(usual[kind], names)
            if len(fitting) > 1 and kind in LENIENT:
                remarks.append(_which(fitting, kind, table, key=key))
            elif len(fitting) > 1:
                which = " and ".join(repr(name) for name in fitting)
                raise DataError(f"{table}: the columns {which} both fit {kind}", hint=_remedy("one", key, kind))
            if fitting:
                picked[kind] = fitting[0]
    if "lon" not in picked and "lat" not in picked and not has_geometry:
        picked |= dict(zip(AXES, form_pair(names, table=table, key=key, remarks=remarks), strict=False))
    if ("lon" in picked) != ("lat" in picked):
        has, lacks = ("lon", "lat") if "lon" in picked else ("lat", "lon")
        raise DataError(
            f"{table} has a column for {has} ({picked[has]!r}) and none for {lacks}",
            hint=f"{_remedy('it', key, lacks)}; {listed_columns(names)}",
        )
    if "image" not in picked and "overhead" in picked:
        picked["image"] = picked.pop("overhead")
    if "image" not in picked and needs_image:
        raise DataError(f"{table} has no column for the image", hint=f"{_remedy('it', key, 'image')}; {listed_columns(names)}")
    return picked


def _remedy(what: str, key: str | None, kind: str) -> str:
    return f"name {what} in params.yaml: {key}.{kind}" if key else f"rename {what} to {kind}"


def usual_pair(names: Sequence[str], *, table: str, remarks: list[str]) -> tuple[str, ...]:
    """Return the columns of longitude and latitude by usual names, else those of a form; empty where there are neither.

    DataError where several fit, or one axis alone is there; ``remarks`` as in `pick_columns`.
    """
    usual = _same_form(names)
    fitting = {axis: _recognise(usual[axis], names) for axis in AXES}
    for axis in AXES:
        if len(fitting[axis]) > 1:
            which = " and ".join(map(repr, fitting[axis]))
            raise DataError(
                f"{table}: the columns {which} all fit {axis}", hint=f"rename one to {axis}; {listed_columns(names)}"
            )
    if fitting["lon"] and fitting["lat"]:
        return fitting["lon"][0], fitting["lat"][0]
    pair = form_pair(names, table=table, key=None, remarks=remarks)
    if not pair and (fitting["lon"] or fitting["lat"]):
        lacks = "lat" if fitting["lon"] else "lon"
        raise DataError(f"{table}: no column is known as {lacks}", hint=f"rename one to {lacks}; {listed_columns(names)}")
    return pair


def date_column(names: Sequence[str], *, table: str, remarks: list[str]) -> str | None:
    """Return the column of dates by usual names; ``remarks`` as in `pick_columns`."""
    fitting = _recognise(USUAL["captured_at"], names)
    if len(fitting) > 1:
        remarks.append(_which(fitting, "captured_at", table, key=None))
    return fitting[0] if fitting else None


def _which(fitting: Sequence[str], kind: str, table: str, *, key: str | None) -> str:
    """Return the remark on the first of several columns that fit."""
    others = " and ".join(repr(name) for name in fitting[1:])
    return f"{table}: {kind} is read from the column {fitting[0]!r}, not from {others}" + (f" ({key}.{kind})" if key else "")


FORM = re.compile(r"(?P<question>.*[^\W_].*?[\W_]+)((?P<lon>longitude|lon|lng|long)|(?P<lat>latitude|lat))", re.IGNORECASE)
"""How the exports of field forms name a question's position: `_plot_longitude`, `plot-Longitude`."""


def form_pair(names: Sequence[str], *, table: str, key: str | None, remarks: list[str]) -> tuple[str, ...]:
    """Return the columns of the one position that a form asks for, as `FORM` names them, with a remark; else none.

    DataError where it asks for more.
    """
    pairs: dict[str, dict[str, str]] = {}
    for name in names:
        if match := FORM.fullmatch(name.strip()):
            pairs.setdefault(match["question"].casefold(), {})["lon" if match["lon"] else "lat"] = name
    whole = [(pair["lon"], pair["lat"]) for pair in pairs.values() if len(pair) == len(AXES)]
    if len(whole) > 1:
        which = " and ".join(f"({lon!r}, {lat!r})" for lon, lat in whole)
        hint = f"name one in params.yaml: {key}.lon, {key}.lat" if key else "rename one to lon and lat"
        raise DataError(f"{table}: the pairs of columns {which} could each be the position", hint=hint)
    if not whole:
        return ()
    remarks.append(f"{table}: positions are read from the columns {whole[0][0]!r} and {whole[0][1]!r}")
    return whole[0]


def uncertainty_columns(names: Sequence[str]) -> dict[str, str]:
    """Return the columns that the table has of `UNCERTAINTY`, by these names; of two of a name the first."""
    found = {usual: recognised_column(usual, names) for usual in UNCERTAINTY}
    return {usual: name for usual, name in found.items() if name is not None}


def recognised_column(usual: str, names: Sequence[str]) -> str | None:
    """Return the first column of a usual name, compared as in `USUAL`."""
    return next(iter(_recognise([(usual,)], names)), None)


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


def listed_columns(names: Sequence[str]) -> str:
    """Return what a table's columns are, for a hint."""
    shown = ", ".join(shortened(name, 40) for name in names[:20])
    return f"its columns are {shown}" + (f" and {len(names) - 20} more" if len(names) > 20 else "")
