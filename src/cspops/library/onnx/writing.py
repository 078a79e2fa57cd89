"""Write a graph as an ONNX file, by torch's exporter, silently."""

import contextlib
import copy
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import config
from torch import nn

from cspops import kernels
from cspops.errors import CspopsError, EnvironmentProblem

DOUBLE, FLOAT = 11, 1
"""ONNX's numbers for the two types."""
OPSET = 18


def exact_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return the custom_translation_table for `torch.onnx.export`; needs onnxscript."""
    import onnx_ir
    from onnxscript import opset18

    op: Any = opset18

    def constant(value: float, number: int) -> Any:
        kind = onnx_ir.DataType(number)
        return op.Constant(value=onnx_ir.tensor(np.asarray(value, kind.numpy()), dtype=kind))

    def scalar_tensor(s: Any, dtype: int = -1, layout: str = "", device: str = "", pin_memory: bool = False) -> Any:
        number = FLOAT if dtype == -1 else dtype
        return constant(s, number) if isinstance(s, bool | int | float) else op.Cast(s, to=number)

    def deg2rad(self: Any) -> Any:
        return op.Mul(self, op.CastLike(constant(math.pi / 180, DOUBLE), self))

    def atan2(self: Any, other: Any) -> Any:
        """Refine the float32 result by Newton's steps in float64, each of which doubles the digits."""
        y, x = op.Cast(self, to=DOUBLE), op.Cast(other, to=DOUBLE)
        half_turn = op.Mul(op.Cast(op.Less(x, constant(0.0, DOUBLE)), to=DOUBLE), op.Mul(op.Sign(y), constant(math.pi, DOUBLE)))
        angle = op.Add(op.Cast(op.Atan(op.Cast(op.Div(y, x), to=FLOAT)), to=DOUBLE), half_turn)
        for _ in range(2):
            sin, cos = op.Sin(angle), op.Cos(angle)
            off = op.Div(op.Sub(op.Mul(sin, x), op.Mul(cos, y)), op.Add(op.Mul(cos, x), op.Mul(sin, y)))
            angle = op.Sub(angle, off)
        return op.CastLike(angle, self)

    def log_sigmoid(self: Any) -> Any:
        """Compute min(x, 0) - log(1 + exp(-|x|)); the logarithm of a sigmoid that is 0 would be infinite."""
        zero, one = (op.CastLike(constant(value, DOUBLE), self) for value in (0.0, 1.0))
        return op.Sub(op.Min(self, zero), op.Log(op.Add(one, op.Exp(op.Neg(op.Abs(self))))))

    aten = torch.ops.aten
    return {
        aten.scalar_tensor.default: scalar_tensor,
        aten.deg2rad.default: deg2rad,
        aten.atan2.default: atan2,
        aten.log_sigmoid.default: log_sigmoid,
    }


PACKAGES = ("onnx", "onnxruntime", "onnxscript")
WITHOUT = "--no-onnx leaves the ONNX files out"


def require_packages() -> None:
    """Raise an EnvironmentProblem when a package is missing that writes or runs ONNX files."""
    lacking = [name for name in PACKAGES if find_spec(name) is None]
    if lacking:
        verb = "is" if len(lacking) == 1 else "are"
        raise EnvironmentProblem(
            f"ONNX files need {', '.join(PACKAGES)}: {' and '.join(lacking)} {verb} not installed",
            hint=f"pip install 'cspops[export]', or {WITHOUT}",
        )


def write_onnx(file: Path, graph: nn.Module, example: Sequence[torch.Tensor], *, name: str, facts: Mapping[str, str]) -> None:
    """Write ``graph``, whose ``inputs`` and ``outputs`` name its axes, with an open number of rows.

    Args:
        file: where to write.
        graph: one of `graphs`, in eval mode on the CPU; it is not changed.
        example: inputs for tracing it.
        name: what messages call the graph.
        facts: texts for the file's metadata_props.

    Raises:
        CspopsError: the exporter cannot translate a part of it, or an open number of rows.
    """
    names: Any = graph
    inputs, outputs = list(names.inputs), list(names.outputs)
    rows = torch.export.Dim("rows", min=1)
    try:
        with silence(), torch.inference_mode(False), torch.no_grad():
            program = torch.onnx.export(
                _with_plain_products(graph),
                tuple(example),
                dynamo=True,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=tuple({0: rows} for _ in inputs),
                custom_translation_table=exact_translations(),
                verbose=False,
            )
            assert program is not None
            program.model.metadata_props.update(facts)
            file.parent.mkdir(parents=True, exist_ok=True)
            program.save(str(file), external_data=False)
    except Exception as error:  # the exporter, and models below it, raise exceptions of any class
        raise CspopsError(f"{name} cannot be written as ONNX: {_reason(error)}", hint=WITHOUT) from error


def _with_plain_products(graph: nn.Module) -> nn.Module:
    """Return a copy whose linear layers are torch's own: `kernels.linear` depends on the number of rows, which is open here."""
    copied = copy.deepcopy(graph)
    for module in copied.modules():
        if type(module) is kernels.Linear:
            object.__setattr__(module, "__class__", nn.Linear)
    return copied.eval()


def _reason(error: BaseException) -> str:
    """Return the first line of the first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Suppress the exporter's progress and advice, and the shape checks that tests switch on: it would trace them."""
    level, checked = logging.root.manager.disable, config.jaxtyping_disable
    logging.disable(logging.CRITICAL)
    config.update("jaxtyping_disable", True)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        config.update("jaxtyping_disable", checked)
