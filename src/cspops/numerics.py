"""Which settings and which machine decide on the last bits of a result."""

import platform

import torch


def facts() -> dict[str, str | int | bool]:
    """Return them by name."""
    return {
        "portable": False,
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "cpu": platform.processor(),
    }
