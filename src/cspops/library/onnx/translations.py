"""Operators that torch's exporter would write with an error, or that onnxruntime lacks in float64.

The exporter writes numbers of Python, and pi / 180 in `deg2rad`, in float32, and so moves every phase of an encoding by a
part in ten million: at a wavelength of ten metres that is a turn. Its logarithm of the sigmoid ends at -745. onnxruntime has
no arc sine in float64.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

DOUBLE, FLOAT = 11, 1
"""ONNX's numbers for the two types."""
OPSET = 18


def exact_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What `torch.onnx.export` takes as custom_translation_table; needs onnxscript."""
    import onnx_ir
    from onnxscript import opset18

    op: Any = opset18

    def constant(value: float, of: int) -> Any:
        kind = onnx_ir.DataType(of)
        return op.Constant(value=onnx_ir.tensor(np.asarray(value, kind.numpy()), dtype=kind))

    def scalar_tensor(s: Any, dtype: int = -1, layout: str = "", device: str = "", pin_memory: bool = False) -> Any:
        of = FLOAT if dtype == -1 else dtype
        return constant(s, of) if isinstance(s, bool | int | float) else op.Cast(s, to=of)

    def deg2rad(self: Any) -> Any:
        return op.Mul(self, op.CastLike(constant(math.pi / 180, DOUBLE), self))

    def asin(self: Any) -> Any:
        """Newton's steps in float64 from the float32 answer; each doubles the digits where the sine is not 1."""
        sine = op.Cast(self, to=DOUBLE)
        angle = op.Cast(op.Asin(op.Cast(sine, to=FLOAT)), to=DOUBLE)
        for _ in range(2):
            angle = op.Sub(angle, op.Div(op.Sub(op.Sin(angle), sine), op.Cos(angle)))
        return op.CastLike(angle, self)

    def log_sigmoid(self: Any) -> Any:
        """min(x, 0) - log(1 + exp(-|x|)); the logarithm of a sigmoid that is 0 would be infinite."""
        zero, one = (op.CastLike(constant(value, DOUBLE), self) for value in (0.0, 1.0))
        return op.Sub(op.Min(self, zero), op.Log(op.Add(one, op.Exp(op.Neg(op.Abs(self))))))

    aten = torch.ops.aten
    return {
        aten.scalar_tensor.default: scalar_tensor,
        aten.deg2rad.default: deg2rad,
        aten.asin.default: asin,
        aten.log_sigmoid.default: log_sigmoid,
    }
