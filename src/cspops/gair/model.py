"""The published GAIR model: two image networks, a location encoder, and NILI between them."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from torch import nn

from cspops.errors import DataError
from cspops.gair.alibi_vit import AlibiVit
from cspops.gair.location import Capsules
from cspops.gair.nili import Nili
from cspops.gair.photo_vit import PhotoVit
from cspops.kernels import Linear
from cspops.models.checkpoint import Config, load_config, load_weights
from cspops.shapes import Float, Tensor

__all__ = ["load_published"]

IMPORT = "cspops import-checkpoint FILE --out FOLDER writes one from the released checkpoint"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the model; the defaults are the published ones. The numbers of heads and ``px`` stand in no tensor's shape."""

    px: int = 96
    patch: int = 8
    bands: int = 10
    overhead_depth: int = 12
    overhead_heads: int = 16
    photo_px: int = 224
    photo_patch: int = 16
    photo_depth: int = 12
    photo_heads: int = 12
    photo_hidden: int = 3072
    features: int = 256
    capsule_hidden: int = 1024
    dim: int = 768


class Embeddings(NamedTuple):
    """What the model makes of n pairs of images; none is normalised."""

    at_place: Float[Tensor, "n d"]
    """r: overhead features at the place of the photo."""
    photo: Float[Tensor, "n d"]
    """o: the projected photo embedding."""
    location: Float[Tensor, "n d"]
    """l: the place's embedding."""
    overhead: Float[Tensor, "n d"]
    """The mean token."""
    pooled_photo: Float[Tensor, "n d"]
    """The photo embedding before its projection."""


class Published(nn.Module):
    """The published model: overhead and photo network, location encoder, NILI, and three projections.

    Only the photo's projection is used: what is compared are NILI's output, the projected photo and the location embedding
    as they are.

    The state dict has that of `AlibiVit` below ``overhead``, of `PhotoVit` below ``photo``, of `Capsules` below ``location``,
    of a linear `Nili` below ``nili``, and ``overhead_projection``, ``photo_projection`` and ``location_projection`` (weight
    (d, d), bias); `published.PREFIXES` has their names in the released
    checkpoint.

    Args:
        sizes: of the networks.
        attention_dropout: of the photo network in training.
    """

    def __init__(self, sizes: Sizes, attention_dropout: float = 0.0) -> None:
        super().__init__()
        self.sizes = sizes
        dim = sizes.dim
        self.overhead = AlibiVit(sizes.px, sizes.patch, sizes.bands, dim, sizes.overhead_depth, sizes.overhead_heads)
        self.photo = PhotoVit(
            sizes.photo_px,
            sizes.photo_patch,
            dim,
            sizes.photo_depth,
            sizes.photo_heads,
            sizes.photo_hidden,
            attention_dropout,
        )
        self.location = Capsules(sizes.features, sizes.capsule_hidden, dim)
        self.nili = Nili(dim, dim)
        self.overhead_projection = Linear(dim, dim)
        self.photo_projection = Linear(dim, dim)
        self.location_projection = Linear(dim, dim)

    def forward(
        self,
        overhead: Float[Tensor, "*overhead"],
        photo: Float[Tensor, "*photo"],
        bbox: Float[Tensor, "*boxes"],
        lonlat: Float[Tensor, "*places"],
    ) -> Embeddings:
        """Embed pairs: overhead images (n, bands, px, px) with footprints (n, 4), photos (n, 3, px, px) at places (n, 2)."""
        tokens, pooled = self.overhead(overhead), self.photo(photo)
        projected: Tensor = self.photo_projection(pooled)
        return Embeddings(self.nili(tokens, bbox, lonlat), projected, self.location(lonlat), tokens.mean(1), pooled)


def config_of(model: Published) -> Config:
    """Return what `load_published` rebuilds the model from."""
    return {"kind": "gair", "sizes": dataclasses.asdict(model.sizes)}


def load_published(folder: Path) -> Published:
    """Load the folder `gair` that `cspops import-checkpoint` wrote, in eval mode.

    Raises:
        DataError: the folder holds no such model.
    """
    config = load_config(folder, remake=IMPORT)
    try:
        model = Published(Sizes(**config["sizes"]))
    except Exception:  # whatever torch raises at values of another kind
        raise DataError(f"{folder / 'config.json'} describes no GAIR model", hint=IMPORT) from None
    load_weights(folder, model, remake=IMPORT)
    return model.eval()
