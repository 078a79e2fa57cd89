"""A repository of its own with the sources of this one and small params, run once from nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from edited_params import set_params

ROOT = Path(__file__).parents[1]

SMALL: dict[str, Any] = {
    "seeds": [0, 1],
    "dataset.blue_marble.train": 600,
    "dataset.blue_marble.val": 200,
    "dataset.blue_marble.test": 200,
    "dataset.blue_marble.spatial_val": 60,
    "dataset.blue_marble.spatial_test": 60,
    "dataset.blue_marble.min_zone_points": 10,
    "split.label_ratios": [0.1, 1.0],
    "image_encoder.model": "timm:test_resnet",
    "pretrain_img.methods.moco.epochs": 3,
    "pretrain_img.methods.moco.batch_size": 64,
    "pretrain.epochs": 4,
    "pretrain.batch_size": 128,
    "finetune_loc.steps": 40,
    "finetune_img.modes.linear_probe.max_iterations": 20,
    "report.grid_degrees": 5.0,
}


def run(project: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, timeout=600)
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def environment() -> dict[str, str]:
    bin_folder = str(Path(sys.executable).parent)
    return os.environ | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
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
