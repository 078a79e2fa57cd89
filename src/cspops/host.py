"""Where things run: settings from the environment that never change a result.

CSPOPS_DEVICE      auto (a GPU where there is one), cpu, cuda, cuda:1 ...
CSPOPS_DATA_ROOT   folder of images that the catalogue names by path
CSPOPS_WORKERS     processes that decode images, or train seeds and label ratios side by side: auto (one per core; images in
                   the catalogue need none), 0 (the stage's own process does it), 1, 2 ...
CSPOPS_NPROC       processes that fine-tune the image network together: 1, 2 ..., auto (one per GPU, 1 where there is none)
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cspops.errors import EnvironmentProblem

if TYPE_CHECKING:
    import torch


class Host(BaseSettings):
    """The CSPOPS_* variables."""

    model_config = SettingsConfigDict(env_prefix="CSPOPS_", frozen=True)

    device: str = "auto"
    data_root: Path = Path()
    workers: str = "auto"
    nproc: str = "1"

    @field_validator("data_root", mode="before")
    @classmethod
    def _some_folder(cls, value: object) -> object:
        if value == "":
            raise ValueError("CSPOPS_DATA_ROOT is empty: it names a folder, or is not set at all")
        return Path(value).expanduser() if isinstance(value, str) else value

    def required_data_root(self, what: str) -> Path:
        """Return CSPOPS_DATA_ROOT for what cannot do without; EnvironmentProblem when it is not set, or names a file."""
        if "data_root" not in self.model_fields_set:
            raise EnvironmentProblem(
                f"CSPOPS_DATA_ROOT is not set: {what} in a folder below it", hint="export CSPOPS_DATA_ROOT=/a/disk/with/room"
            )
        there = next(path for path in (self.data_root, *self.data_root.absolute().parents) if path.exists())
        if not there.is_dir():
            raise EnvironmentProblem(
                f"{there} is a file: CSPOPS_DATA_ROOT={self.data_root} is not a folder", hint="set CSPOPS_DATA_ROOT to a folder"
            )
        return self.data_root

    def torch_device(self) -> "torch.device":
        """Return the device to compute on; EnvironmentProblem when CSPOPS_DEVICE names one that is not there."""
        import torch

        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
            torch.zeros(1, device=device).item()
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0][:120]
            raise EnvironmentProblem(
                f"CSPOPS_DEVICE={self.device} cannot be used: {reason}", hint="set it to cpu, cuda or auto"
            ) from None
        return device

    def decoders(self, *, by_path: bool) -> int:
        """Return how many processes decode images in files, or else in the catalogue; EnvironmentProblem for nonsense."""
        if self.workers == "auto":
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            return cores if by_path else 0
        if not (self.workers.isascii() and self.workers.isdecimal()):
            raise EnvironmentProblem(
                f"CSPOPS_WORKERS={self.workers} is not a number of processes", hint="set it to auto, 0, 1, 2 ..."
            )
        return int(self.workers)

    def side_by_side(self) -> int:
        """Return how many processes of one thread work beside one another, each on a seed and label ratio of its own."""
        return 1 if self.torch_device().type != "cpu" or self.processes() > 1 else max(1, self.decoders(by_path=True))

    def processes(self) -> int:
        """Return how many processes train together; EnvironmentProblem for nonsense, and for more than there are GPUs."""
        import torch

        device = self.torch_device()
        gpus = 0 if device.type != "cuda" else 1 if device.index is not None else torch.cuda.device_count()
        if self.nproc == "auto":
            return max(1, gpus)
        if not (self.nproc.isascii() and self.nproc.isdecimal() and int(self.nproc)):
            raise EnvironmentProblem(f"CSPOPS_NPROC={self.nproc} is not a number of processes", hint="set it to auto, 1, 2 ...")
        if device.type == "cuda" and int(self.nproc) > gpus:
            raise EnvironmentProblem(
                f"CSPOPS_NPROC={self.nproc} needs a GPU for each process, and CSPOPS_DEVICE={self.device} has {gpus}",
                hint="set CSPOPS_NPROC=auto, or CSPOPS_DEVICE=cpu",
            )
        return int(self.nproc)
