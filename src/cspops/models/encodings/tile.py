"""The encoding that is learned: a vector for each cell of the map."""

import math

import torch
from torch import nn

from cspops.geo import blocks
from cspops.models.encodings.base import Encoding
from cspops.shapes import Float, LonLat, Tensor


class Tile(Encoding):
    """`tile`: the learned vector of the longitude-latitude cell that a position lies in. dim d.

    table[row columns + column], column = floor((lon + 180) / cell), row = floor((lat + 90) / cell), columns =
    ceil(360 / cell); longitudes are taken modulo 360 and 90 N belongs to the northernmost row. The parameter ``table``
    (cells, d) starts normal with mean 0 and standard deviation 1 / d. Piecewise constant: no gradient reaches the
    coordinates.

    Args:
        cell: side of a cell, degrees.
        features: d.

    Note: the released cell is 1,000,000 degrees wide: one vector for the whole Earth.
    """

    def __init__(self, *, cell: float, features: int) -> None:
        super().__init__()
        self.dim, self.cell = features, cell
        cells = math.ceil(360 / cell) * math.ceil(180 / cell)
        self.table = nn.Parameter(torch.randn(cells, features) / features)

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        return self.table[blocks(lonlat.detach().double(), self.cell)].float()
