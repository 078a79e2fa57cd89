"""Odd sets through every stage from pretrain to report: few rows, rows that lack something, names that need care."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from feature_files import write_features
from html_pages import Page

from cspops import params as settings
from cspops.data.few_shot import choosing_levels, few_shot_levels
from cspops.data.schemas import REJECTED_SCHEMA, SCHEMA
from cspops.data.splits import CHOOSERS
from cspops.errors import DataError
from cspops.geo import uniform_on_sphere
from cspops.host import Host
from cspops.intake.rows import Account
from cspops.params import VIEWS, Params, recorded, view, with_values
from cspops.params.graph import NEEDS
from cspops.pipeline import evaluate, finetune_img, finetune_loc, pretrain, report
from cspops.pixels.reading import Reading
from cspops.report import figures, maps, world
from cspops.report.world import World
from cspops.site import Site

ROOT = Path(__file__).parents[2]
SMALL = {
    "seeds": [0, 1],
    "split.label_ratios": [0.5, 1.0],
    "location_encoder.encoding.name": "wrap",
    "location_encoder.dim": 8,
    "networks.ffn.hidden": 16,
    "pretrain.epochs": 1,
    "finetune_loc.mode": "full",
    "finetune_loc.modes.full.steps": 3,
    "finetune_loc.modes.probe_then_full.steps": 3,
    "finetune_img.modes.linear_probe.max_iterations": 3,
    "finetune_img.modes.linear_probe.l2": [0.1, 0.01],
    "evaluate.priors.histogram": [5.0, 20.0],
    "evaluate.priors.knn": [1, 50],
    "evaluate.priors.distance_knn": [5, 50],
    "evaluate.priors.kde": [50.0, 800.0],
    "report.grid_degrees": 10.0,
}
BEFORE_REPORT = ("pretrain", "finetune-loc", "finetune-img", "evaluate")
STAGES = dict(zip((*BEFORE_REPORT, "report"), (pretrain, finetune_loc, finetune_img, evaluate, report), strict=True))


@dataclass
class Set:
    """A catalogue with roles; ``label`` counts from 0 or is None, a position may be None."""

    role: Sequence[str]
    label: Sequence[int | None]
    names: Sequence[str]
    lonlat: list[tuple[float, float] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.lonlat:
            drawn = uniform_on_sphere(len(self.role), generator=torch.Generator().manual_seed(0))
            self.lonlat = [(lon, lat) for lon, lat in drawn.tolist()]


def plain(train: int = 24, val: int = 8, test: int = 20, *, classes: int = 3, spatial: int = 0) -> Set:
    role = ["train"] * train + ["val"] * val + ["test"] * test + ["spatial_val"] * spatial + ["spatial_test"] * spatial
    return Set(role, [i % classes for i in range(len(role))], [f"c{i}" for i in range(classes)])


@pytest.fixture(scope="module")
def small() -> Params:
    return with_values(settings.load(ROOT / "params.yaml"), tuple(SMALL.items()))


@pytest.fixture
def run(tmp_path: Path, small: Params) -> Callable[..., dict[str, Path]]:
    """Write a set and run the stages named, all by default; answers their folders."""

    def run(one: Set, *, stages: Sequence[str] = tuple(STAGES), **overrides: Any) -> dict[str, Path]:
        n = len(one.role)
        folders = {name: tmp_path / name for name in ("download", "split", "pretrain-img", "featurize", *STAGES, "reports")}
        for folder in folders.values():
            folder.mkdir()
        checked = with_values(small, tuple((key.replace("__", "."), value) for key, value in overrides.items()))
        obs_id = [f"o{i}" for i in range(n)]
        lon, lat = ([None if at is None else at[axis] for at in one.lonlat] for axis in (0, 1))
        rows = {"obs_id": obs_id, "lon": lon, "lat": lat, "label": one.label}
        rest = {column.name: pa.nulls(n, column.type) for column in SCHEMA if column.name not in rows}
        table = pa.table({name: (rows | rest)[name] for name in SCHEMA.names}).cast(SCHEMA)
        pq.write_table(table, folders["download"] / "observations.parquet")
        pq.write_table(REJECTED_SCHEMA.empty_table(), folders["download"] / "rejected.parquet")
        (folders["download"] / "classes.json").write_text(json.dumps(list(one.names)))
        pq.write_table(pa.table({"obs_id": obs_id, "role": one.role}), folders["split"] / "roles.parquet")
        label = torch.tensor([-1 if one_label is None else one_label for one_label in one.label])
        train = torch.tensor([role == "train" for role in one.role])
        levels = {
            f"seed_{seed}": pa.array(
                few_shot_levels(label, train, ratios=checked.split.label_ratios, seed=seed).numpy(), from_pandas=True
            )
            for seed in checked.seeds
        }
        pq.write_table(pa.table({"obs_id": obs_id} | levels), folders["split"] / "few_shot.parquet")
        masks = {role: torch.tensor([own == role for own in one.role]) for role in CHOOSERS}
        law = {"ratios": checked.split.label_ratios, "val_labels": checked.split.val_labels}
        choosing = {
            f"seed_{seed}": pa.array(choosing_levels(label, masks, seed=seed, **law).numpy(), from_pandas=True)
            for seed in checked.seeds
        }
        pq.write_table(pa.table({"obs_id": obs_id} | choosing), folders["split"] / "choosing.parquet")
        write_features(folders["featurize"], obs_id, torch.randn(n, 6, generator=torch.Generator().manual_seed(1)).numpy())
        sizes = {name: sum(i is not None and one.names[i] == name for i in one.label) for name in one.names}
        missing = {"without_position": one.lonlat.count(None), "without_label": list(one.label).count(None)}
        account = Account(n, n, 0, {}, {}, [], **missing, classes=sizes, official_split={"none": n})
        (folders["download"] / "account.json").write_text(json.dumps(account.as_json()))
        (folders["download"] / "images.json").write_text(json.dumps(Reading().as_json()))
        files = {"observations.parquet": "0" * 64, "predictions.parquet": "1" * 64}
        for name in VIEWS:  # as `paths.whole_folder` writes it
            record = {"params": recorded(checked, name), "files": files, "numerics": {"portable": True}}
            (folders[name] / "stage.json").write_text(json.dumps(record))
        (folders["reports"] / "curves").mkdir()
        (folders["reports"] / "curves" / "pretrain_img.tsv").write_text("epoch\ttotal\n")
        (folders["reports"] / "pretrain_img.json").write_text('{"method": "none"}')
        for name in stages:
            scratch = tmp_path / f"{name}-scratch"
            scratch.mkdir()
            inputs = {stage: folders[stage] for stage in NEEDS[name]}
            site = Site(tmp_path, inputs, folders["reports"], folders[name], scratch, Host())
            STAGES[name].run(view(checked, VIEWS[name]), site)
            for file in (folders[name] / "reports").rglob("*"):
                if file.is_file() and name != "report":
                    target = folders["reports"] / file.relative_to(folders[name] / "reports")
                    target.write_bytes(file.read_bytes())
        run.params = checked  # type: ignore[attr-defined]
        return folders

    return run


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Maps of few pixels, without coasts; answers the labels of colour bars."""
    labels: list[str] = []
    save = maps.save

    def spy(figure: Any, file: Path, **settings: Any) -> None:
        labels.extend(ax.get_xlabel().replace(r"\$", "$") for ax in figure.axes)
        save(figure, file, **settings)

    monkeypatch.setattr(maps, "save", spy)
    monkeypatch.setattr(world, "PIXELS", 60)
    monkeypatch.setattr(World, "coasts", lambda self: [])
    monkeypatch.setitem(figures.STYLE, "savefig.dpi", 40)
    return labels


def finite(folders: dict[str, Path]) -> dict[str, Any]:
    """scores.json, after a look whether every number of every file is finite and every figure is there."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for name in ("metrics", "validation", "intervals", "regions"):
        json.loads((folders["reports"] / f"{name}.json").read_text(), parse_constant=refuse)
    if (folders["report"] / "reports").exists():
        assert len(list((folders["report"] / "reports" / "figures").glob("*.png"))) == 6
        html = (folders["report"] / "reports" / "report.html").read_text()
        assert Page(html).problems() == []
        assert not re.search(r"\b(nan|inf|None)\b", " ".join(Page(html).text))
    metrics: dict[str, Any] = json.loads((folders["reports"] / "scores.json").read_text())
    return metrics


def none(i: int) -> bool:
    return False


def some_lack(one: Set, *, position: Callable[[int], bool] = none, label: Callable[[int], bool] = none) -> Set:
    """The set without some positions and labels."""
    n = len(one.role)
    return Set(
        one.role,
        [None if label(i) else one.label[i] for i in range(n)],
        one.names,
        [None if position(i) else one.lonlat[i] for i in range(n)],
    )


def once_only() -> Set:
    """Class 3 occurs in test alone, class 4 once in training and nowhere else."""
    one = plain(classes=3)
    label = list(one.label)
    label[0], label[35], label[36] = 4, 3, 3
    return Set(one.role, label, [f"c{i}" for i in range(5)])


def city(classes: int = 3) -> Set:
    """All within a kilometre of 47.37 N 8.54 E."""
    one = plain(classes=classes)
    return Set(one.role, one.label, one.names, [(8.54 + 1e-4 * i, 47.37 + 1e-4 * (i % 7)) for i in range(len(one.role))])


SETS: dict[str, Callable[[], Set]] = {
    "some without position": lambda: some_lack(plain(spatial=4), position=lambda i: i % 5 == 0),
    "some without label": lambda: some_lack(plain(), label=lambda i: i % 3 == 0),
    "two classes": lambda: plain(classes=2),
    "one class": lambda: plain(classes=1),
    "classes in test alone or once": once_only,
    "no located test row": lambda: some_lack(plain(), position=lambda i: i >= 32),
    "no located validation row": lambda: some_lack(plain(), position=lambda i: 24 <= i < 32),
    "one validation row": lambda: plain(val=1),
    "one test row": lambda: plain(test=1),
    "spatial test alone": lambda: Set(
        ["train"] * 24 + ["val"] * 8 + ["spatial_test"] * 8, [i % 3 for i in range(40)], ["a", "b", "c"]
    ),
    "two training rows": lambda: plain(train=2, classes=2),
    "three training rows": lambda: plain(train=3),
    "at one point": lambda: Set(plain().role, plain().label, plain().names, [(8.54, 47.37)] * 52),
    "at the pole and the date line": lambda: Set(
        plain().role, plain().label, plain().names, [(-180.0, 90.0), (179.999, -90.0)] * 26
    ),
}


WITH_PAGE = ("spatial test alone", "no located test row", "one class", "one test row")


@pytest.mark.parametrize("name", [name for name in SETS if name not in WITH_PAGE])
def test_a_hard_set_is_trained_on_and_judged(run: Callable[..., dict[str, Path]], name: str) -> None:
    metrics = finite(run(SETS[name](), stages=BEFORE_REPORT))
    for ratios in metrics.values():
        assert list(ratios) == ["label_50", "label_100"]


NAMES = ["a | b", "two\nlines", "*bold* [link](x) `code`", "動物園", "$x^2 $", "<b>_ö_</b>", "Ключ", "# 𝔘nicode", ""]
ATTACKS = ["<script>alert(1)</script>", "A & B", '" onload="alert(1)', "</table>{{ 7 * 7 }}", "javascript:alert(1)"]


def test_names_that_look_like_markup_or_that_no_font_has(
    run: Callable[..., dict[str, Path]], light: list[str], tmp_path: Path
) -> None:
    """The classes are named on one line, nothing in a table of the page has another number of columns than its header.

    The report is made twice, the second time over what the first has left among its progress: the bytes are the same.
    """
    one = some_lack(plain(train=45, val=9, test=18, classes=9, spatial=9), position=lambda i: i % 5 == 0)
    one.names = NAMES
    folders = run(one, report__class="動物園")
    finite(folders)
    made = folders["report"] / "reports"
    page = (made / "report.md").read_text()
    code = r"\*bold\* \[link\](x) \`code\`"
    listed = [r"a \| b", "two lines", code, "動物園", r"\$x^2 \$", r"\<b\>\_ö\_\</b\>", "Ключ", r"\# 𝔘nicode", ""]
    assert f": {', '.join(listed)}." in page
    for lines in re.findall(r"(?:^\|.*\n?)+", page, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines.splitlines()}) == 1
    assert "P(??? | x)" in light

    first = {file.relative_to(made): file.read_bytes() for file in made.rglob("*") if file.is_file()}
    again = folders["report"].with_name("again")
    again.mkdir()
    inputs = {stage: folders[stage] for stage in NEEDS["report"]}
    site = Site(tmp_path, inputs, folders["reports"], again, tmp_path / "report-scratch", Host())
    report.run(view(run.params, VIEWS["report"]), site)  # type: ignore[attr-defined]
    assert {Path("report.html"), Path("report.md"), Path("accuracy.tsv")} <= first.keys()
    for name, content in first.items():
        assert (again / "reports" / name).read_bytes() == content, name
    assert (again / "confusion.tsv").read_bytes() == (folders["report"] / "confusion.tsv").read_bytes()


def test_names_that_would_be_code_are_text_on_the_page(run: Callable[..., dict[str, Path]], light: list[str]) -> None:
    """Of rows that are all in one city."""
    one = city(classes=5)
    one.names = ATTACKS
    folders = run(one, report__class=ATTACKS[0], report__clusters=30)
    finite(folders)
    source = (folders["report"] / "reports" / "report.html").read_text()
    page = Page(source)
    assert not page.all("script")
    for name in ATTACKS:
        assert any(name in text for text in page.text)
    assert any("Where <script>alert(1)</script> is" in text for text in page.text)
    assert any(one.get("alt", "").startswith("Map of P(<script>alert(1)</script> | x)") for one in page.all("img"))  # type: ignore[union-attr]


@pytest.mark.parametrize("name", WITH_PAGE)
def test_a_hard_set_has_a_page(run: Callable[..., dict[str, Path]], light: list[str], name: str) -> None:
    folders = run(SETS[name](), report__clusters=30)
    finite(folders)
    html = Page((folders["report"] / "reports" / "report.html").read_text())
    said = " ".join(" ".join(html.text).split())
    if name == "one class":
        assert "No model made a mistake on the test set." in said
    if name == "no located test row":
        assert "No test row has a position" in said
        assert "On no row did location turn a wrong guess into the right one." in said
    page = (folders["report"] / "reports" / "report.md").read_text()
    for text in (said.partition("What was run Pre-training")[0], page.partition("## Top-1")[0]):
        assert re.search(r"test set has only \d+ rows?: one is [\d.]+ points", text)
        assert not re.search(r"may be chance|Here the position|interval of pool|points against|more|less|better", text)
    assert "The test rows are too few for a curve or an error." in said
    assert f"## All metrics at 100 % labels, {'spatial test' if name.startswith('spatial') else 'test'}" in page


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (some_lack(plain(), position=lambda i: True), "no training row has a position"),
        (some_lack(plain(), position=lambda i: i < 24), "no training row has a position"),
        (some_lack(plain(), label=lambda i: 24 <= i < 32), "no row of role val has a label"),
        (some_lack(plain(), label=lambda i: i < 24), "no labelled row"),
        (some_lack(plain(), label=lambda i: i >= 32), "no row of role test or spatial_test has a label"),
        (some_lack(plain(), position=lambda i: i < 22, label=lambda i: i in (22, 23)), "labelled row of seed 0, ratio 1 has"),
    ],
    ids=["nowhere", "no training position", "no val label", "no training label", "no test label", "labels elsewhere"],
)
def test_what_cannot_be_done_is_said_in_a_sentence(run: Callable[..., dict[str, Path]], one: Set, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        run(one, stages=BEFORE_REPORT)
    assert error.value.hint


@pytest.mark.parametrize(
    ("train", "patience", "loss", "kind"),
    [
        (1, 0, "nce", "cross_entropy"),
        (2, 1, "mse", "focal"),
        (40, 1, "none", "presence_absence_released"),
        (24, 0, "mc", "presence_absence"),
    ],
)
def test_every_loss_on_few_rows_in_batches_larger_than_the_set(
    run: Callable[..., dict[str, Path]], train: int, patience: int, loss: str, kind: str
) -> None:
    changes = {"patience": patience, "check_every": 1, "batch_size": 100_000}
    overrides = {f"finetune_loc__modes__full__{key}": value for key, value in changes.items()}
    one = plain(train=train, classes=2)
    overrides |= {"pretrain__batch_size": 100_000, "finetune_loc__loss": kind}
    finite(run(one, stages=BEFORE_REPORT, loss=loss, **overrides))


@pytest.mark.parametrize("mode", ["linear_probe", "probe_then_full"])
def test_location_classifiers_from_a_probe_go_through_every_stage(
    run: Callable[..., dict[str, Path]], light: list[str], mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    changes = {"finetune_loc__mode": mode, "finetune_loc__modes__probe_then_full__check_every": 2}
    folders = run(plain(spatial=6), loss="none", **changes)
    finite(folders)
    piece = folders["finetune-loc"] / "seed_1" / "label_50"
    assert len(json.loads((piece / "search.json").read_text())) >= 1
    assert json.loads((piece / "config.json").read_text())["bias"] is True
    curve = (folders["reports"] / "curves" / "finetune_loc.tsv").read_text().splitlines()
    page = (folders["report"] / "reports" / "report.md").read_text()
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("finetune-loc:")]
    assert len(said) == 4 and all(f", {mode}, " in line and "val NLL of the probe" in line for line in said)
    if mode == "linear_probe":
        assert curve == ["step\tlabel_50\tlabel_100"]
        assert "left them all as they were, so that one map shows before and after." in page
    else:
        assert curve[0] == "step\tlabel_50\tlabel_50_val_nll\tlabel_100\tlabel_100_val_nll"
        assert [line.split("\t")[0] for line in curve[1:]] == ["2", "3"]
        assert all("after step" in line for line in said)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"mode": "linear_probe"}, "finetune_loc.modes.linear_probe.l2 to a list of one value"),
        ({"mode": "probe_then_full"}, "finetune_loc.mode to linear_probe, with one value of l2"),
        ({"mode": "full", "modes__full__patience": 1, "modes__full__check_every": 1}, "finetune_loc.modes.full.patience to 0"),
        ({"mode": "linear_probe", "modes__linear_probe__l2": [0.1]}, None),
    ],
)
def test_without_validation_rows_the_key_to_change_is_named(
    run: Callable[..., dict[str, Path]], changes: dict[str, Any], key: str | None
) -> None:
    one = some_lack(plain(), position=lambda i: 24 <= i < 32)
    overrides = {f"finetune_loc__{name}": value for name, value in changes.items()}
    if key is None:
        run(one, stages=("pretrain", "finetune-loc"), **overrides)
        return
    with pytest.raises(DataError, match="no row of role val has a label and a position: ") as error:
        run(one, stages=("pretrain", "finetune-loc"), **overrides)
    assert key in str(error.value.hint)
