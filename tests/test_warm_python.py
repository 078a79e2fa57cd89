"""The commands of `warm_python` behave as those that they stand for."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from small_project import Processes, environment


def python(*words: str, cwd: Path, processes: Processes = "warm", typed: str = "") -> subprocess.CompletedProcess[str]:
    variables = environment(processes) | {"PYTHONPATH": str(cwd)}
    return subprocess.run(["python", *words], cwd=cwd, env=variables, input=typed, capture_output=True, text=True, timeout=60)


SCRIPT = """
import json, os, sys
print(json.dumps([sys.argv, sys.path[:2], os.getcwd(), os.environ["PYTHONPATH"], __name__, sys.stdin.read()]))
print("to stderr", file=sys.stderr)
loaded = sorted(name for name in sys.modules if name.startswith("cspops"))
sys.exit(3 if not loaded else str(loaded))
"""


WORDS = (["-c", SCRIPT, "a", "b c"], ["-P", "-c", SCRIPT], ["-m", "script", "--x"], ["script.py", "1"])


@pytest.mark.parametrize("words", WORDS, ids=["-c", "-P -c", "-m", "script.py"])
def test_a_program_sees_what_it_would_see_of_a_python_of_its_own(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    warm = python(*words, cwd=tmp_path, typed="typed")
    assert (warm.returncode, warm.stderr) == (3, "to stderr\n")
    cold = python(*words, cwd=tmp_path, typed="typed", processes="cold")
    assert (warm.returncode, warm.stdout, warm.stderr) == (cold.returncode, cold.stdout, cold.stderr)
    assert json.loads(warm.stdout)[-1] == "typed"


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("raise SystemExit", 0, ""),
        ("import sys; sys.exit('so it ends')", 1, "so it ends"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
        ("import atexit, os; atexit.register(print, 'last words'); os.chdir('/')", 0, ""),
    ],
)
def test_the_exit_status_is_passed_on(tmp_path: Path, code: str, status: int, says: str) -> None:
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == status
    assert says in done.stderr
    assert done.stdout == ("last words\n" if "atexit" in code else "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_who_ends_the_command_ends_its_fork(tmp_path: Path, number: signal.Signals) -> None:
    code = "import pathlib, time\nwhile True: print(end='.', flush=True); pathlib.Path('alive').touch(); time.sleep(0.01)"
    if number == signal.SIGKILL:  # through a shell and a second command, as DVC runs a stage
        code = f"import shlex, subprocess; subprocess.run('python -c ' + shlex.quote({code!r}) + '; true', shell=True)"
    pipe = subprocess.PIPE
    with subprocess.Popen(["python", "-c", code], cwd=tmp_path, env=environment(), stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        process.stdout.read(3)
        process.send_signal(number)
        assert process.wait(timeout=60) == -number
        process.stdout.read()  # ends when the fork does
    (tmp_path / "alive").unlink()
    time.sleep(0.1)
    assert not (tmp_path / "alive").exists()
