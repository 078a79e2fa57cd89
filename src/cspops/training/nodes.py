"""Machines that train together: how their commands find one another, agree on what they do, and learn that one has failed.

The first node's command opens a key-value store of torch at the address that all are given; no other service is needed.
Each command watches its own processes (`cspops.training.distributed`), and says through the store that it is alive.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from cspops.errors import CspopsError, EnvironmentProblem, ParamsError
from cspops.host import Nodes

JOIN = 600.0
"""Seconds for which a node waits for the others."""
SILENCE = 12.0
"""Seconds after which a node that says nothing is lost. Only its own clock is read."""
PAUSE = 0.5
"""Seconds between two looks at the store."""
PATIENCE = timedelta(seconds=8)
"""For an answer of the store, which does no work but answer."""
CONTINUES = "run the same command again on every node: it continues"

Store = Any
"""A `torch.distributed.TCPStore`, which torch's types do not know."""
Facts = Mapping[str, str]
"""What must be the same on every node, by name, such as a digest of params."""


class Meeting:
    """The store as one node's command sees it."""

    def __init__(self, nodes: Nodes, store: Store) -> None:
        self.nodes, self.store = nodes, store
        self._beats = dict.fromkeys(range(nodes.count), (0, time.monotonic()))

    def look(self) -> None:
        """Say that this node is alive, and raise an EnvironmentProblem where another has failed or says nothing any more."""
        with self._answers():
            self.store.add(f"alive/{self.nodes.rank}", 1)
            failed = json.loads(self.store.get("failed")) if self.store.check(["failed"]) else None
            for node, (last, _) in self._beats.items():
                now = self.store.add(f"alive/{node}", 0)
                if now != last or self.store.check([f"ended/{node}"]):
                    self._beats[node] = now, time.monotonic()
        if failed is not None and failed["node"] != self.nodes.rank:
            hint = CONTINUES if failed["lost"] else failed["hint"]
            raise EnvironmentProblem(f"node {failed['node']} of {self.nodes.count}: {failed['message']}", hint=hint)
        for node, (_, since) in self._beats.items():
            if time.monotonic() - since > SILENCE:
                raise EnvironmentProblem(
                    f"node {node} of {self.nodes.count} has said nothing for {SILENCE:.0f} s: it is lost", hint=CONTINUES
                )

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError:
            raise EnvironmentProblem(
                f"node 0 of {self.nodes.count}, at {self.nodes.address}, is lost", hint=CONTINUES
            ) from None

    def fail(self, error: CspopsError) -> None:
        """Tell the other nodes why this one ends, unless one has told before."""
        told = {"node": self.nodes.rank, "message": error.message, "hint": error.hint}
        told["lost"] = isinstance(error, EnvironmentProblem)
        with suppress(RuntimeError):
            if self.store.add("failures", 1) == 1:
                self.store.set("failed", json.dumps(told))

    def require_same(self, facts: Facts) -> None:
        """Raise where another node was started with other facts, a ParamsError for params and else an EnvironmentProblem."""
        begun, left = time.monotonic(), set(range(self.nodes.count)) - {self.nodes.rank}
        with self._answers():
            self.store.set(f"facts/{self.nodes.rank}", json.dumps(dict(facts)))
        while left:
            with self._answers():
                came = [node for node in sorted(left) if self.store.check([f"facts/{node}"])]
                theirs = {node: json.loads(self.store.get(f"facts/{node}")) for node in came}
            for node, others in theirs.items():
                _compare(facts, others, self.nodes.rank, node)
            left -= theirs.keys()
            if left and time.monotonic() - begun > JOIN:
                raise EnvironmentProblem(
                    f"node {min(left)} of {self.nodes.count} did not come within {JOIN:.0f} s",
                    hint=f"start the same command with CSPOPS_NODE_RANK={min(left)} and the same CSPOPS_RDZV there",
                )
            time.sleep(PAUSE / 5)
        self._beats = dict.fromkeys(range(self.nodes.count), (0, time.monotonic()))

    def end(self) -> None:
        """Say that this node has ended; the first one, which has the store, waits until all have that are alive."""
        until = time.monotonic() + SILENCE
        with suppress(RuntimeError):
            self.store.set(f"ended/{self.nodes.rank}", "")
            left = {node: (0, time.monotonic()) for node in range(1, self.nodes.count)} if self.nodes.rank == 0 else {}
            while left and time.monotonic() < until:
                for node, (last, since) in [*left.items()]:
                    now = self.store.add(f"alive/{node}", 0)
                    left[node] = (last, since) if now == last else (now, time.monotonic())
                    if self.store.check([f"ended/{node}"]) or time.monotonic() - since > SILENCE / 3:
                        del left[node]
                time.sleep(PAUSE / 5)


def _compare(own: Facts, others: Facts, rank: int, node: int) -> None:
    different = [name for name in own if own[name] != others.get(name)]
    if not different:
        return
    what = ", ".join(different)
    kind: type[CspopsError] = ParamsError if different == ["params.yaml"] else EnvironmentProblem
    raise kind(
        f"nodes {min(rank, node)} and {max(rank, node)} differ in: {what}",
        hint="start all nodes with the same command, params.yaml, cspops and inputs, from one folder or from equal clones",
    )


@contextmanager
def meeting(nodes: Nodes, facts: Facts) -> Iterator[Meeting]:
    """Meet the other nodes while the block runs; what it raises is told to them. All but the first call `await_first` before.

    Raises:
        ParamsError, EnvironmentProblem: nodes were started differently, one is missing, or this one's number is taken.
    """
    made = Meeting(nodes, _store(nodes))
    try:
        if made.store.add(f"here/{nodes.rank}", 1) > 1:
            raise EnvironmentProblem(
                f"two commands say that they are node {nodes.rank}", hint="give each node a CSPOPS_NODE_RANK of its own"
            )
        made.store.add(f"alive/{nodes.rank}", 1)
        made.require_same(facts)
        yield made
    except CspopsError as error:
        made.fail(error)
        raise
    except BaseException as error:
        made.fail(EnvironmentProblem(f"ended by {type(error).__name__}"))
        raise
    finally:
        made.end()


def _store(nodes: Nodes) -> Store:
    """Open the store, or connect to it as soon as it is there."""
    first = nodes.rank == 0
    try:
        return open_store(nodes, PATIENCE, here=first)
    except (RuntimeError, OSError) as error:
        line = next(iter(str(error).splitlines()), "")[:200]
        raise EnvironmentProblem(
            f"CSPOPS_RDZV={nodes.address} cannot be {'opened' if first else 'reached'}: {line}",
            hint="name a free port of the first node, the one with CSPOPS_NODE_RANK=0",
        ) from None


def open_store(nodes: Nodes, patience: timedelta, *, here: bool = False) -> Store:
    """Connect to the first node's store, or with ``here`` open it."""
    return dist.TCPStore(nodes.host, nodes.port, None, here, patience, wait_for_workers=False)  # type: ignore[attr-defined]


def await_first(nodes: Nodes) -> None:
    """Wait until the first node's command waits for the others.

    Raises:
        EnvironmentProblem: it does not.
    """
    begun = time.monotonic()
    while True:
        try:
            socket.create_connection((nodes.host, nodes.port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() - begun > JOIN:
                raise EnvironmentProblem(
                    f"node 0 did not answer at CSPOPS_RDZV={nodes.address} within {JOIN:.0f} s: {error.strerror or error}",
                    hint="start the same command with CSPOPS_NODE_RANK=0 there; a firewall must let the nodes talk",
                ) from None
            time.sleep(PAUSE)


def interface_towards(host: str, port: int) -> str | None:
    """Return the name of this machine's network interface on the way to a host, where the system tells it."""
    import fcntl
    import struct

    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((host, port))
        own = way.getsockname()[0]
        for _, name in socket.if_nameindex():
            with suppress(OSError):
                answer = fcntl.ioctl(way.fileno(), 0x8915, struct.pack("256s", os.fsencode(name)[:15]))  # SIOCGIFADDR
                if socket.inet_ntoa(answer[20:24]) == own:
                    return name
    return None
