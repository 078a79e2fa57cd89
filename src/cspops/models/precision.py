"""In how many bits a network computes: half as many on a GPU, whose matrix units are made for it; all of them elsewhere."""

from contextlib import AbstractContextManager, nullcontext

import torch


def half_precision(device: torch.device) -> torch.dtype | None:
    """bfloat16 on a GPU that computes in it (Ampere and later), float16 on an older one, None elsewhere."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """A block in which products and convolutions on ``device`` are of `half_precision`; weights stay float32.

    What is trained in float16 needs its loss scaled (`torch.amp.GradScaler`); bfloat16 has float32's range and does not.
    """
    dtype = half_precision(device)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)
