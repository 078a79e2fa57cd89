"""Files that a stage or `cspops export` wrote: read as what they should hold, or refused with one sentence.

A stage's inputs are as they were written (`pipeline.paths.require` compares their hashes). The commands that look at a
finished run have no such promise: a file may be cut, empty, a folder, or of another shape.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cspops.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic import TypeAdapter


def json_as(file: Path, kind: Any, *, remake: str) -> Any:
    """Return the content of a JSON file as ``kind``, whatever pydantic takes: a model, `list[str]`, a dataclass.

    Kinds are strict: no text is taken for a number. Raise a DataError, with ``remake`` as the next
    command, where the file is missing, is no JSON or holds something else.
    """
    return json_text_as(content_of(file, remake=remake), kind, name=str(file), remake=remake)


def content_of(file: Path, *, remake: str) -> bytes:
    """Return the bytes of a file; DataError where it cannot be read."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{file} is missing", hint=remake) from None
    except IsADirectoryError:
        raise DataError(f"{file} is a folder, not a file", hint=remake) from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}", hint=remake) from None


def json_text_as(text: bytes, kind: Any, *, name: str, remake: str) -> Any:
    """Do as `json_as` with the text of a file that messages call ``name``."""
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        what = first["msg"].removeprefix("Invalid JSON: ").removeprefix("Input ").removeprefix("Value error, ")
        if first["type"] == "json_invalid":
            raise DataError(f"{name} is broken: it is not JSON ({what})", hint=remake) from None
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{name} is broken: {where or 'all of it'}: {what}", hint=remake) from None


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def read_columns(file: Path, columns: "pa.Schema", *, remake: str) -> "pa.Table":
    """Return these columns of a Parquet file, of these types; DataError where it is not whole or has others."""
    import pyarrow.parquet as pq

    require_file(file, remake=remake)
    with whole_parquet(file, remake=remake):
        table = pq.read_table(file, columns=[name for name in columns.names if name in pq.read_schema(file).names])
        return of_types(table, columns, name=str(file), remake=remake)


def require_file(file: Path, *, remake: str) -> None:
    """Raise a DataError where there is no such file."""
    if not file.is_file():
        raise DataError(f"{file} is {'a folder, not a file' if file.is_dir() else 'missing'}", hint=remake)


@contextmanager
def whole_parquet(name: Path | str, *, remake: str) -> Iterator[None]:
    """Turn the errors of reading a Parquet file into a DataError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, MemoryError) as error:
        why = str(error).partition("\n")[0][:200]
        raise DataError(f"{name} is broken: it is no whole Parquet file ({why})", hint=remake) from None


def of_types(table: Any, columns: "pa.Schema", *, name: str, remake: str) -> Any:
    """Return these columns of a table or batch, of these types, after checking their values as far as Arrow can."""
    import pyarrow as pa

    for field in columns:
        if field.name not in table.schema.names:
            raise DataError(f"{name} is broken: it has no column {field.name}", hint=remake)
        kind = table.schema.field(field.name).type
        if not kind.equals(field.type):
            try:
                cast = table.column(field.name).cast(field.type)
            except pa.ArrowException:
                raise DataError(f"{name} is broken: the column {field.name} is {kind}, not {field.type}", hint=remake) from None
            table = table.set_column(table.schema.get_field_index(field.name), field.name, cast)
    table = table.select(columns.names)
    table.validate(full=True)
    for field in columns:
        if not field.nullable and table.column(field.name).null_count:
            raise DataError(f"{name} is broken: the column {field.name} has empty cells", hint=remake)
    return table
