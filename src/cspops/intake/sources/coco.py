"""Sets that are published in the manner of COCO: a json of images and annotations, and a second json of positions.

iNaturalist 2018 has this form, and so have both sets as the authors of CSP distribute them, with the rows of a matrix of
image features in the place of images. Of the json files only a few columns are kept.

Note: `macaodha/geo_prior` and CSP also drop located rows whose `user_id` is null; here they stay.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cspops.errors import DataError, NotThere
from cspops.intake.rows import FileFacts, batch, file_facts
from cspops.intake.tables.uncertainty import about_uncertainty
from cspops.pixels.reading import GIVEN_FEATURES, IMAGE

FETCH = "dvc repro download fetches what is missing, into CSPOPS_DATA_ROOT"
AGAIN = "delete it and get it again: dvc repro download fetches what has an address"
ROWS_AT_ONCE = 8192

SEVERAL = "its image is annotated with several categories"
UNLISTED = "its category is not in the list of categories"
NO_ENTRY = "no entry in the file of positions"
SEVERAL_POSITIONS = "several entries in the file of positions, the first is taken"


@dataclass(frozen=True)
class Part:
    """The files of one official split."""

    name: str
    """Of the split as published; begins each obs_id."""
    role: str
    annotations: Path
    """`images: [{id, file_name}]`, `annotations: [{image_id, category_id}]`."""
    positions: Path
    """`[{id, lat, lon, date, loc_uncert}]`; lat, lon and loc_uncert, the uncertainty in metres, may be null."""
    matrix: Path | None = None
    """Features of all images, in the order of `images`; null: the images themselves are there."""


def find(root: Path, *names: str, folder: bool = False) -> Path:
    """Find the first of ``names`` that lies below ``root``, or in one of its folders; NotThere where none does."""
    for name in names:
        # `.NAME.unpacking`, which a kill leaves behind, holds only a part
        deeper = [path for path in sorted(root.glob(f"*/{name}")) if not path.relative_to(root).parts[0].startswith(".")]
        places = [path for path in (root / name, *deeper) if (path.is_dir() if folder else path.is_file())]
        if len(places) > 1 and places[0] != root / name:
            raise DataError(f"{name} lies more than once below {root}: {places[0]} and {places[1]}", hint="keep one of them")
        if places:
            return places[0]
    raise NotThere(f"{root / names[0]} is missing", hint=FETCH)


def read_categories(file: Path, remarks: list[str]) -> dict[str, str]:
    """Read the name of each category by its id (as text): `[{id, name}]`, `{categories: [...]}` or `{name: id}`.

    Names are made unique with the id, where they are not; a null or blank name becomes `category ID`.
    """
    try:
        content = json.loads(file.read_bytes())
        if isinstance(content, dict) and isinstance(content.get("categories"), list):
            content = content["categories"]
        pairs = content.items() if isinstance(content, dict) else [(one["name"], one["id"]) for one in content]
        named = [(str(number), _name(name) or f"category {number}") for name, number in pairs]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not a list of categories with id and name: {_short(error)}", hint=AGAIN) from None
    if not named:
        raise DataError(f"{file} lists no category", hint=AGAIN)
    names = dict(named)
    if len(names) != len(named):
        twice = Counter(number for number, _ in named).most_common(1)[0][0]
        raise DataError(f"{file} has the category id {twice} more than once", hint=AGAIN)
    shared = {name for name, count in Counter(names.values()).items() if count > 1}
    if shared:
        remarks.append(f"{file.name}: {len(shared)} names stand for more than one category; their ids were added")
    return {number: f"{name} (id {number})" if name in shared else name for number, name in names.items()}


def _name(name: Any) -> str:
    """Return a name without odd blanks; empty for null."""
    return "" if name is None else " ".join(unicodedata.normalize("NFC", str(name)).split())


def by_column(names: Mapping[str, str], file: Path) -> list[str | None]:
    """Return the names in the order of a matrix with a column per category id from 0; null for ids that no category has."""
    try:
        numbers = {int(number): name for number, name in names.items()}
    except ValueError:
        raise DataError(f"{file} has category ids that are not numbers, so that predictions have no columns") from None
    return [numbers.get(column) for column in range(max(numbers) + 1)]


def check_matrices(matrices: Sequence[Path]) -> None:
    """Raise DataError unless each is an .npy matrix of floats, all of one width."""
    shapes = {matrix: _shape(matrix) for matrix in matrices}
    if len({width for _, width in shapes.values()}) > 1:
        widths = ", ".join(f"{matrix.name} {width}" for matrix, (_, width) in shapes.items())
        raise DataError(f"the matrices of image features differ in width: {widths}")


def batches(
    parts: Sequence[Part],
    categories: Mapping[str, str],
    *,
    root: Path,
    remarks: list[str],
    files: dict[str, FileFacts],
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of each part, in the order of its json; ``remarks`` and ``files`` are filled on the way.

    An image without an annotation has no label, and one without a position stays. `location_id` is null: such sets name
    no places.
    """
    for part in parts:
        yield from _rows(part, categories, root, remarks)
        for file in (part.annotations, part.positions, part.matrix):
            if file is not None:
                files[file.relative_to(root).as_posix()] = file_facts(file)


def _rows(part: Part, categories: Mapping[str, str], root: Path, remarks: list[str]) -> Iterator[pa.RecordBatch]:
    content = _read(part.annotations, "images", "annotations", "id", "file_name", "image_id", "category_id")
    listing = content if isinstance(content, dict) else {}
    images = _columns(listing.get("images"), "id", "file_name")
    n = len(images["id"])
    if n == 0:
        raise DataError(f"{part.annotations} lists no images", hint=AGAIN)
    if part.matrix is not None and _shape(part.matrix)[0] != n:
        raise DataError(
            f"{part.matrix} has {_shape(part.matrix)[0]} rows, but {part.annotations.name} lists {n} images", hint=AGAIN
        )
    ids = _as_text(images["id"])
    label, reason, detail = _labels(part, listing.get("annotations"), ids, categories, remarks)
    lon, lat, metres, date, notes = _positions(part, ids, remarks)
    file = part.annotations.relative_to(root).as_posix()
    counted = pc.binary_join_element_wise(f"{file}: image number ", pa.array(np.arange(n)).cast(pa.string()), "")
    where = pc.coalesce(pc.binary_join_element_wise(f"{file}: image ", ids, ""), counted)
    columns: dict[str, pa.Array] = {
        "where": where,
        "obs_id": pc.binary_join_element_wise(f"{part.name}/", ids, ""),
        "lon": lon,
        "lat": lat,
        "uncertainty_m": metres,
        "label": label,
        "captured_at": date,
        "official_split": pa.array([part.role]).take(pa.array(np.zeros(n, dtype=np.int64))),
        "reason": reason,
        "detail": detail,
        "notes": notes,
    }
    if part.matrix is None:
        paths = _as_text([name if isinstance(name, str) else None for name in images["file_name"]])
        columns["image"] = pa.StructArray.from_arrays([pa.nulls(n, pa.binary()), paths], fields=list(IMAGE))
    else:
        matrix = pa.array([part.matrix.relative_to(root).as_posix()]).take(pa.array(np.zeros(n, dtype=np.int64)))
        columns["image_features"] = pa.StructArray.from_arrays([matrix, pa.array(np.arange(n))], fields=list(GIVEN_FEATURES))
    for start in range(0, n, ROWS_AT_ONCE):
        yield batch({name: values.slice(start, ROWS_AT_ONCE) for name, values in columns.items()})


def _labels(
    part: Part, annotations: Any, ids: pa.Array, categories: Mapping[str, str], remarks: list[str]
) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return label, reason and detail of each image."""
    given = _columns(annotations, "image_id", "category_id")
    of_image, category = _as_text(given["image_id"]), _as_text(given["category_id"]).fill_null("null")
    unique, first, code = _firsts(of_image)
    differs = np.asarray(pc.not_equal(category, category.take(pa.array(first[code]))))
    several = np.zeros(len(unique), dtype=bool)
    several[code[differs]] = True
    unlisted = len(unique) - int(pc.sum(pc.is_in(unique, ids)).as_py() or 0)
    if unlisted:
        remarks.append(f"{part.annotations.name}: annotations of {unlisted} images that it does not list")
    if len(of_image) == 0:
        remarks.append(f"{part.annotations.name}: no annotations, so no labels")

    at = pc.index_in(ids, unique, skip_nulls=True)
    chosen = category.take(pa.array(first)).take(at)
    names = pa.array(list(categories.values()), pa.string())
    label = names.take(pc.index_in(chosen, pa.array(list(categories), pa.string())))
    has_several = pc.fill_null(pa.array(several).take(at), False)
    no_such = pc.and_(pc.is_valid(chosen), pc.is_null(label))
    no_text = pa.scalar(None, pa.string())
    reason = pc.if_else(has_several, SEVERAL, pc.if_else(no_such, UNLISTED, no_text))
    detail = pc.if_else(pc.is_valid(reason), pc.binary_join_element_wise("category_id ", chosen, ""), no_text)
    return label, reason, detail


def _positions(part: Part, ids: pa.Array, remarks: list[str]) -> tuple[pa.Array, ...]:
    """Return longitude, latitude (degrees, or the text that stands there), uncertainty, date and notes of each image."""
    keys = ("id", "lon", "lat", "date", "loc_uncert")
    given = _columns(_read(part.positions, *keys), *keys)
    if not given["id"]:
        raise DataError(f"{part.positions} lists no positions", hint=AGAIN)
    unique, first, code = _firsts(_as_text(given["id"]))
    several = np.zeros(len(unique), dtype=bool)
    several[np.bincount(code, minlength=len(unique)) > 1] = True
    unlisted = len(unique) - int(pc.sum(pc.is_in(unique, ids)).as_py() or 0)
    if unlisted:
        remarks.append(f"{part.positions.name}: {unlisted} entries of images that {part.annotations.name} does not list")
    at = pc.index_in(ids, unique, skip_nulls=True)
    row = pa.array(first).take(at)
    numeric = all(
        type(value) in (float, type(None)) or (type(value) is int and abs(value) < 2**63)
        for name in ("lon", "lat")
        for value in given[name]
    )
    lon, lat = (
        pa.array([None if value is None else float(value) for value in given[name]], pa.float64())
        if numeric
        else _as_text(given[name])
        for name in ("lon", "lat")
    )
    metres = np.array([_metres(value) for value in given["loc_uncert"]])
    remarks += about_uncertainty(part.positions.name, metres[[value is not None for value in given["lon"]]], remedy=True)
    texts = pa.array([[], [NO_ENTRY], [SEVERAL_POSITIONS]], pa.list_(pa.string()))
    which = pc.if_else(pc.is_null(at), 1, pc.if_else(pc.fill_null(pa.array(several).take(at), False), 2, 0))
    uncertainty = pa.array(metres, mask=np.isnan(metres))
    return lon.take(row), lat.take(row), uncertainty.take(row), _as_text(given["date"]).take(row), texts.take(which)


def _metres(value: Any) -> float:
    """Return an uncertainty as metres, nan for what is none: 0 is none that a device has."""
    return float(value) if type(value) in (int, float) and 0 < value < 1e12 else np.nan


def _read(file: Path, *keys: str) -> Any:
    """Read a json file, keeping only these keys of its objects: the others fill the memory. NaN and Infinity become null."""

    def kept(item: dict[str, Any]) -> dict[str, Any]:
        return {key: item[key] for key in keys if key in item}

    try:
        return json.loads(file.read_bytes(), object_hook=kept, parse_constant=lambda word: None)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is broken or ends before it should: {_short(error)}", hint=AGAIN) from None


def _columns(items: Any, *names: str) -> dict[str, list[Any]]:
    """Return the values of some keys of a list of objects, null where one has no such key or is no object."""
    rows = [item if isinstance(item, dict) else {} for item in items] if isinstance(items, list) else []
    return {name: [row.get(name) for row in rows] for name in names}


def _as_text(values: list[Any]) -> pa.Array:
    """Return a column of texts, with ? for half a surrogate pair, which json may spell and Arrow cannot hold."""
    texts = [None if value is None else str(value) for value in values]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([None if text is None else text.encode(errors="replace").decode() for text in texts], pa.string())


def _firsts(ids: pa.Array) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """Return the different ids in order of appearance, the first row of each, and for each row the number of its id.

    A null id counts as one more, which matches none.
    """
    encoded = ids.dictionary_encode(null_encoding="encode")
    code = np.asarray(encoded.indices, dtype=np.int64)
    first = np.zeros(len(encoded.dictionary), dtype=np.int64)
    first[code[::-1]] = np.arange(len(code))[::-1]
    return encoded.dictionary, first, code


def _shape(matrix: Path) -> tuple[int, int]:
    try:
        opened = np.load(matrix, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{matrix} is not an .npy file that can be read: {_short(error)}", hint=AGAIN) from None
    if opened.ndim != 2 or not np.issubdtype(opened.dtype, np.floating):
        raise DataError(f"{matrix} is not a matrix of floats: its shape is {opened.shape}, its kind {opened.dtype}", hint=AGAIN)
    return opened.shape[0], opened.shape[1]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
