"""A folder of images or a table of them, looked at before a project reads it: what is there and how it can be read."""

import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cspops.commands import label_column
from cspops.errors import DataError, ParamsError
from cspops.library.named_tables import require_column
from cspops.params import Params, value_at

if TYPE_CHECKING:
    import pyarrow as pa

LARGE_BYTES, LARGE_FILES = 4 << 30, 100_000
"""Above these, the copies in data/ and in DVC's cache are a burden: each check of what changed takes minutes."""
ROLES = ("train", "val", "test")
WRITTEN_BY_PROJECT = ("data", "artifacts", "reports", ".dvc", ".git")


@dataclass
class Contents:
    """The files below a folder."""

    files: int = 0
    bytes: int = 0
    images: int = 0
    """As source folder counts them, those alone that can be read."""
    kinds: int = 0
    """Folders that images lie in, those of roles apart: names of classes if there are several."""
    unread: dict[str, str] = field(default_factory=dict)
    """Images in other formats: what they are."""
    tiffs: list[str] = field(default_factory=list)
    """The TIFFs among the images."""
    tables: dict[str, "pa.RecordBatch"] = field(default_factory=dict)
    """Tables of images at its top level, sorted, with the first rows of each."""
    other_tables: dict[str, DataError] = field(default_factory=dict)
    """Tables there that cannot be read as such, and why."""
    broken_links: list[str] = field(default_factory=list)
    odd_names: list[str] = field(default_factory=list)
    """Names that are not UTF-8, in ASCII."""


@dataclass(frozen=True)
class Found:
    """A folder, and how it is read."""

    folder: Path
    contents: Contents
    source: str
    values: dict[str, Any]
    """What params.yaml needs, by key."""
    warnings: list[str]
    asked: label_column.Question | None = None
    """Where a table of the images has no column that is known as the label."""


def look(
    path: Path, params: Params, *, project: Path | None = None, source: str | None = None, label: str | None = None
) -> Found:
    """Look at a folder of images, or at a table and the folder that it lies in.

    Args:
        path: of the folder or table.
        params: with a section for either source.
        project: the folder of the project that will read it, which is warned of what is large or odd; None: none will.
        source: how it is read; None: a table that names the images counts before the images themselves, unless it knows no
            position; then it is a side-car, and the images know.
        label: the table's column of labels; None: recognised, or the names of the images' own folders.
    """
    folder, table = folder_and_table(path)
    asked = None
    if project is not None:
        _refuse_own_folders(folder, project)
    contents = contents_of(folder, params)
    detected = detect(folder, table, contents, source)
    try:
        if detected == "table":
            name = table or _only(list(contents.tables), folder)
            detected, values = _by_table(folder, name, contents, params, source=source, label=label)
            if detected == "table" and (table or len(contents.tables) + len(contents.other_tables) > 1):
                values["dataset.table.file"] = name
            by_folders = detected == "folder" and table is None and contents.kinds > 1
            if label is None and name not in contents.other_tables and not by_folders:
                asked = label_column.question(folder / name, value_at(params, "dataset.table.columns").model_dump())
        else:
            values = {} if label is None else _labelled(folder, _sidecar(folder, contents, label), label, params)
    except DataError as error:
        if label is None or (error.hint or "").startswith("--label"):
            raise
        raise DataError(error.message, hint=f"without --label, cspops init writes a params.yaml; {error.hint}") from None
    warnings: list[str] = []
    if project is not None:
        warnings = _warnings(folder, project, contents, detected, value_at(params, f"dataset.{detected}.root"))
    if source is None and detected == "folder":
        sidecar = values.get("dataset.folder.sidecar")
        reasons = [error.message for other, error in contents.other_tables.items() if other != sidecar]
        warnings += [f"{reason}: not read as the table of the images" for reason in reasons]
        if table is not None and not values and asked is None:
            warnings.append(f"{table} has neither positions nor labels: it is not read, only the images beside it")
    return Found(folder, contents, detected, {"dataset.source": detected} | values, warnings, asked)


def _by_table(
    folder: Path, name: str, contents: Contents, params: Params, *, source: str | None, label: str | None
) -> tuple[str, dict[str, Any]]:
    """Return how a table is read, and what params.yaml needs for it; one without positions is a side-car of images."""
    if label is not None:
        require_column(folder / name, label)
    if label is not None or name not in contents.other_tables:
        rows = contents.tables[name] if label is None else _read_first_rows(folder / name, params, label=label)
        if source is None and contents.images and rows["lon"].null_count == len(rows):
            if label is not None:
                return "folder", _labelled(folder, name, label, params)
            labelled = rows["label"].null_count < len(rows)
            return "folder", {"dataset.folder.label": "column", "dataset.folder.sidecar": name} if labelled else {}
    return "table", {} if label is None else {"dataset.table.columns.label": label}


def _sidecar(folder: Path, contents: Contents, label: str) -> str:
    """Return the only table beside images."""
    tables = [*contents.tables, *contents.other_tables]
    if not tables:
        why = f"--label {label} is a column, and {folder} holds no table at its top level"
        raise DataError(why, hint=f"tables are {TABLES}")
    if len(tables) > 1:
        raise ParamsError(
            f"--label {label} is a column of one table, and {folder} holds {len(tables)}: {', '.join(sorted(tables)[:5])}",
            hint="leave one of them there",
        )
    return tables[0]


def _labelled(folder: Path, sidecar: str, label: str, params: Params) -> dict[str, Any]:
    """Return what params.yaml needs for a column of a side-car to be the labels of images."""
    from cspops.intake.sources.table import read_sidecar

    require_column(folder / sidecar, label)
    columns = value_at(params, "dataset.folder.columns").model_dump() | {"label": label}
    next(iter(read_sidecar(folder / sidecar, columns=columns, remarks=[])), None)
    return {"dataset.folder.label": "column", "dataset.folder.sidecar": sidecar, "dataset.folder.columns.label": label}


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
                    contents.tables[name] = _read_first_rows(file, params)
                except DataError as error:
                    contents.other_tables[name] = error
    contents.broken_links.sort()
    tree = walk(folder, value_at(params, "dataset.folder.pattern"))
    contents.images, contents.unread = len(tree.images) - len(tree.unread), tree.unread
    contents.kinds = len({Path(path).parent.name for path in tree.images} - {"", *ROLES})
    contents.tiffs = [path for path in tree.images if path.lower().endswith((".tif", ".tiff")) and path not in tree.unread]
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


def _read_first_rows(file: Path, params: Params, *, label: str | None = None) -> "pa.RecordBatch":
    """Return the first rows as source `table` reads them; raise a DataError where that fails, or there is no row."""
    from cspops.intake.sources.table import open_table

    columns = value_at(params, "dataset.table.columns").model_dump()
    source = open_table(Path(file.name), root=file.parent, columns=columns | ({} if label is None else {"label": label}))
    rows = next(iter(source.batches), None)
    if rows is None:
        raise DataError(f"{file.name} has no row")
    return rows


def _refuse_own_folders(folder: Path, project: Path) -> None:
    project, target = project.resolve(), folder.resolve()
    if project.is_relative_to(target):
        raise ParamsError(f"{folder} holds the project itself", hint="name only the folder of images")
    for name in WRITTEN_BY_PROJECT:
        if target.is_relative_to((project / name).resolve()):
            raise ParamsError(f"{folder} lies in {name}/, which the project itself writes", hint="name the folder of origin")


def _warnings(folder: Path, project: Path, contents: Contents, source: str, root: str) -> list[str]:
    warnings = []
    data_root = f"set dataset.{source}.root to data_root in params.yaml and CSPOPS_DATA_ROOT to the folder instead"
    if root == "data_root":
        warnings.append(f"dataset.{source}.root is data_root: images are read below CSPOPS_DATA_ROOT, not from data/")
    elif contents.bytes > LARGE_BYTES or contents.files > LARGE_FILES:
        size = f"{contents.files:,} files, {contents.bytes / 1e9:.1f} GB"
        warnings.append(f"{size} will be copied to data/ and to DVC's cache; to leave them in place, {data_root}")
    disk = next(path for path in (project, *project.parents) if path.is_dir())
    if 2 * contents.bytes > (free := shutil.disk_usage(disk).free) and root != "data_root":
        warnings.append(f"both copies take {2 * contents.bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; {data_root}")
    if not folder.is_absolute() and not folder.resolve().is_relative_to(project.resolve()):
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


def _raise(error: OSError) -> None:
    raise error
