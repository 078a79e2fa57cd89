"""Point data.dvc at your own folder of images."""

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


LARGE_BYTES, LARGE_FILES = 4 << 30, 100_000
"""Above these, the copies in data/ and in DVC's cache are a burden: each check of what changed takes minutes."""
WRITTEN_BY_PROJECT = ("data", "artifacts", "reports", ".dvc", ".git")
BACK = "git restore data.dvc params.yaml && dvc repro"


@dataclass
class Contents:
    """The files below a folder."""

    files: int = 0
    bytes: int = 0
    images: int = 0
    """As source folder counts them, those alone that can be read."""
    unread: dict[str, str] = field(default_factory=dict)
    """Images in other formats: what they are."""
    tables: list[str] = field(default_factory=list)
    """Tables of images at its top level, sorted."""
    other_tables: dict[str, DataError] = field(default_factory=dict)
    """Tables there that cannot be read as such, and why."""
    broken_links: list[str] = field(default_factory=list)
    odd_names: list[str] = field(default_factory=list)
    """Names that are not UTF-8, in ASCII."""


def run(path: Path, params: Params, *, source: str | None, dry_run: bool, set_params: bool | None = None) -> Document:
    """Make data.dvc name the folder ``path`` (of a table: the folder that it lies in), and return what to run next.

    With ``source``, or ``set_params``, dataset.source of params.yaml (and dataset.table.file, when ``path`` is a table) is
    also set. A params.yaml without the section of that source gets it. Either both files change or none.

    Returns:
        path, was, source, files, images, bytes, tables; `set`, the values that params.yaml needs; `changed`, the files written;
        `warnings`, `next` and `back`, commands to run.
    """
    set_params = source is not None if set_params is None else set_params
    folder, table = folder_and_table(path)
    was = imported_folder()
    _refuse_own_folders(folder)
    whole = completed(params)
    contents = contents_of(folder, whole)
    detected = detect(folder, table, contents, source)
    needed: dict[str, Any] = {"dataset.source": detected}
    if detected == "table" and (table or contents.other_tables or len(contents.tables) > 1):
        needed["dataset.table.file"] = table or _only(contents.tables, folder)
    warnings = _warnings(folder, contents, detected, value_at(whole, f"dataset.{detected}.root"))
    if source is None and detected == "folder":
        warnings += [f"{error.message}: not read as the table of the images" for error in contents.other_tables.values()]

    texts = {DATA_DVC: data_dvc_with(folder.as_posix())}
    missing = {key: value for key, value in needed.items() if value_at(whole, key) != value}
    if (set_params and missing) or value_at(params, f"dataset.{detected}") is None:
        texts[paths.PARAMS] = _params_with(f"dataset.{detected}", missing if set_params else {})
    if set_params:
        missing = {}
    if not dry_run:
        _write_all(texts)
    overrides = "".join(f" -S {key}={value}" for key, value in missing.items())
    check = "cspops data check" + (f" --source {detected}" if "dataset.source" in missing else "")
    return {
        "path": folder.as_posix(),
        "was": was,
        "source": detected,
        "files": contents.files,
        "images": contents.images,
        "bytes": contents.bytes,
        "tables": sorted([*contents.tables, *contents.other_tables]),
        "set": needed,
        "changed": [] if dry_run else [file.as_posix() for file in texts],
        "warnings": warnings,
        "next": [check, f"dvc exp run{overrides}" if overrides else "dvc repro"],
        "back": BACK,
    }


def folder_and_table(path: Path) -> tuple[Path, str | None]:
    """Return the folder, and the name of the table when ``path`` is a file; raise a DataError when it is neither."""
    from cspops.intake.sources.table import table_format

    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise ParamsError(f"{path}: {error}") from None
    if path.is_dir():
        return path, None
    if not path.exists():
        raise DataError(f"{path} does not exist", hint="name a folder of images, or a table of them")
    if not path.is_file() or table_format(path) is None:
        raise DataError(f"{path} is neither a folder nor a table", hint=f"tables are {TABLES}")
    return path.parent, path.name


def contents_of(folder: Path, params: Params) -> Contents:
    """Count the files in and below ``folder``."""
    from cspops.intake.sources.table import table_format
    from cspops.intake.sources.tree import walk

    if not os.access(folder, os.R_OK | os.X_OK):
        raise DataError(f"{folder} cannot be read", hint="look at its permissions")
    contents = Contents()
    for place, _, names in os.walk(folder, onerror=_raise):
        for name in sorted(names):
            file = Path(place, name)
            if not _is_text(name):
                contents.odd_names.append(ascii(name))
            try:
                about = file.stat()
            except OSError:
                contents.broken_links.append(file.relative_to(folder).as_posix())
                continue
            if not stat.S_ISREG(about.st_mode):
                raise DataError(f"{file} is a pipe, a socket or a device: DVC would wait for it", hint="move it away")
            contents.bytes += about.st_size
            contents.files += 1
            if file.parent == folder and table_format(file) is not None:
                try:
                    _read_first_rows(file, params)
                except DataError as error:
                    contents.other_tables[name] = error
                else:
                    contents.tables.append(name)
    contents.broken_links.sort()
    tree = walk(folder, value_at(params, "dataset.folder.pattern"))
    contents.images, contents.unread = len(tree.images) - len(tree.unread), tree.unread
    return contents


def detect(folder: Path, table: str | None, contents: Contents, source: str | None) -> str:
    """Return `table` where one names the images, else `folder`; raise a DataError where ``source``, or neither, fits."""
    has_table = table is not None or bool(contents.tables)
    if source == "folder" and table is not None:
        raise ParamsError(f"{table} is a table, not a folder of images", hint="--source table, or name its folder")
    if source == "table" and not has_table:
        for error in contents.other_tables.values():
            raise error
        raise DataError(f"{folder} holds no table of images at its top level", hint=f"tables are {TABLES}")
    if source == "folder" and not contents.images:
        raise DataError(f"{folder} holds no image that is read", hint=_formats(contents))
    if source is not None:
        return source
    if has_table:
        return "table"
    if contents.images:
        return "folder"
    for error in contents.other_tables.values():
        raise DataError(f"{folder} holds no image, and {error.message}", hint=error.hint)
    raise DataError(
        f"{folder} holds neither an image nor a table of images",
        hint=f"{_formats(contents)}; tables are {TABLES} at its top level",
    )


TABLES = "CSV, TSV, Parquet, GeoJSON, GeoParquet, GeoPackage or shapefile"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _formats(contents: Contents) -> str:
    from cspops.pixels.formats import READ

    return f"images are {READ}" + (f"; {_unread(contents)}" if contents.unread else "")


def _unread(contents: Contents) -> str:
    path, what = next(iter(contents.unread.items()))
    return f"images in formats that are not read: {len(contents.unread)}, the first is {ascii(path)[1:-1]}: {what}"


def _read_first_rows(file: Path, params: Params) -> None:
    """Read the first rows as source `table` does; raise a DataError where that fails, or there is no row."""
    from cspops.intake.sources.table import open_table

    columns = value_at(params, "dataset.table.columns").model_dump()
    source = open_table(Path(file.name), root=file.parent, columns=columns)
    if next(iter(source.batches), None) is None:
        raise DataError(f"{file.name} has no row")


def _refuse_own_folders(folder: Path) -> None:
    project, target = Path.cwd().resolve(), folder.resolve()
    if project.is_relative_to(target):
        raise ParamsError(f"{folder} holds the project itself", hint="name only the folder of images")
    for name in WRITTEN_BY_PROJECT:
        if target.is_relative_to((project / name).resolve()):
            raise ParamsError(f"{folder} lies in {name}/, which the project itself writes", hint="name the folder of origin")


def _warnings(folder: Path, contents: Contents, source: str, root: str) -> list[str]:
    warnings = []
    data_root = f"set dataset.{source}.root to data_root in params.yaml and CSPOPS_DATA_ROOT to the folder instead"
    if root == "data_root":
        warnings.append(f"dataset.{source}.root is data_root: images are read below CSPOPS_DATA_ROOT, not from data/")
    elif contents.bytes > LARGE_BYTES or contents.files > LARGE_FILES:
        size = f"{contents.files:,} files, {contents.bytes / 1e9:.1f} GB"
        warnings.append(f"{size} will be copied to data/ and to DVC's cache; to leave them in place, {data_root}")
    if 2 * contents.bytes > (free := shutil.disk_usage(Path.cwd()).free) and root != "data_root":
        warnings.append(f"both copies take {2 * contents.bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; {data_root}")
    if not folder.is_absolute() and not folder.resolve().is_relative_to(Path.cwd().resolve()):
        warnings.append(f"queued experiments run in a copy of the project and would not find {folder}: give an absolute path")
    if contents.broken_links:
        count, first = len(contents.broken_links), contents.broken_links[0]
        warnings.append(f"{count} links lead nowhere, the first is {first}: DVC stops at them")
    if contents.unread:
        warnings.append(_unread(contents))
    if contents.odd_names:
        count, first = len(contents.odd_names), contents.odd_names[0]
        warnings.append(f"{count} file names are not UTF-8, the first is {first}: DVC stops at them")
    return warnings


def _only(tables: list[str], folder: Path) -> str:
    if len(tables) > 1:
        named = ", ".join(tables[:5])
        raise ParamsError(f"{folder} holds {len(tables)} tables of images: {named}", hint=f"name one: {folder / tables[0]}")
    return tables[0]


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


def _raise(error: OSError) -> None:
    raise error
