"""Read a released checkpoint, a pickle of torch.save, without running anything that it holds."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cspops.errors import DataError
from cspops.files import sha256_of
from cspops.models.torch_files import (
    UNDER,
    first_keys,
    is_plain,
    read_torch_file,
    require_file,
    shown,
    table_of_tensors,
)
from cspops.shapes import Tensor

FORMAT = (
    "a released checkpoint of CSP or geo_prior is a file of torch.save with the keys epoch, state_dict, optimizer and params; "
    "SINR, SatCLIP, GeoCLIP and GAIR have other layouts: docs/released_checkpoints.md"
)
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "model")
"""Names that trainers wrap a network in."""
DEPTH = 50
"""Of what params hold."""


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
    table = next((key for key in UNDER if isinstance(content.get(key), Mapping)), "state_dict")
    lacking = [key for key in ("epoch", table, "params") if key not in content]
    if lacking:
        raise DataError(f"{file} lacks {', '.join(lacking)}; it holds {first_keys(content)}", hint=FORMAT)
    state = {unwrapped(name): tensor for name, tensor in table_of_tensors(content).items()}
    if not state or not all(map(is_plain, state.values())):
        raise DataError(f"{file}: {table} is no table of tensors", hint=FORMAT)
    try:
        params, epoch = _plain(content["params"]), _plain(content["epoch"])
        json.dumps([params, epoch], default=shown)
    except (RecursionError, ValueError, OverflowError):
        raise DataError(f"{file}: params or epoch hold numbers without end, or themselves", hint=FORMAT) from None
    if not isinstance(params, dict) or not isinstance(epoch, int):
        raise DataError(f"{file}: params is no table, or epoch no whole number", hint=FORMAT)
    others = tuple(str(key) for key in content if key not in ("epoch", table, "params"))
    return Checkpoint(file, sha256_of(file), epoch, state, params, others)


def unwrapped(name: str) -> str:
    """Return a tensor's name without the names of wrappers, in any nesting: no module of the released code has one."""
    first, _, rest = name.partition(".")
    return unwrapped(rest) if first in WRAPPERS and rest else name


def _plain(value: Any, depth: int = 0) -> Any:
    """Convert numpy scalars and arrays to Python's numbers and lists, at every depth."""
    if depth > DEPTH:
        raise RecursionError
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    return value
