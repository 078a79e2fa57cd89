"""Nothing in src is there for its tests alone: each public function, class and method is used in src, or is public API."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "cspops"
PUBLIC = {"Model"}
"""What `cspops.load` gives: its methods are for users."""
CALLED_BY_NAME = {"__main__.py: run", "pixels/workers.py: serve"}
"""By pyproject.toml; by a process that is started with a line of code. Stages (`pipeline/*.py: run`) are called so, too."""
OF_LIBRARIES = {"emit", "extra_repr", "forward", "get_extra_state", "set_extra_state"}
"""Methods that `logging` and `torch.nn` call."""
Definition = ast.FunctionDef | ast.ClassDef


def definitions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Public functions, classes and their methods, but for those that a decorator of another object takes."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_") and not is_taken(node):
            yield node.name, node
        for method in node.body if isinstance(node, ast.ClassDef) and node.name not in PUBLIC else ():
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and not is_taken(method):
                yield f"{node.name}.{method.name}", method


def is_taken(node: Definition) -> bool:
    """Whether it is a command of Typer's or a validator of pydantic's."""
    heads = (one.func if isinstance(one, ast.Call) else one for one in node.decorator_list)
    return any(ast.unparse(head).endswith((".command", ".callback", "_validator")) for head in heads)


def names(tree: ast.AST) -> Counter[str]:
    """How often each name stands by itself, or in an annotation that is a string."""
    out = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    for node in ast.walk(tree):
        said = [getattr(node, place, None) for place in ("annotation", "returns")]
        for one in (part for root in said if isinstance(root, ast.AST) for part in ast.walk(root)):
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                out.update(re.findall(r"\w+", one.value))
    return out


def attributes(tree: ast.AST) -> Counter[tuple[str, str]]:
    """How often each name stands behind a dot, by what is before the dot: its last name, or nothing."""
    return Counter(
        ((node.value.id if isinstance(node.value, ast.Name) else getattr(node.value, "attr", "")), node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    )


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What is imported from a module, and its name here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((one.name, one.asname or one.name) for one in node.names)


def exported(tree: ast.Module) -> set[str]:
    """What `__all__` lists."""
    lists = [node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
    return {str(one.value) for each in lists for one in ast.walk(each) if isinstance(one, ast.Constant)}


def orphans(root: Path) -> list[str]:
    """Definitions below ``root`` that nothing below it uses, but for what stands inside themselves. An import is no use."""
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in root.rglob("*.py") if "template" not in file.parts}
    spoken = {file: names(tree) for file, tree in trees.items()}
    dotted = {file: attributes(tree) for file, tree in trees.items()}
    imported = {file: list(imports(tree)) for file, tree in trees.items()}
    public = {name for tree in trees.values() for name in exported(tree)}

    def is_used(home: Path, name: str, node: Definition) -> bool:
        owner, _, last = name.rpartition(".")
        if owner:
            within = sum(count for (_, attribute), count in attributes(node).items() if attribute == last)
            return sum(count for every in dotted.values() for (_, attr), count in every.items() if attr == last) > within
        if spoken[home][last] > names(node)[last]:
            return True
        module = home.parent.name if home.stem == "__init__" else home.stem
        for file in trees:
            for told, here in imported[file]:
                if told == last and file != home and spoken[file][here]:
                    return True
                if told == module and dotted[file][here, last]:
                    return True
        return False

    return sorted(
        where
        for home, tree in trees.items()
        for name, node in definitions(tree)
        if (where := f"{home.relative_to(root).as_posix()}: {name}")
        and name.rpartition(".")[2] not in public | OF_LIBRARIES
        and where not in CALLED_BY_NAME
        and not (home.parent.name == "pipeline" and name == "run")
        and not is_used(home, name, node)
    )


def test_every_public_definition_of_src_is_used_in_src() -> None:
    assert orphans(SRC) == []


def test_the_law_sees_what_calls_itself_alone_and_what_is_only_imported(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("def lone(n):\n    return lone(n - 1)\n\n\ndef used():\n    return 0\n")
    (tmp_path / "other.py").write_text("from one import lone, used as taken\n\ntaken()\nx = lone_wolf.lone\n")
    assert orphans(tmp_path) == ["one.py: lone"]
