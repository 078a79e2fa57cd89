"""Not a stage of the graph: data.dvc, which says what folder DVC copies to data/."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cspops.errors import DataError
from cspops.params.editing import with_value

FILE = Path("data.dvc")
RESTORE = "git restore data.dvc"


def imported_folder() -> str:
    """The folder that data.dvc names, as it stands there; DataError when there is none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        raw: Any = YAML(typ="safe", pure=True).load(_text())
        path = raw["deps"][0]["path"] if isinstance(raw, Mapping) and len(raw["deps"]) == 1 else None
    except (YAMLError, KeyError, TypeError, IndexError):
        path = None
    if not isinstance(path, str):
        raise DataError(f"{FILE} does not name one folder under deps", hint=RESTORE)
    return path


def naming(folder: str) -> str:
    """The text of data.dvc with another folder; DVC finds by itself that size and hash are of the one before."""
    imported_folder()
    return with_value(_text(), ("deps", 0, "path"), folder)


def _text() -> str:
    try:
        return FILE.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{FILE} is missing", hint=f"run in the project's folder, or {RESTORE}") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise DataError(f"{FILE} is not YAML", hint=RESTORE) from None
