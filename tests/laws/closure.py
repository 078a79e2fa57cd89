"""Which of the project's modules a module imports, directly or not, read from the sources."""

import ast
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
PLUMBING = {"__init__", "cli", "host", "paths", "errors", "__main__", "progress", "stages/site"}
"""Modules that cannot change a result: a stage does not run again when they change."""


def closure(module: str) -> set[str]:
    """Files (relative to the project) of ``module`` and of all that it imports, inside functions too.

    Imports under `if TYPE_CHECKING:` do not count, nor do plumbing modules.
    """
    found: set[Path] = set()
    queue = [module]
    while queue:
        file = _file(queue.pop())
        if file is None or file in found or _short(file) in PLUMBING or _short(file).startswith("params/"):
            continue
        found.add(file)
        queue += _imports(file)
    return {path.relative_to(SRC.parent).as_posix() for path in found}


def _file(module: str) -> Path | None:
    path = SRC / Path(*module.split("."))
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    package = path / "__init__.py"
    return package if package.is_file() and _has_code(package) else None


def _has_code(file: Path) -> bool:
    """Whether an `__init__.py` is more than a docstring."""
    return len(ast.parse(file.read_text()).body) > 1


def _short(file: Path) -> str:
    return file.relative_to(SRC / "cspops").with_suffix("").as_posix()


def _imports(file: Path) -> list[str]:
    names: list[str] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names.extend(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(file.read_text()))
    return [name for name in names if name.split(".")[0] == "cspops"]
