"""Compare an ONNX file with torch, on random and odd positions and several numbers of rows.

Both are held against the same network in float64: a sum in another order moves a float32 result, by how much depends on the
depth and the sharpness of the network, and torch's own distance from float64 tells.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import nn

from cspops.errors import CspopsError
from cspops.library.onnx.graphs import IMAGE, LONLAT, PROBABILITIES, WHEN
from cspops.library.onnx.writing import WITHOUT, silence
from cspops.models.encodings.base import Encoding
from cspops.seeds import numpy_stream
from cspops.shapes import Tensor

TOLERANCE = 1e-4
"""Of probabilities; of log-probabilities as a share of the row's largest; of embeddings as a share of the largest number."""
ROUNDING = 10
"""A file may be so many times as far from float64 as torch is, where that is more than `TOLERANCE`."""
LEAST = 1e-30
"""Probabilities below it are not compared by their logarithms: the smallest float32 have few digits."""
ROWS = (1, 2, 7, 1000)
PIXELS = 2**18
"""Pixels of all images of a batch: 256 images of 32 x 32, 5 of 224 x 224."""
ODD = (
    (0.0, 90.0), (0.0, -90.0), (180.0, 0.0), (-180.0, 0.0), (np.nan, np.nan), (179.99999, 89.99999), (-179.99999, -89.99999),
    (359.5, 45.0), (0.0, 0.0), (180.0, -90.0),
)  # fmt: skip
"""Poles, the date line from both sides, no position, a longitude above 180."""

Batch = Mapping[str, np.ndarray]


class Deviation(TypedDict):
    """How far an output is from that of the network in float64, at most over all batches.

    Absolute for probabilities, a share of the largest number for embeddings.
    """

    onnx: float
    """The file in onnxruntime."""
    torch: float
    """The network in float32."""


def check_onnx(file: Path, graph: nn.Module, *, name: str, px: int | None = None) -> dict[str, Deviation]:
    """Return the deviation of each output of ``file``.

    Args:
        file: an ONNX file of `graph`.
        graph: one of `graphs`, in eval mode on the CPU.
        name: what messages call the graph.
        px: side of the images, where the graph takes any.

    Raises:
        CspopsError: a result has another shape, is not a number, or is farther off than float32 rounding explains; or
            onnxruntime cannot run the file.
    """
    named: Any = graph
    outputs: Sequence[str] = named.outputs
    session, exact = _session(file, name), _in_float64(graph)
    of_file, of_torch = np.zeros((len(outputs), 3)), np.zeros((len(outputs), 3))
    for batch in _batches(graph, px):
        results, expected = _run(session, batch, file, name), _by_torch(graph, batch)
        targets = _exactly(exact, batch, expected)
        for at, output in enumerate(outputs):
            of_file[at] = np.maximum(of_file[at], _distances(output, results[at], targets[at], batch))
            of_torch[at] = np.maximum(of_torch[at], _distances(output, expected[at], targets[at], batch))
    for output, distances, own in zip(outputs, of_file, of_torch, strict=True):
        if not np.isfinite(own).all():
            raise CspopsError(f"{name}: {output} of the model itself are not all numbers", hint="train it anew: dvc repro -f")
        for what, off, rounding in (
            (output, distances[0], max(own[0], own[2])),
            (f"the logarithm of {output}", distances[1], own[1]),
        ):
            if not off <= (allowed := max(TOLERANCE, ROUNDING * rounding)):
                raise CspopsError(
                    f"{name}: {what} of {file.name} differs from torch by {off:.2g}, more than the {allowed:.2g} that rounding "
                    "explains",
                    hint=WITHOUT,
                )
    return {
        output: {"onnx": float(distances[0]), "torch": float(own[0])}
        for output, distances, own in zip(outputs, of_file, of_torch, strict=True)
    }


def open_session(file: Path) -> Any:
    """Open the file in onnxruntime, on the CPU, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    with silence():
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _session(file: Path, name: str) -> Any:
    try:
        return open_session(file)
    except Exception as error:  # the only class that onnxruntime's exceptions share
        raise _refused(file, name, error) from error


def _run(session: Any, batch: Batch, file: Path, name: str) -> Sequence[np.ndarray]:
    try:
        results: Sequence[np.ndarray] = session.run(None, batch)
        return results
    except Exception as error:
        raise _refused(file, name, error) from error


def _refused(file: Path, name: str, error: Exception) -> CspopsError:
    reason = " ".join(str(error).split())[:300]
    return CspopsError(f"{name}: onnxruntime cannot run {file.name}: {reason}", hint=WITHOUT)


def _batches(graph: nn.Module, px: int | None) -> Iterator[Batch]:
    """Yield, for each number of rows, further rows of one table, odd positions first; two images are black and white."""
    inputs: Any = graph.inputs
    draws = numpy_stream(0, "onnx")
    random = np.stack((draws.uniform(-180, 180, sum(ROWS)), draws.uniform(-90, 90, sum(ROWS))), 1)
    lonlat = np.concatenate((np.array(ODD), random))
    when = numpy_stream(0, "onnx", "dates").uniform(0, 1, len(lonlat))
    when[::5], when[1::50] = np.nan, 0.0
    done = 0
    for rows in ROWS:
        if IMAGE not in inputs or px is None:
            pixels = {}
        else:
            rows = max(1, min(rows, PIXELS // px**2))
            image = draws.integers(0, 256, (rows, 3, px, px)).astype(np.float32)
            image[:1], image[1:2] = 0, 255
            pixels = {IMAGE: image}
        some = slice(done, done + rows)
        yield pixels | {LONLAT: lonlat[some]} | ({WHEN: when[some]} if WHEN in inputs else {})
        done += rows


def _in_float64(graph: nn.Module) -> nn.Module:
    """Return a copy that computes in float64 from the encoded positions, which are float32 by design, and the pixels on."""
    exact = copy.deepcopy(graph).double()
    for module in exact.modules():
        if isinstance(module, Encoding):
            module.register_forward_hook(lambda _module, _inputs, encoded: encoded.double())
    return exact


@torch.inference_mode()
def _by_torch(graph: nn.Module, batch: Batch) -> tuple[np.ndarray, ...]:
    """Return the outputs of a graph, which may be in float64."""
    inputs: Any = graph.inputs
    dtype = next((one.dtype for one in graph.parameters()), torch.float32)
    pixels: dict[str, Tensor] = {IMAGE: torch.from_numpy(batch[IMAGE]).to(dtype)} if IMAGE in batch else {}
    outputs = graph(*(pixels[name] if name in pixels else torch.from_numpy(batch[name]) for name in inputs))
    return tuple(output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,)))


def _exactly(exact: nn.Module, batch: Batch, expected: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Return the outputs in float64, or what is expected where the code of a network names float32."""
    try:
        return _by_torch(exact, batch)
    except RuntimeError:
        return expected


def _distances(output: str, result: np.ndarray, target: np.ndarray, batch: Batch) -> tuple[float, float, float]:
    """Return how far a result is from the target: of embeddings one number and zeros, of probabilities

    - the greatest difference;
    - that of logarithms, as a share of the row's largest;
    - what the greatest difference could have been: an error of a logarithm moves a probability p by up to p (1 - p) times
      as much, most where two classes are nearly equal, and few rows have such classes.

    All are infinite where shapes differ, or where a number should be and is none: only rows without a position have no
    embedding.
    """
    embedding = not output.endswith(PROBABILITIES)
    rows = ~np.isnan(batch[LONLAT]).any(1) if embedding else np.ones(len(target), bool)
    if result.shape != target.shape or not np.isnan(result[~rows]).all():
        return np.inf, np.inf, np.inf
    result, target = result[rows].astype(np.float64), target[rows].astype(np.float64)
    if not len(result):
        return 0.0, 0.0, 0.0
    if not (np.isfinite(result).all() and np.isfinite(target).all()):
        return np.inf, np.inf, np.inf
    gap = float(np.abs(result - target).max())
    if embedding:
        return gap / (float(np.abs(target).max()) or 1.0), 0.0, 0.0
    log_p, log_target = np.log(result.clip(LEAST)), np.log(target.clip(LEAST))
    log_gaps, size = np.abs(log_p - log_target), np.abs(log_target).max(1, keepdims=True).clip(1.0)
    return gap, float((log_gaps / size).max()), float(log_gaps.max() * (target * (1 - target)).max())
