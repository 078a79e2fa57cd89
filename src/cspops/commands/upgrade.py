"""`cspops upgrade`: bring a project of `cspops init` up to the installed cspops."""

import logging
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from cspops.commands.app import DATA, app
from cspops.commands.options import JsonOption
from cspops.commands.output import print_json
from cspops.data.json_files import Document
from cspops.errors import ParamsError
from cspops.files import write_whole
from cspops.terminal import say

log = logging.getLogger(__name__)

KEEPS_LINE_ENDS = re.compile(rb"^\*\s(.*\s)?(-text|binary|eol=lf)\b", re.MULTILINE)
"""Of a .gitattributes: that line ends stay in all files."""


@app.command(rich_help_panel=DATA, epilog="Example: pip install -U cspops && cspops upgrade && dvc repro")
def upgrade(
    dry_run: Annotated[bool, typer.Option("--dry", "--dry-run", help="Print what would change, and change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Bring a project made by `cspops init` up to the installed cspops; `dvc repro` then runs the stages whose code changed."""
    document = run(dry_run=dry_run)
    for warning in document["warnings"]:
        log.warning(warning)
    if json:
        print_json(document)
        return
    say(f"cspops {document['was']} -> {document['now']}")
    files = ", ".join(document["would_change"]) or "nothing"
    say(f"{'would change' if dry_run else 'changed'}: {files}")
    say(f"stages whose code changed: {', '.join(document['stages']) or 'none'}")
    if document["stages"]:
        say(f"next: {'cspops upgrade, then ' if dry_run else ''}dvc repro")


def run(*, dry_run: bool) -> Document:
    """Rewrite cspops.lock, and dvc.yaml unless it was edited; write .gitattributes where there is none.

    A choice that params.yaml lacks, since older versions had nothing to choose there, is added: dvc.yaml reads it.

    Raise a ParamsError where params.yaml does not fit.

    Returns:
        was and now, versions of cspops; `stages`, those whose code changed, which the next `dvc repro` runs;
        `changed`, the files written; `warnings`.
    """
    from cspops import params
    from cspops.commands.new_project import GITATTRIBUTES
    from cspops.params.editing import with_section
    from cspops.params.graph import CHOICES
    from cspops.pipeline import code, paths

    before, now = code.written(), code.installed()
    template = files("cspops").joinpath("template")
    try:
        params.load(paths.PARAMS)
    except ParamsError as error:
        raise ParamsError(
            error.lines, hint=f"fix params.yaml; the one that comes with cspops {now.version}: {template / 'params.yaml'}"
        ) from None
    texts, warnings = {}, []
    whole = (template / "params.yaml").read_text(encoding="utf-8")
    text = complete = paths.PARAMS.read_text(encoding="utf-8")
    for section in sorted({*CHOICES, *CHOICES.values()}):
        complete = with_section(complete, tuple(section.split(".")), whole)
    if complete != text:
        texts[paths.PARAMS] = complete
    if before.graph != now.graph or not code.GRAPH.is_file():
        if code.is_graph_of(before) or not code.GRAPH.is_file():
            texts[code.GRAPH] = code.template("graph.yaml").decode()
        elif not code.is_graph_of(now):
            warnings.append(
                f"{code.GRAPH} was changed by hand and is kept; the one that comes with cspops {now.version} is "
                f"{template / 'graph.yaml'}"
            )
    attributes = Path(GITATTRIBUTES)
    if not attributes.exists():
        texts[attributes] = code.template("gitattributes").decode()
    elif not KEEPS_LINE_ENDS.search(attributes.read_bytes()):
        warnings.append(f"{attributes} lets git rewrite line ends, by which files differ for DVC: add the line `* -text`")
    if before != now:
        texts[code.FILE] = now.text
    if not dry_run:
        for file, text in texts.items():
            write_whole(file, text)
    return {
        "was": before.version,
        "now": now.version,
        "stages": code.changed_stages(before, now),
        "changed": [] if dry_run else [str(file) for file in texts],
        "would_change": [str(file) for file in texts],
        "warnings": warnings,
    }
