"""`python -m cspops`, and the `cspops` command."""

import gc
import os
import sys
from pathlib import Path


def run() -> None:
    """Make sure that the right code runs, then start the command line."""
    _prefer_the_checkout_that_dvc_runs_in()
    # OpenMP threads that spin for long while they wait slow a shared machine down, threads that sleep at once slow the
    # next kernel down: spin for some microseconds. Results are the same.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    # Importing torch and timm makes a million objects that stay. By default the garbage collector walks through them again
    # after every 700 new ones, a fifth of the time that a short command takes.
    gc.set_threshold(50_000)
    from cspops.commands import main

    sys.exit(main())


def _prefer_the_checkout_that_dvc_runs_in() -> None:
    """Start again with the sources below the working folder when DVC runs us in another checkout than installed.

    `dvc exp run --queue` runs stages in a copy of the snapshot, but an editable install would import the workspace's
    present sources: the experiment would record code that it did not run.
    """
    here = Path("src/cspops/__init__.py")
    ours = Path(__file__).parent / "__init__.py"
    if "DVC_STAGE" not in os.environ or not here.is_file() or here.resolve() == ours.resolve():
        return
    source = str(here.parent.parent.resolve())
    if source in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        return
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    os.execve(sys.executable, [sys.executable, "-m", "cspops", *sys.argv[1:]], os.environ | {"PYTHONPATH": path})


if __name__ == "__main__":
    run()
