"""Which weights training ends with: those of the least validation NLL, or their running average then."""

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from cspops.shapes import Tensor


class KeptWeights(nn.Module):
    """The exponential moving average of a model and the best weights so far; all of it is state, which snapshots hold.

    Args:
        model: what is trained.
        decay: d of a <- d a + (1 - d) w after each step t = 1, 2 ..., at most (1 + t) / (10 + t), from the weights after
            step 0 on; with 0 there is no average, and the model itself is judged.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        super().__init__()
        self.average = AveragedModel(model, avg_fn=_average(decay), use_buffers=True).requires_grad_(False) if decay else None
        self.best = copy.deepcopy(model).requires_grad_(False)
        self.register_buffer("least", torch.full((), torch.inf, dtype=torch.float64))
        self.register_buffer("least_of_training", torch.full((), torch.inf, dtype=torch.float64))
        self.register_buffer("in_vain", torch.zeros((), dtype=torch.long))
        self.least: Tensor
        self.least_of_training: Tensor
        self.in_vain: Tensor

    def follow(self, model: nn.Module) -> None:
        """Update the average after a step: floating-point parameters and buffers are averaged, others copied."""
        if self.average is not None:
            self.average.update_parameters(model)

    @torch.no_grad()
    def keep_start(self, model: nn.Module, nll: float) -> None:
        """Keep the model as it comes, of validation NLL ``nll``, until training improves on it.

        Patience does not compare with it: a warm-up first makes a good start worse, which must not end training.
        """
        self.least.fill_(nll)
        self.best.load_state_dict(model.state_dict())

    @torch.no_grad()
    def keep_best(self, model: nn.Module, nll: float) -> None:
        """Keep the weights of `candidate`, of validation NLL ``nll``, where it is the least so far."""
        if nll < float(self.least):
            self.least.fill_(nll)
            self.best.load_state_dict(self.candidate(model).state_dict())
        if nll < float(self.least_of_training):
            self.least_of_training.fill_(nll)
            self.in_vain.zero_()
        else:
            self.in_vain += 1

    def candidate(self, model: nn.Module) -> nn.Module:
        """Return what validation judges while ``model`` is trained: the average, or without one the model itself."""
        return model if self.average is None else self.average.module

    def is_over(self, patience: int) -> bool:
        """Return whether the last ``patience`` checks brought no improvement; never for 0."""
        return 0 < patience <= int(self.in_vain)


def _average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return what moves an average towards the weights after step t, which `AveragedModel` counts."""

    def move(average: Tensor, weights: Tensor, t: Tensor | int) -> Tensor:
        if not average.is_floating_point():
            return weights
        share = (1 + torch.as_tensor(t)) / (10 + t)  # a tensor, on the weights' device
        return average.lerp(weights, (1 - share.clamp(max=decay)).to(average.dtype))

    return move
