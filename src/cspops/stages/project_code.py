"""Not a stage of the graph: cspops.lock, which names the code that the results of a project without sources are made by.

The graph of this repository depends on source files. In a project that `cspops init` made there are none, and DVC cannot
see that another cspops was installed. There each stage depends on its entry in cspops.lock, a digest of the files that can
change its result; a stage refuses to run by other code than its entry names, so that no output is recorded as made by code
that it was not made by; and `cspops upgrade` writes the entries anew, after which `dvc repro` runs the stages whose code is
another one. A stage that always runs and looks by itself would do without that command. But `dvc status` would never be
clean, and a colleague with another version would compute everything again unasked.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from cspops import paths
from cspops.errors import DataError, EnvironmentProblem

FILE = Path("cspops.lock")
GRAPH = Path("dvc.yaml")

HEADER = """\
# The code that the results of this project are made by; each stage depends on its entry. Keep this file in git. After another
# cspops was installed, `cspops upgrade` writes it anew, and `dvc repro` runs the stages whose code is another one.
"""


@dataclass(frozen=True)
class Code:
    """What cspops.lock holds."""

    version: str
    """Of cspops. No stage depends on it: a version that leaves a stage's code as it is leaves its results."""
    graph: str
    """The sha256 of dvc.yaml as it was written: whether it was changed by hand."""
    stages: Mapping[str, str]
    """For each stage, a digest of the files of the package that can change its result."""

    @property
    def text(self) -> str:
        """The text of cspops.lock."""
        lines = [f"cspops: {json.dumps(self.version)}", f"graph: {json.dumps(self.graph)}", "stages:"]
        return HEADER + "\n".join([*lines, *(f"  {stage}: {json.dumps(one)}" for stage, one in self.stages.items())]) + "\n"


def installed() -> Code:
    """The code that is installed, and the graph that comes with it; takes some milliseconds."""
    package = files("cspops")
    sources: dict[str, list[str]] = json.loads(template("sources.json"))
    hashes = {name: _sha256(package.joinpath(name).read_bytes()) for names in sources.values() for name in names}
    stages = {
        stage: _sha256("".join(f"{name} {hashes[name]}\n" for name in names).encode()) for stage, names in sources.items()
    }
    return Code(version("cspops"), _sha256(template("graph.yaml")), stages)


def template(name: str) -> bytes:
    """A file that new projects start from."""
    return files("cspops").joinpath("template", name).read_bytes()


def written() -> Code:
    """What cspops.lock of the working folder says; DataError where it is missing or broken."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        raw: Any = YAML(typ="safe", pure=True).load(FILE.read_text(encoding="utf-8"))
        found = Code(raw["cspops"], raw["graph"], dict(raw["stages"]))
        whole = all(isinstance(value, str) for value in (found.version, found.graph, *found.stages.values()))
    except FileNotFoundError:
        raise DataError(f"{FILE} is missing: no project of `cspops init` lies here", hint="cspops init DIR makes one") from None
    except (YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise DataError(f"{FILE} is broken", hint=f"git restore {FILE}")
    return found


def changed_stages(before: Code, now: Code) -> list[str]:
    """The stages of ``now`` whose code is not that of ``before``."""
    return [stage for stage, digest in now.stages.items() if before.stages.get(stage) != digest]


def require(*stages: str) -> None:
    """EnvironmentProblem where cspops.lock names other code of these stages, all without any, than is installed.

    A folder without cspops.lock, such as a checkout of the sources, asks for nothing.
    """
    if not FILE.exists():
        return
    before, now = written(), installed()
    other = [stage for stage in changed_stages(before, now) if stage in (stages or now.stages)]
    if not other:
        return
    what = f"stage {other[0]}" if len(other) == 1 else f"stages {', '.join(other)}"
    same = before.version == now.version
    back = "" if same else f"; or pip install cspops=={before.version}"
    raise EnvironmentProblem(
        f"{FILE} names other code of {what} than is installed (cspops {now.version}"
        + (", changed since)" if same else f"; the project was made by {before.version})"),
        hint=f"cspops upgrade, then dvc repro{back}",
    )


def is_graph_of(code: Code) -> bool:
    """Whether dvc.yaml is as it was written with ``code``."""
    return GRAPH.is_file() and paths.sha256_of(GRAPH) == code.graph


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
