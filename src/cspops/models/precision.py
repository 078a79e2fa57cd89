"""In how many bits a network computes: half as many on a GPU, whose matrix units are made for it; all of them elsewhere."""

from contextlib import AbstractContextManager, nullcontext

import torch


def half_precision(device: torch.device) -> torch.dtype | None:
    """bfloat16 on a GPU that computes in it (Ampere and later), float16 on an older one, None elsewhere."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """A block in which products and convolutions on ``device`` are of `half_precision`; weights stay float32."""
    dtype = half_precision(device)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def training_autocast(device: torch.device) -> AbstractContextManager[None]:
    """The same with bfloat16 alone: it has float32's range, so that gradients neither overflow nor vanish.

    float16 would need the loss scaled; a GPU that has no bfloat16 trains in float32.
    """
    dtype = half_precision(device)
    return torch.autocast(device.type, dtype=dtype) if dtype is torch.bfloat16 else nullcontext()
