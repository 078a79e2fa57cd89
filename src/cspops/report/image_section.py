"""What the report says of the image network's pre-training."""

from collections.abc import Mapping
from typing import Any

from cspops.report.tables import as_code

MEANINGS = {
    "knn_km": "the median distance between a training image and its nearest neighbour in features, in kilometres",
    "neighbour_share": "the share of training images with another one no farther than neighbour_km",
    "without_land_cover": "training images that the raster says nothing of, and that were left out",
    "temporal_fallback": "the share of images whose other view was their own, since none shows their place at another date",
    "places_of_one_date": "the places that were left out, since all their images are of one date",
}
"""Facts that need words, by the beginning of their names; also the columns of the curve that are no loss."""


def image_section(facts: Mapping[str, Any]) -> str:
    """A paragraph from reports/pretrain_img.json: the method, its note and its numbers, with what they mean."""
    rest = {name: value for name, value in facts.items() if name not in ("method", "note")}
    parts = [f"Image network: {as_code(str(facts['method']))}."]
    if "note" in facts:
        parts.append(f"{facts['note']}.")
    if rest:
        parts.append("; ".join(f"{as_code(name)} {value}" for name, value in rest.items()) + ".")
    parts += [f"{as_code(start)}: {text}." for start, text in MEANINGS.items() if any(name.startswith(start) for name in rest)]
    return " ".join(parts)
