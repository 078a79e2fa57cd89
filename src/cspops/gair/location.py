"""The published location encoder: GeoCLIP's, one capsule per scale, their outputs summed."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from cspops.gair.shapes import require_shape
from cspops.geo import equal_earth
from cspops.kernels import Linear
from cspops.models.encodings.planar import EAST
from cspops.models.location_encoder import LocationEncoder
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
    """Return the same function as a `LocationEncoder` of this project, in eval mode, with weights of its own.

    Its network is `ffn`, which adds a hidden layer's input to its output where both have the same width, and a capsule does
    not. So the hidden layers are three times as wide: each layer of the capsule has a third of them for itself, all other
    weights are zero, and what is added to it is zero. Further training would fill these zeros.
    """
    own = capsules.state_dict()
    first = own["LocEnc0.capsule.1.weight"]
    hidden, features = len(first), first.shape[1] // 2
    wide = 3 * hidden + (2 * features == 3 * hidden)  # as wide as its input, the first layer would add that
    network = {"name": "ffn", "hidden_layers": 3, "hidden": wide, "activation": "relu", "dropout": 0.0}
    config = {
        "encoding": {"name": "equal_earth_rff", "features": features, "sigmas": list(capsules.sigmas)},
        "network": network | {"layer_norm": False, "output_activation": False},
        "dim": capsules.dim,
    }
    encoder = LocationEncoder(config)
    weights = {name: torch.zeros_like(tensor) for name, tensor in encoder.state_dict().items()}
    for i in range(len(capsules.sigmas)):
        there = f"LocEnc{i}"
        here = "network." + (f"parts.{i}." if len(capsules.sigmas) > 1 else "")
        weights["encoding.frequency"][i] = own[f"{there}.capsule.0.b"]
        for layer, theirs in enumerate((1, 3, 5)):
            rows, weight = slice(layer * hidden, (layer + 1) * hidden), own[f"{there}.capsule.{theirs}.weight"]
            columns = slice((layer - 1) * hidden, layer * hidden) if layer else slice(None)
            weights[f"{here}hidden_layers.{layer}.weight"][rows, columns] = weight
            weights[f"{here}hidden_layers.{layer}.bias"][rows] = own[f"{there}.capsule.{theirs}.bias"]
        weights[f"{here}output.weight"][:, 2 * hidden : 3 * hidden] = own[f"{there}.head.0.weight"]
        weights[f"{here}output.bias"].copy_(own[f"{there}.head.0.bias"])
    encoder.load_state_dict(weights)
    return encoder.eval()
