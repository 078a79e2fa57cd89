"""What `Source.files` says of a file."""

import hashlib
from pathlib import Path
from typing import Any


def facts(file: Path) -> dict[str, Any]:
    """Size in bytes and sha256."""
    with file.open("rb") as opened:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}
