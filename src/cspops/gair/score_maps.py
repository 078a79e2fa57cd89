"""Where in its own overhead image a photo fits: the scores of all parts of a few images, for pictures."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch.nn.functional import normalize

from cspops.errors import DataError
from cspops.gair.alignment import Alignment
from cspops.gair.pretraining import Places
from cspops.shapes import Float, Tensor, UInt8

FILE = "score_maps.safetensors"
MOST = 4
"""Rows of a set, evenly spaced among all."""
SIDE = 48
"""Points along a side of a map."""


@dataclass(frozen=True)
class ScoreMaps:
    """Some rows with a photo and an overhead image."""

    photo: UInt8[Tensor, "m px px 3"]
    overhead: UInt8[Tensor, "m px2 px2 3"]
    scores: Float[Tensor, "m s s"]
    """Cosines of the photo and the overhead feature, row by row from the north."""
    at: Float[Tensor, "m 2"]
    """Where the photo's place is: shares of the image's width from the west and of its height from the north."""
    lonlat: Float[Tensor, "m 2"]
    """The place, degrees."""


@torch.no_grad()
def score_maps(alignment: Alignment, places: Places, device: torch.device) -> ScoreMaps:
    """Score the points of a few overhead images for their photos; ``alignment`` is in eval mode, on ``device``."""
    assert alignment.photo is not None and alignment.projection is not None and places.photos is not None
    rows = torch.linspace(0, len(places) - 1, min(MOST, len(places))).long()
    photo, overhead, bbox, lonlat = places.photos[rows], places.overhead[rows], places.bbox[rows], places.lonlat[rows]
    west, south, east, north = bbox.double().unbind(1)
    share = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE
    lon = west[:, None] + share * (east - west)[:, None]
    lat = north[:, None] - share * (north - south)[:, None]
    points = torch.stack((lon[:, None].expand(-1, SIDE, -1), lat[:, :, None].expand(-1, -1, SIDE)), -1).flatten(1, 2)
    o = normalize(alignment.projection(alignment.photo(photo.to(device))), dim=1)
    r = normalize(alignment.overhead(overhead.to(device), bbox.to(device), points.to(device)), dim=2)
    scores = torch.einsum("md,mpd->mp", o, r).unflatten(1, (SIDE, SIDE)).cpu()
    at = torch.stack(((lonlat[:, 0] - west) % 360 / (east - west), (north - lonlat[:, 1]) / (north - south)), 1)
    return ScoreMaps(photo.cpu(), overhead.cpu(), scores, at, lonlat)


def save_score_maps(folder: Path, maps: ScoreMaps) -> None:
    """Write `FILE` beside the parts of a GAIR model."""
    (folder / FILE).write_bytes(save({name: tensor.contiguous() for name, tensor in vars(maps).items()}))


def load_score_maps(folder: Path, *, remake: str) -> ScoreMaps | None:
    """Read `FILE`; None where no held-out row had a photo and an overhead image."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return ScoreMaps(**load_file(file))
    except (SafetensorError, TypeError, OSError) as error:
        raise DataError(f"{file} is broken: {error}", hint=remake) from None
