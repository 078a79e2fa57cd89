"""Point data.dvc at your own folder of images."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cspops.commands import image_folder
from cspops.data.json_files import Document
from cspops.errors import DataError, ParamsError
from cspops.files import write_whole
from cspops.params import TEMPLATE, Params, completed, parse, value_at
from cspops.params.editing import edited, with_section
from cspops.params.yaml_text import NotReadable, read_yaml
from cspops.pipeline import paths

DATA_DVC = Path("data.dvc")
RESTORE = "git restore data.dvc"


def imported_folder() -> str:
    """Return the folder that data.dvc names, as written there; raise a DataError when there is none."""
    try:
        raw = read_yaml(_text())
        path = raw["deps"][0]["path"] if isinstance(raw, Mapping) and len(raw["deps"]) == 1 else None
    except (NotReadable, KeyError, TypeError, IndexError):
        path = None
    if not isinstance(path, str):
        raise DataError(f"{DATA_DVC} does not name one folder under deps", hint=RESTORE)
    return path


def data_dvc_with(folder: str) -> str:
    """Return the text of data.dvc with another folder; DVC notices that size and hash are those of the former one."""
    imported_folder()
    return edited(_text(), {("deps", 0, "path"): folder})


def _text() -> str:
    try:
        return DATA_DVC.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{DATA_DVC} is missing", hint=f"run in the project's folder, or {RESTORE}") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise DataError(f"{DATA_DVC} is not YAML", hint=RESTORE) from None


BACK = "git restore data.dvc params.yaml && dvc repro"


def run(path: Path, params: Params, *, source: str | None, label: str | None, dry: bool) -> Document:
    """Make data.dvc name the folder ``path`` (of a table: the folder that it lies in), and return what to run next.

    With ``source`` or ``label``, the table's column of labels, params.yaml is also set: dataset.source, and what the table
    needs. A params.yaml without the section of that source gets it. Either both files change or none; if ``dry``, none.

    Returns:
        path, was, source, files, images, bytes, tables; `set`, the values that params.yaml needs; `changed`, the files written,
        and `would_change`, those that a dry run spares; `warnings`, `next` and `back`, commands to run.
    """
    was, whole = imported_folder(), completed(params)
    found = image_folder.look(path, whole, project=Path.cwd(), source=source, label=label)
    missing = {key: value for key, value in found.values.items() if value_at(whole, key) != value}
    sets = source is not None or label is not None
    section = f"dataset.{found.source}"
    texts = {DATA_DVC: data_dvc_with(found.folder.as_posix())}
    if (sets and missing) or value_at(params, section) is None:
        texts[paths.PARAMS] = _params_with(section, missing if sets else {})
    if sets:
        missing = {}
    if not dry:
        _write_all(texts)
    files = [file.as_posix() for file in texts]
    overrides = "".join(f" -S {shlex.quote(f'{key}={value}')}" for key, value in missing.items())
    check = "cspops data check" + (f" --source {found.source}" if "dataset.source" in missing else "")
    contents = found.contents
    return {
        "path": found.folder.as_posix(),
        "was": was,
        "source": found.source,
        "files": contents.files,
        "images": contents.images,
        "bytes": contents.bytes,
        "tables": sorted([*contents.tables, *contents.other_tables]),
        "set": found.values,
        "changed": [] if dry else files,
        "would_change": files if dry else [],
        "warnings": found.warnings + ([found.asked.text] if found.asked is not None else []),
        "next": [check, f"dvc exp run{overrides}" if overrides else "dvc repro"],
        "back": BACK,
    }


def _params_with(section: str, values: dict[str, Any]) -> str:
    """Return the text of params.yaml with that section and these values, checked."""
    text = paths.PARAMS.read_text(encoding="utf-8")
    try:
        text = with_section(text, tuple(section.split(".")), TEMPLATE.read_text(encoding="utf-8"))
    except KeyError:
        raise ParamsError(f"{paths.PARAMS}: {section} is missing", hint=f"copy its lines from {TEMPLATE}") from None
    try:
        text = edited(text, {tuple(key.split(".")): value for key, value in values.items()})
    except KeyError as error:
        raise ParamsError(
            f"{paths.PARAMS}: {error.args[0]} is not a value that can be replaced", hint="set it by hand"
        ) from None
    parse(text, paths.PARAMS)
    return text


def _write_all(texts: dict[Path, str]) -> None:
    """Replace files, all of them or none."""
    before = {file: file.read_bytes() for file in texts}
    done: list[Path] = []
    try:
        for file, text in texts.items():
            done.append(file)
            write_whole(file, text)
    except BaseException:
        for file in done:
            file.write_bytes(before[file])
        raise
