"""A model on disk: model.safetensors and config.json in a folder; no pickles, and exactly the tensors of the module."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from cspops.errors import DataError

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
    try:
        config: Config = json.loads((folder / "config.json").read_text())
    except FileNotFoundError:
        raise DataError(f"{folder / 'config.json'} is missing", hint=remake) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / 'config.json'} is not JSON: {error}", hint=remake) from None
    return config


def load_weights(folder: Path, module: nn.Module, *, remake: str) -> None:
    """Load model.safetensors into ``module``, every tensor and no other.

    Raises:
        DataError: the file is missing or broken, or its tensors are others.
    """
    file = folder / "model.safetensors"
    try:
        state = load_file(file)
        module.load_state_dict(state, strict=True)
    except FileNotFoundError:
        raise DataError(f"{file} is missing", hint=remake) from None
    except SafetensorError as error:
        raise DataError(f"{file} is no whole safetensors file: {error}", hint=remake) from None
    except RuntimeError as error:
        raise DataError(f"{file} does not fit its config.json: {' '.join(str(error).split())}", hint=remake) from None
