"""Output of commands: results on stdout; on stderr warnings and errors, with progress, or with details (--verbose)."""

import logging
import os
import sys
import time
from typing import Any

from cspops.errors import ParamsError
from cspops.progress import in_bytes, show_from

log = logging.getLogger(__name__)
_started = time.monotonic()


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
    """Print one JSON document."""
    import json

    print(json.dumps(document, indent=1, ensure_ascii=ensure_ascii, sort_keys=sort_keys))


def show(title: str, rows: list[list[str]], *, text_columns: int) -> None:
    """Print a table whose first row is the header; the first ``text_columns`` columns are aligned left, the others right."""
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
    """Return the columns of a terminal, or COLUMNS; 200 for a file or a pipe, where rich would wrap at 80."""
    import shutil

    return shutil.get_terminal_size((200, 24)).columns if sys.stdout.isatty() or "COLUMNS" in os.environ else 200


WIDE = 60


def clean(text: str, *, wide: int = WIDE) -> str:
    """Return one shortened line without control characters, which could steer a terminal."""
    safe = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return safe if len(safe) <= wide else f"{safe[: wide - 3]}..."
