"""Layers on top of embeddings and image features, and the temperatures that are learned with them."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from cspops.kernels import Linear, sqrt
from cspops.models.checkpoint import Config
from cspops.shapes import Float, Int, Tensor

ABSENT = -1e4
"""The bias of a class without labels: its probability is 0 in float32, and its score is not -inf."""

IMAGE_HEAD = "image head"
"""The `kind` in the config.json of an `ImageHead`; that of a `LinearProbe` has none."""

LARGEST_SCALE = 100.0
"""CLIP's bound on 1 / tau: scores are scaled by 100 at most, so tau is at least 0.01."""


class Standardise(nn.Module):
    """(x - mean) / sd, feature by feature, with statistics that `fit` takes from training rows.

    An affine map before a linear layer changes what it learns first, not what it can express.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.mean: Tensor
        self.scale: Tensor

    def fit(self, x: Float[Tensor, "n k"]) -> "Standardise":
        """Take mean and standard deviation from ``x``."""
        x = x.detach().float()
        mean = x.mean(0)
        return self.take(mean, sqrt((x - mean).square_().mean(0)))  # twenty times as fast as `std` along the rows

    @torch.no_grad()
    def take(self, mean: Float[Tensor, "k"], sd: Float[Tensor, "k"]) -> "Standardise":
        """Take statistics that are known; a constant feature gets scale 1."""
        self.mean.copy_(mean)
        sd = sd.to(self.mean.device)
        self.scale.copy_(torch.where(sd > 1e-6 * self.mean.abs().clamp(min=1), sd, torch.ones_like(sd)))
        return self

    def forward(self, x: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch k"]:
        return (x.float() - self.mean) / self.scale


class Projection(nn.Module):
    """W, so that f(I) = W F*(I): one linear layer with bias on standardised image features (paper, section 3.1).

    Note: the paper's appendix calls W a multi-layer perceptron, the released code has one linear layer.
    """

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.standardise = Standardise(dim_in)
        self.linear = Linear(dim_in, dim_out)

    def forward(self, image_features: Float[Tensor, "n k"]) -> Float[Tensor, "n d"]:
        out: Tensor = self.linear(self.standardise(image_features))
        return out


class ClassEmbedding(nn.Module):
    """T in R^(d x q): the score of a class at a place is e(x) T (paper, section 3.3).

    Args:
        bias: whether the score is e(x) T + b, as that of a probe; the paper has none.
    """

    def __init__(self, dim: int, classes: int, *, bias: bool = False) -> None:
        super().__init__()
        self.linear = Linear(dim, classes, bias=bias)

    def forward(self, loc_emb: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch q"]:
        out: Tensor = self.linear(loc_emb)
        return out


class LinearProbe(nn.Module):
    """The classifier g on frozen features: logits = W standardise(F*(I)) + b."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.config: Config = {"dim": dim, "classes": classes}
        self.standardise = Standardise(dim)
        self.linear = Linear(dim, classes)

    def forward(self, image_features: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch q"]:
        out: Tensor = self.linear(self.standardise(image_features))
        return out


class ImageHead(nn.Module):
    """The classifier g on features of a network that is trained with it: linear, or with one hidden layer of GELU.

    Args:
        hidden: width of the hidden layer, or 0 for none.

    The last layer starts at zero, so that the first output is the uniform guess.
    """

    def __init__(self, dim: int, classes: int, *, hidden: int = 0) -> None:
        super().__init__()
        self.config: Config = {"kind": IMAGE_HEAD, "dim": dim, "classes": classes, "hidden": hidden}
        self.standardise = Standardise(dim)
        self.body = nn.Sequential(Linear(dim, hidden), nn.GELU()) if hidden else nn.Identity()
        self.linear = Linear(hidden or dim, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, image_features: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch q"]:
        out: Tensor = self.linear(self.body(self.standardise(image_features)))
        return out

    @torch.no_grad()
    def among(self, present: Int[Tensor, "c"], classes: int) -> "ImageHead":
        """Return a head of all ``classes``: this one's are ``present``, and the others get probability 0."""
        dim, hidden = (int(self.config[key]) for key in ("dim", "hidden"))
        head = ImageHead(dim, classes, hidden=hidden)
        state = {key: value.cpu() for key, value in self.state_dict().items()}
        head.load_state_dict({key: value for key, value in state.items() if not key.startswith("linear.")}, strict=False)
        head.linear.weight[present] = state["linear.weight"]
        head.linear.bias.fill_(ABSENT)
        head.linear.bias[present] = state["linear.bias"]
        return head.eval()


class LearnedTemperatures(nn.Module):
    """Temperatures by name, learned with the embeddings as the logarithm of their inverse, as in CLIP (Radford et al. 2021).

    Args:
        start: initial temperatures by name.
    """

    def __init__(self, start: Mapping[str, float]) -> None:
        super().__init__()
        self.log_scale = nn.ParameterDict({name: torch.tensor(-math.log(tau)) for name, tau in start.items()})

    def forward(self) -> dict[str, Float[Tensor, ""]]:
        """Return the present temperatures, with gradient."""
        return {name: torch.exp(-scale) for name, scale in self.log_scale.items()}

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring every temperature back to at least 1 / `LARGEST_SCALE`; call it after each optimiser step."""
        for scale in self.log_scale.values():
            scale.clamp_(max=math.log(LARGEST_SCALE))
