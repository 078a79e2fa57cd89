"""Parts of a stage in forked processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cspops import numerics
from cspops.errors import DataError, EnvironmentProblem
from cspops.host import Host
from cspops.pipeline.side_by_side import side_by_side


@pytest.fixture(autouse=True)
def portable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "portable", lambda: True)


@pytest.mark.parametrize("workers", ["0", "1", "2", "5"])
def test_results_come_in_order_from_as_many_processes_as_there_may_be(workers: str) -> None:
    def work(item: int) -> tuple[int, int]:
        time.sleep(0.3 if item == 0 else 0.05)
        return item, os.getpid()

    items, used = zip(*side_by_side(work, range(5), Host(workers=workers)), strict=True)
    assert items == (0, 1, 2, 3, 4)
    assert len({*used}) == max(1, int(workers)) or (workers == "5" and len({*used}) > 1)
    assert (os.getpid() in used) == (workers in ("0", "1"))


def test_only_portable_processes_work_beside_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "portable", lambda: False)
    assert {*side_by_side(lambda item: os.getpid(), range(3), Host(workers="2"))} == {os.getpid()}


def test_an_error_keeps_its_sentence_and_hint_and_ends_the_others(tmp_path: Path) -> None:
    def work(item: int) -> None:
        if item == 0:
            raise DataError("no labels", hint="dvc repro split")
        time.sleep(30)

    began = time.monotonic()
    with pytest.raises(DataError, match="no labels") as caught:
        list(side_by_side(work, range(4), Host(workers="2")))
    assert caught.value.hint == "dvc repro split" and time.monotonic() - began < 10


def test_a_killed_process_is_a_sentence() -> None:
    with pytest.raises(EnvironmentProblem, match="was killed") as caught:
        list(side_by_side(lambda item: os.kill(os.getpid(), signal.SIGKILL), range(4), Host(workers="3")))
    assert caught.value.hint == "export CSPOPS_WORKERS=2; the same command continues"


PARENT = """
import os, sys, time
from cspops import numerics
from cspops.host import Host
from cspops.pipeline.side_by_side import side_by_side
numerics.portable = lambda: True
def work(item):
    os.write(1, b"%d\\n" % os.getpid())  # at once, whatever the other writes
    time.sleep(60)
list(side_by_side(work, range(2), Host(workers="2", device="cpu")))
"""


def alive(number: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_they_end_with_their_parent(number: signal.Signals) -> None:
    parent: Any = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    children = [int(parent.stdout.readline()) for _ in range(2)]
    parent.send_signal(number)
    parent.communicate(timeout=20)
    until = time.monotonic() + 5
    while any(map(alive, children)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(alive, children))
