"""Worker processes: order, bounds, errors, and what happens when one is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from work import (
    dies,
    dies_beside_a_slow_one,
    gives_what_cannot_be_sent,
    leaves,
    naps,
    odd,
    ordered_map,
    prints,
    refuses,
    slow_square,
    who,
)

from cspops.errors import DataError, EnvironmentProblem
from cspops.pixels.workers import AHEAD, Workers


@pytest.mark.parametrize(("workers", "chunk"), [(0, 7), (1, 7), (2, 1), (2, 7), (2, 1000)])
def test_results_come_in_the_order_of_the_items(workers, chunk):
    assert list(ordered_map(slow_square, range(40), workers=workers, chunk=chunk)) == [n * n for n in range(40)]


def test_nothing_gives_nothing():
    assert list(ordered_map(slow_square, [], workers=2)) == []


def test_the_work_is_done_elsewhere_by_no_more_processes_than_asked_for():
    assert set(ordered_map(who, range(3), workers=0)) == {os.getpid()}
    with Workers(2) as workers:
        first = set(workers.map(who, range(50), chunk=1))
        again = set(workers.map(who, range(50), chunk=1))
    assert os.getpid() not in first
    assert len(first | again) <= 2  # processes are kept


def test_items_are_taken_as_they_are_needed():
    """Sixteen chunks of 32 are ahead of the one that is taken, 512 items in all; with chunks of 1 000, twice the workers."""
    for chunk, ahead in ((32, AHEAD), (1000, 2 * 2 * 1000)):
        taken = 0

        def items():
            nonlocal taken
            while True:
                taken += 1
                yield taken

        with Workers(2) as workers:
            results = workers.map(abs, items(), chunk=chunk)
            assert next(results) == 1
            assert taken == ahead
            for _ in range(3 * chunk):
                next(results)
            assert taken == ahead + 3 * chunk


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_keeps_its_sentence_and_what_was_before_it_is_given(workers):
    given = []
    with pytest.raises(DataError) as caught:
        for number in ordered_map(partial(refuses, at=21), range(40), workers=workers, chunk=8):
            given.append(number)
    assert given == list(range(21))
    assert (caught.value.message, caught.value.hint) == ("no 21", "another")


def test_workers_go_on_after_an_error():
    with Workers(1) as workers:
        with pytest.raises(DataError):
            list(workers.map(partial(refuses, at=0), range(3)))
        assert list(workers.map(abs, [-1, -2])) == [1, 2]


def test_what_cannot_be_sent_is_said():
    with pytest.raises(RuntimeError, match="Odd: 1 and 2"):
        list(ordered_map(odd, [1], workers=1))
    with pytest.raises(Exception, match="pickle"):
        list(ordered_map(gives_what_cannot_be_sent, [1], workers=1))


def test_what_is_printed_does_not_mix_with_results(capfd):
    assert list(ordered_map(prints, range(3), workers=1)) == [0, 1, 2]
    out, err = capfd.readouterr()
    assert out == ""
    assert "and so does C" in err


def test_large_items_and_results_pass_both_ways_at_once():
    """Pipes hold 64 KiB: who writes while the other writes too would wait for ever."""
    items = [bytes([n]) * 2_000_000 for n in range(6)]
    assert list(ordered_map(bytes.upper, items, workers=2, chunk=1)) == [item.upper() for item in items]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_worker_is_an_error_with_the_way_out(how):
    start = time.monotonic()
    with pytest.raises(EnvironmentProblem, match=rf"a decoding process was killed \(signal {how.value}") as caught:
        list(ordered_map(partial(dies, at=5, how=how), range(100), workers=2, chunk=2))
    assert ("out of memory" in caught.value.message) == (how == signal.SIGKILL)
    assert "CSPOPS_WORKERS" in caught.value.hint
    assert time.monotonic() - start < 20


def test_nobody_waits_for_the_others_when_one_is_killed():
    """The first item sleeps for a minute, the second kills its worker."""
    start = time.monotonic()
    with pytest.raises(EnvironmentProblem, match="signal 9"), Workers(2) as workers:
        list(workers.map(dies_beside_a_slow_one, range(2), chunk=1))
    assert time.monotonic() - start < 20


def test_a_worker_killed_from_outside_between_two_maps():
    with Workers(1) as workers:
        (pid,) = workers.map(who, [0])
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EnvironmentProblem, match="signal 9"):
            list(workers.map(who, [0]))
        with pytest.raises(EnvironmentProblem, match="signal 9"):
            list(workers.map(who, [0]))


def test_a_worker_that_leaves_is_an_error():
    with pytest.raises(EnvironmentProblem, match="ended with exit code 3"):
        list(ordered_map(leaves, [1], workers=1))


def test_processes_end_with_the_block_whatever_they_do(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPPING", str(tmp_path))
    said = []

    def wait(workers):
        try:
            list(workers.map(naps, range(4), chunk=1))
        except EnvironmentProblem as error:
            said.append(error.message)

    with Workers(2) as workers:
        waiting = threading.Thread(target=wait, args=(workers,))
        waiting.start()
        pids = napping(tmp_path, 2)
    waiting.join(20)
    assert said == ["the decoding processes were ended"]
    assert gone(pids)


def napping(folder, n):
    """The ids of the ``n`` processes that sleep, as soon as they do."""
    for _ in range(400):
        if len(files := list(folder.iterdir())) == n:
            return [int(file.name) for file in files]
        time.sleep(0.05)
    raise AssertionError(f"{len(files)} of {n} processes")


def gone(pids):
    """Whether none of the processes runs within some seconds."""
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.05)
    return False


SCRIPT = """
import signal, sys, wave
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.append({tests!r})
from work import naps, modules, ordered_map
print(*next(iter(ordered_map(modules, [0], workers=1))), flush=True)
if {nap}:
    list(ordered_map(naps, range(2), workers=2, chunk=1))
"""


def script(nap):
    return SCRIPT.format(tests=str(Path(__file__).parent), nap=nap)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_no_process_is_left_when_the_one_that_started_it_is_stopped(stop, tmp_path):
    """A script without a guard for its main part; workers run none of it, and do not import what it imports."""
    caller = subprocess.Popen(
        [sys.executable, "-c", script(nap=True)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NAPPING": str(tmp_path)},
        start_new_session=True,
    )
    assert caller.stdout is not None
    imported = caller.stdout.readline().split()
    assert "cspops.pixels.workers" in imported
    assert "wave" not in imported
    pids = napping(tmp_path, 2)
    assert caller.pid not in {os.getpgid(pid) for pid in pids}
    os.killpg(caller.pid, stop)  # as Ctrl-C does: to all that a terminal runs
    out, err = caller.communicate(timeout=20)
    assert caller.returncode != 0
    assert out == ""
    if stop == signal.SIGINT:
        assert "KeyboardInterrupt" in err
        assert err.count("Traceback") == 1
    assert gone(pids)


def test_decoding_needs_no_torch():
    """What a worker of featurize or download imports starts in a fraction of the time that torch takes."""
    modules = "cspops.pixels.decoding, cspops.intake.images.inspection"
    code = f"import sys, {modules}; print('torch' in sys.modules, 'rasterio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
