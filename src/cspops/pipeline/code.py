"""One digest per stage of the code that makes its outputs, so that a stage re-runs when its own code changed.

Stage `check` depends on all of the package and takes a second; it writes `artifacts/code/STAGE`, a digest of the stage's
import closure, and every stage depends on its one file. A changed docstring changes no digest; a changed constant changes
those of the stages that import it, and DVC runs just these. A stage refuses to run by other code than its digest names, so
that no output is recorded as made by code that did not make it.

In a project that `cspops init` made there are no sources, and DVC cannot see that another cspops was installed. There `check`
depends on cspops.lock, which holds the digests, and `cspops upgrade` writes it anew. A check that always runs would
need no such command, but `dvc status` would never be clean, and a colleague with another version would unknowingly compute
everything again.
"""

import ast
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from cspops.errors import DataError, EnvironmentProblem
from cspops.files import sha256_of, write_whole
from cspops.params import VIEWS
from cspops.params.yaml_text import NotReadable, read_yaml
from cspops.pipeline import paths

FILE = Path("cspops.lock")
GRAPH = Path("dvc.yaml")
CODE = paths.ARTIFACTS / "code"
"""Holds one file per stage, the digest of its code."""
STAGE_MODULES = __name__.rpartition(".")[0]

PLUMBING = ("commands", "params", "host", "pipeline.paths", "pipeline.code", "errors", "files", "progress", "site", "__main__")
"""Modules that cannot change a result and enter no digest. DVC itself records the values of params.yaml that a stage reads."""

HEADER = """\
# One digest per stage of the code that makes the results of this project. Keep this file in git. After another
# cspops is installed, `cspops upgrade` rewrites it, and `dvc repro` runs the stages whose code changed.
"""


@dataclass(frozen=True)
class Code:
    """The content of cspops.lock."""

    version: str
    """The version of cspops. No stage depends on it: unchanged code makes unchanged results."""
    graph: str
    """The sha256 of dvc.yaml as it was written, which shows whether it was edited."""
    stages: Mapping[str, str]
    """The digest of each stage's code."""

    @property
    def text(self) -> str:
        """The text of cspops.lock."""
        lines = [f"cspops: {json.dumps(self.version)}", f"graph: {json.dumps(self.graph)}", "stages:"]
        return HEADER + "\n".join([*lines, *(f"  {stage}: {json.dumps(one)}" for stage, one in self.stages.items())]) + "\n"


class Package:
    """The source and data files of the package, each read and parsed at most once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._trees: dict[Path, ast.Module] = {}
        self._digests: dict[Path, str] = {}
        self._names_in: dict[Path, tuple[list[str], set[str]]] = {}
        self._named: dict[str, Path] = {}
        self._beside: dict[Path, set[Path]] = defaultdict(set)
        for path in sorted(root.rglob("*")):
            if path.suffix not in (".py", ".pyc", ".typed") and path.is_file():
                self._named[path.name] = path
                self._beside[path.parent].add(path)

    def digest(self, stage: str) -> str:
        """Return the sha256 of all code and data that can change a stage's result; the same on every version of Python."""
        lines = (f"{file.relative_to(self.root).as_posix()} {self._digest(file)}\n" for file in self.closure(stage))
        return _sha256("".join(lines).encode())

    def closure(self, stage: str) -> list[Path]:
        """Return the modules that a stage imports, inside functions too, and the data files of the package that these open.

        Imports under `if TYPE_CHECKING:`, `PLUMBING` and packages that hold only a docstring do not count.
        A module opens the data files that lie in its own folder, and those it names by a string that is or ends in `/NAME`.
        """
        modules: set[Path] = set()
        data: set[Path] = set()
        queue = [f"{STAGE_MODULES}.{stage.replace('-', '_')}"]
        while queue:
            module = queue.pop()
            file = self._file(module)
            if file is None or file in modules:
                continue
            modules.add(file)
            queue.append(module.rpartition(".")[0])  # a package's own code runs before that of its modules
            data |= self._beside[file.parent]
            imported, strings = self._names(file)
            queue += imported
            data |= {self._named[name] for name in strings if name in self._named}
        return sorted(modules) + sorted(data)

    def _file(self, module: str) -> Path | None:
        """Return the file of a module that counts; None for any other name."""
        root, *names = module.split(".")
        below = ".".join(names)
        if root != "cspops" or not names or any(below == one or below.startswith(f"{one}.") for one in PLUMBING):
            return None
        path = self.root.joinpath(*names)
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
        init = path / "__init__.py"
        return init if init.is_file() and not all(map(_is_docstring, self._tree(init).body)) else None

    def _names(self, file: Path) -> tuple[list[str], set[str]]:
        """Return what a module imports, and the last part of each of its strings."""
        if file not in self._names_in:
            imported: list[str] = []
            strings: set[str] = set()
            for node in _run_time_nodes(self._tree(file)):
                if isinstance(node, ast.Import):
                    imported += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module:
                    imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    strings.add(node.value.rpartition("/")[2])
            self._names_in[file] = imported, strings
        return self._names_in[file]

    def _tree(self, file: Path) -> ast.Module:
        if file not in self._trees:
            self._trees[file] = ast.parse(file.read_bytes())
        return self._trees[file]

    def _digest(self, file: Path) -> str:
        if file not in self._digests:
            content = _written(self._tree(file)).encode() if file.suffix == ".py" else file.read_bytes()
            self._digests[file] = _sha256(content)
        return self._digests[file]


def _run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield child
            yield from _run_time_nodes(child)


def _written(tree: ast.AST) -> str:
    """Return a syntax tree as text, without docstrings, positions and empty fields.

    `ast.dump` is not used because its text differs between versions of Python, which add fields and leave out others.
    """
    parts: list[str] = []
    put = parts.append

    def write(node: ast.AST) -> None:
        put(type(node).__name__)
        put("(")
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                put(name)
                write(value)
            elif isinstance(value, list):
                for one in value:
                    if name == "body" and _is_docstring(one):
                        continue
                    put(name)
                    if isinstance(one, ast.AST):
                        write(one)
                    else:
                        put(repr(one))
            elif value is not None or name == "value":
                put(name)
                put(repr(value))
        put(")")

    write(tree)
    return "\n".join(parts)


def _is_docstring(node: ast.AST) -> bool:
    """Return whether a statement is only a string: below a module, class, function or name it is documentation."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def package() -> Package:
    """Return the installed package, read once per process."""
    return Package(Path(str(files("cspops"))))


def installed() -> Code:
    """Return the installed code and the digest of its graph; takes about half a second."""
    here = package()
    return Code(version("cspops"), _sha256(template("graph.yaml")), {stage: here.digest(stage) for stage in VIEWS})


def template(name: str) -> bytes:
    """Return the content of a file that new projects start from."""
    return files("cspops").joinpath("template", name).read_bytes()


def write(code: Code) -> None:
    """Write the digest of each stage for DVC; a file with the right content stays untouched."""
    for stage, digest in code.stages.items():
        if not (CODE / stage).is_file() or (CODE / stage).read_text() != digest + "\n":
            write_whole(CODE / stage, digest + "\n")


def noted() -> dict[str, str]:
    """Return each stage's digest as `check` wrote it, or that of the installed code where it did not."""
    files = {stage: CODE / stage for stage in VIEWS}
    return {stage: file.read_text().strip() if file.is_file() else package().digest(stage) for stage, file in files.items()}


def written() -> Code:
    """Read cspops.lock of the working folder; raise a DataError where it is missing or broken."""
    try:
        raw = read_yaml(FILE.read_text(encoding="utf-8"))
        code = Code(raw["cspops"], raw["graph"], dict(raw["stages"]))
        whole = all(isinstance(value, str) for value in (code.version, code.graph, *code.stages.values()))
    except FileNotFoundError:
        raise DataError(
            f"{FILE} is missing: this folder is no project of `cspops init`", hint="cspops init DIR makes one"
        ) from None
    except (NotReadable, OSError, KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise DataError(f"{FILE} is broken", hint=f"git restore {FILE}")
    return code


def changed_stages(before: Code, now: Code) -> list[str]:
    """Return the stages of ``now`` whose code is not that of ``before``."""
    return [stage for stage, digest in now.stages.items() if before.stages.get(stage) != digest]


def require_installed(code: Code) -> None:
    """Raise an EnvironmentProblem where cspops.lock names other code of any stage than ``code``, the installed one.

    A folder without cspops.lock, such as a checkout of the sources, requires nothing.
    """
    if FILE.exists():
        before = written()
        if changed := changed_stages(before, code):
            raise _refusal(before, changed)


def require(stage: str) -> None:
    """Raise an EnvironmentProblem where a stage would run by other code than DVC has recorded for it.

    cspops.lock names that code, or `artifacts/code` in a checkout of the sources; without either, nothing is required.
    """
    if FILE.exists():
        before = written()
        if before.stages.get(stage) != package().digest(stage):
            raise _refusal(before, [stage])
    elif (CODE / stage).is_file() and (CODE / stage).read_text() != package().digest(stage) + "\n":
        raise EnvironmentProblem(
            f"the code of stage {stage} has changed since {CODE / stage} was written", hint=f"dvc repro {stage}"
        )


def _refusal(before: Code, stages: list[str]) -> EnvironmentProblem:
    now = version("cspops")
    what = f"stage {stages[0]}" if len(stages) == 1 else f"stages {', '.join(stages)}"
    same = before.version == now
    back = "" if same else f"; or pip install cspops=={before.version}"
    return EnvironmentProblem(
        f"{FILE} names other code of {what} than is installed (cspops {now}"
        + (", changed since)" if same else f"; the project was made by {before.version})"),
        hint=f"cspops upgrade, then dvc repro{back}",
    )


def is_graph_of(code: Code) -> bool:
    """Return whether dvc.yaml is as it was written with ``code``."""
    return GRAPH.is_file() and sha256_of(GRAPH) == code.graph


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
