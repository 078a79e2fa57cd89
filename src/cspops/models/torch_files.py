"""Read files of torch.save without running anything that they hold."""

import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cspops.errors import DataError

Allowed = Callable[..., Any] | tuple[Callable[..., Any], str]
"""A global that a pickle may name, with the name where it is not the global's own."""


def require_file(file: Path, *, hint: str) -> None:
    """Raise DataError with ``hint`` when there is no such file."""
    if not file.is_file():
        raise DataError(f"{file} is {'a folder' if file.is_dir() else 'missing'}", hint=hint)


def read_torch_file(file: Path, *, hint: str, allowed: list[Allowed]) -> Any:
    """Load a file of torch.save with torch's restricted unpickler, on the CPU.

    Args:
        hint: what such a file is; it comes with an error.
        allowed: globals besides torch's own and those of `numpy_globals`; calling them must do nothing.

    Raises:
        DataError: no file of torch.save, or one that asks for code to be run; the sentence names that code.
    """
    try:
        with (
            torch.serialization.safe_globals([*numpy_globals(), *allowed]),
            warnings.catch_warnings(action="ignore"),
        ):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler may raise anything at bytes that are no pickle
        raise DataError(_refusal(file, error), hint=hint) from None


def numpy_globals() -> list[Allowed]:
    """Return what numpy scalars and arrays of numbers need in a pickle, under numpy 1's module names and numpy 2's.

    Trainers keep numpy values beside the weights (row numbers of anchors, counts, losses), which torch's unpickler refuses.
    These globals rebuild numbers and text from bytes and call nothing else; the dtype of Python objects is not among them.
    """
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
    named = [
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for function, name in ((scalar, "scalar"), (array, "_reconstruct"))
    ]
    return [np.ndarray, np.dtype, *{type(np.dtype(code)) for code in "?bhilqBHILQefdU"}, *named]  # type: ignore[list-item]


class Inert:
    """Stands for a class that a pickle names: it takes whatever it is given, and does nothing with it."""

    def __new__(cls, *args: Any) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None:
        pass


def trainer_globals() -> list[Allowed]:
    """Return stand-ins for what trainers leave beside weights: command lines, paths, and PyTorch Lightning's bookkeeping.

    The classes of these names are neither imported nor called. An AttributeDict becomes an OrderedDict, which torch fills.
    """
    lightning = "pytorch_lightning.callbacks"
    inert = [
        *("argparse.Namespace", "pathlib.PosixPath", "pathlib._local.PosixPath"),
        *(f"{lightning}.model_checkpoint.ModelCheckpoint", f"{lightning}.early_stopping.EarlyStopping"),
    ]
    return [*((Inert, name) for name in inert), (OrderedDict, "pytorch_lightning.utilities.parsing.AttributeDict")]


UNDER = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights", "checkpoint")
"""Keys under which checkpoints keep their table of tensors; the first that one has counts, in any nesting."""


def table_of_tensors(content: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the table below `UNDER`; where it holds tables by name (student and teacher), one with dotted names."""
    table = content
    for _ in UNDER:
        table = next((table[key] for key in UNDER if isinstance(table.get(key), Mapping)), table)
    tables = {name: one for name, one in table.items() if isinstance(one, Mapping) and all(map(is_plain, one.values()))}
    if any(tables.values()):
        return {f"{name}.{key}": tensor for name, one in tables.items() for key, tensor in one.items()}
    return {str(name): value for name, value in table.items()}


def is_plain(value: Any) -> bool:
    """Return whether a value is a tensor of numbers in memory: neither sparse, nor quantised, nor complex."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
    )


def shown(value: Any) -> str:
    """Return a value of a pickle for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # of a whole number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def first_keys(content: Mapping[Any, Any] | list[str], most: int = 5) -> str:
    """Join the first keys of a table, for a message."""
    keys = [key if isinstance(key, str) else shown(key) for key in content]
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "") if keys else "nothing"


def _refusal(file: Path, error: Exception) -> str:
    """Return the sentence for a file that the unpickler refused."""
    foreign = re.search(r"GLOBAL (\S+) (?:was not|whose module)", str(error))
    if foreign:
        return f"{file} holds {foreign[1]}, which only running code from the file could load: refused"
    return f"{file} is no whole file of torch.save ({type(error).__name__})"
