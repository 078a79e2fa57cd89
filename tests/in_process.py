"""The command line called in the test's own process, and a project whose cspops.lock names code."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cspops.commands import main
from cspops.pipeline import code

Command = Callable[..., tuple[int, str, str]]
"""From arguments to exit code, stdout and stderr."""
TEMPLATE = Path(__file__).parents[1] / "src/cspops/template"


def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> Command:
    """Return what runs `cspops WORDS ARGUMENTS`."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cspops", *words, *map(str, arguments)])
        status = main()
        done = capsys.readouterr()
        return status, done.out, done.err

    return run


def write_locked_project(folder: Path) -> None:
    """Write the files of a new project that code is about."""
    (folder / "dvc.yaml").write_bytes((TEMPLATE / "graph.yaml").read_bytes())
    (folder / "params.yaml").write_bytes((TEMPLATE / "params.yaml").read_bytes())
    (folder / ".gitattributes").write_bytes((TEMPLATE / "gitattributes").read_bytes())
    (folder / "cspops.lock").write_text(code.installed().text)


def by_other_code(project: Path, *stages: str, version: str | None = None, graph: str | None = None) -> str:
    """Make cspops.lock name other code of these stages, and return its text."""
    now = code.installed()
    digests = now.stages | dict.fromkeys(stages, "0" * 64)
    text = replace(now, version=version or now.version, graph=graph or now.graph, stages=digests).text
    (project / "cspops.lock").write_text(text)
    return text
