"""Runs that are refused, killed or made again, through the real command line: nothing is lost, the bytes are the same."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from small_project import environment, run


def test_two_runs_give_the_same_bytes(project: Path) -> None:
    """Of the stages that are not killed and made again below: by other processes, of which one imports all itself."""
    before = (project / "reports/scores.json").read_bytes()
    figures = {file.name: file.read_bytes() for file in (project / "reports/figures").iterdir()}
    run(project, "dvc", "repro", "-q", "-f", "-s", "finetune-img", processes="cold")
    run(project, "dvc", "repro", "-q", "-f", "-s", "featurize", "evaluate", "report", processes="other")
    assert (project / "reports/scores.json").read_bytes() == before
    assert {file.name: file.read_bytes() for file in (project / "reports/figures").iterdir()} == figures


AS_DVC_DOES = "import sys; from dvc.utils.hydra import apply_overrides; apply_overrides('params.yaml', sys.argv[1:])"
"""Writes what `dvc exp run -S` is told into params.yaml."""


def test_wrong_values_stop_dvc_and_every_output_is_still_there(project: Path) -> None:
    before = times(project)
    done = run(project, "dvc", "exp", "run", "-S", "loss=mcc", check=False)
    assert done.returncode != 0
    assert "error: params.yaml: loss" in done.stderr
    run(project, "git", "restore", "params.yaml")
    for value in ("losses.mc.tau_batch=-1", "pretrain.epochs=abc", "+los=mc", "~losses.mc"):
        run(project, "python", "-c", AS_DVC_DOES, value)
        refused = run(project, "cspops", "check", check=False)  # the stage that DVC would run first
        assert refused.returncode == 2
        assert f"error: params.yaml: {value.split('=')[0].lstrip('+~')}" in refused.stderr
        run(project, "git", "restore", "params.yaml")
    assert times(project) == before
    assert run(project, "git", "status", "--short").stdout == ""


def times(project: Path) -> dict[Path, int]:
    files = (path for top in ("artifacts", "reports") for path in (project / top).rglob("*"))
    return {path: path.stat().st_mtime_ns for path in files if path.is_file()}


@pytest.mark.parametrize(
    ("stage", "after"),
    [("pretrain-img", "moco: epoch 2"), ("pretrain", "seed 1: epoch 2"), ("finetune-loc", "seed 0, ratio 0.1,")],
)
def test_a_killed_stage_continues_and_ends_with_the_same_bytes(project: Path, stage: str, after: str) -> None:
    folder = project / "artifacts" / stage.replace("-", "_")
    before = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    command = ["dvc", "repro", "-f", "-s", stage]  # -f: or DVC would take the outputs from its cache
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=project, env=environment(), stdout=subprocess.DEVNULL, stderr=pipe, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if after in line:
                os.killpg(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "stage.json").exists()  # nothing half-written passes for whole
    done = run(project, *command, processes="other")
    line, times_of_all = FROM_THE_BEGINNING[stage]
    assert (done.stdout + done.stderr).count(line) < times_of_all
    assert {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    assert not [path for path in (project / ".dvc/tmp/cspops").iterdir() if path.suffix != ".lock"]
    assert run(project, "git", "status", "--short").stdout == ""


FROM_THE_BEGINNING = {
    "pretrain-img": ("moco: epoch 1 of", 1),
    "pretrain": (": epoch 1 of", 2),
    "finetune-loc": ("finetune-loc: seed", 4),
}
"""A line, and how many of them a run from the beginning has: of two seeds side by side the other may be at its first."""
