"""The overhead image of a row: whether its footprint can be one and holds the row's place, and whether it can be read.

A row whose overhead image is no good keeps its photo, its place and its label: it is kept without the overhead image, with
a note that says why. Where the row's only image is the overhead image, it stays as an image without a footprint.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cspops.intake.judging.positions import BEYOND
from cspops.intake.judging.verdicts import Verdicts, is_given, is_true
from cspops.intake.overhead_rows import BOX, Looking

WITHOUT = "kept without its overhead image: "
AS_A_PHOTO = "kept as an image, but not as an overhead image: "
NO_OVERHEAD = "a footprint without an overhead image, which is left out"
WRAPPED = "its footprint crosses the date line, or is given beyond 180 degrees: taken so"

NO_FOOTPRINT = "no footprint is given"
NOT_FOUR = "its footprint is not four numbers: west, south, east, north"
LAT_RANGE = "its footprint has a latitude outside [-90, 90]"
LON_RANGE = "its footprint has a longitude outside [-180, 360]"
EMPTY = "its footprint has no width or no height"
UPSIDE_DOWN = "its footprint has its south above its north"
TOO_WIDE = "its footprint is wider than 180 degrees"
EXCHANGED = {
    UPSIDE_DOWN: f"{UPSIDE_DOWN}; exchanged, it would hold the place",
    TOO_WIDE: f"{TOO_WIDE}; with west and east exchanged, it would hold the place",
}
LAT_FIRST = (
    "its footprint holds the place only if its latitudes stand before its longitudes: west, south, east, north are needed"
)
NOWHERE = "the row has no position"
OUTSIDE = "its footprint does not hold the place"

NUMBER = r"\+?(?P<{}>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
FOUR = r"^\s*[\[(]?\s*{}\s*[\])]?\s*$".format(r"(?:\s*[,;]\s*|\s+)".join(NUMBER.format(side) for side in "wsen"))


class Boxes(NamedTuple):
    """The footprints of a batch, one item per row."""

    sides: np.ndarray
    """(n, 4) west, south, east, north; nan where there is none or a wrong one. West in [-180, 180), east maybe beyond."""
    fault: np.ndarray
    """What is wrong, a fixed sentence; None where nothing is."""
    wrapped: np.ndarray
    """Whether longitudes were brought there."""


def read_boxes(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of `overhead_bbox`, (n, 4), nan where there are none, and which rows give something."""
    if column.type.equals(BOX):
        given = is_given(column)
        numbers = np.full((len(column), 4), np.nan)
        numbers[given] = column.drop_null().flatten().fill_null(np.nan).to_numpy(zero_copy_only=False).reshape(-1, 4)
        return numbers, given
    text = pc.utf8_trim_whitespace(column)
    given = is_true(pc.not_equal(text, ""))
    parts = pc.extract_regex(text, FOUR)
    sides = [pc.struct_field(parts, side).cast(pa.float64()).fill_null(np.nan) for side in "wsen"]
    return np.stack([side.to_numpy(zero_copy_only=False) for side in sides], 1), given


def judge_boxes(numbers: np.ndarray, lon: np.ndarray, lat: np.ndarray) -> Boxes:
    """Judge footprints against the places of their rows.

    Args:
        numbers: (n, 4) west, south, east, north, degrees; west of more than east is one that crosses the date line.
        lon: (n,) in [-180, 180), nan where the row has no position.
        lat: (n,) degrees.
    """
    inside = numbers.clip((-180, -90, -180, -90), (360, 90, 360, 90))
    numbers = np.where(np.abs(numbers - inside) <= BEYOND, inside, numbers)
    west, south, east, north = numbers.T
    fault = np.full(len(numbers), None, object)

    def wrong(where: np.ndarray | np.bool, why: str) -> None:
        fault[where & (fault == None)] = why  # noqa: E711  (elementwise)

    wrong(~np.isfinite(numbers).all(1), NOT_FOUR)
    start, end = _wrapped(west, east)
    holds_lon, holds_lat = _holds(start, end, lon), (np.minimum(south, north) <= lat) & (lat <= np.maximum(south, north))
    turned = (
        (west < east) & (south < north) & (north - south <= 180) & _holds(south, north, lon) & (west <= lat) & (lat <= east)
    )
    wrong(turned & ~(holds_lon & holds_lat), LAT_FIRST)
    wrong(((numbers[:, 1::2] < -90) | (numbers[:, 1::2] > 90)).any(1), LAT_RANGE)
    wrong(((numbers[:, ::2] < -180) | (numbers[:, ::2] > 360)).any(1), LON_RANGE)
    wrong((start == end) | (south == north), EMPTY)
    wrong((south > north) & (end - start <= 180) & holds_lon & holds_lat, EXCHANGED[UPSIDE_DOWN])
    wrong(south > north, UPSIDE_DOWN)
    wrong((end - start > 180) & (end - start < 360) & _holds(*_wrapped(east, west), lon) & holds_lat, EXCHANGED[TOO_WIDE])
    wrong(end - start > 180, TOO_WIDE)
    wrong(np.isnan(lon), NOWHERE)
    wrong(~(holds_lon & holds_lat), OUTSIDE)
    sides = np.stack((start, south, end, north), 1)
    sides[fault != None] = np.nan  # noqa: E711
    return Boxes(sides, fault, ~np.isnan(sides[:, 0]) & ((start != west) | (end > 180)))


def _wrapped(west: np.ndarray, east: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the west in [-180, 180) and the east to the east of it, where both lie in [-180, 360]."""
    east = np.where(east < west, east + 360, east)
    turn = np.where(west >= 180, 360, 0)
    return west - turn, east - turn


def _holds(west: np.ndarray, east: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Return which longitudes lie between, a place over the date line counted beyond 180."""
    lon = np.where(lon < west, lon + 360, lon)
    holds: np.ndarray = (west <= lon) & (lon <= east)
    return holds


def overhead_as_image(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, np.ndarray]:
    """Return which rows have no image but an overhead image, and the batch with those in the column of images."""
    if "overhead" not in batch.schema.names:
        return batch, np.full(len(batch), "overhead_bbox" in batch.schema.names)
    image, overhead = batch.column("image"), batch.column("overhead")
    alone = ~_has_image(image) & _has_image(overhead) & ~is_given(batch.column("image_features"))
    if alone.any():
        which = pa.array(alone)
        batch = batch.set_column(batch.schema.get_field_index("image"), "image", pc.if_else(which, overhead, image))
        nothing = pc.if_else(which, pa.scalar(None, overhead.type), overhead)
        batch = batch.set_column(batch.schema.get_field_index("overhead"), "overhead", nothing)
    return batch, alone


class Overhead(NamedTuple):
    """What is left of the overhead images of a batch."""

    bbox: np.ndarray
    """(n, 4) degrees, nan where a row has none."""
    beside: np.ndarray
    """Rows with an overhead image beside their image."""


def judge_overhead(
    batch: pa.RecordBatch,
    lonlat: tuple[np.ndarray, np.ndarray],
    verdicts: Verdicts,
    *,
    alone: np.ndarray,
    looking: Looking | None,
) -> Overhead:
    """Judge the overhead images of a batch, and note what is wrong.

    Args:
        batch: as `overhead_rows` says, after `overhead_as_image`.
        lonlat: the rows' places, degrees, nan where there is none.
        verdicts: on the rows so far; the images of those set aside are not looked at.
        alone: rows whose image is an overhead image itself.
        looking: at the files; None: at none of them.
    """
    if "overhead_bbox" not in batch.schema.names:
        return Overhead(np.full((len(batch), 4), np.nan), np.zeros(len(batch), bool))
    images = batch.column("image")
    if "overhead" in batch.schema.names:
        images = pc.if_else(pa.array(alone), images, batch.column("overhead"))
    has = _has_image(images)
    numbers, given = read_boxes(batch.column("overhead_bbox"))
    verdicts.note(given & ~has, NO_OVERHEAD)
    fault = np.full(len(batch), None, object)
    fault[~given] = NO_FOOTPRINT
    asked = np.flatnonzero(has & ~given & verdicts.good)
    if looking is not None and len(asked):
        some, which = _distinct(images.take(pa.array(asked)))
        found = looking.locate(some)
        for row, index in zip(asked.tolist(), which.tolist(), strict=True):
            one = found[index]
            fault[row], numbers[row] = (one, np.nan) if isinstance(one, str) else (None, one)
    boxes = judge_boxes(numbers, *lonlat)
    fault = np.where(fault == None, boxes.fault, fault)  # noqa: E711
    looked_at = np.flatnonzero(has & ~alone & verdicts.good & (fault == None))  # noqa: E711
    if looking is not None and looking.inspect is not None and len(looked_at):
        some, which = _distinct(images.take(pa.array(looked_at)))
        reasons = pc.replace_substring_regex(looking.inspect(some).reason, r"\bimages\.", "overhead_images.")
        fault[looked_at] = np.array(reasons.to_pylist(), object)[which]
    for why in dict.fromkeys(fault[has & (fault != None)].tolist()):  # noqa: E711
        verdicts.note(has & ~alone & (fault == why), WITHOUT + why)
        verdicts.note(has & alone & (fault == why), AS_A_PHOTO + why)
    kept = has & (fault == None)  # noqa: E711
    verdicts.note(kept & boxes.wrapped, WRAPPED)
    return Overhead(np.where(kept[:, None], boxes.sides, np.nan), kept & ~alone)


def _has_image(images: pa.StructArray) -> np.ndarray:
    """Return which images have bytes or a path."""
    content, path = pc.struct_field(images, "bytes"), pc.struct_field(images, "path")
    named = is_true(pc.not_equal(pc.utf8_trim_whitespace(path), ""))
    has: np.ndarray = named | is_true(pc.greater(pc.binary_length(content), 0))
    return has


def _distinct(images: pa.StructArray) -> tuple[pa.StructArray, np.ndarray]:
    """Return each image once, and which of them each one is: many photos may share an overhead image."""
    path = pc.binary_join_element_wise("path:", pc.struct_field(images, "path"), "").cast(pa.binary())
    codes = pc.dictionary_encode(pc.coalesce(pc.struct_field(images, "bytes"), path)).indices
    _, first, which = np.unique(codes.to_numpy(zero_copy_only=False), return_index=True, return_inverse=True)
    return images.take(pa.array(first)), which
