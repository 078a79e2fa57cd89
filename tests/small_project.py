"""A repository of its own with the sources of this one and small params, run once from nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from edited_params import set_params
from warm_python import warm_commands

ROOT = Path(__file__).parents[1]

Processes = Literal["warm", "other", "cold"]

# The image network, the size of the tiles and the location encoder are those of params.yaml: what the pages show is run on the
# default run's kind of model.
SMALL: dict[str, Any] = {
    "seeds": [0, 1],
    "dataset.blue_marble.train": 300,
    "dataset.blue_marble.val": 100,
    "dataset.blue_marble.test": 100,
    "dataset.blue_marble.spatial_val": 40,
    "dataset.blue_marble.spatial_test": 40,
    "dataset.blue_marble.min_zone_points": 6,
    "split.label_ratios": [0.1, 1.0],
    "pretrain_img.methods.moco.epochs": 3,
    "pretrain_img.methods.moco.batch_size": 64,
    "pretrain.epochs": 3,
    "pretrain.batch_size": 64,
    "finetune_loc.modes.probe_then_full.steps": 20,
    "finetune_img.modes.linear_probe.max_iterations": 10,
    "report.grid_degrees": 10.0,
}


def run(project: Path, *command: str, check: bool = True, processes: Processes = "warm") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=project, env=environment(processes), capture_output=True, text=True, timeout=600)
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def environment(processes: Processes = "warm") -> dict[str, str]:
    """The variables of a project's commands.

    Args:
        processes: by `warm_python`, which begin at once; by another server of it, whose hashes of strings differ; or as
            installed, which CSPOPS_TEST_COLD=1 makes of all.
    """
    installed = str(Path(sys.executable).parent)
    cold = processes == "cold" or "CSPOPS_TEST_COLD" in os.environ
    first = [] if cold else [str(warm_commands(processes))]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return variables | {
        "PATH": os.pathsep.join([*first, installed, os.environ["PATH"]]),
        "DVC_NO_ANALYTICS": "1",
        "CSPOPS_DEVICE": "cpu",
    }


def make_project(folder: Path) -> Path:
    """Fill an empty folder, run the whole line in it and commit it."""
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.splitlines():
        if name.startswith(("src/", ".dvc", "data.dvc", "dvc.yaml", "params.yaml", ".gitignore")) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    set_params(folder, SMALL)
    for command in (
        ["git", "init", "-q"],
        ["git", "config", "user.email", "tests@example.org"],
        ["git", "config", "user.name", "tests"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "start"],
        ["dvc", "repro", "-q"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "first run"],
    ):
        run(folder, *command)
    return folder
