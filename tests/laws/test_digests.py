"""An edit that cannot change a result leaves a stage's digest; any other edit of what the stage imports changes it."""

import ast
from pathlib import Path

import pytest

import cspops
from cspops.params import VIEWS
from cspops.pipeline.code import PLUMBING, STAGE_MODULES, Package, package

ROOT = Path(cspops.__file__).parent
NOT_OPENED = {
    *("LICENSE.climate_zones.txt", "README.md", "gitattributes", "gitignore", "graph.yaml", "params.yaml", "readme.md"),
    "published.yaml",
    *("model_card.md.jinja", "py.typed"),
}
"""Data files that no number can depend on (the report lists where params.yaml is not the template's)."""

SMALL = {
    "pipeline/split.py": '"""A stage."""\nfrom typing import TYPE_CHECKING\n\nfrom cspops import errors\n'
    "from cspops.data.draws import draw\n"
    "if TYPE_CHECKING:\n    from cspops.report.page import page\n\n\ndef run() -> list[int]:\n    return draw(2)\n",
    "data/__init__.py": '"""A room."""\n',
    "data/draws.py": '"""Draws."""\nfrom importlib.resources import files\n\nSEED = 1\n\n\ndef draw(n: int) -> list[int]:\n'
    '    """Return n."""\n    from cspops.geo import radius\n\n    name = files("cspops").joinpath("sample/zones.png")\n'
    "    return [radius(name)] * n  # twice\n\n\n@staticmethod\ndef other() -> float:\n    return 0.5\n",
    "data/beside.json": "{}",
    "geo.py": "def radius(name: object) -> int:\n    return 6371\n",
    "errors.py": "class CspopsError(Exception): ...\n",
    "report/page.py": "page = 1\n",
    "report/page.css": "b {}",
    "sample/zones.png": "zones",
    "sample/other.png": "other",
}
"""A package with one stage; `errors` is plumbing, the report is imported for types alone."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in SMALL.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_closure_is_what_is_imported_and_opened(root: Path) -> None:
    closure = {file.relative_to(root).as_posix() for file in Package(root).closure("split")}
    assert closure == {"pipeline/split.py", "data/draws.py", "geo.py", "data/beside.json", "sample/zones.png"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("data/draws.py", "Return n.", "Return n numbers."),
        ("data/draws.py", '"""Draws."""', '"""Draws numbers."""\n"""And more."""'),
        ("data/draws.py", "# twice", "# n times"),
        ("data/draws.py", "\n\n\n", "\n\n"),
        ("data/draws.py", "[radius(name)]", "[\n        radius( name ),\n    ]"),
        ("data/__init__.py", "room", "house"),
        ("errors.py", "...", "code = 1"),
        ("report/page.py", "1", "2"),
        ("report/page.css", "b", "i"),
        ("sample/other.png", "other", "another"),
    ],
)
def test_an_edit_that_cannot_change_a_result_leaves_the_digest(root: Path, file: str, old: str, new: str) -> None:
    before = Package(root).digest("split")
    assert old in SMALL[file]
    (root / file).write_text(SMALL[file].replace(old, new))
    assert Package(root).digest("split") == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("geo.py", "6371", "6378"),
        ("data/draws.py", "0.5", "0.25"),
        ("data/draws.py", "@staticmethod\n", ""),
        ("data/draws.py", "n: int", "m: int"),
        ("data/draws.py", "* n", "* 3"),
        ("data/draws.py", "SEED = 1", "SEED = True"),
        ("data/__init__.py", '"""A room."""', "ROOM = 1"),
        ("data/beside.json", "{}", "[]"),
        ("sample/zones.png", "zones", "others"),
    ],
)
def test_any_other_edit_changes_the_digest(root: Path, file: str, old: str, new: str) -> None:
    before = Package(root).digest("split")
    assert old in SMALL[file]
    (root / file).write_text(SMALL[file].replace(old, new))
    assert Package(root).digest("split") != before


def test_each_statement_of_the_losses_counts(root: Path) -> None:
    """Left out in turn, each gives another digest."""
    text = (ROOT / "losses" / "csp.py").read_text()
    lines = text.splitlines(keepends=True)
    statements = [one for one in ast.parse(text).body if not isinstance(one, ast.Expr)]
    seen = set()
    for one in [None, *statements]:
        kept = [*lines]
        if one is not None:
            first = min([one.lineno, *(decorator.lineno for decorator in getattr(one, "decorator_list", []))])
            del kept[first - 1 : one.end_lineno]
        (root / "geo.py").write_text("".join(kept))
        seen.add(Package(root).digest("split"))
    assert len(seen) == len(statements) + 1


def test_every_stage_has_its_own_module_and_none_of_another_stage() -> None:
    room = ROOT / Path(*STAGE_MODULES.split(".")[1:])
    modules = {stage: room / f"{stage.replace('-', '_')}.py" for stage in VIEWS}
    for stage in VIEWS:
        assert {modules[other] for other in VIEWS} & set(package().closure(stage)) == {modules[stage]}


def test_a_number_in_the_heads_concerns_the_stages_that_import_them() -> None:
    importing = {stage for stage in VIEWS if ROOT / "models" / "heads.py" in package().closure(stage)}
    assert {"pretrain", "finetune-loc", "finetune-img", "evaluate"} <= importing
    assert not importing & {"download", "split"}


def test_every_data_file_is_opened_by_a_stage_or_known_to_be_none() -> None:
    opened = {file for stage in VIEWS for file in package().closure(stage)}
    data = {file for file in ROOT.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert {file.name for file in data - opened} == NOT_OPENED


def test_plumbing_exists() -> None:
    for name in PLUMBING:
        path = ROOT.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), name
