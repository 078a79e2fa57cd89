"""How well photos fit places, by the encoders that GAIR's pre-training left."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import normalize

from cspops.gair.overhead import LocalizedOverhead
from cspops.gair.raster import Raster
from cspops.gair.stored import load_gair_location, load_overhead, load_photo_network, load_projection
from cspops.gair.tiling import Side, tiling
from cspops.models.backbones import ImageNetwork
from cspops.models.location_encoder import LocationEncoder
from cspops.progress import Done, uncounted
from cspops.shapes import Float, Int, Tensor, UInt8

TILES = 1024
"""Tiles that are cut and embedded at once."""


@dataclass(frozen=True)
class Locator:
    """The encoders of photos, of overhead images at places, and of places, in eval mode."""

    photo: ImageNetwork
    projection: nn.Linear
    overhead: LocalizedOverhead
    location: LocationEncoder
    device: torch.device

    @classmethod
    def load(cls, pretrain_img: Path, device: torch.device) -> "Locator":
        """Load them; DataError where another method left the folder, or photos had no part in the training."""
        return cls(
            load_photo_network(pretrain_img).to(device).eval(),
            load_projection(pretrain_img).to(device).eval(),
            load_overhead(pretrain_img).to(device).eval(),
            load_gair_location(pretrain_img).to(device).eval(),
            device,
        )

    @property
    def px(self) -> int:
        """Side of the overhead images."""
        side: int = self.overhead.config["map"]["px"]
        return side

    @property
    def cells(self) -> int:
        """Cells along a side of the overhead network's map."""
        stride: int = self.overhead.config["map"]["stride"]
        return max(1, self.px // stride)

    @torch.inference_mode()
    def photos(self, squares: UInt8[Tensor, "n px px 3"]) -> Float[Tensor, "n d"]:
        """Return the projected embeddings of photos, of length 1."""
        return normalize(self.projection(self.photo(squares.to(self.device))), dim=1).cpu()

    @torch.inference_mode()
    def by_place(self, photos: Float[Tensor, "p d"], lonlat: Float[Tensor, "n 2"]) -> Float[Tensor, "p n"]:
        """Return the cosine of each photo and each place's e(x)."""
        return photos @ normalize(self.location(lonlat.to(self.device)), dim=1).cpu().T

    @torch.inference_mode()
    def scores(
        self,
        photos: Float[Tensor, "p d"],
        lonlat: Float[Tensor, "n 2"],
        raster: Raster,
        side: Side,
        done: Done = uncounted,
    ) -> Float[Tensor, "p n"]:
        """Return the cosine of each photo and the overhead feature at each place.

        Args:
            photos: as `photos` returns them.
            lonlat: places within the raster, degrees.
            raster: what the overhead images are cut from, see `tiling`.
            side: of the overhead images that the encoders were trained with.
            done: receives how many of how many places are done.
        """
        tiles = tiling(raster.box, side, lonlat, is_ring=raster.is_ring)
        order = tiles.tile.argsort(stable=True)
        counts = torch.bincount(tiles.tile, minlength=len(tiles.bbox))
        out, start = torch.empty(len(photos), len(lonlat)), 0
        for which in torch.arange(len(counts)).split(TILES):
            some = counts[which]
            rows = order[start : start + int(some.sum())]
            at = _slots(some)
            bbox = tiles.bbox[which]
            pixels = raster.cut(bbox, self.px).to(self.device).permute(0, 3, 1, 2).float() / 255
            places = lonlat[rows[at]]  # (tiles, most places of one, 2)
            found = self.overhead.nili(self.overhead.map(pixels), bbox.to(self.device), places.to(self.device)).cpu()
            used = torch.arange(at.shape[1]) < some[:, None]
            out[:, rows] = photos @ normalize(found[used], dim=1).T
            start += len(rows)
            done(start, len(lonlat))
        return out


def _slots(counts: Int[Tensor, "tiles"]) -> Int[Tensor, "tiles most"]:
    """Return for each tile the numbers of its places, which follow one another, the last one repeated to fill the row."""
    begin = counts.cumsum(0) - counts
    return begin[:, None] + torch.arange(int(counts.max())).minimum(counts[:, None] - 1)
