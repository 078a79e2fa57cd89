"""Temperatures that are learned with the embeddings, as in CLIP (Radford et al. 2021)."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from cspops.shapes import Float, Tensor

LARGEST_SCALE = 100.0
"""CLIP's bound on 1 / tau: scores are scaled by 100 at most, so tau is at least 0.01."""


class LearnedTemperatures(nn.Module):
    """Positive numbers by name, learned as the logarithm of their inverse.

    Args:
        start: name to the temperature at the start.
    """

    def __init__(self, start: Mapping[str, float]) -> None:
        super().__init__()
        self.log_scale = nn.ParameterDict({name: torch.tensor(-math.log(tau)) for name, tau in start.items()})

    def forward(self) -> dict[str, Float[Tensor, ""]]:
        """The temperatures now, with gradient."""
        return {name: torch.exp(-scale) for name, scale in self.log_scale.items()}

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring every temperature back to at least 1 / `LARGEST_SCALE`; to be called after an optimiser step."""
        for scale in self.log_scale.values():
            scale.clamp_(max=math.log(LARGEST_SCALE))
