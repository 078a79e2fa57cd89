"""NILI, the neural implicit local interpolation: overhead features at a place inside the image."""

from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional

from cspops.gair.footprint import in_footprint
from cspops.gair.shapes import grid_of
from cspops.kernels import Linear
from cspops.shapes import Float, Int, Tensor

Decoder = Literal["linear", "mlp", "bilinear", "mean"]

SHIFT = 1e-6
"""By which places are moved, so that none lies between two cells; also the least distance to the border."""
LEAST_AREA = 1e-9
CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
"""Half a cell to west or east, and to north or south; the diagonally opposite ones are the same list read backwards."""


class Nili(nn.Module):
    """The features of an image at places in it, from a grid of tokens whose first row is the northernmost.

    `linear` and `mlp` are a local ensemble (as LIIF, Chen et al. 2021). For each of the four cells nearest to the place p, the
    decoder gets the tokens of the 3x3 cells around it (zeros beyond the border; token feature by token feature, each with its
    nine cells row by row) and the place relative to the cell's centre, d = g (p - centre), each in [-2, 2]. The four outputs
    are averaged by the areas |dx dy| of the diagonally opposite cells. `linear` is one linear layer, as released; `mlp` has two
    hidden layers with ReLU, as the paper's text says. `bilinear` and `mean` are for comparison: one linear layer of the tokens
    interpolated bilinearly (clamped at the border), or of their mean, whatever the place.

    Args:
        dim: width d of the tokens.
        dim_out: width of the output.
        decoder: one of these four.
        hidden: width of both hidden layers of `mlp`.

    The state dict has ``decoder.weight`` and ``decoder.bias``, (dim_out, 9 d + 2) and (dim_out,) for `linear` (the last two
    columns are for dx and dy), (dim_out, d) and (dim_out,) for `bilinear` and `mean`; `mlp` has ``decoder.0`` (hidden,
    9 d + 2), ``decoder.2`` (hidden, hidden) and ``decoder.4`` (dim_out, hidden).

    Note: the released training code addressed another quadrant, transposed (it left the place in [0, 1] and took x for the
    row); the released inference code is followed here. The decoder's first layer is computed once per cell, as a 3x3
    convolution, and not once per place and corner. More than half a cell from the border `linear` is the bilinear
    interpolation of that convolution, and dx and dy cancel.
    """

    def __init__(self, dim: int, dim_out: int, decoder: Decoder = "linear", hidden: int = 256) -> None:
        super().__init__()
        if decoder not in get_args(Decoder):
            raise ValueError(f"decoder is one of {', '.join(get_args(Decoder))}, not {decoder}")
        self.dim, self.dim_out, self.kind = dim, dim_out, decoder
        around = 9 * dim + 2
        self.decoder: nn.Module
        if decoder == "mlp":
            layers = (nn.Linear(around, hidden), nn.ReLU(), Linear(hidden, hidden), nn.ReLU(), Linear(hidden, dim_out))
            self.decoder = nn.Sequential(*layers)
        else:
            self.decoder = Linear(around if decoder == "linear" else dim, dim_out)

    def forward(
        self, tokens: Float[Tensor, "*tokens"], bbox: Float[Tensor, "*boxes"], lonlat: Float[Tensor, "*places"]
    ) -> Float[Tensor, "*batch dim_out"]:
        """Return the features at places on Earth.

        Args:
            tokens: (n, g*g, d), row by row from north to south, each from west to east.
            bbox: (n, 4), see `in_footprint`.
            lonlat: (n, 2), or (n, m, 2) for m places per image.

        Returns:
            (n, dim_out), or (n, m, dim_out).

        Raises:
            ValueError: a shape does not fit, or a place is outside its footprint.
        """
        side = grid_of(tokens, self.dim)
        if len(bbox) != len(tokens):
            raise ValueError(f"{len(tokens)} images have {len(bbox)} footprints")
        places = in_footprint(bbox, lonlat)
        out = self._at(tokens, side, places if lonlat.ndim == 3 else places[:, None])
        return out if lonlat.ndim == 3 else out[:, 0]

    def _at(
        self, tokens: Float[Tensor, "n cells d"], side: int, places: Float[Tensor, "n m 2"]
    ) -> Float[Tensor, "n m dim_out"]:
        if self.kind == "mean":
            out: Tensor = self.decoder(tokens.mean(1))
            return out[:, None].expand(-1, places.shape[1], -1)
        image = tokens.transpose(1, 2).unflatten(2, (side, side))
        if self.kind == "bilinear":
            at = places[:, None].to(tokens.dtype)
            sampled = functional.grid_sample(image, at, mode="bilinear", padding_mode="border", align_corners=False)
            out = self.decoder(sampled[:, :, 0].transpose(1, 2))
            return out
        return self._local_ensemble(image, places)

    def _local_ensemble(self, image: Float[Tensor, "n d g g"], places: Float[Tensor, "n m 2"]) -> Float[Tensor, "n m dim_out"]:
        first, *others = self.decoder if isinstance(self.decoder, nn.Sequential) else (self.decoder,)
        kernel = first.weight[:, : 9 * self.dim].unflatten(1, (self.dim, 3, 3))
        convolved = functional.conv2d(image, kernel, first.bias, padding=1).flatten(2).transpose(1, 2)
        cells, offsets = nearest_cells(places, image.shape[-1])
        areas = offsets.prod(-1).abs() + LEAST_AREA
        weights = (areas.flip(-1) / areas.sum(-1, keepdim=True)).to(image.dtype)
        offsets = offsets.to(image.dtype)
        total = convolved.new_zeros(())
        for corner in range(len(CORNERS)):
            at = cells[..., corner, None].expand(-1, -1, convolved.shape[-1])
            out = convolved.gather(1, at) + functional.linear(offsets[..., corner, :], first.weight[:, 9 * self.dim :])
            for layer in others:
                out = layer(out)
            total = total + out * weights[..., corner, None]
        return total


def nearest_cells(places: Float[Tensor, "n m 2"], side: int) -> tuple[Int[Tensor, "n m 4"], Float[Tensor, "n m 4 2"]]:
    """Return the cells nearest to places moved by half a cell towards each of `CORNERS`, and the places relative to them.

    A place between two cells (which `SHIFT` makes rare) goes to the even one, as in `torch.nn.functional.grid_sample`.
    """
    corners = torch.tensor(CORNERS, dtype=places.dtype, device=places.device)
    moved = (places.detach()[..., None, :] + corners / side + SHIFT).clamp(-1 + SHIFT, 1 - SHIFT)
    cells = (((moved + 1) * side - 1) / 2).round().clamp(0, side - 1)
    centres = (2 * cells + 1) / side - 1
    column, row = cells.long().unbind(-1)
    return row * side + column, (places[..., None, :] - centres) * side
