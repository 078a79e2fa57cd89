"""Runs that are refused, killed or made again, through the real command line: nothing is lost, the bytes are the same."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from small_project import environment, run


def test_two_runs_give_the_same_bytes(project: Path) -> None:
    """Of the stages that are not killed and made again below."""
    before = (project / "reports/metrics.json").read_bytes()
    figures = {file.name: file.read_bytes() for file in (project / "reports/figures").iterdir()}
    run(project, "dvc", "repro", "-q", "-f", "-s", "featurize", "finetune-img", "evaluate", "report")
    assert (project / "reports/metrics.json").read_bytes() == before
    assert {file.name: file.read_bytes() for file in (project / "reports/figures").iterdir()} == figures


@pytest.mark.parametrize("value", ["loss=mcc", "losses.mc.tau_batch=-1", "pretrain.epochs=abc", "+los=mc", "~losses.nce"])
def test_a_wrong_value_stops_dvc_and_every_output_is_still_there(project: Path, value: str) -> None:
    before = {
        path: path.stat().st_mtime_ns
        for top in ("artifacts", "reports")
        for path in (project / top).rglob("*")
        if path.is_file()
    }
    started = time.monotonic()
    done = run(project, "dvc", "exp", "run", "-S", value, check=False)
    assert done.returncode != 0
    assert time.monotonic() - started < 60
    says = value.split("=")[0].lstrip("+~")
    assert f"error: params.yaml: {says}" in done.stderr
    after = {
        path: path.stat().st_mtime_ns
        for top in ("artifacts", "reports")
        for path in (project / top).rglob("*")
        if path.is_file()
    }
    assert after == before
    run(project, "git", "restore", "params.yaml")
    assert "up to date" in run(project, "dvc", "repro").stdout


@pytest.mark.parametrize(
    ("stage", "after"),
    [("pretrain-img", "moco: epoch 2"), ("pretrain", "seed 1: epoch 2"), ("finetune-loc", "seed 0, ratio 1,")],
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
    done = run(project, *command)
    again = done.stdout + done.stderr
    assert FIRST[stage] not in again
    assert {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    assert not list((project / ".dvc/tmp/cspops").glob("*"))
    assert run(project, "git", "status", "--short").stdout == ""


FIRST = {
    "pretrain-img": "moco: epoch 1 of",
    "pretrain": "pretrain seed 0: epoch 1 of",
    "finetune-loc": "finetune-loc: seed 0, ratio 0.1,",
}
"""What a run from the beginning reports first."""
