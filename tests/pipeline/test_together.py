"""A stage on two machines, which are two folders here: killed on one, it ends on both, and continues to the same bytes."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from judged_set import write_site
from safetensors.torch import load_file
from small_project import environment, run

from cspops.params import load
from cspops.params.graph import VIEWS, view
from cspops.pipeline import evaluate
from cspops.pipeline.together import enough, works_together

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("stage", "change", "expected"),
    [
        ("pretrain", {}, True),
        ("pretrain", {"loss": "none"}, False),
        ("pretrain-img", {}, True),
        ("pretrain-img", {"pretrain_img": {"method": "none"}}, False),
        ("finetune-loc", {}, False),
        ("finetune-loc", {"finetune_loc": {"mode": "full"}}, True),
        ("finetune-img", {}, False),
        ("finetune-img", {"finetune_img": {"mode": "full"}}, True),
        ("split", {}, False),
        ("evaluate", {}, True),
    ],
)
def test_stages_that_processes_share(stage: str, change: dict[str, str | dict[str, str]], expected: bool) -> None:
    params = load(ROOT / "params.yaml")
    for key, value in change.items():
        section = getattr(params, key)
        params = params.model_copy(update={key: section.model_copy(update=value) if isinstance(value, dict) else value})
    assert works_together(view(params, VIEWS[stage])) is expected


@pytest.mark.parametrize(
    ("stage", "size", "at_once", "expected"),
    [
        ("evaluate", 1, 1000, True),
        ("evaluate", 2, 1000, False),
        ("evaluate", 2, 100, True),  # 180 numbers are two parts
        ("evaluate", 3, 100, False),
        ("pretrain", 3, 1000, True),
    ],
)
def test_several_processes_evaluate_where_there_is_a_part_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, size: int, at_once: int, expected: bool
) -> None:
    monkeypatch.setattr(evaluate, "AT_ONCE", at_once)
    assert enough(stage, write_site(tmp_path).inputs, size) is expected


def node(project: Path, rank: int, port: int) -> "subprocess.Popen[str]":
    """Start stage pretrain on one of two machines."""
    variables = {"CSPOPS_NNODES": "2", "CSPOPS_NODE_RANK": str(rank), "CSPOPS_RDZV": f"127.0.0.1:{port}"}
    return subprocess.Popen(
        ["cspops", "pretrain"],
        cwd=project,
        env=environment("cold") | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def weights(project: Path) -> dict[str, bytes]:
    folder = project / "artifacts/pretrain"
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.safetensors")}


def test_two_machines_end_where_one_does_and_where_they_would_have_if_one_had_not_been_killed(
    project: Path, tmp_path: Path
) -> None:
    """The other ends within 30 s, with one sentence and nothing written. Two processes of one machine give the bytes."""
    second = Path(shutil.copytree(project, tmp_path / "second", symlinks=True))
    alone = weights(project)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with node(project, 0, port) as first, node(second, 1, port) as other:
        assert first.stderr is not None
        for line in first.stderr:
            if "seed 1: epoch 1" in line:
                os.killpg(other.pid, signal.SIGKILL)
                break
        started = time.monotonic()
        said = first.stderr.read()
        assert first.wait() == 4
        assert time.monotonic() - started < 30
    errors = [line for line in said.splitlines() if "epoch" not in line]
    assert errors == [
        "error: node 1 of 2 has said nothing for 12 s: it is lost",
        "hint: run the same command again on every node: it continues",
    ]
    assert weights(project) == alone

    with node(project, 0, port) as first, node(second, 1, port) as other:
        said, of_other = first.communicate()[1], other.communicate()[1]
    assert (first.returncode, other.returncode) == (0, 0), said + of_other
    assert "seed 0: epoch" not in said and "pretrain seed 1: continuing after epoch 1 of 3" in said
    assert of_other == "pretrain: done; the first node has written it\n"
    assert weights(second) == alone
    for folder in (project, second):
        assert [path for path in (folder / ".dvc/tmp/cspops").iterdir() if path.suffix != ".lock"] == []
    made = weights(project)
    assert made.keys() == alone.keys()
    for name in made:
        theirs = load_file(second / "artifacts/pretrain" / name)
        for key, mine in load_file(project / "artifacts/pretrain" / name).items():
            # a gradient that is 0 but for rounding makes a step of Adam, too
            assert ((mine - theirs[key]).abs() > 1e-5).double().mean() < 1e-3, key

    together = subprocess.run(["cspops", "pretrain"], cwd=project, env=environment() | {"CSPOPS_NPROC": "2"}, timeout=600)
    assert together.returncode == 0
    assert weights(project) == made
    run(project, "git", "restore", "reports")
