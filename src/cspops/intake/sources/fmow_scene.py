"""One json of Functional Map of the World (Christie et al., CVPR 2018), which describes an image, to rows: one per box."""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

FALSE_DETECTION = "false_detection"

NO_JSON = "the image has no json file"
BROKEN = "its json file cannot be read"
NO_SIZE = "its json file does not say how large the image is"
NO_BOXES = "its json file has no box of an object"
NO_ID = "the box has no ID"
NO_CATEGORY = "the category of the box is not text"
FALSE = "a false detection, which is none of the 62 classes"
NOT_A_BOX = "the box is not four numbers: left, top, width, height"
TINY = "the box is 2 pixels wide or high, or less"
OUTSIDE = "the box lies outside the image"
NOT_VISIBLE = "the object is marked as not visible"
NO_POLYGON = "raw_location is no polygon as WKT"

CONTEXT = ((0.1, 2.0), (0.2, 1.0), (0.3, 0.5), (0.4, 0.3), (0.5, 0.2))
"""Share by which a box is widened, for boxes smaller than this part of the image; from half the image on `LEAST_CONTEXT`."""

LEAST_CONTEXT = 0.15


@dataclass(frozen=True)
class Scene:
    """An image and the json file about it."""

    root: Path
    json: str | None
    """Path below ``root``; null: the image has none."""
    image: str
    """Path below the folder of the images."""
    split: str
    role: str
    category: str
    place: str
    name: str


Row = dict[str, Any]
"""Some columns of `rows.ROWS`; absent ones are null."""


class Described(NamedTuple):
    """The rows of a json file, and its facts."""

    scene: Scene
    rows: list[Row]
    """Columns of `rows.ROWS`; absent ones are null."""
    size: int
    sha256: str
    located: bool
    whole_scene_boxes: int


def read_scene(scene: Scene, *, false_detections: str) -> Described:
    """Read the rows of a scene, at least one. It may run in another process.

    Boxes with the ID -1 cover what all boxes of the scene cover and are no objects, so they are no rows.

    Args:
        scene: the files.
        false_detections: `set_aside` or `class`.
    """
    common: Row = {
        "where": scene.json or scene.image,
        "location_id": f"{scene.split}/{scene.place}",
        "official_split": scene.role,
        "image": {"bytes": None, "path": scene.image},
    }
    whole = {"obs_id": f"{scene.split}/{scene.name}"}
    if scene.json is None:
        return Described(scene, [common | whole | {"reason": NO_JSON}], 0, "", False, 0)
    data = (scene.root / scene.json).read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()

    def given_up(reason: str, detail: str | None = None) -> Described:
        return Described(scene, [common | whole | {"reason": reason, "detail": detail}], len(data), sha256, True, 0)

    try:
        about = json.loads(data)
    except (ValueError, RecursionError) as error:
        return given_up(BROKEN, " ".join(str(error).split())[:120])
    if not isinstance(about, dict):
        return given_up(BROKEN, f"it holds a {type(about).__name__}")
    boxes = about.get("bounding_boxes")
    boxes = boxes if isinstance(boxes, list) else [boxes]
    objects = [box for box in boxes if isinstance(box, dict) and box.get("ID") != -1]
    if not objects:
        return given_up(NO_BOXES)
    size: tuple[Any, Any] = about.get("img_width"), about.get("img_height")
    if not all(_is_number(side) and side >= 1 for side in size):
        return given_up(NO_SIZE, str(size))

    wkt, stamp = about.get("raw_location"), about.get("timestamp")
    common["captured_at"] = stamp if _is_text(stamp) else None
    notes = []
    if wkt is not None:
        centre = centroid(wkt) if isinstance(wkt, str) else None
        common["lon"], common["lat"] = centre or (None, None)
        notes += [] if centre else [NO_POLYGON]
    rows = [common | _object(box, scene, size, false_detections, notes) for box in objects]
    whole_scene = sum(isinstance(box, dict) and box.get("ID") == -1 for box in boxes)
    return Described(scene, rows, len(data), sha256, wkt is not None, whole_scene)


def _object(box: dict[str, Any], scene: Scene, size: tuple[Any, Any], false_detections: str, notes: list[str]) -> Row:
    """Return the columns of a row that are its box's own."""
    number, category, sides = box.get("ID"), box.get("category", scene.category), box.get("box")
    row: Row = {
        "where": f"{scene.json}: box {number!r}",
        "obs_id": f"{scene.split}/{scene.name}/{number}" if _is_number(number) or _is_text(number) else None,
        "notes": notes + ([NOT_VISIBLE] if str(box.get("visible", True)).lower() == "false" else []),
    }
    if row["obs_id"] is None:
        return row | {"reason": NO_ID}
    if not _is_text(category):
        return row | {"reason": NO_CATEGORY, "detail": repr(category)[:120]}
    row["label"] = category
    if category == FALSE_DETECTION and false_detections == "set_aside":
        return row | {"reason": FALSE}
    if not (isinstance(sides, list) and len(sides) == 4 and all(_is_number(side) for side in sides)):
        return row | {"reason": NOT_A_BOX, "detail": str(sides)[:120]}
    left, top, width, height = (int(side) for side in sides)
    if width <= 2 or height <= 2:
        return row | {"reason": TINY, "detail": str(sides)}
    crop = with_context(left, top, width, height, image_width=int(size[0]), image_height=int(size[1]))
    if crop is None:
        return row | {"reason": OUTSIDE, "detail": f"{sides} in an image of {size[0]} x {size[1]}"}
    return row | {"crop": dict(zip(("left", "top", "right", "bottom"), crop, strict=True))}


def with_context(
    left: int, top: int, width: int, height: int, *, image_width: int, image_height: int
) -> tuple[int, int, int, int] | None:
    """Return the crop that fMoW's baseline trains on, the box and some of what is around it: left, top, right, bottom pixel.

    With r, a side of the box as a part of the image, a box is widened to both sides by half of a share of its own side,
    rounded down, and clipped to the image:

    | r     | < 0.1 | < 0.2 | < 0.3 | < 0.4 | < 0.5 | from 0.5 on |
    |-------|-------|-------|-------|-------|-------|-------------|
    | share | 2     | 1     | 0.5   | 0.3   | 0.2   | 0.15        |

    None where nothing of it lies in the image.

    Note: the baseline (fMoW/baseline, dataFunctions.py) divides the box's width by the image's height and its height by
    the image's width. So do we; for square images it is the same.
    """
    beside = int(width * _share(width / image_height) / 2)
    above = int(height * _share(height / image_width) / 2)
    crop = (
        max(left - beside, 0),
        max(top - above, 0),
        min(left + width + beside, image_width),
        min(top + height + above, image_height),
    )
    return crop if crop[0] < crop[2] and crop[1] < crop[3] else None


def centroid(wkt: str) -> tuple[float, float] | None:
    """Return longitude and latitude of a polygon's centroid, see `centres.centroids`; None for anything else."""
    import pyarrow as pa

    from cspops.intake.tables.geometry import positions_of_wkt

    if not (wkt.isascii() and re.match(r"\s*(MULTI)?POLYGON\b", wkt, re.IGNORECASE)):
        return None
    (lon,), (lat,), *_ = positions_of_wkt(pa.array([wkt]))
    return None if math.isnan(lon) else (float(lon), float(lat))


def _share(part: float) -> float:
    return next((share for below, share in CONTEXT if part < below), LEAST_CONTEXT)


def _is_number(value: Any) -> bool:
    """Return whether it is a number that may count pixels: not true or false, NaN or beyond all images."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _is_text(value: Any) -> bool:
    """Return whether it is text without control characters and half surrogates, which Arrow cannot hold."""
    return isinstance(value, str) and value.isprintable() and value != ""
