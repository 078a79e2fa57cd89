"""What can be chosen by name is enumerated by the fields of its section of params.yaml; code has one table of it at most."""

import ast
from collections import Counter
from pathlib import Path

import pytest

import cspops
from cspops.params.image_networks import FinetuneImgModes, PretrainImgMethods
from cspops.params.location_encoders import Encodings, Networks, Times
from cspops.params.section import Section
from cspops.params.sections import FinetuneLosses, Losses, Sources

ROOT = Path(cspops.__file__).parent
CATALOGUES: list[type[Section]] = [
    Encodings, Networks, Times, Losses, FinetuneLosses, Sources, PretrainImgMethods, FinetuneImgModes,
]  # fmt: skip


def lists_of(names: set[str], tree: ast.AST) -> int:
    """Return how many collections and `Literal`s of a module hold more than half of the names (three or more) as strings."""
    count = 0
    for node in ast.walk(tree):
        items = (
            node.keys if isinstance(node, ast.Dict) else node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else []
        )
        strings = {item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)}
        count += len(strings & names) > max(2, len(names) / 2)
    return count


def test_the_law_sees_a_second_list() -> None:
    tree = ast.parse('A = {"mc": 1, "nce": 2, "mse": 3}\nB: Literal["mc", "nce", "mse", "none"]\nC = ("mc", "nce")')
    assert lists_of(set(Losses.fields_by_key()), tree) == 2


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda catalogue: catalogue.__name__)
def test_code_lists_the_names_once_at_most(catalogue: type[Section]) -> None:
    names = set(catalogue.fields_by_key())
    lists: Counter[str] = Counter()
    for file in sorted(ROOT.rglob("*.py")):
        lists[file.relative_to(ROOT).as_posix()] = lists_of(names, ast.parse(file.read_bytes()))
    assert lists.total() <= 1, {file: number for file, number in lists.items() if number}
