"""Predictions of two runs, compared row by row."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from cspops.commands import app, runs, versus
from cspops.errors import DataError
from cspops.evaluation import compared_rows
from cspops.report.run_record import STAGES, RunRecord


def predictions(
    file: Path,
    *,
    seeds: tuple[int, ...] = (3, 1),
    first_row: int = 0,
    draw: int = 0,
    models: tuple[str, ...] = compared_rows.MODELS,
) -> pa.Table:
    """Random guesses of 3 classes for 6 rows of two sets, the seeds not in order."""
    random = np.random.default_rng(draw)
    rows = [
        {"seed": seed, "label_ratio": ratio, "role": role, "obs_id": f"o{first_row + row}", "label": row % 3}
        | {model: [int(one) for one in random.permutation(3)] for model in models}
        for seed in seeds
        for ratio in (0.1, 1.0)
        for role, ids in (("test", range(4)), ("spatial_test", range(4, 6)))
        for row in ids
    ]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, file)
    return table


def test_each_difference_is_that_of_the_hits_counted_a_row_at_a_time(tmp_path: Path) -> None:
    mine, its = predictions(tmp_path / "a", draw=1), predictions(tmp_path / "b", draw=2)
    rows = compared_rows.differences(compared_rows.hits_in(mine), compared_rows.hits_in(its), "other")
    assert [(row["role"], row["label_ratio"], row["model"]) for row in rows[:4]] == [
        ("spatial_test", 0.1, model) for model in compared_rows.MODELS
    ]
    assert len(rows) == 2 * 2 * 4
    for row in rows:
        hits = [
            [
                one[row["model"]][0] == one["label"]
                for one in table.to_pylist()
                if (one["role"], one["label_ratio"]) == (row["role"], row["label_ratio"])
            ]
            for table in (mine, its)
        ]
        assert row["difference"] == pytest.approx(100 * (sum(hits[0]) - sum(hits[1])) / len(hits[0]), abs=1e-4)
        assert (row["seeds"], row["rows"]) == (2, 4 if row["role"] == "test" else 2)
        assert row["low"] <= row["difference"] <= row["high"]


def test_what_both_runs_have_is_compared(tmp_path: Path) -> None:
    has = {"fused": (*compared_rows.MODELS, "fusion"), "plain": compared_rows.MODELS, "old": compared_rows.MODELS[:-1]}
    hits = {}
    for name, models in has.items():
        predictions(tmp_path / name, models=models)
        hits[name] = compared_rows.read_hits(tmp_path / name, name=name, remake="")
    for mine, its, models in (("fused", "fused", has["fused"]), ("fused", "plain", has["plain"]), ("old", "fused", has["old"])):
        rows = compared_rows.differences(hits[mine], hits[its], "other")
        assert tuple(row["model"] for row in rows[: len(models)]) == models
        assert len(rows) == 2 * 2 * len(models)
    predictions(tmp_path / "broken", models=("image", "location"))
    with pytest.raises(DataError, match="broken: it has no column combined"):
        compared_rows.read_hits(tmp_path / "broken", name="that file", remake="")


def test_hits_are_by_seed_in_order(tmp_path: Path) -> None:
    table = predictions(tmp_path / "a")
    hits = compared_rows.hits_in(table)["test", 0.1]
    assert hits.seeds == (1, 3)
    assert hits.obs_id == ("o0", "o1", "o2", "o3")
    for number, seed in enumerate(hits.seeds):
        expected = [
            one["image"][0] == one["label"]
            for one in table.to_pylist()
            if (one["role"], one["label_ratio"], one["seed"]) == ("test", 0.1, seed)
        ]
        assert hits.by_model["image"][number].tolist() == expected


@pytest.mark.parametrize("other", [{"seeds": (3, 2)}, {"first_row": 1}])
def test_other_rows_or_seeds_are_refused(tmp_path: Path, other: dict[str, int]) -> None:
    mine = predictions(tmp_path / "a")
    its = predictions(tmp_path / "b", **other)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"(?m)^'other' was tested on other rows or seeds \(spatial_test, 10 % labels\)$"):
        compared_rows.differences(compared_rows.hits_in(mine), compared_rows.hits_in(its), "other")


def commit() -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *words], check=True)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(versus, "require_repository", lambda: None)

    def run(revision: str) -> Result:
        return CliRunner().invoke(app, ["versus", revision], env={"COLUMNS": "160"})

    with pytest.raises(DataError, match=r"predictions\.parquet is missing"):
        raise run("main").exception or AssertionError
    versus.PREDICTIONS.parent.mkdir(parents=True)
    mine = predictions(versus.PREDICTIONS)
    with pytest.raises(DataError, match="no revision is named"):
        raise run("").exception or AssertionError
    monkeypatch.setattr(versus, "hits_of", lambda revision: compared_rows.hits_in(mine))
    commit()
    shown = run("main").stdout
    assert "workspace minus main" in shown
    assert said == [
        "workspace and main are not comparable (how workspace and main computed is unknown, since reports/run.json has no "
        "`numerics`): a difference may be that of the machines."
    ]
    Path("reports").mkdir()
    digests = dict.fromkeys(STAGES["combined"], "")
    versus.RECORD.write_text(RunRecord("", digests, digests, "", {"portable": True}).text)
    commit()
    said.clear()
    assert run("main").stdout == shown
    assert said == []
    assert shown.count("+0.00") == 2 * 2 * 4 * 3
    assert shown.index("on test (4 rows, 2 seeds)") < shown.index("on spatial test (2 rows, 2 seeds)")


def test_a_name_of_experiments_of_two_commits_is_that_of_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dvc.api

    monkeypatch.chdir(tmp_path)
    predictions(tmp_path / "a")
    commits = []
    for number in range(2):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"2026-01-0{number + 1}T00:00:00Z")
        commit()
        commits.append(subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip())
    commit()
    for one in commits:
        subprocess.run(["git", "update-ref", f"refs/exps/{one[:2]}/{one[2:]}/twice", one], check=True)
    asked = []
    monkeypatch.setattr(dvc.api, "open", lambda file, *, rev, mode: asked.append(rev) or (tmp_path / "a").open(mode))
    assert ("test", 0.1) in runs.hits_of("twice")
    assert asked == [commits[-1]]
    with pytest.raises(DataError, match=r"git knows no revision 'nope'") as refused:
        runs.hits_of("nope")
    assert refused.value.hint == "dvc exp list -A and git branch -a list revisions"


def test_validation_is_shown_where_there_is_no_test_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(versus, "require_repository", lambda: None)
    versus.PREDICTIONS.parent.mkdir(parents=True)
    mine = predictions(versus.PREDICTIONS)
    commit()
    hits = compared_rows.hits_in(mine)
    for roles, shown, left_out in (({"test": "test", "spatial_test": "val"}, "test", 1), ({"test": "val"}, "validation", 0)):
        renamed = {(roles[role], ratio): one for (role, ratio), one in hits.items() if role in roles}
        monkeypatch.setattr(versus, "hits_of", lambda revision, renamed=renamed: renamed)
        monkeypatch.setattr(compared_rows, "hits_in", lambda table, renamed=renamed: renamed)
        said.clear()
        out = CliRunner().invoke(app, ["versus", "main"], env={"COLUMNS": "80"}).stdout
        assert [line.split(" (")[0] for line in out.splitlines() if line.startswith("Top-1")] == [f"Top-1 on {shown}"]
        assert len(re.findall(r"\[\+0\.00, \+0\.00\]", out)) == 2 * 4
        assert sum("validation" in line for line in said) == left_out
