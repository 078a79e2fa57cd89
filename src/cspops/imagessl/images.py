"""What a pre-training method receives of the training rows, and what it returns."""

from dataclasses import dataclass, field

from torch import nn

from cspops.errors import DataError
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
    """One number per `location_id`; -1 where it is missing."""
    captured_at: Int[Tensor, "n"]
    """Milliseconds since 1970 in UTC; `dates.NO_DATE` where the date is missing."""

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def located(self) -> Bool[Tensor, "n"]:
        """Which rows have a position."""
        return ~self.lonlat.isnan().any(1)

    def require(self, least: int, why: str) -> None:
        """Raise DataError when there are fewer than ``least`` images; ``why`` completes the message."""
        if len(self) < least:
            raise DataError(
                f"{len(self)} training image{'s are' if len(self) != 1 else ' is'} too few: {why}",
                hint="set pretrain_img.method: none in params.yaml, or add images",
            )


@dataclass(frozen=True)
class Pretrained:
    """What a method returns besides the network, which it trains in place."""

    curve: Curve
    facts: Facts = field(default_factory=dict)
    """Facts about the run that a reader must know, such as the share of rows without a true neighbour."""


class Features(nn.Module):
    """An image network called on floats, channels first."""

    def __init__(self, network: ImageNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k"]:
        return self.network.features(pixels)
