"""Every import from elsewhere is declared in pyproject.toml, and none is of a module that its owner may change at will."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INTERNAL = ("dvc.repo", "dvc_data", "dvc_objects", "dvc_render", "scmrepo", "torch.distributed.launcher")
"""Not private by name, but promised to nobody."""
ALLOWED = {
    "torch._subclasses.fake_tensor": "tests of what waits for a GPU need none with it; torch's guides import it from there",
    "torch.utils._python_dispatch": "a test counts the memory of each operation: no public way to see them all",
    "torch.utils._pytree": "what that gives and takes is nested",
    "torch.ops.mkldnn._linear_pointwise": "a benchmark times the operator of compiled graphs, as a bound",
}


def declared(requirements: list[str]) -> set[str]:
    """Names of distributions in their normal form."""
    return {normal(re.split(r"[\[<>=~!; ]", one)[0]) for one in requirements}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


PLAIN = declared(PROJECT["dependencies"])
EXTRAS = {name: declared(requirements) for name, requirements in PROJECT["optional-dependencies"].items()}
ONNX = Path("src/cspops/library/onnx")
DISTRIBUTIONS = {name: {normal(one) for one in ones} for name, ones in packages_distributions().items()}
OURS = {path.stem for path in (ROOT / "tests").rglob("*.py")} | {"cspops", "benchmarks", "tests"}


def used(tree: ast.AST) -> Iterator[str]:
    """Dotted names that are imported, or reached from an imported name by dots."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                known[one.asname or one.name.split(".")[0]] = one.name if one.asname else one.name.split(".")[0]
                yield one.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                known[one.asname or one.name] = f"{node.module}.{one.name}"
                yield f"{node.module}.{one.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, *others = ast.unparse(node).split(".")
            if first in known and all(part.isidentifier() for part in others):
                yield ".".join([known[first], *others])


def from_elsewhere(name: str) -> bool:
    return name.split(".")[0] not in sys.stdlib_module_names | OURS


def is_private(name: str) -> bool:
    parts = name.split(".")
    hidden = any(part.startswith("_") and not part.startswith("__") for part in parts)
    return (hidden or name.startswith(INTERNAL)) and not any(f"{name}.".startswith(f"{one}.") for one in ALLOWED)


FILES = [file.relative_to(ROOT) for room in ("src", "benchmarks", "tests") for file in sorted((ROOT / room).rglob("*.py"))]
USED = {file: set(filter(from_elsewhere, used(ast.parse((ROOT / file).read_text(encoding="utf-8"))))) for file in FILES}


def test_imports_are_declared() -> None:
    undeclared = {}
    for file, names in USED.items():
        may = PLAIN | (EXTRAS["export"] if file.is_relative_to(ONNX) else set())
        may |= set().union(*EXTRAS.values()) if file.parts[0] != "src" else set()
        for top in {name.split(".")[0] for name in names}:
            if not DISTRIBUTIONS.get(top, {normal(top)}) & may:
                undeclared[str(file)] = top
    assert undeclared == {}


def test_no_import_is_private() -> None:
    assert {name: str(file) for file, names in USED.items() for name in names if is_private(name)} == {}


def test_what_is_allowed_is_used() -> None:
    every = set().union(*USED.values())
    assert [one for one in ALLOWED if not any(f"{name}.".startswith(f"{one}.") for name in every)] == []


@pytest.mark.parametrize(
    ("code", "private"),
    [
        ("from torch._dynamo import x", True),
        ("from torch import _dynamo", True),
        ("import torch\ntorch.nn._reduction.x()", True),
        ("from torch.nn.modules.batchnorm import _BatchNorm as B", True),
        ("from scmrepo.exceptions import SCMError", True),
        ("import torch\ntorch.nn.Linear(1, 1)\nself._x", False),
    ],
)
def test_the_law_sees_private_names(code: str, private: bool) -> None:
    assert any(map(is_private, filter(from_elsewhere, used(ast.parse(code))))) == private
