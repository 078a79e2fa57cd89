"""Nothing is heard within, everything after."""

import os
import subprocess
import sys
import threading

from cspops.pixels.quiet import quiet_stderr


def test_neither_libraries_nor_python_are_heard_within(capfd, monkeypatch):
    monkeypatch.setattr(sys, "stderr", open(2, "w", closefd=False))  # noqa: SIM115  (of pytest's own capture)
    with quiet_stderr():
        os.write(2, b"of a library\n")
        print("of Python", file=sys.stderr)
        with quiet_stderr():
            pass
        os.write(2, b"still\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_several_threads_at_once(capfd):
    def work():
        for _ in range(50):
            with quiet_stderr():
                os.write(2, b"x")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_a_stderr_that_is_closed_stays_so():
    code = (
        "import os; from cspops.pixels.quiet import quiet_stderr; os.close(2)\n"
        "with quiet_stderr(): print('within')\n"
        "try: os.fstat(2)\n"
        "except OSError: print('closed')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "within\nclosed\n"
