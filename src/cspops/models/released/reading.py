"""A released checkpoint from disk: a pickle of torch.save, read so that nothing it holds is run."""

import dataclasses
import hashlib
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cspops.errors import DataError
from cspops.shapes import Tensor

FORMAT = "a released checkpoint is a file of torch.save with the keys epoch, state_dict, optimizer and params"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
        file: where it was read.
        sha256: of the file.
        epoch: of supervised training, plus one; the released trainer does not count those of pre-training.
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
        DataError: no such file, no file of torch.save, one that asks for code to be run, one without the keys of `FORMAT`.
    """
    if not file.is_file():
        raise DataError(f"{file} is {'a folder' if file.is_dir() else 'missing'}", hint=FORMAT)
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    try:
        with torch.serialization.safe_globals(_numpy_globals()), warnings.catch_warnings(action="ignore"):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler may raise anything at bytes that are no pickle
        raise DataError(_refusal(file, error), hint=FORMAT) from None
    if not isinstance(content, Mapping):
        raise DataError(f"{file} holds a {type(content).__name__}, not a checkpoint", hint=FORMAT)
    lacking = [key for key in ("epoch", "state_dict", "params") if key not in content]
    if lacking:
        raise DataError(f"{file} lacks {', '.join(lacking)}; it holds {_some(content)}", hint=FORMAT)
    state, params, epoch = content["state_dict"], _plain(content["params"]), _plain(content["epoch"])
    if not (isinstance(state, Mapping) and state and all(isinstance(value, Tensor) for value in state.values())):
        raise DataError(f"{file}: state_dict is no table of tensors", hint=FORMAT)
    if not isinstance(params, dict) or not isinstance(epoch, int):
        raise DataError(f"{file}: params is no table, or epoch no whole number", hint=FORMAT)
    others = tuple(str(key) for key in content if key not in ("epoch", "state_dict", "params"))
    return Checkpoint(file, sha256, epoch, {str(name): tensor for name, tensor in state.items()}, params, others)


def _numpy_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What numpy scalars and arrays of numbers need in a pickle, under numpy 1's module names and numpy 2's.

    The released code keeps numpy values in `params` (row numbers of anchors, counts), which torch's unpickler refuses. These
    globals rebuild numbers and text from bytes and call nothing else; the dtype of Python objects is not among them.
    """
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
    named = [
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for function, name in ((scalar, "scalar"), (array, "_reconstruct"))
    ]
    return [np.ndarray, np.dtype, *{type(np.dtype(code)) for code in "?bhilqBHILQefdU"}, *named]  # type: ignore[list-item]


def _refusal(file: Path, error: Exception) -> str:
    """The sentence for a file that the unpickler refused."""
    foreign = re.search(r"GLOBAL (\S+) (?:was not|whose module)", str(error))
    if foreign:
        return f"{file} holds {foreign[1]}, which only running code from the file could load: refused"
    return f"{file} is no whole file of torch.save ({type(error).__name__})"


def _plain(value: Any) -> Any:
    """Numpy scalars and arrays to Python's numbers and lists, all the way down."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _some(content: Mapping[Any, Any]) -> str:
    """The first keys of a table, for a message."""
    keys = [str(key) for key in content]
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "") if keys else "nothing"
