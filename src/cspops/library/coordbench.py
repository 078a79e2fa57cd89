"""A location encoder of ours behind the interface of CoordBench, the coordinate benchmark of torchgeo-bench.

It calls ``encode(lon, lat, year)`` with float arrays and takes float32 (n, d). Where the class itself must be one of its own:

>>> from torchgeo_bench.coordbench.models import LocationEncoder  # doctest: +SKIP
>>> class Ours(CoordBenchEncoder, LocationEncoder): ...  # doctest: +SKIP

A model config then names `Ours` as its `_target_`, and `folder`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cspops.library.loading import load
from cspops.shapes import Float

__all__ = ["CoordBenchEncoder"]


class CoordBenchEncoder:
    """The encoder e(x) of a folder that `cspops.load` takes.

    Args:
        folder: an encoder of stage pretrain, an exported folder, an imported checkpoint, or a project, whose fine-tuned
            encoder it then is.
        device: where it computes.
        batch_size: positions at once.
    """

    name = "cspops"

    def __init__(self, folder: str | Path, device: str = "cpu", batch_size: int = 8192) -> None:
        self.device = device if device == "cpu" or torch.cuda.is_available() else "cpu"
        self.batch_size = batch_size
        self.model = load(folder, device=self.device, images=False)
        self.dim = self.model.encoder.dim

    def _encode(self, lon: Float[np.ndarray, "n"], lat: Float[np.ndarray, "n"], year: Any = None) -> Float[np.ndarray, "n d"]:
        """Return e(x); the time of a row, whatever its unit, changes nothing."""
        out: np.ndarray = self.model.encode_location(np.stack((lon, lat), 1))
        return out

    def encode(self, lon: Any, lat: Any, year: Any = None) -> Float[np.ndarray, "n d"]:
        """Return e(x) of all positions, some at a time."""
        lon, lat = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
        starts = range(0, len(lon), self.batch_size)
        parts = [self._encode(lon[at : at + self.batch_size], lat[at : at + self.batch_size]) for at in starts]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)
