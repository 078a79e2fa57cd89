"""Output of commands: results on stdout; on stderr warnings and errors, with progress, or with details (--verbose)."""

import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from cspops.errors import ParamsError
from cspops.progress import in_bytes, show_from
from cspops.terminal import STEERING, Output, say, visible

log = logging.getLogger(__name__)
_started = time.monotonic()

Cell = str | list[str]
"""A text, or its lines."""


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Apply --quiet or --verbose; raise a ParamsError for both."""
    global _started
    if quiet and verbose:
        raise ParamsError("--quiet and --verbose (or CSPOPS_QUIET and CSPOPS_VERBOSE) exclude each other", hint="leave one out")
    show_from(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    _started = time.monotonic()


def is_verbose() -> bool:
    return log.isEnabledFor(logging.DEBUG)


def log_cost() -> None:
    """Log the time and the peak memory, for --verbose."""
    if not is_verbose():
        return
    line = f"took {time.monotonic() - _started:.1f} s"
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        line += f", at most {in_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)} of memory"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        line += f", {in_bytes(torch.cuda.max_memory_allocated())} of the GPU's"
    log.debug(line)


def print_json(document: Any, *, ensure_ascii: bool = True, sort_keys: bool = False) -> None:
    """Print one JSON document; a letter that could steer a terminal is in it as JSON escapes it."""
    import json

    text = json.dumps(document, indent=1, ensure_ascii=ensure_ascii, sort_keys=sort_keys)
    say(*(STEERING.sub(lambda one: f"\\u{ord(one[0]):04x}", line) for line in text.split("\n")))


def show(title: str, rows: Sequence[Sequence[Cell]], *, text_columns: int) -> None:
    """Print a table whose first row is the header; the first ``text_columns`` columns are aligned left, the others right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def shown(cell: Cell) -> Text:
        return Text(visible(cell) if isinstance(cell, str) else "\n".join(map(visible, cell)))

    header, *body = rows
    table = Table(title=shown(title) if title else None, header_style="bold")
    for number, column in enumerate(header):
        table.add_column(shown(column), justify="left" if number < text_columns else "right", overflow="fold")
    for row in body:
        table.add_row(*map(shown, row))
    console = Console(width=width())
    with console.capture() as captured:
        console.print(table)
    Output().styled(captured.get())


def width() -> int:
    """Return the columns of a terminal, or COLUMNS; 200 for a file or a pipe, where rich would wrap at 80."""
    import shutil

    return max(40, shutil.get_terminal_size((200, 24)).columns) if sys.stdout.isatty() or "COLUMNS" in os.environ else 200


WIDE = 60


def shortened(text: str, *, wide: int = WIDE) -> str:
    """Return the beginning of a text that is too long for a table."""
    return text if len(text) <= wide else f"{text[: wide - 3]}..."
