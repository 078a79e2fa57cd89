"""Several processes that train together on one machine, started and watched by torchrun's library.

They meet through a file and talk over the loopback interface: nothing outside the machine is listened to.
"""

import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from cspops import errors
from cspops.errors import CspopsError, EnvironmentProblem
from cspops.training.processes import Processes

Together = Callable[[Any, Processes, torch.device], None]
"""A function of a module: its argument, which process it is in, and where that computes."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def run_together(function: Together, argument: Any, *, size: int, device: torch.device) -> None:
    """Call ``function`` in ``size`` processes, one a GPU or all on the CPU; ``function`` and ``argument`` are pickled.

    A process that fails ends the others.

    Raises:
        CspopsError: what a process raised; EnvironmentProblem: one was killed.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory(prefix="cspops-") as name:
        folder = Path(name)
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=size,
            run_id="cspops",
            rdzv_backend="c10d",
            rdzv_endpoint=str(folder / "rendezvous"),
            rdzv_configs={"store_type": "file"},
            local_addr="127.0.0.1",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=str(folder)),
        )
        stopped = None
        with _own_words():
            try:
                elastic_launch(config, _process)(function, argument, folder, device.type)
            except ChildFailedError as failed:
                raise _first_error(folder, failed.failures, size) from None
            except SignalException as stop:
                stopped = stop.sigval
    if stopped is not None:
        signal.raise_signal(stopped)  # as if it had come while nothing else caught it


def _process(function: Together, argument: Any, folder: Path, device_type: str) -> None:
    """What each process does."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
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
        said = {
            "time": time.time(),
            "kind": type(error).__name__ if ours else CspopsError.__name__,
            "message": error.message if isinstance(error, CspopsError) else f"process {rank} of {size} failed: {_line(error)}",
            "hint": error.hint if isinstance(error, CspopsError) else None,
        }
        (folder / f"error-{rank}.json").write_text(json.dumps(said))
        sys.exit(1)
    dist.destroy_process_group()


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _first_error(folder: Path, failures: dict[int, Any], size: int) -> CspopsError:
    """A process that was killed, or else the first error: those after it are that nothing more was heard."""
    for rank, failure in sorted(failures.items()):
        if failure.exitcode < 0:
            cause = f"signal {-failure.exitcode}{': out of memory?' if failure.exitcode == -signal.SIGKILL else ''}"
            hint = f"the same command continues; set CSPOPS_NPROC below {size}"
            return EnvironmentProblem(f"process {rank} of {size} was killed ({cause})", hint=hint)
    said = [json.loads(file.read_text()) for file in folder.glob("error-*.json")]
    if not said:
        rank, failure = min(failures.items())
        message = f"process {rank} of {size} ended with exit code {failure.exitcode}"
        return EnvironmentProblem(message, hint="set CSPOPS_NPROC=1")
    first = min(said, key=lambda one: one["time"])
    kind: type[CspopsError] = getattr(errors, first["kind"], CspopsError)
    return kind(first["message"], hint=first["hint"])


@contextmanager
def _own_words() -> Iterator[None]:
    """Without the library's own report of a failure, and with the handlers of signals that were there before it."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
