"""The number format of an image network's arithmetic."""

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where a GPU computes in it, float32 elsewhere.

    bfloat16 has float32's range, so that gradients neither overflow nor vanish and no loss needs to be scaled; float16
    would. Weights, their gradients and the optimiser's moments stay float32.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
