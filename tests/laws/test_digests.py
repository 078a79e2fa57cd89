"""An edit that cannot change a result leaves a stage's digest; any other edit of what the stage imports changes it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import cspops
from cspops.params import VIEWS
from cspops.pipeline.code import STAGE_MODULES, Package

ROOT = Path(cspops.__file__).parent
NOT_OPENED = {"LICENSE.climate_zones.txt", "README.md", "gitignore", "graph.yaml", "params.yaml", "readme.md"}
"""Data files that no number can depend on (the report lists where params.yaml is not the template's)."""

Edit = Callable[[str], str]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT, tmp_path / "cspops", ignore=shutil.ignore_patterns("__pycache__")))


def digests(root: Path) -> dict[str, str]:
    package = Package(root)
    return {stage: package.digest(stage) for stage in VIEWS}


def changed(copy: Path, file: Path, edit: Edit) -> set[str]:
    """The stages whose digest an edit of a file changes."""
    before = digests(copy)
    (copy / file).write_text(edit((copy / file).read_text()))
    after = digests(copy)
    return {stage for stage in VIEWS if before[stage] != after[stage]}


def importing(file: Path) -> set[str]:
    package = Package(ROOT)
    return {stage for stage in VIEWS if ROOT / file in package.closure(stage)}


HEADS = Path("models/heads.py")
EDITS: dict[str, Edit] = {
    "docstring": lambda text: text.replace('"""', '"""Edited. ', 1),
    "comment": lambda text: text + "# edited\n",
    "lines": lambda text: text.replace("\n\n\n", "\n\n\n\n"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_that_only_explains_changes_no_digest(copy: Path, edit: Edit) -> None:
    assert edit((copy / HEADS).read_text()) != (copy / HEADS).read_text()
    assert changed(copy, HEADS, edit) == set()


def test_another_number_changes_the_stages_that_import_it_and_no_other(copy: Path) -> None:
    assert changed(copy, HEADS, lambda text: text + "EDITED = 1\n") == importing(HEADS)
    assert {"finetune-img", "evaluate"} <= importing(HEADS) < set(VIEWS)


def test_every_statement_counts(copy: Path) -> None:
    """Each top-level statement of a file of the method, left out in turn, gives another digest."""
    import ast

    file = copy / "losses" / "csp.py"
    text = file.read_text()
    seen = {Package(copy).digest("pretrain")}
    statements = [one for one in ast.parse(text).body if not isinstance(one, ast.Expr)]
    for one in statements:
        lines = text.splitlines(keepends=True)
        first = min([one.lineno, *(decorator.lineno for decorator in getattr(one, "decorator_list", []))])
        del lines[first - 1 : one.end_lineno]
        file.write_text("".join(lines))
        seen.add(Package(copy).digest("pretrain"))
    assert len(seen) == len(statements) + 1


def test_a_data_file_counts_where_it_is_opened(copy: Path) -> None:
    before = digests(copy)
    (copy / "sample/climate_zones.png").write_bytes(b"other")
    after = digests(copy)
    different = {stage for stage in VIEWS if before[stage] != after[stage]}
    assert {"download", "pretrain", "finetune-loc", "report"} <= different
    assert not different & {"split", "featurize", "evaluate"}


def test_every_data_file_is_opened_by_a_stage_or_known_to_be_none() -> None:
    package = Package(ROOT)
    opened = {file for stage in VIEWS for file in package.closure(stage)}
    data = {file for file in ROOT.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert {file.name for file in data - opened} == NOT_OPENED


def test_an_import_for_types_alone_does_not_count(copy: Path) -> None:
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cspops.report import charts\n"
    before = set(Package(copy).closure("split"))
    (copy / "geo.py").write_text(types + (copy / "geo.py").read_text().replace("from __future__ import annotations\n", ""))
    assert set(Package(copy).closure("split")) == before
    (copy / "geo.py").write_text((copy / "geo.py").read_text() + "\ndef f():\n    from cspops.report import charts\n")
    assert copy / "report/charts.py" in Package(copy).closure("split")


def test_a_stage_imports_its_own_module_and_none_of_another_stage() -> None:
    package = Package(ROOT)
    room = ROOT / Path(*STAGE_MODULES.split(".")[1:])
    modules = {stage: room / f"{stage.replace('-', '_')}.py" for stage in VIEWS}
    for stage in VIEWS:
        assert {modules[other] for other in VIEWS} & set(package.closure(stage)) == {modules[stage]}
