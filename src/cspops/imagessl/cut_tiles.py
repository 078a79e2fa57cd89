"""Cut triplets of tiles from images, or from one large raster, as Tile2Vec does."""

from dataclasses import dataclass

import torch

from cspops.errors import DataError
from cspops.shapes import Int, Tensor, UInt8

LEAST = 3
"""The least width and height of an image, in tiles."""


@dataclass(frozen=True)
class CutTiles:
    """Anchor: a tile around any pixel; neighbour: one near it; distant: one of another image, or not near it.

    Note: in the authors' code neighbours lie up to half-width - 1 to the south and east, here up to the half-width on all
    sides. There distant tiles of the same image differ by more than the half-width in both coordinates; here in at least
    one.
    """

    pixels: UInt8[Tensor, "n h w 3"]
    """In memory, on a device, or in a memory-mapped file."""
    tile_px: int
    neighbourhood_px: int
    """Half-width of the square of the neighbour's centre."""
    same_image: bool
    """Whether the distant tile is from the anchor's image, outside that square."""

    def __post_init__(self) -> None:
        n, height, width, _ = self.pixels.shape
        if min(height, width) < LEAST * self.tile_px:
            raise DataError(
                f"tiles of {self.tile_px} px are cut from images of at least {LEAST * self.tile_px} px, "
                f"and these have {width} x {height}",
                hint="set a smaller tile_px in pretrain_img.methods.tile2vec of params.yaml, or a larger image_encoder.px",
            )
        if self.same_image and self.neighbourhood_px >= max(height // 2, width // 2):
            raise DataError(
                f"a neighbourhood of {self.neighbourhood_px} px around the middle leaves nothing of an image of "
                f"{width} x {height} px",
                hint="set a smaller neighbourhood_px in pretrain_img.methods.tile2vec of params.yaml",
            )
        if not self.same_image and n < 2:
            raise DataError(
                "distant tiles are cut from another image, and there is only one",
                hint="set pretrain_img.methods.tile2vec.same_image: true in params.yaml",
            )

    def triplets(self, image: Int[Tensor, "b"], draws: torch.Generator) -> UInt8[Tensor, "3 b t t 3"]:
        """Cut anchors in these images, their neighbours and distant tiles, on the device of ``draws``."""
        anchor = self._within(torch.zeros(2, 1), torch.tensor(self._size)[:, None] - 1, len(image), draws)
        near = self._within(*self._square(anchor), len(image), draws)
        if self.same_image:
            distant, its_image = self._outside(anchor, draws), image
        else:
            distant = self._within(torch.zeros(2, 1), torch.tensor(self._size)[:, None] - 1, len(image), draws)
            its_image = torch.randint(len(self.pixels) - 1, image.shape, generator=draws, device=draws.device)
            its_image = its_image + (its_image >= image)
        cut = [self.cut(image, anchor), self.cut(image, near), self.cut(its_image, distant)]
        return torch.stack(cut).to(draws.device)

    def cut(self, image: Int[Tensor, "b"], centre: Int[Tensor, "2 b"]) -> UInt8[Tensor, "b t t 3"]:
        """Cut the tiles around these rows and columns; beyond its borders the image is mirrored."""
        offset = torch.arange(self.tile_px, device=centre.device) - self.tile_px // 2
        places = []
        for at, size in zip(centre, self._size, strict=True):
            place = (at[:, None] + offset).abs()
            places.append((size - 1 - (size - 1 - place).abs()).to(self.pixels.device))
        row, column = places
        return self.pixels[image.to(self.pixels.device)[:, None, None], row[:, :, None], column[:, None, :]]

    @property
    def _size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[2]

    def _within(self, low: Tensor, high: Tensor, n: int, draws: torch.Generator) -> Int[Tensor, "2 n"]:
        """Draw uniformly from the whole numbers from ``low`` to ``high``, row and column."""
        u = torch.rand(2, n, generator=draws, device=draws.device, dtype=torch.float64)
        low, high = low.to(draws.device), high.to(draws.device)
        return torch.minimum(low + (u * (high - low + 1)).floor(), high).long()

    def _square(self, anchor: Int[Tensor, "2 b"]) -> tuple[Int[Tensor, "2 b"], Int[Tensor, "2 b"]]:
        """Return first and last row and column of the neighbourhood of each anchor."""
        last = torch.tensor(self._size, device=anchor.device)[:, None] - 1
        reach = self.neighbourhood_px
        return (anchor - reach).clamp(min=0), torch.minimum(anchor + reach, last)

    def _outside(self, anchor: Int[Tensor, "2 b"], draws: torch.Generator) -> Int[Tensor, "2 b"]:
        """Draw uniformly from the pixels outside the neighbourhood.

        They are numbered: first the whole rows above and below it, then the pixels beside it. There are some, as
        `__post_init__` checks.
        """
        height, width = self._size
        (top, left), (bottom, right) = self._square(anchor)
        rows, columns = bottom - top + 1, right - left + 1
        whole, beside = (height - rows) * width, rows * (width - columns)
        u = torch.rand(anchor.shape[1], generator=draws, device=draws.device, dtype=torch.float64)
        pick = torch.minimum((u * (whole + beside)).long(), whole + beside - 1)
        row = pick // width
        in_rows = torch.stack((torch.where(row < top, row, row + rows), pick % width))
        side = (pick - whole).clamp(min=0)
        column = side % (width - columns).clamp(min=1)
        in_sides = torch.stack(
            (top + side // (width - columns).clamp(min=1), torch.where(column < left, column, column + columns))
        )
        return torch.where(pick < whole, in_rows, in_sides)
