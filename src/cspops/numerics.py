"""Portable mode: the same bytes on every x86-64 processor with AVX2, whatever its maker, its cores and what else it can do.

Thread counts and instruction sets change the last bits of sums, and two epochs of training make points of accuracy of
them. So a stage runs on one thread, on kernels that all these processors have, and uses the cores by working on seeds and
label ratios side by side (`cspops.pipeline.side_by_side`). What the settings below do not reach is avoided: the square
root, arcsine and arctangent of MKL start from approximations that differ between makers (`cspops.kernels`).

CSPOPS_PORTABLE=0 leaves the choice to the libraries: all threads, the newest instructions. A GPU is never portable.
"""

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""What torch, MKL, numpy, oneDNN and OpenBLAS read when they are loaded. MKL follows the processor's maker but for
COMPATIBLE, which is slow: `cspops.kernels` takes large products to oneDNN."""

ONE_THREAD = {"MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

SETTINGS = AVX2 | ONE_THREAD


def settle() -> None:
    """Ask the libraries for portable kernels, unless CSPOPS_PORTABLE=0; to be called before any of them is loaded."""
    if wanted() and not {"numpy", "torch"} & sys.modules.keys():
        os.environ.update(SETTINGS)


def wanted() -> bool:
    """Return whether results should be portable, as they are unless CSPOPS_PORTABLE=0, and can be, on this processor."""
    return os.environ.get("CSPOPS_PORTABLE", "1") != "0" and platform.machine() in ("x86_64", "AMD64")


def portable() -> bool:
    """Return whether what this process computes on the CPU is portable; loads torch."""
    import torch

    settled = all(os.environ.get(name) == value for name, value in SETTINGS.items())
    return settled and torch.get_num_threads() == 1 and torch.backends.cpu.get_cpu_capability() == "AVX2"


def facts(device: "torch.device") -> dict[str, Any]:
    """Return what the last bits of results depend on, for the record of a run.

    Runs with equal facts give the same bytes. Portable ones name no processor, so that their records are equal, too.
    """
    import numpy
    import torch

    libraries = {"torch": torch.__version__.partition("+")[0], "numpy": numpy.__version__}
    instructions = torch.backends.cpu.get_cpu_capability()
    if device.type == "cpu" and portable():
        return {"portable": True, "threads": 1, "instruction_set": instructions} | libraries
    where = {"cpu": processor()} | ({} if device.type == "cpu" else {"device": torch.cuda.get_device_name(device)})
    return {"portable": False, "threads": torch.get_num_threads(), "instruction_set": instructions} | libraries | where


def processor() -> str:
    """Return the processor's name, as Linux tells it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
