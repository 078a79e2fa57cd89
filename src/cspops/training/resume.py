"""Where a long stage keeps its progress, so that a killed run continues and ends with the same numbers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from cspops.files import whole


@dataclass(frozen=True)
class Resume:
    """A folder of named snapshots, each one safetensors file that appears whole or not at all.

    The folder belongs to one combination of params and inputs (the stage sees to that) and is deleted when the
    stage has written its outputs.
    """

    folder: Path

    def load(self, name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Tensors and facts of a snapshot, or None when there is none."""
        file = self.folder / f"{name}.safetensors"
        if not file.is_file():
            return None
        with safe_open(file, "pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  (no mapping)
            return tensors, json.loads(opened.metadata()["facts"])

    def save(self, name: str, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
        """Replace a snapshot. The facts are stored under the file's own header, so both change at once."""
        with whole(self.folder / f"{name}.safetensors") as new:
            save_file({key: value.contiguous() for key, value in tensors.items()}, new, {"facts": json.dumps(facts)})


def training_state(modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Every tensor that the next step depends on: parameters, buffers and the optimiser's moments."""
    state = {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    return state


def restore_training_state(
    state: Mapping[str, torch.Tensor], modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
) -> None:
    """The inverse of :func:`training_state`."""
    for name, module in modules.items():
        module.load_state_dict({key.removeprefix(f"{name}."): v for key, v in state.items() if key.startswith(f"{name}.")})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in state.items():
        if key.startswith("optimizer."):
            _, index, field = key.split(".", 2)
            like = parameters[int(index)]  # safetensors knows no memory format; fused optimisers need that of the weights
            same = value.shape == like.shape
            moments.setdefault(int(index), {})[field] = torch.empty_like(like).copy_(value) if same else value
    full = optimizer.state_dict()
    optimizer.load_state_dict({"state": moments, "param_groups": full["param_groups"]})
