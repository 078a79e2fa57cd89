"""Named random streams: every use of randomness has its own, derived from a seed and a purpose.

Two streams with different names are independent, so adding a stream never changes another's numbers,
and a run that was killed can restart at any epoch with the numbers it would have drawn.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, *purpose: str | int | float) -> int:
    """Return a 63-bit seed for ``purpose``, e.g. ``derive(0, "pretrain", "dropout", 3)``."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_stream(seed: int, *purpose: str | int | float) -> np.random.Generator:
    """Return a numpy generator for ``purpose``."""
    return np.random.default_rng(derive(seed, *purpose))


def torch_stream(seed: int, *purpose: str | int | float, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator for ``purpose`` on ``device``."""
    return torch.Generator(device=device).manual_seed(derive(seed, *purpose))


@contextmanager
def global_torch_stream(seed: int, *purpose: str | int | float) -> Iterator[None]:
    """Run a block with torch's global generators set to ``purpose``; the state before is restored after it.

    For the two things in torch that take no generator: module initialisation and dropout.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(seed, *purpose))
        yield
