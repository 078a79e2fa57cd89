"""DVC's queue of experiments, through its command line."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cspops.errors import CspopsError

ENTRY = re.compile(r"([0-9a-f]{7,40})\s+(\S+)\s.*\b(Queued|Running|Failed|Success)\s*")


@dataclass(frozen=True)
class Entry:
    """An experiment that waits in the queue or is being run; its commit holds its params.yaml."""

    commit: str
    name: str


def waiting() -> list[Entry]:
    """What is queued or running."""
    found = (ENTRY.fullmatch(line) for line in _dvc("queue", "status").splitlines())
    return [Entry(match[1], match[2]) for match in found if match and match[3] in ("Queued", "Running")]


def add(name: str, settings: Mapping[str, Any]) -> None:
    """Queue one experiment; CspopsError with DVC's last word when it refuses."""
    options = [part for path, value in settings.items() for part in ("-S", f"{path}={'null' if value is None else value}")]
    _dvc("exp", "run", "--queue", "-n", name, *options)


def _dvc(*arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")] or said or [f"exit code {done.returncode}"]
        raise CspopsError(f"dvc {' '.join(arguments[:2])} failed: {errors[-1]}", hint="dvc queue status")
    return done.stdout
