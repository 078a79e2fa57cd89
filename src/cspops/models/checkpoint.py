"""A model on disk: model.safetensors and config.json in a folder; no pickles, and exactly the tensors of the module."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import nn

from cspops.artefacts import json_as, require_file
from cspops.errors import DataError
from cspops.shapes import Tensor

Config = dict[str, Any]
"""What config.json holds, the JSON document that rebuilds a module."""


def save_model(folder: Path, module: nn.Module, config: Config) -> None:
    """Write a module's tensors and the config that rebuilds it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous().cpu() for name, tensor in module.state_dict().items()}
    (folder / "model.safetensors").write_bytes(save(tensors))  # save_file would make it readable by its owner alone
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def load_config(folder: Path, *, remake: str) -> Config:
    """Read config.json; DataError with the command ``remake`` when it is missing or broken."""
    file = folder / "config.json"
    config: Config = json_as(file, dict[str, Any], remake=remake)
    if not _within_bounds(config):
        raise DataError(f"{file} holds a number that no model has", hint=remake)
    return config


def _within_bounds(value: Any) -> bool:
    """Return whether the numbers in a config are finite, and whole ones no larger than any width or count of a model."""
    if isinstance(value, dict | list):
        return all(map(_within_bounds, value.values() if isinstance(value, dict) else value))
    return abs(value) <= MOST if isinstance(value, int) else not isinstance(value, float) or math.isfinite(value)


MOST = 2**20


def load_weights(folder: Path, module: nn.Module, *, remake: str) -> None:
    """Load model.safetensors into ``module``, every tensor and no other.

    Raises:
        DataError: the file is missing or broken, its tensors are others, or they hold nan or infinity.
    """
    file = folder / "model.safetensors"
    require_file(file, remake=remake)
    try:
        state = load_file(file)
    except Exception as error:  # of a header that names unknown kinds, KeyError and others
        raise DataError(f"{file} is no whole safetensors file: {error}", hint=remake) from None
    try:
        _require_kinds(state, module)
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise DataError(f"{file} does not fit its config.json: {' '.join(str(error).split())[:300]}", hint=remake) from None
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise DataError(f"{file}: the model holds values that are no numbers, in {name}", hint=remake)


def _require_kinds(state: Mapping[str, Tensor], module: nn.Module) -> None:
    """Raise a RuntimeError for a tensor of complex numbers: loading it would drop their imaginary parts."""
    for name, tensor in module.state_dict().items():
        if name in state and state[name].is_complex() and not tensor.is_complex():
            raise RuntimeError(f"{name} is complex")
