"""What a pre-training method is given of the training rows, and what it gives back."""

from dataclasses import dataclass, field

import torch
from torch import nn

from cspops.errors import DataError
from cspops.imagessl.views import random_views
from cspops.models.backbones import ImageNetwork
from cspops.shapes import Bool, Float, Int, Tensor, UInt8
from cspops.training.loop import Curve

Facts = dict[str, float | int | str]


@dataclass(frozen=True)
class UnlabelledImages:
    """Training rows. There is no field for a label, so that none can leak in."""

    pixels: UInt8[Tensor, "n h w 3"]
    """In memory, on a device, or in a memory-mapped file; a method takes a batch at a time."""
    lonlat: Float[Tensor, "n 2"]
    """Degrees, longitude first; nan where the position is missing."""
    place: Int[Tensor, "n"]
    """A number for each `location_id`; -1 where it is missing."""
    captured_at: Int[Tensor, "n"]
    """Milliseconds since 1970 in UTC; `captures.NO_DATE` where the date is missing."""

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def located(self) -> Bool[Tensor, "n"]:
        """Which rows have a position."""
        return ~self.lonlat.isnan().any(1)

    def require(self, least: int, what: str) -> None:
        """DataError when there are fewer than ``least`` images."""
        if len(self) < least:
            raise DataError(
                f"{len(self)} training image{'s are' if len(self) != 1 else ' is'} too few: {what}",
                hint="pretrain_img.method: none in params.yaml, or more images",
            )


@dataclass(frozen=True)
class Pretrained:
    """What a method leaves besides the network, which it trained in place."""

    curve: Curve
    facts: Facts = field(default_factory=dict)
    """Numbers about the run that a reader must know, such as the share of rows without a true neighbour."""


@dataclass(frozen=True)
class Views:
    """Random views of the images of some rows; see `views.random_views`."""

    pixels: UInt8[Tensor, "n h w 3"]
    device: torch.device
    min_scale: float
    colour_jitter: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    turns: bool = True
    mirror: bool = True

    def __call__(self, rows: Int[Tensor, "b"], draws: torch.Generator) -> Float[Tensor, "b 3 h w"]:
        """A view of each row."""
        return random_views(
            self.plain(rows),
            min_scale=self.min_scale,
            colour_jitter=self.colour_jitter,
            grey=self.grey,
            blur=self.blur,
            turns=self.turns,
            mirror=self.mirror,
            generator=draws,
        )

    def plain(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b 3 h w"]:
        """The images themselves, in [0, 1]."""
        return as_floats(self.pixels[rows.to(self.pixels.device)].to(self.device))


def as_floats(pixels: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
    """Bytes to [0, 1], channels first."""
    return pixels.permute(0, 3, 1, 2).contiguous().float() / 255


class Features(nn.Module):
    """An image network called on floats, channels first."""

    def __init__(self, network: ImageNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k"]:
        return self.network.features(pixels)
