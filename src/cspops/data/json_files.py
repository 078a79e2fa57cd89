"""JSON files that other commands wrote, read with a sentence for the user where they are missing or broken."""

import json
from pathlib import Path
from typing import Any

from cspops.errors import DataError

Document = dict[str, Any]
"""A JSON document that a command prints with --json, or that stands in a file."""


def read_json(file: Path, *, remake: str) -> Any:
    """Read a file; DataError, with ``remake`` as the next command, where it is missing or no JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{file} is missing", hint=remake) from None
    except ValueError:
        raise DataError(f"{file} is not JSON", hint=remake) from None
