"""Commands `python`, `cspops` and `dvc` whose processes are forked from one that has imported the libraries.

Importing torch, timm and the rest takes seconds of every process, and the pipeline's tests start hundreds. The commands
of a folder that stands first on PATH hand their arguments, working folder, environment and standard streams to a server;
a fork of it runs them. Nothing of cspops is imported before the fork, so each process reads the sources that a cold one
would read. Signals and the exit status are passed on, and a command that is killed takes its fork with it.
"""

import array
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARIES = (
    *("torch._dynamo", "torch.distributed", "torchvision.models", "torchvision.transforms.v2.functional", "timm"),
    *("sklearn.cluster", "sklearn.linear_model", "sklearn.neighbors", "scipy.optimize", "scipy.spatial"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.figure", "jinja2", "PIL.ImageCms"),
    *("pyarrow.compute", "pyarrow.csv", "pyarrow.parquet", "safetensors.torch", "requests"),
    *("jaxtyping", "pydantic_settings", "ruamel.yaml", "typer", "rich.progress", "rich.table"),
    *("dvc.cli.parser", "dvc.commands.queue.start", "dvc.repo.experiments.queue.celery", "dvc.repo.reproduce"),
    *("dvc.repo.experiments.executor.local", "dvc.repo.status", "dvc.stage.run", "dvc.stage.cache", "dvc_data.index"),
)

SETTINGS: dict[str, str] = runpy.run_path(str(Path(__file__).parents[1] / "src/cspops/numerics.py"))["SETTINGS"]
"""Portable mode, without an import of cspops."""

CLIENT = """#!{python} -ISE
import array, json, os, signal, socket, sys

words = {before!r} + sys.argv[1:]
if not words or words[0].startswith("-") and words[0] not in ("-", "-c", "-m", "-P"):
    os.execv({python!r}, [{python!r}, *words])
request = {{"words": words, "name": {name!r}, "cwd": os.getcwd(), "environment": dict(os.environ)}}
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: server.send(bytes([number])))
server.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
server.sendall(json.dumps(request).encode() + b"\\n")
status = int(server.recv(16) or 9)
if os.WIFSIGNALED(status):
    if os.WTERMSIG(status) != signal.SIGKILL:
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
    os.kill(os.getpid(), os.WTERMSIG(status))
os._exit(os.waitstatus_to_exitcode(status))
"""


@functools.cache
def warm_commands(server_name: str) -> Path:
    """The folder of the commands of a server of this process, which removes the folder when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))  # short: the address of a socket has some 100 characters at most
    server = subprocess.Popen(
        [sys.executable, __file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | SETTINGS,
        start_new_session=True,
    )
    assert server.stdin is not None and server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    atexit.register(server.wait)
    atexit.register(server.stdin.close)
    return folder


# --- the server


def serve(folder: Path) -> dict[str, Any]:
    """Import the libraries, then fork for each command; returns, in the fork, what it is to run."""
    for name in LIBRARIES:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a thread is lost in a fork"
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False  # of the libraries: a tenth of a second of each fork
    atexit.unregister(sys.modules["torch._dynamo.utils"].dump_compile_times)
    gc.collect()
    gc.freeze()
    write_commands(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "server"))
        listener.listen(64)
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    return watch(connection)
            reap()
    reap()
    shutil.rmtree(folder)
    os._exit(0)  # stdin was closed


def reap() -> None:
    """Wait for the watchers that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def write_commands(folder: Path) -> None:
    for name, entry in {"python": None, "cspops": "cspops.__main__ import run", "dvc": "dvc.cli import main"}.items():
        code = entry and f"import sys; from {entry} as main; sys.exit(main())"
        command = {
            "before": ["-P", "-c", code] if code else [],
            "name": str(folder / name) if code else "-c",
            "address": str(folder / "server"),
        }
        (folder / name).write_text(CLIENT.format(python=sys.executable, **command))
        (folder / name).chmod(0o755)


def watch(connection: socket.socket) -> dict[str, Any]:
    """Fork once more and pass on signals, the end of the command and the end of the fork."""
    _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(12))
    streams = array.array("i")
    streams.frombytes(ancillary[0][2])
    with connection.makefile("rb") as file:
        request: dict[str, Any] = json.loads(file.readline())
    fork = os.fork()
    for number, stream in enumerate(streams):
        if fork == 0:
            os.dup2(stream, number)
        os.close(stream)
    if fork == 0:
        return request
    with contextlib.suppress(OSError):
        os.setpgid(fork, fork)  # as the fork does too, whoever comes first
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):  # a pipe of the command ends with the fork
        os.dup2(null, number)

    def signals() -> None:
        while numbers := connection.recv(16):
            for number in numbers:
                os.kill(fork, number)
        os.killpg(fork, signal.SIGKILL)  # with what the fork has started: it is of another group than the command

    threading.Thread(target=signals, daemon=True).start()
    _, status = os.waitpid(fork, 0)
    with contextlib.suppress(OSError):
        connection.sendall(str(status).encode())
    os._exit(0)


def become(words: list[str], name: str, cwd: str, environment: dict[str, str]) -> None:
    """Run the words as `python` would with that environment in that folder."""
    os.setpgid(0, 0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment | SETTINGS)  # by which the libraries were loaded
    sys.executable = str(Path(sys.argv[1]) / "python")
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())  # type: ignore[union-attr]
    safe = words[0] == "-P"
    kind, *rest = words[safe:]
    first = {"-m": cwd, "-c": "", "-": ""}.get(kind, str(Path(kind).resolve().parent))
    sys.path[:1] = [*([] if safe else [first]), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    main = sys.modules["__main__"] = ModuleType("__main__")
    vars(main)["__builtins__"] = __builtins__
    if kind == "-m":
        sys.argv[:] = ["-m", *rest[1:]]
        runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]
        return
    if kind == "-c":
        sys.argv[:] = [name, *rest[1:]]
        code = compile(rest[0], "<string>", "exec")
    else:
        sys.argv[:] = [kind, *rest]
        text = sys.stdin.read() if kind == "-" else Path(kind).read_text()
        code = compile(text, "<stdin>" if kind == "-" else kind, "exec")
    exec(code, vars(main))


def run(request: dict[str, Any]) -> None:
    """As the interpreter ends: what is not caught is shown, threads and handlers are waited for, all is written."""
    status: Any = 0
    try:
        become(**request)
    except SystemExit as end:
        status = end.code
        if status is not None and not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit((status or 0) & 0xFF)


if __name__ == "__main__":
    run(serve(Path(sys.argv[1])))
