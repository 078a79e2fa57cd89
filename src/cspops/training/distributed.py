"""Several processes that train together on one machine, started and watched by torch.multiprocessing.

They meet through a file and talk over the loopback interface: nothing outside the machine is listened to.
"""

import json
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from cspops import errors
from cspops.errors import CspopsError, EnvironmentProblem
from cspops.progress import show_from
from cspops.training.loop import Processes

Together = Callable[[Any, Processes, torch.device], None]
"""A function of a module: its argument, which process it is in, and where that computes."""

GRACE = 5.0
"""Seconds in which the other processes may end by themselves after one has failed."""


def run_together(function: Together, argument: Any, *, size: int, device: torch.device) -> None:
    """Call ``function`` in ``size`` processes, one per GPU or all on the CPU; ``function`` and ``argument`` are pickled.

    A process that fails ends the others, and so does the end of this one, however it comes.

    Raises:
        CspopsError: a process raised it.
        EnvironmentProblem: a process was killed.
    """
    from torch.multiprocessing import ProcessExitedException, ProcessRaisedException, spawn

    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # which processes it ends is of no interest
    level = logging.getLogger("cspops").getEffectiveLevel()
    with tempfile.TemporaryDirectory(prefix="cspops-") as name:
        arguments = (size, function, argument, Path(name), device.type, level)
        started = spawn(_process, arguments, nprocs=size, join=False)
        try:
            while not started.join(grace_period=GRACE):
                pass
        except (ProcessExitedException, ProcessRaisedException) as failed:
            exit_codes = {rank: process.exitcode for rank, process in enumerate(started.processes)}
            raise _first_error(Path(name), exit_codes, failed.error_index) from None
        finally:
            for process in started.processes:
                process.kill()  # which does nothing to those that have ended


def _process(rank: int, size: int, function: Together, argument: Any, folder: Path, device_type: str, level: int) -> None:
    """Join the process group and call the function; leave an error in ``folder`` for the parent."""
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # sent when the parent has ended; jobs of a script ignore it by default
    show_from(level)
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    device = torch.device(device_type, rank) if device_type == "cuda" else torch.device(device_type)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // size))
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{folder / 'group'}", rank=rank, world_size=size)
    try:
        function(argument, Processes(rank, size), device)
    except Exception as error:
        ours = isinstance(error, CspopsError)
        report = {
            "time": time.time(),
            "kind": type(error).__name__ if ours else CspopsError.__name__,
            "message": error.message if isinstance(error, CspopsError) else f"process {rank} of {size} failed: {_line(error)}",
            "hint": error.hint if isinstance(error, CspopsError) else None,
        }
        (folder / f"error-{rank}.json").write_text(json.dumps(report))
        sys.exit(1)
    dist.destroy_process_group()


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _first_error(folder: Path, exit_codes: dict[int, int | None], first: int) -> CspopsError:
    """Return that a process was killed, or else the earliest error: later ones only report the broken connection.

    Torch has killed the processes that were still alive after the first failure.
    """
    size, code = len(exit_codes), exit_codes[first] or 0
    if code < 0:
        cause = f"signal {-code}{': out of memory?' if code == -signal.SIGKILL else ''}"
        hint = f"the same command continues; set CSPOPS_NPROC below {size}"
        return EnvironmentProblem(f"process {first} of {size} was killed ({cause})", hint=hint)
    if not (folder / f"error-{first}.json").exists():
        return EnvironmentProblem(f"process {first} of {size} ended with exit code {code}", hint="set CSPOPS_NPROC=1")
    reports = [json.loads(file.read_text()) for file in folder.glob("error-*.json")]
    earliest = min(reports, key=lambda report: report["time"])
    kind: type[CspopsError] = getattr(errors, earliest["kind"], CspopsError)
    return kind(earliest["message"], hint=earliest["hint"])
