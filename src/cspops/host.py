"""Where things run: settings from the environment that never change a result.

CSPOPS_DEVICE      auto (a GPU where there is one), cpu, cuda, cuda:1 ...
CSPOPS_DATA_ROOT   folder of images that the catalogue names by path
CSPOPS_WORKERS     processes that decode images, or train seeds and label ratios side by side: auto (one per core; images in
                   the catalogue need none), 0 (the stage's own process does it), 1, 2 ...
CSPOPS_PORTABLE    1 (see `cspops.numerics`) or 0
CSPOPS_RANK        which of CSPOPS_WORLD jobs that share the work of stage featurize this is, from 0; without them torchrun's
CSPOPS_WORLD       RANK and WORLD_SIZE, or Slurm's SLURM_PROCID and SLURM_NTASKS
CSPOPS_NPROC       processes of this machine that train together: 1, 2 ..., auto (one per GPU, 1 where there is none)
CSPOPS_NNODES      machines that train together, on each of which the same command runs: 1, 2 ...
CSPOPS_NODE_RANK   which of them this is, from 0; without it SLURM_NODEID. Node 0 alone writes
CSPOPS_RDZV        host:port of node 0, where they meet
"""

import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cspops.errors import EnvironmentProblem, nearest

if TYPE_CHECKING:
    import torch

NUMBER = re.compile("[0-9]{1,4}")
"""Of processes."""
OF_JOBS = (("CSPOPS_RANK", "CSPOPS_WORLD"), ("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))
"""Which job a process is, and of how many."""
OF_OPTIONS = ("CSPOPS_QUIET", "CSPOPS_VERBOSE")
OF_TESTS = "CSPOPS_TEST_"


ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):(?P<port>[0-9]{1,5})")
"""Where nodes meet."""


class Job(NamedTuple):
    """One of ``world`` jobs that share work; they need not run at the same time."""

    rank: int = 0
    world: int = 1

    def share(self, n: int) -> range:
        """Return the numbers of this job's share of ``n`` things, as many as any other's or one more."""
        return range(n * self.rank // self.world, n * (self.rank + 1) // self.world)


@dataclass(frozen=True)
class Nodes:
    """Machines that train together, and which of them this is."""

    count: int = 1
    rank: int = 0
    host: str = ""
    """Of node 0, as ``port``."""
    port: int = 0

    @property
    def address(self) -> str:
        """Return where they meet."""
        return f"{self.host}:{self.port}"


class Host(BaseSettings):
    """The CSPOPS_* variables."""

    model_config = SettingsConfigDict(env_prefix="CSPOPS_", frozen=True)

    device: str = "auto"
    data_root: Path = Path()
    workers: str = "auto"
    nproc: str = "1"
    rank: str = ""
    world: str = ""
    nnodes: str = "1"
    node_rank: str = ""
    rdzv: str = ""
    portable: Literal["0", "1"] = "1"
    """As `numerics` has read it, before any library was loaded."""

    @field_validator("data_root", mode="before")
    @classmethod
    def _some_folder(cls, value: object) -> object:
        if value == "":
            raise ValueError("it is empty, and names a folder or is not set at all")
        if not isinstance(value, str):
            return value
        try:
            return Path(value).expanduser()
        except RuntimeError:
            raise ValueError("whose home folder that is, is not known here") from None

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
        except (RuntimeError, AssertionError, ImportError, ValueError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)[:120]
            raise EnvironmentProblem(
                f"CSPOPS_DEVICE={self.device[:60]} cannot be used: {reason}", hint="set it to cpu, cuda or auto"
            ) from None
        return device

    def job_device(self) -> "torch.device":
        """Return the device of this job: of several on a machine with several GPUs, each takes one of its own."""
        import torch

        device, local = self.torch_device(), os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID", "")
        if device.type != "cuda" or ":" in self.device or self.job().world == 1 or not NUMBER.fullmatch(local):
            return device
        return torch.device("cuda", int(local) % torch.cuda.device_count())

    def decoders(self, *, by_path: bool) -> int:
        """Return how many processes decode images in files, or else in the catalogue; EnvironmentProblem for nonsense."""
        if self.workers == "auto":
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            return cores if by_path else 0
        if not NUMBER.fullmatch(self.workers):
            raise EnvironmentProblem(
                f"CSPOPS_WORKERS={self.workers} is not a number of processes", hint="set it to auto, 0, 1, 2 ..."
            )
        return int(self.workers)

    def job(self) -> Job:
        """Return which of the jobs that share work this is, the only one by default; EnvironmentProblem for nonsense."""
        own = dict(zip(OF_JOBS[0], (self.rank, self.world), strict=True))
        if not all(own.values()) and any(own.values()):
            there, lacks = sorted(own, key=lambda name: not own[name])
            raise EnvironmentProblem(
                f"{there}={own[there]} needs {lacks}, which is not set", hint=f"set {lacks}, or unset {there}"
            )
        for names in OF_JOBS:
            rank, world = (own.get(name) or os.environ.get(name, "") for name in names)
            if not (rank and world):
                continue
            if not (NUMBER.fullmatch(rank) and NUMBER.fullmatch(world) and int(rank) < int(world)):
                raise EnvironmentProblem(
                    f"{names[0]}={rank} and {names[1]}={world} are no rank and number of jobs",
                    hint=f"set {names[1]} to 1, 2 ... and {names[0]} to a number from 0 that is less, or unset both",
                )
            return Job(int(rank), int(world))
        return Job()

    def side_by_side(self) -> int:
        """Return how many processes of one thread work beside one another, each on a seed and label ratio of its own."""
        return 1 if self.torch_device().type != "cpu" else max(1, self.decoders(by_path=True))

    def processes(self) -> int:
        """Return how many processes train together; EnvironmentProblem for nonsense, and for more than there are GPUs."""
        import torch

        self._require_nproc()
        device = self.torch_device()
        gpus = 0 if device.type != "cuda" else 1 if device.index is not None else torch.cuda.device_count()
        if self.nproc == "auto":
            return max(1, gpus)
        if device.type == "cuda" and int(self.nproc) > gpus:
            raise EnvironmentProblem(
                f"CSPOPS_NPROC={self.nproc} needs a GPU for each process, and CSPOPS_DEVICE={self.device} has {gpus}",
                hint="set CSPOPS_NPROC=auto, or CSPOPS_DEVICE=cpu",
            )
        return int(self.nproc)

    def _require_nproc(self) -> None:
        if self.nproc != "auto" and not (NUMBER.fullmatch(self.nproc) and int(self.nproc)):
            raise EnvironmentProblem(f"CSPOPS_NPROC={self.nproc} is not a number of processes", hint="set it to auto, 1, 2 ...")

    def require_sense(self) -> None:
        """Raise an EnvironmentProblem for a value that is nonsense on any machine, but for a device, which takes torch."""
        self.decoders(by_path=True)
        self._require_nproc()
        self.job()
        self.nodes()

    def nodes(self) -> Nodes:
        """Return which machines train together; EnvironmentProblem for nonsense, and for what is missing."""
        if not (NUMBER.fullmatch(self.nnodes) and int(self.nnodes)):
            raise EnvironmentProblem(f"CSPOPS_NNODES={self.nnodes} is not a number of machines", hint="set it to 1, 2 ...")
        count = int(self.nnodes)
        if count == 1:
            return Nodes()
        name = "CSPOPS_NODE_RANK" if self.node_rank else "SLURM_NODEID"
        rank = self.node_rank or os.environ.get("SLURM_NODEID", "")
        if not (NUMBER.fullmatch(rank) and int(rank) < count):
            what = (
                f"{name}={rank} is not one of 0 to {count - 1}" if rank else "neither CSPOPS_NODE_RANK nor SLURM_NODEID is set"
            )
            raise EnvironmentProblem(
                f"CSPOPS_NNODES={count}, and {what}",
                hint=f"export CSPOPS_NODE_RANK=0 on the first machine, to {count - 1} on the last",
            )
        where = ADDRESS.fullmatch(self.rdzv)
        if where is None or not 0 < int(where["port"]) < 2**16:
            what = f"CSPOPS_RDZV={self.rdzv} is not host:port" if self.rdzv else "CSPOPS_RDZV is not set"
            raise EnvironmentProblem(
                f"CSPOPS_NNODES={count}, and {what}", hint="export CSPOPS_RDZV=NAME-OF-THE-FIRST-MACHINE:29400 on every one"
            )
        return Nodes(count, int(rank), where["host"].strip("[]"), int(where["port"]))


def end_with_parent(parent: int) -> None:
    """End this process soon after its parent ``parent`` has ended, in whatever way, and whatever this one waits for."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def unknown_variables() -> list[str]:
    """Return a sentence on each CSPOPS_* variable that is set and that nothing reads."""
    known = [*(f"CSPOPS_{name.upper()}" for name in Host.model_fields), *OF_OPTIONS]
    unknown = sorted(
        name for name in os.environ if name.startswith("CSPOPS_") and not name.startswith(OF_TESTS) and name not in known
    )
    near = {name: nearest(name, known, cutoff=0.8) for name in unknown}
    return [
        f"nothing reads the variable {name}" + (f"; did you mean {near[name][0]}?" if near[name] else "") for name in unknown
    ]
