"""Compare an ONNX file with torch, on random and odd positions and several numbers of rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cspops.errors import CspopsError
from cspops.library.onnx.graphs import IMAGE, LONLAT
from cspops.library.onnx.writing import WITHOUT, silence
from cspops.seeds import numpy_stream
from cspops.shapes import Tensor

TOLERANCE = 1e-5
"""Absolute for probabilities; for embeddings a share of the largest number in the batch."""
ROWS = (1, 2, 7, 1000)
PIXELS = 2**20
"""Pixels of all images of a batch: 1,000 images of 32 x 32, 20 of 224 x 224."""
ODD = (
    (0.0, 90.0), (0.0, -90.0), (180.0, 0.0), (-180.0, 0.0), (np.nan, np.nan), (179.99999, 89.99999), (-179.99999, -89.99999),
    (359.5, 45.0), (0.0, 0.0), (180.0, -90.0),
)  # fmt: skip
"""Poles, the date line from both sides, no position, a longitude above 180."""


def check_onnx(file: Path, graph: nn.Module, *, name: str, px: int | None = None) -> dict[str, float]:
    """Return the greatest difference of each output of ``file`` from the output of ``graph``, over all batches.

    Args:
        file: an ONNX file of `graph`.
        graph: one of `graphs`, in eval mode on the CPU.
        name: what messages call the graph.
        px: side of the images, where the graph takes any.

    Raises:
        CspopsError: a difference is above `TOLERANCE`, or onnxruntime cannot run the file.
    """
    outputs: Any = graph.outputs
    differences = dict.fromkeys(outputs, 0.0)
    try:
        session = open_session(file)
        for batch in _batches(graph, px):
            results = session.run(None, batch)
            for output, result, expected in zip(outputs, results, _by_torch(graph, batch), strict=True):
                differences[output] = max(differences[output], _difference(result, expected, relative=output == "embedding"))
    except Exception as error:  # the only class that onnxruntime's exceptions share
        reason = " ".join(str(error).split())[:300]
        raise CspopsError(f"{name}: onnxruntime cannot run {file.name}: {reason}", hint=WITHOUT) from error
    worst = max(differences, key=lambda output: differences[output])
    if not differences[worst] <= TOLERANCE:
        raise CspopsError(
            f"{name}: {worst} of {file.name} differs from torch by {differences[worst]:.2g}, more than {TOLERANCE:g}",
            hint=WITHOUT,
        )
    return differences


def open_session(file: Path) -> Any:
    """Open the file in onnxruntime, on the CPU, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    with silence():
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _batches(graph: nn.Module, px: int | None) -> Iterator[dict[str, np.ndarray]]:
    """Yield, for each number of rows, further rows of one table, odd positions first; two images are black and white."""
    inputs: Any = graph.inputs
    draws = numpy_stream(0, "onnx")
    random = np.stack((draws.uniform(-180, 180, sum(ROWS)), draws.uniform(-90, 90, sum(ROWS))), 1)
    lonlat = np.concatenate((np.array(ODD), random))
    done = 0
    for rows in ROWS:
        if IMAGE not in inputs or px is None:
            yield {LONLAT: lonlat[done : done + rows]}
        else:
            rows = max(1, min(rows, PIXELS // px**2))
            image = draws.integers(0, 256, (rows, 3, px, px)).astype(np.float32)
            image[:1], image[1:2] = 0, 255
            yield {IMAGE: image, LONLAT: lonlat[done : done + rows]}
        done += rows


@torch.inference_mode()
def _by_torch(graph: nn.Module, batch: dict[str, np.ndarray]) -> tuple[Tensor, ...]:
    inputs: Any = graph.inputs
    outputs = graph(*(torch.from_numpy(batch[name]) for name in inputs))
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _difference(result: np.ndarray, expected: Tensor, *, relative: bool) -> float:
    """Return the greatest difference, infinite where only one of the two is nan."""
    target = expected.numpy()
    lacking = np.isnan(target)
    if result.shape != target.shape or not np.array_equal(np.isnan(result), lacking):
        return float("inf")
    if lacking.all():
        return 0.0
    scale = float(np.abs(target[~lacking]).max()) if relative else 1.0
    return float(np.abs(result[~lacking] - target[~lacking]).max()) / (scale or 1.0)
