"""The graph of a project without sources, derived from this repository's dvc.yaml.

`python tests/laws/project_template.py`, in the repository, writes both files anew after dvc.yaml was changed.
"""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "src/cspops/"
GRAPH = ROOT / PACKAGE / "template" / "graph.yaml"
SOURCES = ROOT / PACKAGE / "template" / "sources.json"

HEADER = """\
# The stage graph. `dvc repro` runs what is due; `dvc dag` draws it. Each stage is the subcommand of cspops of the same name.
# It depends on the params listed for it, on what earlier stages wrote, and on its entry in cspops.lock, a digest of its code.
# `cspops upgrade` writes this file anew where it was not changed by hand.
"""


def derived(text: str) -> tuple[str, dict[str, list[str]]]:
    """The text of dvc.yaml with cspops.lock in place of the files of the package; and those files, by stage."""
    head, _, body = text.partition("stages:\n")
    assert all(line.startswith("#") for line in head.splitlines()), "dvc.yaml has more than comments above its stages"
    body, _, plots = body.partition("\nplots:\n")  # of the whole graph, which name no source
    stages: dict[str, list[str]] = {}
    for line in body.splitlines():
        if line.startswith("  ") and not line.startswith("   ") and line.endswith(":"):
            stages[line.strip(" :")] = []
        else:
            stages[list(stages)[-1]].append(line)
    graph, sources = [*HEADER.splitlines(), "stages:"], {}
    for stage, lines in stages.items():
        deps = [line.removeprefix("      - ") for line in lines if line.startswith(f"      - {PACKAGE}")]
        sources[stage] = sorted(file for dep in deps for file in _files(dep))
        kept = [line for line in lines if not line.startswith(f"      - {PACKAGE}")]
        kept = [line for line, below in zip(kept, [*kept[1:], ""], strict=True) if line != "    deps:" or below[:5] == " " * 5]
        if "    params:" not in kept:
            kept.insert(kept.index("    deps:"), "    params:")
        at = kept.index("    params:") + 1
        while kept[at : at + 1] and kept[at].startswith("     "):
            at += 1
        kept[at:at] = ["      - cspops.lock:", f"          - stages.{stage}"]
        graph += [f"  {stage}:", *kept]
    return "\n".join(graph) + "\n" + (f"plots:\n{plots}" if plots else ""), sources


def _files(dep: str) -> list[str]:
    """The files of a dependency, relative to the package."""
    path = ROOT / dep
    found = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [file.relative_to(ROOT / PACKAGE).as_posix() for file in found]


def as_json(sources: dict[str, list[str]]) -> str:
    return json.dumps(sources, indent=1) + "\n"


if __name__ == "__main__":
    graph, sources = derived((ROOT / "dvc.yaml").read_text())
    GRAPH.write_text(graph)
    SOURCES.write_text(as_json(sources))
