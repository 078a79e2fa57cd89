"""A GPU that is not there: torch's fake tensors on `cuda`, with which whatever a GPU would have to be waited for raises.

A fake tensor has shape, type and device and no numbers. Operations on two devices raise as on a GPU; so do `float(x)`,
`bool(x)`, `x[mask]` and `nonzero`, whose results a program can only have once the GPU has got there. Gradients are not
computed: torch's engine asks for a real device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.overrides import TorchFunctionMode

CUDA = torch.device("cuda:0")
Waits = (DataDependentOutputException, DynamicOutputShapeException)
COPIES = {torch.tensor, torch.as_tensor, torch.from_numpy, torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.pin_memory}


class Copies(TorchFunctionMode):
    """Counts what makes a tensor of host memory, or moves one between host and GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.at_steps: list[int] = []
        """How many there were when each optimizer step was made."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        moved = func is torch.Tensor.to and args[0].device != out.device
        self.count += func in COPIES or moved
        return out


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Copies]:
    """Let modules and tensors be moved to `CUDA` in the block; random streams are the CPU's, and steps change no weight."""

    def moved(module: nn.Module, device: torch.device) -> nn.Module:
        for part in module.modules():
            for name, one in part._parameters.items():
                part._parameters[name] = None if one is None else nn.Parameter(one.detach().to(device))
            for name, one in part._buffers.items():
                part._buffers[name] = None if one is None else one.to(device)
        return module

    def forward_alone(cls: Any, *arguments: Any) -> Any:
        return cls.forward(SimpleNamespace(save_for_backward=lambda *tensors: None), *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "to", moved)
        patch.setattr(torch.autograd.Function, "apply", classmethod(forward_alone))
        patch.setattr(torch.Tensor, "backward", lambda self: None)
        patch.setattr(torch.autograd, "grad", lambda outputs, inputs, *rest: tuple(torch.zeros_like(one) for one in inputs))
        copies = Copies()
        patch.setattr(torch.optim.Adam, "step", lambda self: copies.at_steps.append(copies.count))
        with FakeTensorMode(allow_non_fake_inputs=True), copies:
            yield copies
