"""Comparing two runs in a small repository: drops, gains, noise, params, and what cannot be compared."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cspops.commands.compare import compared_runs
from cspops.errors import DataError, ParamsError
from cspops.params import VIEWS
from cspops.report.compared_runs import conclusion
from cspops.report.run_record import RunRecord

PORTABLE: dict[str, Any] = {"portable": True, "threads": 1, "instruction_set": "avx2", "torch": "2.15"}
FAST: dict[str, Any] = {"portable": False, "threads": 2, "instruction_set": "avx512", "torch": "2.15", "cpu": "a"}
ROWS = {("test", "label_5"): 50.0, ("test", "label_100"): 60.0}


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def write_run(
    *,
    change: float = 0.0,
    sd: float = 0.2,
    seeds: int = 5,
    stale: bool = False,
    data: str = "aa",
    numerics: dict[str, Any] = PORTABLE,
    **params: Any,
) -> None:
    """params.yaml, scores.json and the run.json that belongs to it, in the working folder."""
    Path("reports").mkdir(exist_ok=True)
    settings = {"seeds": list(range(seeds)), "loss": "mc", "losses": {"mc": {"tau": 0.2}}} | params
    Path("params.yaml").write_text(json.dumps(settings))
    metrics: dict[str, Any] = {}
    for (role, ratio), value in ROWS.items():
        top1 = {"combined": {"top1": {"mean": value + change, "sd": sd}}, "image": {"top1": {"mean": 40.0, "sd": 0.0}}}
        metrics.setdefault(role, {})[ratio] = top1
    text = json.dumps(metrics)
    Path("reports/scores.json").write_text(text)
    stages: dict[str, Any] = {"download": {"params": {}, "files": {"observations.parquet": data}}}
    record = RunRecord.of(stages, dict.fromkeys(VIEWS, "code"), b"other" if stale else text.encode(), numerics)
    Path("reports/run.json").write_text(record.text)


def commit() -> None:
    git("add", "-A")
    git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "run", "--allow-empty")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "-b", "main")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").touch()
    write_run()
    commit()
    return tmp_path


def verdicts(base: str = "main", head: str | None = None, *, max_drop: float = 0.5) -> list[str]:
    return [row["verdict"] for row in compared_runs(base, head, models=["product"], max_drop=max_drop)["rows"]]


@pytest.mark.parametrize(
    ("change", "sd", "said"),
    [
        (0.0, 0.2, "same"),
        (0.1, 0.2, "noise"),
        (2.0, 0.2, "gain"),
        (-2.0, 0.2, "drop"),
        (-0.4, 0.01, "small drop"),  # real, but half a point is allowed
        (-2.0, 5.0, "noise"),
        (-0.6, 0.0, "drop"),
    ],
)
def test_what_is_said_of_a_difference(repository: Path, change: float, sd: float, said: str) -> None:
    write_run(sd=sd)
    commit()
    write_run(change=change, sd=sd)
    found = compared_runs("main", None, models=["product"], max_drop=0.5)
    assert [row["verdict"] for row in found["rows"]] == [said, said]
    assert [row["difference"] for row in found["rows"]] == pytest.approx([change, change])
    assert found["drops"] == (2 if said == "drop" else 0)
    assert found["notes"] == []


def test_two_revisions_are_compared_without_the_workspace(repository: Path) -> None:
    git("checkout", "-qb", "worse")
    write_run(change=-3.0)
    commit()
    git("checkout", "-q", "main")
    write_run(change=99.0)
    assert verdicts("main", "worse") == ["drop", "drop"]
    assert verdicts("worse", "main") == ["gain", "gain"]


def test_an_experiment_is_found_by_its_name(repository: Path) -> None:
    git("checkout", "-q", "--detach")
    write_run(change=-3.0)
    commit()
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    git("checkout", "-q", "main")
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/dusty-owl", head)
    assert verdicts("dusty-owl") == ["gain", "gain"]


def test_more_rows_ask_for_a_clearer_difference(repository: Path) -> None:
    """With two rows each interval is at 97.5 %: wider than one row's at 95 %, by scipy's quantiles."""
    from scipy import stats

    write_run(change=1.0)
    row = compared_runs("main", None, models=["product"], max_drop=0.5)["rows"][0]
    se = (0.2**2 / 5 * 2) ** 0.5
    assert row["low"] == pytest.approx(1.0 - stats.t.ppf(1 - 0.05 / 4, 8) * se, abs=1e-4)


@pytest.mark.parametrize(("seeds", "words", "sd"), [(1, "one seed", None), (2, "two seeds", 0.2)])
def test_one_seed_or_two_have_no_interval(repository: Path, seeds: int, words: str, sd: float | None) -> None:
    write_run(seeds=5)
    commit()
    write_run(seeds=seeds, change=-0.4)
    assert verdicts() == ["unknown", "unknown"]
    write_run(seeds=seeds, change=-0.6)
    found = compared_runs("main", None, models=["product"], max_drop=0.5)
    assert [row["verdict"] for row in found["rows"]] == ["drop", "drop"]
    row = found["rows"][0]
    assert (row["low"], row["high"], row["base_sd"], row["head_sd"]) == (None, None, 0.2, sd)
    assert found["notes"][0].startswith(f"{words}: no interval, ")
    write_run(seeds=seeds)
    assert conclusion(compared_runs("main", None, models=["product"], max_drop=0.5)).endswith(" points against main.")


def test_params_that_differ_are_listed_by_their_paths(repository: Path) -> None:
    write_run(loss="nce", losses={"mc": {"tau": 0.3}, "nce": {}})
    found = compared_runs("main", None, models=["product"], max_drop=0.5)["params"]
    assert found == [
        {"key": "loss", "base": "mc", "head": "nce"},
        {"key": "losses.mc.tau", "base": 0.2, "head": 0.3},
        {"key": "losses.nce", "base": None, "head": {}},
    ]


def test_stale_metrics_and_other_data_are_noted(repository: Path) -> None:
    write_run(stale=True, data="cc")
    notes = compared_runs("main", None, models=["product"], max_drop=0.5)["notes"]
    assert notes[0].startswith("reports/scores.json of workspace is not the one in its reports/run.json")
    assert "catalogues of workspace and main differ" in notes[1]
    Path("reports/run.json").unlink()
    (note,) = compared_runs("main", None, models=["product"], max_drop=0.5)["notes"]
    assert note.startswith("workspace has no reports/run.json")


@pytest.mark.parametrize(
    ("base", "head", "says"),
    [
        (PORTABLE, PORTABLE, None),
        (FAST, FAST, None),
        (PORTABLE, FAST, "main was computed in portable mode and workspace was not"),
        (FAST, FAST | {"threads": 4}, "threads 4 and 2"),
        (None, FAST, "how main computed is unknown"),
    ],
)
@pytest.mark.parametrize(("change", "verdict"), [(0.7, "gain"), (-0.4, "small drop"), (-0.7, "drop"), (0.0, "same")])
def test_of_another_machine_nothing_is_a_gain(
    repository: Path, base: Any, head: Any, says: str | None, change: float, verdict: str
) -> None:
    """A drop stays one, and fails a branch."""
    write_run(sd=0.01, numerics=base or FAST)
    if base is None:
        text = json.loads(Path("reports/run.json").read_text())
        del text["numerics"]
        Path("reports/run.json").write_text(json.dumps(text))
    commit()
    write_run(sd=0.01, change=change, numerics=head)
    found = compared_runs("main", None, models=["product"], max_drop=0.5)
    doubted = says is not None and verdict in ("gain", "small drop")
    assert [row["verdict"] for row in found["rows"]] == ["unknown" if doubted else verdict] * 2
    assert found["drops"] == (2 if verdict == "drop" else 0)
    if says is None:
        assert found["not_comparable"] is None
    else:
        assert says in found["not_comparable"]
        assert found["not_comparable"] in conclusion(found)


def test_a_model_that_one_run_lacks_is_left_out(repository: Path) -> None:
    found = compared_runs("main", None, models=["product", "pool"], max_drop=0.5)
    assert [row["model"] for row in found["rows"]] == ["combined"] * 2


def test_what_cannot_be_compared(repository: Path) -> None:
    for base, says in (("nowhere", "no revision 'nowhere'"), ("", "no revision ''"), ("--help", "no revision '--help'")):
        with pytest.raises(DataError, match=says):
            verdicts(base)
    with pytest.raises(ParamsError, match="no model 'combind'"):
        compared_runs("main", None, models=["combind"], max_drop=0.5)
    with pytest.raises(DataError, match="workspace and main have no set and label ratio with pool in common"):
        compared_runs("main", None, models=["pool"], max_drop=0.5)
    Path("reports/scores.json").write_text("{}")
    with pytest.raises(DataError, match=r"workspace and main have no set and label ratio with .* in common"):
        verdicts()
    Path("reports/scores.json").write_text("{")
    with pytest.raises(DataError, match=r"reports/scores\.json of workspace is broken"):
        verdicts()
    Path("reports/scores.json").unlink()
    with pytest.raises(DataError, match=r"workspace has no reports/scores\.json"):
        verdicts()
