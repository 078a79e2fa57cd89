"""What commands share: the workspace's params and host, a stage run in it, and how answers are printed."""

import os
import sys
from typing import TYPE_CHECKING, Any

from cspops.cli.loudness import report, tell
from cspops.errors import EnvironmentProblem

if TYPE_CHECKING:
    from cspops.host import Host
    from cspops.params import Params


def read_params() -> "Params":
    from cspops import params, paths

    return params.load(paths.PARAMS)


def read_host() -> "Host":
    from pydantic import ValidationError

    from cspops.host import Host

    try:
        return Host()
    except ValidationError as error:
        raise EnvironmentProblem(f"a CSPOPS_* variable is wrong: {error.errors()[0]['msg']}") from None


def run_stage(stage: str) -> None:
    """Check code, params and inputs, let `cspops.stages.STAGE.run` fill a new folder, put it in place."""
    import importlib

    from cspops import params, paths
    from cspops.stages import project_code
    from cspops.stages.site import Site

    project_code.require(stage)
    checked = read_params()
    inputs = paths.require(stage, checked)
    facts = {"stage": stage, "params": params.recorded(checked, stage)}
    host = read_host()
    tell(f"device: {host.device} (CSPOPS_DEVICE)")
    for folder in inputs.values():
        tell(f"reads: {folder}")
    module = importlib.import_module(f"cspops.stages.{stage.replace('-', '_')}")
    with paths.scratch(stage, checked) as scratch, paths.whole_folder(paths.folder_of(stage), facts) as out:
        site = Site(paths.RAW, inputs, paths.REPORTS, out, scratch, host, report())
        module.run(params.view(checked, params.VIEWS[stage]), site)
    paths.publish(paths.folder_of(stage))


def print_json(document: Any, *, ensure_ascii: bool = True, sort_keys: bool = False) -> None:
    """One JSON document on stdout."""
    import json

    print(json.dumps(document, indent=1, ensure_ascii=ensure_ascii, sort_keys=sort_keys))


def show(title: str, rows: list[list[str]], *, text_columns: int) -> None:
    """A table on stdout, the header first; the first ``text_columns`` columns are set left, the others right."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    header, *body = rows
    table = Table(title=escape(title) or None, header_style="bold")
    for number, column in enumerate(header):
        table.add_column(escape(column), justify="left" if number < text_columns else "right")
    for row in body:
        table.add_row(*map(escape, row))
    Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else width()).print(table)


def width() -> int:
    """Columns of stdout; into a file or a pipe rich would wrap at 80: a terminal, or COLUMNS, says its width."""
    import shutil

    return shutil.get_terminal_size((200, 24)).columns if sys.stdout.isatty() or "COLUMNS" in os.environ else 200
