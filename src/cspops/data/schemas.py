"""The columns of the catalogue: one table of observations that every later stage reads, and the rows that did not get in.

`observations.parquet` follows the Hugging Face datasets convention for images: a struct of `bytes` and `path`,
either of which may be null. Every row of a source ends in exactly one of the two tables: nothing is lost silently.
"""

import pyarrow as pa

from cspops.pixels.reading import CROP, GIVEN_FEATURES, IMAGE

SCHEMA = pa.schema(
    [
        pa.field("obs_id", pa.string(), nullable=False),
        pa.field("lon", pa.float64()),
        pa.field("lat", pa.float64()),
        pa.field("label", pa.int32()),
        pa.field("captured_at", pa.timestamp("ms", tz="UTC")),
        pa.field("location_id", pa.string()),
        pa.field("official_split", pa.string()),
        pa.field("image", IMAGE),
    ]
)
"""Longitude in [-180, 180) and latitude in [-90, 90], degrees WGS84, or both null; label dense from 0, or null."""

OPTIONAL = pa.schema(
    [("image_sha256", pa.string()), ("crop", CROP), ("image_features", GIVEN_FEATURES), ("uncertainty_m", pa.float64())]
)
"""Further columns of a catalogue, each there only when its source gives it; described in `rows`."""

REJECTED_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("where", pa.string()),
        ("obs_id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
"""`row` counts the source's rows from 0; `where`, `reason` and `detail` are described in `rows.ROWS`."""

BBOX = pa.struct([pa.field(side, pa.float64()) for side in ("lon_min", "lat_min", "lon_max", "lat_max")])
"""The outer edges of an image that is north up, in degrees WGS84. Columns of pixels are equally spaced in longitude, rows
in latitude. `lon_min` lies in [-180, 180), `lon_max` at most 180 degrees east of it, over the date line beyond 180."""

OVERHEAD = pa.schema([("overhead", IMAGE), ("overhead_bbox", BBOX)])
"""The second image and its footprint."""
READING = "overhead_images"
"""The key of the file's own metadata that says how images in `overhead` are read, where that is not as images.json says."""
