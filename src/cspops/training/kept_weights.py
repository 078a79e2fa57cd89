"""Which weights a training ends with: their running average, as it was when validation was best."""

import copy
from collections.abc import Callable

import torch
from torch import nn

from cspops.shapes import Tensor


class KeptWeights(nn.Module):
    """The exponential moving average of a model and the best one seen; all of it is state, which snapshots hold.

    Args:
        model: what is trained.
        decay: d of a <- d a + (1 - d) w after each step, less at the start, when it is (1 + t) / (10 + t) of step t = 0, 1
            ...; 0 keeps no average, and the model itself is judged.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.average = copy.deepcopy(model).requires_grad_(False) if decay else None
        self.best = copy.deepcopy(model).requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("least", torch.full((), torch.inf, dtype=torch.float64))
        self.register_buffer("least_of_training", torch.full((), torch.inf, dtype=torch.float64))
        self.register_buffer("in_vain", torch.zeros((), dtype=torch.long))
        self.steps: Tensor
        self.least: Tensor
        self.least_of_training: Tensor
        self.in_vain: Tensor

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """Take in a step: parameters and buffers are averaged, what is no real number is copied."""
        if self.average is None:
            return
        step = self.steps.double()  # a tensor, so that nothing waits for the device
        weight = 1 - ((1 + step) / (10 + step)).clamp(max=self.decay)
        its = model.state_dict()
        for name, mine in self.average.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(its[name], weight.to(mine.dtype))
            else:
                mine.copy_(its[name])
        self.steps += 1

    @torch.no_grad()
    def judge_start(self, model: nn.Module, nll: Callable[[nn.Module], float]) -> None:
        """Keep the model as it comes, until training finds a better one. Patience does not compare with it.

        A good start is spoilt by a warm-up before it is bettered: that must not end a training which improves all the time.
        """
        self.least.fill_(nll(model))
        self.best.load_state_dict(model.state_dict())

    @torch.no_grad()
    def judge(self, model: nn.Module, nll: Callable[[nn.Module], float]) -> None:
        """Ask for the validation NLL of the average (or of ``model``), and keep it where it is the least so far."""
        judged = self.judged(model)
        found = nll(judged)
        if found < float(self.least):
            self.least.fill_(found)
            self.best.load_state_dict(judged.state_dict())
        if found < float(self.least_of_training):
            self.least_of_training.fill_(found)
            self.in_vain.zero_()
        else:
            self.in_vain += 1

    def judged(self, model: nn.Module) -> nn.Module:
        """What is judged of a model that is trained."""
        return model if self.average is None else self.average

    def is_over(self, patience: int) -> bool:
        """Whether the last ``patience`` judgements found nothing better than those before them; never for 0."""
        return 0 < patience <= int(self.in_vain)
