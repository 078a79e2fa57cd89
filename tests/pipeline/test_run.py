"""A stage that is run twice at once, or by jobs that share its work."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from in_process import command_line, write_locked_project

from cspops.data.feature_blocks import FeatureBlocks
from cspops.pipeline import code, featurize, paths
from cspops.site import Site

N = 20


def test_a_second_run_of_a_stage_is_told_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_locked_project(tmp_path)
    with paths.alone_at("download"):
        assert command_line(monkeypatch, capsys)("download") == (
            4,
            "",
            "error: another cspops download is at work on the same data\nhint: run it again when the other has ended\n",
        )
    assert not paths.ARTIFACTS.exists()


@pytest.fixture
def small_featurize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A project whose stage featurize makes numbers of nothing, in blocks of 4 rows; returns the first row of each made."""
    monkeypatch.chdir(tmp_path)
    write_locked_project(tmp_path)
    monkeypatch.setattr(paths, "require", lambda stage, params: {})
    monkeypatch.setattr(paths, "input_hashes", lambda stage: {"download": {"a": "1"}})
    for name in ("DVC_STAGE", "DVC_ROOT", "CSPOPS_RANK", "CSPOPS_WORLD"):
        monkeypatch.delenv(name, raising=False)
    made: list[int] = []

    def work(site: Site) -> tuple[list[str], str, featurize.Fill, FeatureBlocks]:
        def fill(left: Sequence[range], blocks: FeatureBlocks) -> None:
            for rows in left:
                made.append(rows.start)
                blocks.write(rows, np.full((len(rows), 3), rows.start, np.float16))

        return [f"o{row}" for row in range(N)], "by hand", fill, FeatureBlocks(site.scratch, N, 3, 4)

    monkeypatch.setattr(featurize, "_work", work)
    return made


def as_job(monkeypatch: pytest.MonkeyPatch, rank: int | None) -> None:
    for name, value in (("CSPOPS_RANK", rank), ("CSPOPS_WORLD", 2)):
        monkeypatch.delenv(name, raising=False) if rank is None else monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize("dvc", [False, True])
def test_jobs_leave_their_shares_and_the_stage_joins_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small_featurize: list[int], dvc: bool
) -> None:
    """Jobs take no lock: here one is held meanwhile. DVC's process makes what is left, whatever its rank."""
    cspops = command_line(monkeypatch, capsys)
    with paths.alone_at("featurize"):
        as_job(monkeypatch, 1)
        assert cspops("featurize")[:2] == (0, "")
        assert small_featurize == [8, 12, 16] and not paths.ARTIFACTS.exists()
        as_job(monkeypatch, None)
        assert cspops("featurize")[0] == 4
    if dvc:
        as_job(monkeypatch, 0)
        monkeypatch.setenv("DVC_STAGE", "featurize")
    assert cspops("featurize")[:2] == (0, "")
    assert small_featurize == [8, 12, 16, 0, 4]
    whole = np.load(paths.ARTIFACTS / "featurize" / "00000.npy")
    assert whole[:, 0].tolist() == [row // 4 * 4 for row in range(N)]
    assert not list(Path(".dvc/tmp/cspops").glob("featurize-*"))


def test_a_job_of_other_code_shares_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small_featurize: list[int]
) -> None:
    """One whose code is not the one noted is refused; after `check` has noted it, it begins anew, in a folder of its own."""
    cspops = command_line(monkeypatch, capsys)
    code.write(code.installed())
    as_job(monkeypatch, 1)
    assert cspops("featurize")[0] == 0
    Path("cspops.lock").unlink()
    (code.CODE / "featurize").write_text("0" * 64 + "\n")
    assert cspops("featurize") == (
        4,
        "",
        "error: the code of stage featurize has changed since artifacts/code/featurize was written\n"
        "hint: dvc repro featurize\n",
    )
    monkeypatch.setattr(code, "require", lambda stage: None)
    first = next(Path(".dvc/tmp/cspops").glob("featurize-*"))
    assert cspops("featurize") == (
        0,
        "",
        f"warning: {first} is of jobs with another catalogue, image network, code or CSPOPS_PORTABLE: nothing is shared\n"
        "featurize: job 1 of 2 makes the features of images 9 to 20 of 20\n"
        "featurize: job 1 of 2 is done; 8 of 20 images are left to other jobs, or to `dvc repro featurize`\n",
    )
    assert small_featurize == [8, 12, 16, 8, 12, 16]


def test_a_job_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small_featurize: list[int]
) -> None:
    as_job(monkeypatch, 2)
    status, _, said = command_line(monkeypatch, capsys)("featurize")
    assert status == 4 and said.startswith("error: CSPOPS_RANK=2 and CSPOPS_WORLD=2 are no rank and number of jobs\nhint: set ")
    assert small_featurize == []


@pytest.mark.parametrize(
    ("stage", "name", "value", "why"),
    [
        ("pretrain", "CSPOPS_NPROC", "two", "CSPOPS_NPROC=two is not a number of processes"),
        ("pretrain-img", "CSPOPS_NPROC", "0", "CSPOPS_NPROC=0 is not a number of processes"),
        ("evaluate", "CSPOPS_NPROC", "-1", "CSPOPS_NPROC=-1 is not a number of processes"),
        ("split", "CSPOPS_NNODES", "none", "CSPOPS_NNODES=none is not a number of machines"),
        ("evaluate", "CSPOPS_NNODES", "2", "CSPOPS_NNODES=2, and neither CSPOPS_NODE_RANK nor SLURM_NODEID is set"),
        ("finetune-loc", "CSPOPS_WORKERS", "many", "CSPOPS_WORKERS=many is not a number of processes"),
        ("report", "CSPOPS_WORKERS", "1.5", "CSPOPS_WORKERS=1.5 is not a number of processes"),
        ("pretrain", "CSPOPS_DEVICE", "gpu7", "CSPOPS_DEVICE=gpu7 cannot be used"),
        ("split", "CSPOPS_DEVICE", "gpu7", "CSPOPS_DEVICE=gpu7 cannot be used"),
        ("featurize", "CSPOPS_RANK", "1", "CSPOPS_RANK=1 needs CSPOPS_WORLD"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_inputs_are_looked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    name: str,
    value: str,
    why: str,
) -> None:
    """No stage has been run: all inputs are missing."""
    monkeypatch.chdir(tmp_path)
    write_locked_project(tmp_path)
    for variable in ("DVC_STAGE", "SLURM_NODEID"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, value)
    status, _, said = command_line(monkeypatch, capsys)(stage)
    assert (status, said[: len(f"error: {why}")]) == (4, f"error: {why}"), said
