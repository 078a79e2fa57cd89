"""Which files are tables, and of which kind."""

import json
import re
from pathlib import Path
from typing import Literal

from cspops.errors import DataError
from cspops.intake.tables.columns import recognised
from cspops.intake.tables.delimited import DELIMITERS, Delimited
from cspops.intake.tables.geojson import GeoJson
from cspops.intake.tables.parquet_table import ParquetTable
from cspops.intake.tables.text_lines import DAMAGED, open_bytes
from cspops.intake.tables.vector_table import VectorTable

TEXT = (".csv", ".tsv", ".tab")
PARQUET = (".parquet", ".pq", ".geoparquet")
JSON_LINES = (".geojsonl", ".geojsons", ".geojsonseq", ".ndjson", ".jsonl")
JSON = (".geojson", ".json")
VECTOR = (".gpkg", ".shp")

Format = Literal["delimited", "parquet", "geojson", "geojson lines", "vector"]

Table = Delimited | ParquetTable | GeoJson | VectorTable
"""A table file whose columns (`names`, and `has_geometry`) are known and whose rows have not been read.

`records` yields all its rows, with the wanted columns alone; `remarks`, what is odd about the file, is complete when it has
ended.
"""


def table_format(file: Path) -> Format | None:
    """Return what kind of table a file is, by its suffix and first bytes; None where it is none.

    A `.txt` is one when its header has a usual column name and the next line as many fields; a `.json` when it is GeoJSON.
    """
    return _format(file, named=False)


def open_file(file: Path, *, key: str) -> tuple[Table, Format]:
    """Open a table, its rows still to be read; ``key`` is where params.yaml names it. DataError where it is none."""
    if not file.exists():
        raise DataError(f"the table {file} is missing", hint=f"correct {key} in params.yaml, or dvc repro data.dvc")
    kind = _format(file, named=True)
    if kind is None:
        raise DataError(f"{file.name} is not a table that can be read", hint="save it as CSV, Parquet or GeoJSON")
    if kind == "parquet":
        return ParquetTable(file), kind
    if kind == "delimited":
        return Delimited(file), kind
    if kind == "vector":
        return VectorTable(file), kind
    return GeoJson(file, lines=kind == "geojson lines"), kind


def only_table(root: Path) -> Path:
    """Find the only table directly in a folder, hidden files apart; DataError where there are none or several.

    GeoPackages and shapefiles are to be named: they lie beside tables of images as maps of the same places.
    """
    if not root.is_dir():
        raise DataError(f"the folder {root} is missing", hint="dvc repro data.dvc, or set CSPOPS_DATA_ROOT")
    tables = sorted(file for file in root.iterdir() if table_format(file) not in (None, "vector"))
    if not tables:
        raise DataError(f"{root} has no table", hint="set dataset.table.file in params.yaml to one further down")
    if len(tables) > 1:
        names = ", ".join(file.name for file in tables[:10]) + (" ..." if len(tables) > 10 else "")
        raise DataError(f"{root} has {len(tables)} tables: {names}", hint="set dataset.table.file in params.yaml to one")
    return tables[0]


def _format(file: Path, *, named: bool) -> Format | None:
    """Return the format; ``named``: the user said that this file is a table."""
    if not file.is_file() or (file.name.startswith(".") and not named):
        return None
    try:
        with open_bytes(file) as stream:
            head = stream.read(1 << 16)
    except DAMAGED:
        head = b""
    suffix = Path(file.name.lower().removesuffix(".gz")).suffix
    if head.startswith(b"PAR1") or (suffix in PARQUET):
        return "parquet"
    if head.startswith((b"PK\x03\x04", b"%PDF", b"\xd0\xcf\x11\xe0", b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*")):
        return None
    if suffix in JSON + JSON_LINES:
        return _json_format(head, suffix)
    if suffix in VECTOR:
        return "vector"
    if suffix in TEXT or (suffix == ".txt" and (named or _looks_like_table(file))):
        return "delimited"
    return None


def _json_format(head: bytes, suffix: str) -> Format | None:
    text = head.decode("utf-8-sig", errors="replace").lstrip("\x1e \t\r\n")
    if re.search(r'"FeatureCollection"|"features"\s*:', text):
        return "geojson"
    if suffix in JSON_LINES:
        return "geojson lines"
    if re.search(r'"type"\s*:\s*"Feature"', text):
        first, _, rest = text.partition("\n")
        try:
            json.loads(first)
        except ValueError:
            return "geojson"
        return "geojson lines" if rest.strip() else "geojson"
    return "geojson" if suffix == ".geojson" else None


def _looks_like_table(file: Path) -> bool:
    try:
        table = Delimited(file)
        lines = next(table.records(table.names[:1]))
    except (DataError, StopIteration):
        return False
    return table.delimiter in DELIMITERS and len(table.names) > 1 and recognised(table.names) and 0 not in lines.reasons
