"""Worker processes that keep the order of what they are given.

They are started as `python -c`, not by multiprocessing, which would run the caller's main module again in each: a worker
imports what its function needs and nothing else, whoever calls.

Not joblib's: its workers outlive a parent that is killed, by minutes, and its generator takes items without end ahead of who
takes the results.
"""

import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Any, BinaryIO

from cspops.errors import EnvironmentProblem

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Applies a function to items, in their order, like Python's own `map`."""

AHEAD = 512
"""Items that workers may be ahead of who takes the results."""

_START = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from cspops.pixels.workers import serve; serve()"
_LENGTH = struct.Struct("<Q")


class Workers:
    """Up to ``workers`` processes, started when first needed, ended with the `with` block; 0: work in this process.

    A worker ends by itself when the process that started it is gone, however that ended.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._threads = ThreadPoolExecutor(max(1, workers), "worker")
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._failure: EnvironmentProblem | None = None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            if self._failure is None:
                self._failure = EnvironmentProblem("the decoding processes were ended")
            for process in self._processes:
                process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # what was still to be written has no reader
                        pipe.close()

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], *, chunk: int = 32) -> Iterator[Any]:
        """Yield ``function`` of each item, in order. Results before an item that raises are given before it raises.

        Args:
            function: of a module that workers can import; it, items and results are pickled.
            items: taken as they are needed, about `AHEAD` of what was given.
            chunk: items sent to a worker at a time.

        Raises:
            EnvironmentProblem: a worker was killed; at once, and all others are ended.
        """
        if self.workers == 0:
            yield from map(function, items)
            return
        source = iter(items)
        pending: deque[Future[tuple[list[Any], Exception | None]]] = deque()
        try:
            while True:
                while len(pending) < max(2 * self.workers, -(-AHEAD // chunk)):
                    part = list(islice(source, chunk))
                    if not part:
                        break
                    pending.append(self._threads.submit(self._ask, pickle.dumps((function, part), protocol=5)))
                if not pending:
                    return
                results, error = pending.popleft().result()
                yield from results
                if error is not None:
                    raise error
        finally:
            for future in pending:
                future.cancel()

    def _ask(self, request: bytes) -> tuple[list[Any], Exception | None]:
        """Send a chunk to an idle worker, or to a new one: there are as many threads as there may be workers."""
        try:
            process = self._idle.get_nowait()
        except queue.Empty:
            process = self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            _send(process.stdin, request)
            reply = _receive(process.stdout)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise self._dead(process) from None
        self._idle.put(process)
        result: tuple[list[Any], Exception | None] = pickle.loads(reply)
        return result

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            process = subprocess.Popen(
                # a session of its own: Ctrl-C goes to the process that the user started, which ends its workers
                [sys.executable, "-P", "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            self._processes.append(process)
        assert process.stdin is not None
        try:
            pickle.dump(sys.path, process.stdin)
            process.stdin.flush()
        except BrokenPipeError:
            raise self._dead(process) from None
        return process

    def _dead(self, process: subprocess.Popen[bytes]) -> EnvironmentProblem:
        """Return the problem of the first worker that ended, and end the others, so that nobody waits for them."""
        code = process.wait()
        with self._lock:
            if self._failure is None:
                if code < 0:
                    cause = f"was killed (signal {-code}{': out of memory?' if code == -signal.SIGKILL else ''})"
                else:
                    cause = f"ended with exit code {code}"
                self._failure = EnvironmentProblem(
                    f"a decoding process {cause}",
                    hint=f"set CSPOPS_WORKERS below {self.workers}; at 0 images are decoded without further processes",
                )
            for other in self._processes:
                other.kill()
            return self._failure


def serve() -> None:
    """Answer chunks as a worker, and end as soon as stdin ends, whatever is being done."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    while True:
        reply = _answer(requests.get())
        try:
            _send(answers, reply)
        except BrokenPipeError:
            os._exit(0)


def _listen(requests: "queue.SimpleQueue[bytes]") -> None:
    try:
        while True:
            requests.put(_receive(sys.stdin.buffer))
    except EOFError:
        os._exit(0)  # whoever asked is gone: nothing is left to be done


def _answer(request: bytes) -> bytes:
    """Return the results of a chunk up to the first error, and that error."""
    results: list[Any] = []
    failed: Exception | None = None
    try:
        function, items = pickle.loads(request)
        for item in items:
            results.append(function(item))
    except Exception as error:
        failed = error
    if failed is not None:
        failed = _portable(failed)
    try:
        return pickle.dumps((results, failed), protocol=5)
    except Exception as error:
        return pickle.dumps(([], _portable(error)), protocol=5)


def _portable(error: Exception) -> Exception:
    """Return the error, or its sentence where it is of a kind that does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _send(stream: BinaryIO | Any, message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def _receive(stream: BinaryIO | Any) -> bytes:
    """Read a message; EOFError when the stream ends before it is whole."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    message: bytes = stream.read(length)
    if len(message) < length:
        raise EOFError
    return message
