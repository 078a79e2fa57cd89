"""Read a released checkpoint, a pickle of torch.save, without running anything that it holds."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cspops.errors import DataError
from cspops.files import sha256_of
from cspops.models.torch_files import first_keys, read_torch_file, require_file
from cspops.shapes import Tensor

FORMAT = "a released checkpoint is a file of torch.save with the keys epoch, state_dict, optimizer and params"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    Args:
        file: where it was read.
        sha256: of the file.
        epoch: the epoch of supervised training, plus one; the released trainer does not count epochs of pre-training.
        state: tensors by the names that the released code gives them.
        params: the released code's command line and what it added.
        others: further keys of the file (`optimizer`).
    """

    file: Path
    sha256: str
    epoch: int
    state: dict[str, Tensor]
    params: dict[str, Any]
    others: tuple[str, ...]


def read_checkpoint(file: Path) -> Checkpoint:
    """Read ``file`` with torch's restricted unpickler.

    Raises:
        DataError: the file is missing, is no file of torch.save, asks for code to be run, or lacks the keys of `FORMAT`.
    """
    require_file(file, hint=FORMAT)
    content = read_torch_file(file, hint=FORMAT, allowed=[])
    if not isinstance(content, Mapping):
        raise DataError(f"{file} holds a {type(content).__name__}, not a checkpoint", hint=FORMAT)
    lacking = [key for key in ("epoch", "state_dict", "params") if key not in content]
    if lacking:
        raise DataError(f"{file} lacks {', '.join(lacking)}; it holds {first_keys(content)}", hint=FORMAT)
    state, params, epoch = content["state_dict"], _plain(content["params"]), _plain(content["epoch"])
    if not (isinstance(state, Mapping) and state and all(isinstance(value, Tensor) for value in state.values())):
        raise DataError(f"{file}: state_dict is no table of tensors", hint=FORMAT)
    if not isinstance(params, dict) or not isinstance(epoch, int):
        raise DataError(f"{file}: params is no table, or epoch no whole number", hint=FORMAT)
    others = tuple(str(key) for key in content if key not in ("epoch", "state_dict", "params"))
    return Checkpoint(file, sha256_of(file), epoch, {str(name): tensor for name, tensor in state.items()}, params, others)


def _plain(value: Any) -> Any:
    """Convert numpy scalars and arrays to Python's numbers and lists, at every depth."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
