"""The published location encoder: GeoCLIP's, one capsule per scale, their outputs summed."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from cspops.gair.shapes import require_shape
from cspops.geo import equal_earth
from cspops.kernels import Linear
from cspops.models.encodings.planar import EAST
from cspops.models.location_encoder import LocationEncoder
from cspops.models.released.peers import PeerFile, rebuild_peer
from cspops.shapes import Float, Tensor

SIGMAS = (1.0, 16.0, 256.0)


class Capsules(nn.Module):
    """Places in degrees to embeddings: the sum over the scales of MLP(cos(2 pi B p), sin(2 pi B p)).

    p is the Equal Earth projection times `EAST`, as in the encoding `equal_earth_rff`. The MLP has three hidden layers with
    ReLU. Projection and phases are in float64 whatever the type of the weights; the rest is in that type.

    Args:
        features: rows of each B.
        hidden: width of the hidden layers.
        dim: width d of the embedding.
        sigmas: standard deviations of the entries of each B, which are drawn once and not trained.

    The state dict has the published names; for each scale i: ``LocEnc{i}.capsule.0.b`` (features, 2), ``LocEnc{i}.capsule.1``
    (weight (hidden, 2 features), bias), ``.3`` and ``.5`` (hidden, hidden) and ``LocEnc{i}.head.0`` (dim, hidden). The
    defaults are the published sizes.
    """

    def __init__(self, features: int = 256, hidden: int = 1024, dim: int = 768, sigmas: Sequence[float] = SIGMAS) -> None:
        super().__init__()
        self.dim, self.sigmas = dim, tuple(sigmas)
        for i, sigma in enumerate(self.sigmas):
            layers: list[nn.Module] = [_Waves(features, sigma)]
            for width in (2 * features, hidden, hidden):
                layers += [Linear(width, hidden), nn.ReLU()]
            parts = {"capsule": nn.Sequential(*layers), "head": nn.Sequential(Linear(hidden, dim))}
            self.add_module(f"LocEnc{i}", nn.ModuleDict(parts))

    def forward(self, lonlat: Float[Tensor, "*places"]) -> Float[Tensor, "*batch dim"]:
        """Return embeddings (..., dim) of places (..., 2), longitude first; other shapes are a ValueError."""
        require_shape("lonlat", lonlat, *"nmk"[: lonlat.ndim - 1], 2)
        projected = EAST * equal_earth(lonlat)
        outputs = [capsule["head"](capsule["capsule"](projected)) for capsule in self.children()]  # type: ignore[index]
        return torch.stack(outputs).sum(0)


class _Waves(nn.Module):
    """cos and sin of 2 pi B p."""

    def __init__(self, features: int, sigma: float) -> None:
        super().__init__()
        self.b = nn.Parameter(sigma * torch.randn(features, 2), requires_grad=False)

    def forward(self, projected: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch waves"]:
        phase = 2 * math.pi * (projected @ self.b.double().T)
        return torch.cat((phase.cos(), phase.sin()), -1).to(self.b.dtype)


def as_location_encoder(capsules: Capsules) -> LocationEncoder:
    """Return the same function as a `LocationEncoder` of this project, in eval mode, with weights of its own."""
    return rebuild_peer(PeerFile("geoclip", Path("GAIR"), {}, dict(capsules.state_dict()), (), None)).encoder
