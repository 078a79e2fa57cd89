"""The location encoder e(x) = network(encoding(x)), which the whole project trains."""

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from cspops.models.checkpoint import Config
from cspops.models.encodings import ENCODINGS
from cspops.models.heads import ClassEmbedding
from cspops.models.networks import NETWORKS, two_passes
from cspops.shapes import Float, LonLat, Tensor

ROWS_AT_ONCE = 2**16
"""Positions encoded at once by `prepare`, which bounds the memory of the phases in float64."""


class LocationEncoder(nn.Module):
    """Positions in degrees, longitude first, to embeddings.

    ``encoder(lonlat)`` is ``encoder.embed(encoder.prepare(lonlat))``: where the same positions come again and again,
    prepare them once. Prepared rows may be indexed and concatenated.

    Args:
        config: ``{"encoding": {"name": ..., settings}, "network": {"name": ..., settings}, "dim": d}``; it is kept in
            ``self.config`` and rebuilds the module.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = {key: copy.deepcopy(value) for key, value in config.items()}
        encoding, network = dict(config["encoding"]), dict(config["network"])
        self.encoding = ENCODINGS[encoding.pop("name")](**encoding)
        name, widths = network.pop("name"), self.encoding.widths
        networks = [NETWORKS[name](width, config["dim"], **network) for width in widths]
        self.network = networks[0] if len(networks) == 1 else SumOfParts(networks, widths)
        self.dim: int = config["dim"]

    def fit(self, lonlat: Float[Tensor, "n 2"], generator: torch.Generator) -> None:
        """Give the encoding what it needs of the training positions (anchors of `rbf`), before any `prepare`."""
        self.encoding.fit(lonlat, generator)

    def prepare(self, lonlat: LonLat) -> Float[Tensor, "*batch w"]:
        """Compute what training leaves unchanged: the encoding, or where it is learned the positions in float64."""
        if self.encoding.learnable:
            return lonlat.double()
        if lonlat.numel() <= 2 * ROWS_AT_ONCE:
            encoded: Tensor = self.encoding(lonlat)
        else:
            blocks = lonlat.reshape(-1, 2).split(ROWS_AT_ONCE)
            encoded = torch.cat([self.encoding(block) for block in blocks]).reshape(*lonlat.shape[:-1], -1)
        return encoded

    def embed(self, prepared: Float[Tensor, "*batch w"], repeated: int = 0) -> Float[Tensor, "*again d"]:
        """Return embeddings of prepared positions; see `two_passes` for ``repeated``."""
        encoded: Tensor = self.encoding(prepared) if self.encoding.learnable else prepared
        embedding: Tensor = two_passes(self.network, encoded, repeated) if repeated else self.network(encoded)
        return embedding

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch d"]:
        return self.embed(self.prepare(lonlat))


class SumOfParts(nn.Module):
    """One network per part of an encoding, their outputs summed (GeoCLIP: one part per scale)."""

    def __init__(self, networks: Sequence[nn.Module], widths: Sequence[int]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(networks)
        self.widths = tuple(widths)

    def forward(self, x: Float[Tensor, "*batch w"]) -> Float[Tensor, "*batch d"]:
        outputs = [network(part) for network, part in zip(self.parts, x.split(self.widths, -1), strict=True)]
        return torch.stack(outputs).sum(0)


Link = Literal["sigmoid", "softmax"]
"""How scores s become P(y|x): proportional to sigma(s) (paper, section 3.4), or their softmax."""


class LocationClassifier(nn.Module):
    """e and T together: from positions to one score per class.

    Args:
        link: how scores become P(y|x); it is kept in the config.
    """

    def __init__(self, encoder: LocationEncoder, class_embedding: ClassEmbedding, *, link: Link = "sigmoid") -> None:
        super().__init__()
        self.encoder = encoder
        self.class_embedding = class_embedding
        self.link: Link = link
        linear = class_embedding.linear
        has_bias = {} if linear.bias is None else {"bias": True}
        self.config: Config = {"encoder": encoder.config, "classes": linear.out_features, "link": link} | has_bias

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch q"]:
        scores: Tensor = self.class_embedding(self.encoder(lonlat))
        return scores
