"""Machines that meet: here the threads of one process. What their processes do is tested with the stages."""

import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import torch.distributed as dist

from cspops.errors import CspopsError, DataError, EnvironmentProblem, ParamsError
from cspops.host import Nodes
from cspops.training import nodes as module
from cspops.training.nodes import Meeting, await_first, interface_towards, meeting

FACTS = {"the stage": "pretrain", "params.yaml": "1", "the code of cspops": "2"}
Work = Callable[[Meeting], None]


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free one; and nodes that wait for seconds only."""
    monkeypatch.setattr(module, "JOIN", 2.0)
    monkeypatch.setattr(module, "SILENCE", 1.5)
    monkeypatch.setattr(module, "PAUSE", 0.1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def meet(
    port: int, *works: Work, facts: tuple[dict[str, str], ...] = (), ranks: tuple[int, ...] = ()
) -> list[CspopsError | None]:
    """Let each node meet the others and do its work, and return what it ends with."""
    ended: list[CspopsError | None] = [None] * len(works)

    def node(number: int) -> None:
        asked = Nodes(len(works), ranks[number] if ranks else number, "127.0.0.1", port)
        try:
            if asked.rank:
                await_first(asked)
            with meeting(asked, facts[number] if facts else FACTS) as met:
                works[number](met)
        except CspopsError as error:
            ended[number] = error

    threads = [threading.Thread(target=node, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    return ended


def looks(seconds: float) -> Work:
    """Watch the others for so long."""

    def work(met: Meeting) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            met.look()
            time.sleep(0.05)

    return work


def test_nodes_that_agree_work_and_end_at_their_own_pace(port: int) -> None:
    """One that has ended is not missed, however long the others work."""
    assert meet(port, looks(3.0), looks(0.3), looks(1.0)) == [None, None, None]


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        ({"params.yaml": "9"}, ParamsError),
        ({"the code of cspops": "9"}, EnvironmentProblem),
        ({"the stage": "finetune-loc", "params.yaml": "9"}, EnvironmentProblem),
    ],
)
def test_nodes_that_differ_are_refused_and_each_says_in_what(port: int, other: dict[str, str], kind: type[CspopsError]) -> None:
    for error in meet(port, looks(1.0), looks(1.0), facts=(FACTS, FACTS | other)):
        assert type(error) is kind
        assert error.message == f"nodes 0 and 1 differ in: {', '.join(other)}"
        assert error.hint == (
            "start all nodes with the same command, params.yaml, cspops and inputs, from one folder or from equal clones"
        )


@pytest.mark.parametrize(
    ("raised", "hint"),
    [
        (EnvironmentProblem("process 1 of 2 was killed", hint="here"), module.CONTINUES),
        (DataError("a file is broken", hint="dvc repro split"), "dvc repro split"),
    ],
)
@pytest.mark.parametrize("node", [0, 1])
def test_a_node_that_fails_ends_the_others_with_its_sentence(port: int, raised: CspopsError, hint: str, node: int) -> None:
    def fails(met: Meeting) -> None:
        raise raised

    works = [looks(20.0), looks(20.0)]
    works[node] = fails
    ended = meet(port, *works)
    assert ended[node] is raised
    other = ended[1 - node]
    assert isinstance(other, EnvironmentProblem)
    assert (other.message, other.hint) == (f"node {node} of 2: {raised.message}", hint)


def test_a_node_that_says_nothing_is_lost(port: int) -> None:
    started = time.monotonic()
    lost, _ = meet(port, looks(20.0), lambda met: time.sleep(4))
    assert lost is not None
    assert lost.message.startswith("node 1 of 2 has said nothing for 2 s: it is lost")
    assert time.monotonic() - started < 12


def test_the_first_node_with_its_store_is_missed(port: int) -> None:
    wait = timedelta(seconds=5)
    first = dist.TCPStore("127.0.0.1", port, None, True, wait, wait_for_workers=False)
    met = Meeting(Nodes(2, 1, "127.0.0.1", port), dist.TCPStore("127.0.0.1", port, None, False, wait, wait_for_workers=False))
    met.look()
    del first
    with pytest.raises(EnvironmentProblem, match=f"^node 0 of 2, at 127.0.0.1:{port}, is lost"):
        met.look()
    met.fail(DataError("it is told nobody"))
    met.end()


def test_who_is_missing_is_named(port: int) -> None:
    alone = Nodes(2, 0, "127.0.0.1", port)
    with pytest.raises(EnvironmentProblem, match=r"^node 1 of 2 did not come within 2 s") as caught, meeting(alone, FACTS):
        pass
    assert caught.value.hint is not None and "CSPOPS_NODE_RANK=1" in caught.value.hint


def test_a_first_node_that_is_not_there_is_named(port: int) -> None:
    with pytest.raises(EnvironmentProblem, match=f"node 0 did not answer at CSPOPS_RDZV=127.0.0.1:{port} within 2 s"):
        await_first(Nodes(2, 1, "127.0.0.1", port))


def test_two_nodes_of_one_number_are_refused(port: int) -> None:
    ended = meet(port, looks(1.0), looks(1.0), looks(1.0), ranks=(0, 1, 1))
    assert [type(error) for error in ended].count(EnvironmentProblem) >= 2
    assert any(error and error.message == "two commands say that they are node 1" for error in ended)


def test_a_port_that_is_taken_is_a_sentence(port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("", port))
        taken.listen()
        refused = pytest.raises(EnvironmentProblem, match=f"CSPOPS_RDZV=127.0.0.1:{port} cannot be opened: ")
        with refused, meeting(Nodes(2, 0, "127.0.0.1", port), FACTS):
            pass


def test_the_way_to_this_machine_is_its_loopback() -> None:
    assert interface_towards("127.0.0.1", 29400) == "lo"
    assert interface_towards("no such host", 29400) is None
