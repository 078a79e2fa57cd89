"""What featurize runs over: which images are decoded, and how features come of them. GAIR's overhead images are such."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from cspops.data.catalogue import read_captures
from cspops.data.overhead import read_footprints
from cspops.errors import DataError
from cspops.gair.stored import load_overhead
from cspops.models.image_features import on_device
from cspops.pipeline.pixels import OVERHEAD, Column, Squares
from cspops.shapes import Tensor
from cspops.site import Site


@dataclass(frozen=True)
class Images:
    """Which images are decoded, and what becomes of them."""

    square: Squares
    column: Column
    width: int
    features: Callable[[Iterable[tuple[slice, Tensor]]], Iterator[Tensor]]
    """From rows and their pixels, batch by batch, to float16 features on the CPU."""


def overhead_source(site: Site) -> Images:
    """Return the overhead images of all rows, and what the trained map says at the rows' places.

    Raises:
        DataError: a row has no place inside an overhead image.
    """
    download, device = site.inputs["download"], site.host.job_device()
    lonlat, footprints = read_captures(download).lonlat, read_footprints(download)
    without = lonlat.isnan().any(1) if footprints is None else footprints.bbox.isnan().any(1) | lonlat.isnan().any(1)
    if footprints is None or without.any():
        count = len(lonlat) if footprints is None else int(without.sum())
        raise DataError(
            f"{count:,} of {len(lonlat):,} rows have no place inside an overhead image, which overhead_at_place needs",
            hint="set pretrain_img.methods.gair.features: photo in params.yaml",
        )
    overhead, bbox = load_overhead(site.inputs["pretrain-img"]).to(device), footprints.bbox

    def features(batches: Iterable[tuple[slice, Tensor]]) -> Iterator[Tensor]:
        for rows, pixels in batches:
            with torch.inference_mode():
                block = overhead(on_device(pixels, device), bbox[rows].to(device), lonlat[rows].to(device))
            yield block.half().cpu()

    about = overhead.config["map"]
    return Images(Squares(about["px"], crop=None, interpolation=about["interpolation"]), OVERHEAD, overhead.dim, features)
