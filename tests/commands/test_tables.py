"""The paper's tables out of a small git repository whose runs are made by hand: params, lock and metrics that fit, or not."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from in_process import command_line
from small_project import environment
from told import told
from typer.testing import CliRunner

from cspops.commands import app, runs
from cspops.commands import tables as command
from cspops.data.splits import ratio_key
from cspops.errors import CspopsError, DataError, EnvironmentProblem, ParamsError
from cspops.evaluation import compared_rows
from cspops.params import Params, load, parse, recorded, with_values
from cspops.pipeline.code import installed
from cspops.report import paper_page
from cspops.report.paper import TABLES
from cspops.report.paper_table import verdict
from cspops.report.run_record import RunRecord

ROOT = Path(__file__).parents[2]
CODE = installed().stages
OTHER = ("finetune-img", "evaluate")
DEFAULT = load(ROOT / "params.yaml")
SUP_GRID = {"loss": "none"}
SUP_WRAP = {"loss": "none", "location_encoder.encoding.name": "wrap", "location_encoder.network.name": "residual"}


def git(*arguments: str) -> str:
    who = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    done = subprocess.run(["git", *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write(file: str, text: str) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text)


def metrics_text(params: Params, combined: float, image: float) -> str:
    models = {"image": {"top1": {"mean": image, "sd": 0.25}}, "combined": {"top1": {"mean": combined, "sd": 0.5}}}
    models["pool"] = models["combined"]
    return json.dumps({"test": {ratio_key(ratio): models for ratio in params.split.label_ratios}})


PORTABLE: dict[str, Any] = {"portable": True, "threads": 1, "instruction_set": "avx2", "torch": "2.15"}
FAST: dict[str, Any] = {"portable": False, "threads": 4, "instruction_set": "avx512", "torch": "2.15", "cpu": "some"}


def record_text(params: Params, metrics: str, data: str, other_code: tuple[str, ...], numerics: dict[str, Any]) -> str:
    """run.json as stage report would write it."""
    records: dict[str, Any] = {stage: {"params": recorded(params, stage)} for stage in CODE}
    records["download"]["files"] = {"observations.parquet": data}
    return RunRecord.of(records, CODE | dict.fromkeys(other_code, "other"), metrics.encode(), numerics).text


def write_run(
    values: dict[str, Any],
    combined: float,
    image: float = 30.0,
    *,
    other_code: tuple[str, ...] = (),
    data: str = "raw",
    ran: Any = None,
    numerics: dict[str, Any] = PORTABLE,
) -> None:
    """A run in the working folder: params.yaml (JSON is YAML), run.json, metrics. ``ran``: what ran instead."""
    params = with_values(DEFAULT, values.items())
    did = params if ran is None else with_values(DEFAULT, ran.items())
    write("params.yaml", params.model_dump_json(indent=1))
    write("reports/scores.json", metrics_text(did, combined, image))
    write("reports/run.json", record_text(did, Path("reports/scores.json").read_text(), data, other_code, numerics))


def save(ref: str) -> str:
    """Commit the working folder under a ref of its own, and go back to HEAD."""
    git("add", "-A")
    commit = git("commit-tree", "-p", "HEAD", "-m", ref, git("write-tree"))
    git("update-ref", ref, commit)
    git("reset", "-q", "--hard", "HEAD")
    return commit


def experiment(name: str, values: dict[str, Any], combined: float, image: float = 30.0, **about: Any) -> str:
    """An experiment as `dvc exp run` leaves it."""
    write_run(values, combined, image, **about)
    head = git("rev-parse", "HEAD")
    return save(f"refs/exps/{head[:2]}/{head[2:]}/{name}")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose HEAD is a finished run of CSP-MC-BLD."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    git("init", "-q", "-b", "main")
    write(".dvc/config", "[core]\n    analytics = false\n    check_update = false\n")
    write(".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")
    write_run({}, 53.0)
    git("add", "-A")
    git("commit", "-q", "-m", "a run")
    return folder


def collect(number: int = 1, *, any_code: bool = False, write: bool = True) -> dict[str, Any]:
    said: list[str] = []
    with told(said.append):
        document = command.filled(number, any_code=any_code, write=write)
    document["said"] = said
    return document


def row(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = next(one["cells"] for one in document["rows"] if one["name"] == name)
    return cells


def means(document: dict[str, Any], name: str) -> list[float | None]:
    return [cell["ours"] and cell["ours"]["mean"] for cell in row(document, name)]


NONE = [None] * 6


def test_a_run_fills_the_row_of_its_params_whatever_it_is_called(project: Path) -> None:
    commit = experiment("nce", SUP_GRID, 51.0)
    experiment("t1-sup-grid", {"loss": "mse"}, 52.0)
    document = collect()
    assert means(document, "CSP-MC-BLD") == [53.0] * 6
    assert means(document, "Sup. Only (grid)") == [51.0] * 6
    assert means(document, "MSE") == [52.0] * 6
    assert means(document, "Img. Only") == [30.0] * 6
    assert means(document, "CSP-NCE-BLD") == means(document, "Sup. Only (wrap)") == NONE
    ours_alone, _, cell = row(document, "Sup. Only (grid)")[:3]
    assert (ours_alone["paper"], cell["paper"]) == (None, {"mean": 8.16, "sd": 0.01})
    assert {name: cell["ours"][name] for name in ("mean", "sd", "revision", "commit")} == {
        "mean": 51.0,
        "sd": 0.5,
        "revision": "nce",
        "commit": commit[:7],
    }
    assert row(document, "CSP-MC-BLD")[0]["ours"]["revision"] == "main"
    assert document["dataset"] == "blue_marble"
    assert "Ours were measured on blue_marble, the paper's on iNat2018" in Path("reports/tables/table_1.md").read_text()
    assert not list(Path("reports/tables").glob(".*"))


def test_a_branch_counts_and_what_dvc_keeps_for_itself_does_not(project: Path) -> None:
    for ref in ("refs/exps/stash", "refs/exps/exec/EXEC_HEAD", "refs/exps/celery/stash", "refs/exps/apply/ORIG_HEAD"):
        write_run(SUP_GRID, 51.0)
        save(ref)
    assert means(collect(), "Sup. Only (grid)") == NONE
    write_run(SUP_GRID, 51.0)
    save("refs/heads/without")
    assert means(collect(), "Sup. Only (grid)") == [51.0] * 6


@pytest.mark.parametrize(
    ("values", "matches"),
    [
        ({"losses.mc.tau_batch": 0.9, "encodings.wrap": {}}, True),  # of a loss that this run does not use
        ({"networks.residual.layers": 9}, True),
        ({"pretrain.epochs": 99}, False),
        ({"seeds": [0]}, False),
        ({"dataset.blue_marble.border_km": 99.0}, False),
        ({"location_encoder.encoding.name": "wrap"}, False),
    ],
)
def test_only_params_that_some_stage_reads_decide(project: Path, values: dict[str, Any], matches: bool) -> None:
    experiment("one", SUP_GRID | values, 51.0)
    assert means(collect(), "Sup. Only (grid)") == ([51.0] * 6 if matches else NONE)


def test_the_image_alone_comes_from_any_run_of_the_same_image_line(project: Path) -> None:
    write("reports/scores.json", "{}")  # HEAD itself is of no use
    git("commit", "-q", "-a", "-m", "broken")
    assert means(collect(), "Img. Only") == NONE
    experiment("a", SUP_WRAP | {"pretrain.epochs": 3, "finetune_losses.presence_absence.beta": 0.5}, 50.0, 31.0)
    assert means(collect(), "Img. Only") == [31.0] * 6
    git("update-ref", "-d", git("for-each-ref", "--format=%(refname)", "refs/exps"))
    Path("reports/tables/table_1.json").unlink()
    experiment("b", SUP_WRAP | {"finetune_img.modes.linear_probe.max_iterations": 3}, 50.0, 31.0)
    assert means(collect(), "Img. Only") == NONE


def test_other_code_only_when_asked_for_and_marked(project: Path) -> None:
    experiment("old", SUP_GRID, 51.0, other_code=OTHER)
    document = collect()
    assert means(document, "Sup. Only (grid)") == NONE
    assert row(document, "Sup. Only (grid)")[0]["missing"] == "run only by other code (old); --any-code shows it"
    document = collect(any_code=True)
    assert means(document, "Sup. Only (grid)") == [51.0] * 6
    marked = {one["name"] for one in document["rows"] for cell in one["cells"] if cell["other_code"]}
    assert marked == {"Sup. Only (grid)"}
    assert "51.00 (0.50)†" in Path("reports/tables/table_1.md").read_text()
    experiment("new", SUP_GRID, 51.5)  # the same code as the workspace's wins
    assert means(collect(any_code=True), "Sup. Only (grid)") == [51.5] * 6


def test_other_raw_data_never(project: Path) -> None:
    experiment("other-data", SUP_GRID, 51.0, data="another")
    assert means(collect(any_code=True), "Sup. Only (grid)") == NONE


def test_metrics_of_another_run_do_not_count(project: Path) -> None:
    write_run({"loss": "mse"}, 52.0)
    write("reports/scores.json", Path("reports/scores.json").read_text().replace("52.0", "92.0"))
    save("refs/heads/edited")
    reason = "edited has these params, but its scores.json belongs to another run"
    assert row(collect(any_code=True), "MSE")[-1] == {
        "paper": {"mean": 73.27, "sd": 0.02},
        "ours": None,
        "other_code": False,
        "other_machine": False,
        "other_params": False,
        "missing": reason,
    }


def test_a_run_without_scores_does_not_count(project: Path) -> None:
    write_run({"loss": "mse"}, 52.0)
    Path("reports/scores.json").unlink()
    save("refs/heads/old")
    reason = "old has these params, but no scores.json: it is of older code"
    assert row(collect(any_code=True), "MSE")[-1]["missing"] == reason


def test_what_ran_counts_and_not_what_params_yaml_says_since(project: Path) -> None:
    experiment("not-run", SUP_GRID, 51.0, ran={"loss": "mse"})
    document = collect(any_code=True)
    assert means(document, "Sup. Only (grid)") == NONE
    assert means(document, "MSE") == [51.0] * 6


def test_revisions_of_another_form_are_passed_over(project: Path) -> None:
    for name, text in (("broken", "{"), ("older", "{}")):
        write_run(SUP_GRID, 51.0)
        write("reports/run.json", text)
        save(f"refs/heads/{name}")
    write_run(SUP_GRID, 51.0)
    Path("reports/run.json").unlink()
    save("refs/heads/without")
    assert means(collect(), "CSP-MC-BLD") == [53.0] * 6
    assert means(collect(), "Sup. Only (grid)") == NONE


def test_a_label_ratio_that_the_workspace_lacks_is_an_empty_cell_with_the_reason(project: Path) -> None:
    write_run({"split.label_ratios": [0.05, 1.0]}, 53.0)
    git("commit", "-q", "-a", "-m", "two ratios")
    document = collect()
    assert means(document, "CSP-MC-BLD") == [None, None, 53.0, None, None, 53.0]
    assert row(document, "CSP-MC-BLD")[3]["missing"] == "split.label_ratios in params.yaml has no 0.1"
    (missing,) = (line for line in Path("reports/tables/table_1.md").read_text().splitlines() if "(0.5 %)" in line)
    assert missing.startswith("- Missing: Img. Only; ") and "; CSP-MC-BLD; " in missing


def without_tile2vec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Table 5 asks for a method that this project does not have."""
    table = TABLES[5]
    rows = [
        replace(one, overrides=(("pretrain_img.method", "none such"),)) if "Tile2Vec" in one.name else one for one in table.rows
    ]
    monkeypatch.setitem(TABLES, 5, replace(table, rows=tuple(rows)))


def test_rows_that_cannot_run_say_why(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_tile2vec(monkeypatch)
    document = collect(5)
    missing = row(document, "Img. Only (Tile2Vec)")[0]["missing"]
    assert missing.startswith("params.yaml: pretrain_img.method: 'none such' is not one of ")
    assert means(document, "CSP-MC-BLD") == [53.0] * 4


def test_a_setting_that_the_project_does_not_have_is_named(project: Path) -> None:
    with pytest.raises(ParamsError, match=r"pretrain_img\.methods\.byol: unknown key"):
        with_values(DEFAULT, [("pretrain_img.methods.byol.epochs", 2)])


def hits(seeds: int, n: int, combined: float, image: float) -> compared_rows.HitsByRoleAndRatio:
    """The first share of the rows is right, of each model."""

    def right(percent: float) -> torch.Tensor:
        return (torch.arange(n) < n * percent / 100).expand(seeds, n).clone()

    one = compared_rows.Hits(
        tuple(range(seeds)),
        tuple(map(str, range(n))),
        {"combined": right(combined), "pool": right(combined), "image": right(image)},
    )
    return {("test", ratio): one for ratio in DEFAULT.split.label_ratios}


@pytest.fixture
def predictions(monkeypatch: pytest.MonkeyPatch) -> dict[str, compared_rows.HitsByRoleAndRatio]:
    """What DVC's cache holds, by commit; empty at first."""
    cache: dict[str, compared_rows.HitsByRoleAndRatio] = {}

    def bring(revision: str) -> compared_rows.HitsByRoleAndRatio:
        if revision not in cache:
            raise DataError("not in the cache")
        return cache[revision]

    monkeypatch.setattr(runs, "hits_of", bring)
    return cache


def comparison(document: dict[str, Any], name: str, minus: str, measure: str = "combined") -> list[dict[str, Any]]:
    wanted = (name, minus, measure)
    found = (one["cells"] for one in document["comparisons"] if (one["row"], one["minus"], one["measure"]) == wanted)
    cells: list[dict[str, Any]] = next(found)
    return cells


def test_intervals_and_verdicts_from_the_predictions(
    project: Path, predictions: dict[str, compared_rows.HitsByRoleAndRatio]
) -> None:
    """All rows against none: every resample gives 100. The same rows: every resample gives 0."""
    write_run({}, 100.0, 0.0)
    git("commit", "-q", "-a", "-m", "all right")
    predictions[git("rev-parse", "HEAD")] = hits(2, 20, 100, 0)
    predictions[experiment("none", SUP_GRID, 0.0, 0.0)] = hits(2, 20, 0, 0)
    predictions[experiment("nce", {"loss": "nce"}, 0.0, 0.0)] = hits(2, 20, 0, 0)
    predictions[experiment("mse", {"loss": "mse"}, 100.0, 0.0)] = hits(2, 20, 100, 0)
    document = collect()
    for minus in ("Sup. Only (grid)", "CSP-NCE-BLD", "Img. Only"):
        for measure in ("combined", "pool"):
            cells = comparison(document, "CSP-MC-BLD", minus, measure)
            assert all((cell["difference"], cell["low"], cell["high"]) == (100.0, 100.0, 100.0) for cell in cells)
            assert [cell["verdict"] for cell in cells] == ["not in the paper"] * 2 + ["holds"] * 4
    worse = comparison(document, "CSP-NCE-BLD", "MSE")[3]
    assert (worse["difference"], worse["high"], worse["verdict"], worse["paper"]) == (-100.0, -100.0, "does not hold", 0.95)
    assert comparison(document, "MSE", "Sup. Only (grid)")[2]["verdict"] == "no order in the paper"
    missing = comparison(document, "Sup. Only (grid)", "Sup. Only (wrap)")[0]
    assert (missing["difference"], missing["verdict"], missing["why"]) == (None, None, "a number is missing")
    predictions[experiment("nce-again", {"loss": "nce"}, 100.0, 0.0, other_code=OTHER)] = hits(2, 20, 100, 0)
    git("update-ref", "-d", f"refs/exps/{git('rev-parse', 'HEAD')[:2]}/{git('rev-parse', 'HEAD')[2:]}/nce")
    Path("reports/tables/table_1.json").unlink(missing_ok=True)
    even = comparison(collect(any_code=True), "CSP-MC-BLD", "CSP-NCE-BLD")[4]
    assert (even["low"], even["high"], even["verdict"]) == (0.0, 0.0, "within noise")


def test_a_sentence_says_how_far_the_gain_moves_with_the_image_network(
    project: Path, predictions: dict[str, compared_rows.HitsByRoleAndRatio], capsys: pytest.CaptureFixture[str]
) -> None:
    """A gain of 3, 5 and 1.5 points; a run of another machine, which is marked, does not count."""

    def sentence() -> str | None:
        return paper_page.f_star_sentence(cast(paper_page.TableDocument, collect()))

    predictions[git("rev-parse", "HEAD")] = hits(2, 100, 53, 0)
    predictions[experiment("none", SUP_GRID, 50.0)] = hits(2, 100, 50, 0)
    assert sentence() is None
    for number, gain in ((2, 5.0), (3, 4.0)):
        seed = {"image_encoder.seed": number - 1}
        experiment(f"mc-{number}", seed, 50.0 + gain)
        experiment(f"none-{number}", SUP_GRID | seed, 50.0, numerics=PORTABLE if number == 2 else FAST)
        assert "0.5 %: 2.00 (2 F*, +3.00 to +5.00; +3.00 [" in str(sentence())
    git("update-ref", "-d", next(ref for ref in git("for-each-ref", "--format=%(refname)").split() if ref.endswith("none-3")))
    experiment("none-3-again", SUP_GRID | {"image_encoder.seed": 2}, 52.5)
    said = str(sentence())
    assert said.endswith("]).")
    assert "; 100 %: 3.50 (3 F*, +1.50 to +5.00; +3.00 [+0" in said
    assert said in Path("reports/tables/table_1.md").read_text()
    command._show_filled(cast(paper_page.TableDocument, collect()))
    assert "\n  100 %: 3.50 (3 F*, +1.50 to +5.00; +3.00 [+0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("expected", "low", "high", "says"),
    [
        (1, 0.1, 2.0, "holds"),
        (1, -2.0, -0.1, "does not hold"),
        (-1, -2.0, -0.1, "holds"),
        (-1, 0.1, 2.0, "does not hold"),
        (1, -0.1, 2.0, "within noise"),
        (-1, 0.0, 2.0, "within noise"),
        (0, 0.1, 2.0, "no order in the paper"),
        (None, 0.1, 2.0, "not in the paper"),
    ],
)
def test_verdict(expected: int | None, low: float, high: float, says: str) -> None:
    assert verdict(expected, low, high) == says


def test_an_interval_that_cannot_be_had_says_why(
    project: Path, predictions: dict[str, compared_rows.HitsByRoleAndRatio]
) -> None:
    head = git("rev-parse", "HEAD")
    other = experiment("none", SUP_GRID, 40.0)

    def why() -> str:
        cell = comparison(collect(), "CSP-MC-BLD", "Sup. Only (grid)")[0]
        assert (cell["difference"], cell["low"], cell["verdict"]) == (13.0, None, None)
        assert "+13.00 |" in Path("reports/tables/table_1.md").read_text()
        return str(cell["why"])

    assert why() == "the predictions of main are not in DVC's cache"
    predictions[head] = hits(2, 100, 53, 30)
    assert why() == "the predictions of none are not in DVC's cache"
    predictions[other] = hits(3, 100, 40, 30)
    assert why() == "tested on other rows or seeds"
    predictions[other] = hits(2, 100, 39, 30)
    assert why() == "the predictions in DVC's cache are not those of scores.json"
    predictions[other] = hits(2, 100, 40, 30)
    assert comparison(collect(), "CSP-MC-BLD", "Sup. Only (grid)")[2]["verdict"] == "holds"


@pytest.fixture
def clone(project: Path, predictions: dict[str, compared_rows.HitsByRoleAndRatio], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone of a project whose Table 1 is committed with two rows: no experiments, no predictions."""
    predictions[git("rev-parse", "HEAD")] = hits(2, 100, 53, 30)
    predictions[experiment("none", SUP_GRID, 40.0)] = hits(2, 100, 40, 30)
    collect()
    git("add", "-A")
    git("commit", "-q", "-m", "the table")
    git("clone", "-q", ".", "../clone")
    predictions.clear()
    monkeypatch.chdir(project.parent / "clone")
    return project.parent / "clone"


def test_in_a_fresh_clone_the_committed_table_stays_as_it_is(clone: Path) -> None:
    assert git("for-each-ref", "refs/exps") == ""
    before = {file.name: file.read_bytes() for file in Path("reports/tables").iterdir()}
    document = collect()
    assert means(document, "Sup. Only (grid)") == [40.0] * 6
    assert row(document, "Sup. Only (grid)")[0]["ours"]["revision"] == "none"
    assert comparison(document, "CSP-MC-BLD", "Sup. Only (grid)")[2]["verdict"] == "holds"
    assert {file.name: file.read_bytes() for file in Path("reports/tables").iterdir()} == before
    shutil.rmtree("reports/tables")  # HEAD still has them
    assert means(collect(), "Sup. Only (grid)") == [40.0] * 6
    whole = Path("reports/tables/table_1.json").read_text()
    for broken in ("{", "[]", whole.replace('"key"', '"kez"'), whole.replace('"low"', '"lov"'), '{"rows": [{}]}'):
        write("reports/tables/table_1.json", broken)
        assert means(collect(), "Sup. Only (grid)") == [40.0] * 6
    assert git("status", "--short") == ""


def test_looking_writes_nothing(clone: Path) -> None:
    write_run({"pretrain.epochs": 99}, 55.0)
    git("commit", "-q", "-a", "-m", "longer")
    for number in (1, 2):
        collect(number, write=False)
    command.listing()
    assert git("status", "--short") == ""


def test_committed_numbers_of_other_params_stay_marked_and_are_queued_again(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run({"pretrain.epochs": 99}, 55.0)
    git("commit", "-q", "-a", "-m", "longer")
    document = collect()
    assert means(document, "CSP-MC-BLD") == [55.0] * 6
    assert not any(cell["other_params"] for cell in row(document, "CSP-MC-BLD") + row(document, "Img. Only"))
    cell = row(document, "Sup. Only (grid)")[0]
    assert (cell["ours"]["mean"], cell["other_params"]) == (40.0, True)
    assert cell["missing"] == "not run with these params and data; the number in reports/tables has others"
    gap = comparison(document, "CSP-MC-BLD", "Sup. Only (grid)")[0]
    assert (gap["difference"], gap["verdict"], gap["why"]) == (15.0, None, "a number is of other params or data")
    page = Path("reports/tables/table_1.md").read_text()
    assert "40.00 (0.50)‡" in page
    assert "‡ kept from an earlier table, of other params or data than params.yaml: Sup. Only (grid)" in page
    assert means(collect(), "Sup. Only (grid)") == [40.0] * 6  # nor does it go when the table is written again
    assert next(one for one in command.listing() if one["table"] == 1)["cells_with_results"] == 12
    fake_dvc(monkeypatch)
    assert "t1-sup-grid" in [one["name"] for one in queue()["queued"]]


def test_numbers_of_other_machines_are_marked_and_not_compared(
    project: Path, predictions: dict[str, compared_rows.HitsByRoleAndRatio]
) -> None:
    predictions[git("rev-parse", "HEAD")] = hits(2, 100, 53, 30)
    predictions[experiment("fast", SUP_GRID, 40.0, numerics=FAST)] = hits(2, 100, 40, 30)
    predictions[experiment("same", {"loss": "mse"}, 50.0)] = hits(2, 100, 50, 30)
    document = collect()
    assert [cell["other_machine"] for cell in row(document, "Sup. Only (grid)")] == [True] * 6
    assert not any(cell["other_machine"] for cell in row(document, "MSE") + row(document, "CSP-MC-BLD"))
    gap = comparison(document, "CSP-MC-BLD", "Sup. Only (grid)")[0]
    assert (gap["difference"], gap["verdict"]) == (13.0, None)
    assert gap["why"].startswith("the two runs are not comparable")
    page = Path("reports/tables/table_1.md").read_text()
    assert "40.00 (0.50)§" in page
    assert "or an unknown one, and not comparable: Sup. Only (grid)" in page


def test_a_table_of_an_older_form_is_of_an_unknown_machine(clone: Path) -> None:
    file = Path("reports/tables/table_1.json")
    document = json.loads(file.read_text())
    for one in document["rows"]:
        for cell in one["cells"]:
            del cell["other_machine"], cell["other_params"]
            (cell["ours"] or {}).pop("numerics", None)
    file.write_text(json.dumps(document))
    git("commit", "-q", "-a", "-m", "older")
    found = row(collect(), "Sup. Only (grid)")[0]
    assert (found["ours"]["mean"], found["other_machine"], found["other_params"]) == (40.0, True, False)


def test_committed_numbers_of_other_code_stay_and_are_marked_but_are_queued_again(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run({}, 54.0, other_code=OTHER)
    git("commit", "-q", "-a", "-m", "other code")
    cell = row(collect(), "Sup. Only (grid)")[0]
    assert (cell["ours"]["mean"], cell["other_code"]) == (40.0, True)
    head = row(collect(), "CSP-MC-BLD")[0]
    assert (head["ours"]["mean"], head["other_code"]) == (54.0, False)
    why = comparison(collect(), "CSP-MC-BLD", "Sup. Only (grid)")[0]["why"]
    assert why == "the interval kept in reports/tables is of other code"
    asked = fake_dvc(monkeypatch)
    assert "t1-sup-grid" in [one["name"] for one in queue()["queued"]]
    assert "t1-sup-grid" in queue(any_code=True)["finished"]
    assert asked


def test_a_finished_experiment_wins_over_a_committed_number(clone: Path) -> None:
    experiment("again", SUP_GRID, 51.0)
    document = collect()
    assert means(document, "Sup. Only (grid)") == [51.0] * 6
    # The committed interval was that of another number.
    assert comparison(document, "CSP-MC-BLD", "Sup. Only (grid)")[0]["verdict"] is None


def test_listing_counts_cells_with_results(project: Path) -> None:
    experiment("wrap", SUP_WRAP, 51.0)
    found = {one["table"]: one for one in command.listing()}
    assert {number: (one["rows"], one["columns"], one["cells_with_results"]) for number, one in found.items()} == {
        1: (10, 6, 18),
        2: (4, 6, 6),
        3: (5, 6, 6),
        4: (6, 2, 0),
        5: (7, 4, 8),
        6: (2, 8, 2),
        7: (7, 6, 6),
    }
    assert not Path("reports/tables").exists()


def fake_dvc(monkeypatch: pytest.MonkeyPatch, status: str = "") -> list[tuple[str, ...]]:
    """DVC's command line, which answers `status` to `queue status`; the other calls are listed."""
    asked: list[tuple[str, ...]] = []

    def answer(command: list[str], **_: Any) -> SimpleNamespace:
        assert command[:3] == [sys.executable, "-m", "dvc"]
        if command[3:] == ["queue", "status"]:
            return SimpleNamespace(returncode=0, stdout=status, stderr="")
        asked.append(tuple(command[3:]))
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(command, "subprocess", SimpleNamespace(run=answer))
    return asked


def queue(number: int = 1, *, any_code: bool = False) -> dict[str, Any]:
    return command.queued(number, any_code=any_code)


def test_one_experiment_a_missing_run_with_only_what_differs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_dvc(monkeypatch)
    experiment("mse", {"loss": "mse"}, 52.0)
    report = queue()
    add = ("exp", "run", "--queue", "-n")
    wrap = ("location_encoder.encoding.name=wrap", "-S", "location_encoder.network.name=residual")
    assert asked == [
        (*add, "t1-sup-wrap", "-S", "loss=none", "-S", *wrap),
        (*add, "t1-sup-grid", "-S", "loss=none"),
        (*add, "t1-nce-bld", "-S", "loss=nce"),
        *(
            (*add, f"t1-{slug}-f{number}", *changes, "-S", f"image_encoder.seed={number - 1}")
            for number in (2, 3)
            for slug, changes in (("sup-grid", ("-S", "loss=none")), ("mc-bld", ()))
        ),
    ]
    assert report["finished"] == ["t1-mse", "t1-mc-bld", "t1-img-only"]
    assert [one["name"] for one in report["queued"]] == [command[4] for command in asked]
    assert report["waiting"] == report["unavailable"] == []


def test_columns_that_set_params_have_runs_of_their_own(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_dvc(monkeypatch)
    report = queue(4)
    names = [command[4] for command in asked]
    assert len(set(names)) == len(names) == 10
    assert report["waiting"] == ["t4-inception-img-only", "t4-vit-img-only"]  # any other run of the column brings them
    command = asked[names.index("t4-vit-mc-bld")]
    assert command[5:] == (
        *("-S", "image_encoder.model=timm:vit_tiny_patch16_224", "-S", "image_encoder.weights=pretrained"),
        *("-S", "image_encoder.px=null", "-S", "image_encoder.crop=null", "-S", "image_encoder.interpolation=null"),
        *("-S", "pretrain_img.method=none"),
    )


def test_rows_that_cannot_run_are_not_queued(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_dvc(monkeypatch)
    without_tile2vec(monkeypatch)
    report = queue(5)
    assert "Img. Only (Tile2Vec)" in {one["row"] for one in report["unavailable"]}
    assert not [command for command in asked if "tile2vec" in command[4]]


@pytest.mark.parametrize(("state", "again"), [("Queued", False), ("Running", False), ("Failed", True), ("Success", True)])
def test_what_waits_in_the_queue_is_known_by_its_params(
    project: Path, monkeypatch: pytest.MonkeyPatch, state: str, again: bool
) -> None:
    write_run(SUP_GRID, 0.0)
    waiting = save("refs/exps/celery/stash")
    status = (
        f"Task     Name         Created    Status\n{waiting[:7]}  odd-name  02:42 PM   {state}\n\nWorker status: 0 active\n"
    )
    asked = fake_dvc(monkeypatch, status)
    report = queue()
    assert ("t1-sup-grid" in [command[4] for command in asked]) == again
    assert ("t1-sup-grid" in report["waiting"]) != again


SIZES = (2000, 6000, 60000)


def test_other_numbers_of_images_are_runs_on_other_data_known_by_their_params(
    project: Path, predictions: dict[str, compared_rows.HitsByRoleAndRatio]
) -> None:
    for name, values, right in (("HEAD", {}, 53), ("none", SUP_GRID, 50)):
        commit = git("rev-parse", "HEAD") if name == "HEAD" else experiment(name, values, right)
        predictions[commit] = hits(2, 100, right, 30)
    columns = {column.slug: dict(column.overrides) for column in TABLES[6].columns}
    for n in SIZES:
        for values, right in (({}, 60), (SUP_GRID, 40)):
            setting = columns[f"n{n}"] | values
            commit = experiment(f"{n}-{right}", setting, right, data=f"{n} images")
            ratios = with_values(DEFAULT, setting.items()).split.label_ratios
            (one,) = {id(one): one for one in hits(2, 100, right, 30).values()}.values()
            predictions[commit] = {("test", ratio): one for ratio in ratios}
    assert not Path("reports/figures/gain.png").exists()
    collect(1)
    document = collect(6)
    assert means(document, "CSP-MC-BLD") == [60.0] * 4 + [53.0] * 2 + [60.0] * 2
    cells = comparison(document, "CSP-MC-BLD", "Sup. Only (grid)", "pool")
    assert [cell["difference"] for cell in cells] == [20.0] * 4 + [3.0] * 2 + [20.0] * 2
    assert all(cell["low"] is not None and cell["verdict"] == "not in the paper" for cell in cells)
    assert "the paper has no such table" in Path("reports/tables/table_6.md").read_text()
    assert Path("reports/figures/gain.png").stat().st_size > 5000
    for ref in git("for-each-ref", "--format=%(refname)", "refs/exps").split():
        git("update-ref", "-d", ref)  # what was kept is still known by its params
    assert means(collect(6), "CSP-MC-BLD") == [60.0] * 4 + [53.0] * 2 + [60.0] * 2


def test_lists_are_queued_as_dvc_reads_them_and_one_run_has_the_columns_of_one_number_of_images(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fake_dvc(monkeypatch)
    queue(6)
    assert [one[4] for one in asked] == [
        *(f"t6-n{n}-sup-grid" for n in (2000, 6000, 20000, 60000)),
        *(f"t6-n{n}-mc-bld" for n in SIZES),
    ]
    command = next(one for one in asked if one[4] == "t6-n2000-sup-grid")
    size = ("-S", "dataset.blue_marble.train=2000", "-S", "dataset.blue_marble.min_zone_points=4")
    assert command[5:] == (*size, "-S", "split.label_ratios=[0.05,0.2]", "-S", "loss=none")


def test_a_table_of_one_source_is_not_filled_from_another(project: Path) -> None:
    write_run({"dataset.source": "folder"}, 53.0)
    git("commit", "-q", "-a", "-m", "folder")
    document = collect(6)
    assert {cell["missing"] for cell in row(document, "CSP-MC-BLD")} == {"it is of dataset.source blue_marble"}


def test_a_name_that_is_taken_gets_a_number(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_dvc(monkeypatch)
    experiment("t1-sup-grid", SUP_GRID, 51.0, other_code=OTHER)
    experiment("t1-sup-grid-2", {"pretrain.epochs": 99}, 51.0)
    queue()
    assert "t1-sup-grid-3" in [command[4] for command in asked]


def test_changed_params_are_not_queued_and_untracked_sources_are_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_dvc(monkeypatch)
    said: list[str] = []
    write("src/cspops/extra.py", "")
    with told(said.append):
        queue()
    assert "note: queued runs will lack src/cspops/extra.py, which git does not know: git add -N brings them in" in said
    asked.clear()
    write("params.yaml", Path("params.yaml").read_text().replace('"loss": "mc"', '"loss": "nce"'))
    with pytest.raises(ParamsError, match=r"params\.yaml differs from HEAD"):
        queue()
    assert not asked
    assert collect()["said"] == ["note: params.yaml differ from HEAD; a run that is not committed does not count"]


def test_code_and_data_that_changed_since_the_last_run_are_named(project: Path) -> None:
    assert collect()["said"] == []
    write_run({}, 53.0, other_code=("split", "pretrain"))
    git("commit", "-q", "-a", "-m", "by other code")
    (said,) = collect()["said"]
    assert (
        said
        == "note: the code of split, pretrain is not that of reports/run.json, which other runs must match: dvc repro first"
    )
    write_run({"dataset.blue_marble.border_km": 99.0}, 53.0, ran={})
    git("commit", "-q", "-a", "-m", "not run")
    (said,) = collect()["said"]
    assert said.startswith("note: the data of reports/run.json, which other runs must match, are not those of params.yaml")


def test_dvcs_last_word_is_the_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> SimpleNamespace:
        return SimpleNamespace(
            returncode=255, stdout="Queueing\n", stderr="WARNING: x\nERROR: no can do\n\nHaving any troubles?\n"
        )

    monkeypatch.setattr(command, "subprocess", SimpleNamespace(run=refuse))
    with pytest.raises(CspopsError, match=r"(?m)^dvc queue status failed: ERROR: no can do$"):
        queue()


def test_what_is_not_a_project_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    for says, prepare in (
        ("not in a git repository", ["init", "-q"]),
        (r"\.dvc is missing", None),
        ("no commit yet", ["commit", "-q", "--allow-empty", "-m", "x"]),
    ):
        with pytest.raises(EnvironmentProblem, match=says):
            collect()
        if prepare is None:
            Path(".dvc").mkdir()
        else:
            git(*prepare)
    with pytest.raises(DataError, match=r"reports/run\.json is missing"):
        collect()
    write("reports/run.json", "[")
    with pytest.raises(DataError, match=r"reports/run\.json is broken"):
        collect()
    assert not Path("reports/tables").exists()


def test_the_command(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner().invoke
    assert run(app, ["tables", "1", "--json"]).exit_code == 0
    assert not Path("reports/tables").exists()
    done = run(app, ["tables", "1", "--write", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads(Path("reports/tables/table_1.json").read_text())
    assert [one["table"] for one in json.loads(run(app, ["tables", "--json"]).stdout)] == [1, 2, 3, 4, 5, 6, 7]
    shown = run(app, ["tables", "1"], env={"COLUMNS": "160"}).stdout
    assert "53.00 (0.50)" in shown
    (missing,) = (
        line for line in shown.splitlines() if "(0.5 %, 2 %, 5 %, 10 %, 20 %, 100 %): not run with these params" in line
    )
    assert "MSE; " in missing
    assert "12 of 60" in run(app, ["tables"], env={"COLUMNS": "160"}).stdout
    fake_dvc(monkeypatch)
    shown = run(app, ["tables", "2", "--queue"]).stdout
    assert "queued: t2-mc-bd, t2-mc-bl, t2-mc-b\n" in shown
    assert "next: dvc exp run --run-all, then cspops tables 2 --write\n" in shown
    for arguments, says in (
        (["tables", "9"], "there is no table 9"),
        (["tables", "--queue"], "--queue needs the number of a table"),
        (["tables", "--write"], "--write needs the number of a table"),
        (["tables", "1", "--write", "--queue"], "exclude each other"),
    ):
        error = run(app, arguments).exception
        assert isinstance(error, ParamsError)
        assert says in error.message


def gap(difference: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "paper": None if low is None else 1.84,
        "verdict": low and "holds",
    }


@pytest.mark.parametrize(("seeds", "ours"), [([0], "53.00†"), ([0, 1], "53.00 (0.50)†")])
def test_of_one_seed_no_deviation_is_shown(seeds: list[int], ours: str) -> None:
    number = {"mean": 53.0, "sd": 0.5}
    cells = [{"paper": {"mean": 9.0, "sd": 0.25}, "ours": number, "other_code": True}]
    row = {"name": "CSP-MC-BLD", "model": "combined", "cells": cells}
    document = {"seeds": seeds, "columns": ["5 %"], "rows": [row]}
    assert [row[2] for row in paper_page.number_rows(cast(Any, document))] == ["5 %", ours, "9.00 (0.25)"]


@pytest.mark.parametrize(("dataset", "more"), [("iNat2018", [["+1.84", "holds"], ["-", "-"]]), ("", [[], []])])
def test_differences_are_rows_on_a_terminal_those_that_we_have(dataset: str, more: list[list[str]]) -> None:
    cells = [gap(12.15, 10.44, 13.74), gap(None), gap(-0.5)]
    document = {
        "paper": {"dataset": dataset},
        "columns": ["5 %", "10 %", "100 %"],
        "comparisons": [
            {"row": "a", "minus": "b", "measure": "combined", "cells": cells},
            {"row": "a", "minus": "b", "measure": "pool", "cells": [gap(9.0)] * 3},
            {"row": "c", "minus": "b", "measure": "combined", "cells": [gap(None)] * 3},
        ],
    }
    header, *rows = command.comparison_rows(cast(Any, document), "combined")
    assert header == ["difference", "at", "ours", "95 % interval", *(["paper", "order"] if dataset else [])]
    assert rows == [["a minus b", "5 %", "+12.15", "[+10.44, +13.74]", *more[0]], ["", "100 %", "-0.50", "-", *more[1]]]


def test_the_first_line_that_is_kept_of_a_row_carries_its_name() -> None:
    rows = [["a", "ours", "-", "-"], ["", "ours, pool", "2", "-"], ["", "paper", "3", "-"], ["b", "ours", "-", "-"]]
    named = [*rows, ["", "paper", "4", "-"], ["c", "ours", "5", "-"]]
    kept = [["model", "", "5 %"], ["a", "ours, pool", "2"], ["", "paper", "3"], ["b", "paper", "4"], ["c", "ours", "5"]]
    assert command._with_numbers([["model", "", "5 %", "10 %"], *named]) == kept


def test_tables_fit_a_narrow_terminal(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows and columns without a number are left to the remarks; a number stays on one line."""
    write_run({}, 53.0)
    monkeypatch.setenv("COLUMNS", "80")
    cspops = command_line(monkeypatch, capsys)
    for words in ((), (1,)):
        status, out, _ = cspops("tables", *words)
        tables, *_ = out.split("\nOurs were measured")
        assert status == 0
        assert max(map(len, tables.splitlines())) <= 80
    assert tables.count("53.00 (0.50)") == 2 * len(DEFAULT.split.label_ratios)
    assert "F* 2" not in tables


def test_dvc_itself_queues_the_run_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real `dvc exp run --queue` of a project with one trivial stage."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setattr(sys, "executable", shutil.which("python", path=environment()["PATH"]))
    stage = {"cmd": "cp params.yaml out", "params": ["loss", "losses.mc.terms"], "outs": ["out"]}
    write("dvc.yaml", json.dumps({"stages": {"copy": stage}}))
    write(".gitignore", "/out\n")
    git("add", "-A")
    git("commit", "-q", "-m", "a stage")
    for terms in ("BD", "BL"):
        experiment(f"mc-{terms}", {"losses.mc.terms": terms}, 52.0)
    first = queue(2)
    assert [one["name"] for one in first["queued"]] == ["t2-mc-b"]
    assert parse(git("show", "refs/exps/celery/stash:params.yaml"), Path("params.yaml")).losses.mc.terms == "B"
    again = queue(2)
    assert again["queued"] == []
    assert again["waiting"] == ["t2-mc-b"]
    assert again["finished"] == ["t2-mc-bld", "t2-mc-bd", "t2-mc-bl"]
    assert git("status", "--short") == ""
