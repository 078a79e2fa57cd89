"""Each ONNX file held against torch: random and odd positions, several numbers of rows."""

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
"""Of probabilities absolute, of embeddings as a share of the largest number in the batch."""
ROWS = (1, 2, 7, 1000)
PIXELS = 2**20
"""Of all images of a batch: 1,000 of 32 x 32, 20 of 224 x 224."""
ODD = (
    (0.0, 90.0), (0.0, -90.0), (180.0, 0.0), (-180.0, 0.0), (np.nan, np.nan), (179.99999, 89.99999), (-179.99999, -89.99999),
    (359.5, 45.0), (0.0, 0.0), (180.0, -90.0),
)  # fmt: skip
"""Poles, the date line from both sides, no position, a longitude counted to 360."""


def check_onnx(file: Path, graph: nn.Module, *, name: str, px: int | None = None) -> dict[str, float]:
    """The greatest difference of each output of ``file`` from what ``graph`` answers, over all batches.

    Args:
        file: an ONNX file of `graph`.
        graph: one of `graphs`, in eval mode on the CPU.
        name: what the user is told differs.
        px: side of the images, where it takes any.

    Raises:
        CspopsError: a difference is above `TOLERANCE`, or onnxruntime cannot run the file.
    """
    outputs: Any = graph.outputs
    found = dict.fromkeys(outputs, 0.0)
    try:
        session = open_session(file)
        for batch in _batches(graph, px):
            answers = session.run(None, batch)
            for output, answer, expected in zip(outputs, answers, _by_torch(graph, batch), strict=True):
                found[output] = max(found[output], _difference(answer, expected, relative=output == "embedding"))
    except Exception as error:  # onnxruntime's own have no class in common but this
        reason = " ".join(str(error).split())[:300]
        raise CspopsError(f"{name}: onnxruntime cannot run {file.name}: {reason}", hint=WITHOUT) from error
    worst = max(found, key=lambda output: found[output])
    if not found[worst] <= TOLERANCE:
        raise CspopsError(
            f"{name}: {worst} of {file.name} differs from torch by {found[worst]:.2g}, more than {TOLERANCE:g}", hint=WITHOUT
        )
    return found


def open_session(file: Path) -> Any:
    """The file in onnxruntime, on the CPU, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    with silence():
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _batches(graph: nn.Module, px: int | None) -> Iterator[dict[str, np.ndarray]]:
    """For each number of rows other rows of one table, the odd ones first; black and white among the images."""
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
    answer = graph(*(torch.from_numpy(batch[name]) for name in inputs))
    return answer if isinstance(answer, tuple) else (answer,)


def _difference(answer: np.ndarray, expected: Tensor, *, relative: bool) -> float:
    """Infinite where one is nan and the other is not."""
    right = expected.numpy()
    lacking = np.isnan(right)
    if answer.shape != right.shape or not np.array_equal(np.isnan(answer), lacking):
        return float("inf")
    if lacking.all():
        return 0.0
    scale = float(np.abs(right[~lacking]).max()) if relative else 1.0
    return float(np.abs(answer[~lacking] - right[~lacking]).max()) / (scale or 1.0)
