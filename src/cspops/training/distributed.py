"""Several processes that train together, on one machine or on several, started and watched by torch.multiprocessing.

Those of one machine meet through a file and talk over the loopback interface: nothing outside it is listened to. For those
of several see `cspops.training.nodes`.
"""

import json
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from cspops import errors
from cspops.errors import CspopsError, EnvironmentProblem
from cspops.host import Nodes, end_with_parent
from cspops.progress import libraries_in_our_log, show_from
from cspops.ranks import Processes
from cspops.training.nodes import JOIN, PAUSE, SILENCE, Meeting, Store, interface_towards, open_store

Together = Callable[[Any, Processes, torch.device], None]
"""A function of a module: its argument, which process it is in, and where that computes."""

GRACE = 5.0
"""Seconds in which the other processes may end by themselves after one has failed."""
WAIT = timedelta(days=7)
"""For which a process waits for another, which may be at work alone; that one has died is seen by who started it."""
LOST = re.compile(r"gloo|NCCL|[Cc]onnection|[Pp]eer|Broken pipe")
"""How torch says that another process has gone, which says why by itself."""


@dataclass(frozen=True)
class _Group:
    """What the processes of one machine have in common."""

    function: Together
    argument: Any
    size: int
    """Processes on this machine."""
    nodes: Nodes
    folder: Path
    """Where they meet, if they are on one machine, and leave errors."""
    device: torch.device
    level: int
    parent: int


def run_together(function: Together, argument: Any, *, size: int, device: torch.device, met: Meeting | None = None) -> None:
    """Call ``function`` in ``size`` processes, one per GPU or all on the CPU; ``function`` and ``argument`` are pickled.

    A process that fails ends the others, and so does the end of this one, however it comes. With ``met`` the other machines'
    processes belong to them.

    Raises:
        CspopsError: a process raised it.
        EnvironmentProblem: a process was killed, or another machine failed or is lost.
    """
    from torch.multiprocessing import ProcessExitedException, ProcessRaisedException, spawn

    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # which processes it ends is of no interest
    level = logging.getLogger("cspops").getEffectiveLevel()
    nodes = Nodes() if met is None else met.nodes
    with tempfile.TemporaryDirectory(prefix="cspops-") as name:
        group = _Group(function, argument, size, nodes, Path(name), device, level, os.getpid())
        started = spawn(_process, (group,), nprocs=size, join=False)
        try:
            while not started.join(timeout=PAUSE, grace_period=GRACE):
                if met is not None:
                    met.look()
        except (ProcessExitedException, ProcessRaisedException) as failed:
            exit_codes = {rank: process.exitcode for rank, process in enumerate(started.processes)}
            error = _first_error(group, exit_codes, failed.error_index)
            if isinstance(error, _LostConnection) and met is not None:
                _await_cause(met)
            raise error from None
        finally:
            for process in started.processes:
                process.kill()  # which does nothing to those that have ended


class _LostConnection(EnvironmentProblem):
    """A process lost another, which was not one of this machine or has not said why."""


def _await_cause(met: Meeting) -> None:
    """Raise what another machine says within the time in which it is missed if it can say nothing."""
    until = time.monotonic() + SILENCE + 2
    while time.monotonic() < until:
        met.look()
        time.sleep(PAUSE)


@libraries_in_our_log()
def _process(number: int, group: _Group) -> None:
    """Join the process group and call the function; leave an error in the group's folder for the parent."""
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # sent when the parent has ended; jobs of a script ignore it by default
    end_with_parent(group.parent)  # whatever it waits for in torch, where signals wait too
    size = group.size * group.nodes.count
    rank = group.nodes.rank * group.size + number
    show_from(group.level if rank == 0 else logging.ERROR)
    device = group.device
    if device.type == "cuda":
        device = torch.device("cuda", number) if device.index is None else device
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // group.size))
    try:
        _join_group(group, rank, size)
        group.function(group.argument, Processes(rank, size, group.size), device)
        dist.barrier()  # none reports success before the first one has written
    except Exception as error:
        (group.folder / f"error-{number}.json").write_text(json.dumps(_report(error, rank, size)))
        sys.exit(1)
    dist.destroy_process_group()


def _join_group(group: _Group, rank: int, size: int) -> None:
    nodes = group.nodes
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    if nodes.count == 1:
        os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
        store: Store = dist.FileStore(str(group.folder / "group"), size)  # type: ignore[attr-defined]
    else:
        if way := interface_towards(nodes.host, nodes.port):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", way)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", way)
        store = dist.PrefixStore("processes", open_store(nodes, timedelta(seconds=JOIN)))  # type: ignore[attr-defined]
    backend = "cpu:gloo,cuda:nccl" if group.device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=WAIT)


def _report(error: Exception, rank: int, size: int) -> dict[str, Any]:
    """Return an error as what `_first_error` reads."""
    if isinstance(error, CspopsError):
        what = {"kind": type(error).__name__, "message": error.message, "hint": error.hint, "lost": False}
    elif isinstance(error, RuntimeError) and LOST.search(str(error)):
        message = f"process {rank} of {size} lost the connection to another"
        what = {"kind": None, "message": message, "hint": "the same command continues", "lost": True}
    else:
        message = f"process {rank} of {size} failed: {_line(error)}"
        what = {"kind": CspopsError.__name__, "message": message, "hint": None, "lost": False}
    return what | {"time": time.time()}


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _first_error(group: _Group, exit_codes: dict[int, int | None], first: int) -> CspopsError:
    """Return that a process was killed, or else the earliest error, of those that say more than that the connection broke.

    Torch has killed the processes that were still alive after the first failure.
    """
    size, code = group.size * group.nodes.count, exit_codes[first] or 0
    rank = group.nodes.rank * group.size + first
    if code < 0:
        cause = f"signal {-code}{': out of memory?' if code == -signal.SIGKILL else ''}"
        fewer = f"; set CSPOPS_NPROC below {group.size}" if group.size > 1 else ""
        return EnvironmentProblem(f"process {rank} of {size} was killed ({cause})", hint=f"the same command continues{fewer}")
    if not (group.folder / f"error-{first}.json").exists():
        return EnvironmentProblem(f"process {rank} of {size} ended with exit code {code}", hint="set CSPOPS_NPROC=1")
    reports = [json.loads(file.read_text()) for file in group.folder.glob("error-*.json")]
    earliest = min(reports, key=lambda report: (report["lost"], report["time"]))
    if earliest["lost"]:
        return _LostConnection(earliest["message"], hint=earliest["hint"])
    kind: type[CspopsError] = getattr(errors, earliest["kind"], CspopsError)
    return kind(earliest["message"], hint=earliest["hint"])
