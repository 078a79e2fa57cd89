"""The second pass: what the first one spooled and found good becomes observations.parquet, the rest rejected.parquet."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cspops.data.schemas import BBOX, OPTIONAL, OVERHEAD, READING, REJECTED_SCHEMA, SCHEMA
from cspops.intake.judging.first_pass import Intake
from cspops.intake.judging.labels import OFFICIAL
from cspops.intake.rows import Source
from cspops.pixels.reading import IMAGE, Reading

FEATURES_SHA256 = "image_features_sha256"
"""The key of observations.parquet's own metadata that holds it."""
ROW_GROUP = 8192
ROW_GROUP_BYTES = 128 << 20
"""A row group ends at so many rows, or after so many bytes of images."""


def write_catalogue(rows: Intake, source: Source, spool: Path, out: Path, *, overhead: Reading) -> None:
    """Write the five files into ``out``, or none of them; ``overhead`` is how overhead images beside the images are read."""
    documents = {"classes.json": rows.names, "images.json": source.reading.as_json(), "files.json": source.files}
    files = [out / name for name in ("observations.parquet", "rejected.parquet", *documents)]
    try:
        good = rows.verdicts.good
        extra = [column for column in (*OPTIONAL, *OVERHEAD) if (rows.has[column.name] & good).any()]
        schema = pa.schema([*SCHEMA, *extra])
        with pq.ParquetWriter(files[0], schema, compression="zstd") as writer:
            for group in _row_groups(_observations(rows, spool, schema), schema):
                writer.write_table(group, row_group_size=ROW_GROUP)
            if OVERHEAD.field("overhead") in extra and overhead != source.reading:
                writer.add_key_value_metadata({READING: json.dumps(overhead.as_json())})
            if source.features_sha256:
                writer.add_key_value_metadata({FEATURES_SHA256: source.features_sha256})
        bad = np.flatnonzero(~good)
        columns = {
            "row": pa.array(bad),
            "where": rows.where.take(pa.array(bad)),
            "obs_id": rows.obs_id.take(pa.array(bad)),
            "reason": pa.array(list(rows.verdicts.sentences), pa.string()).take(pa.array(rows.verdicts.reason[bad])),
            "detail": rows.verdicts.details().take(pa.array(bad)),
        }
        pq.write_table(pa.table(columns, schema=REJECTED_SCHEMA), files[1], compression="zstd")
        for name, document in documents.items():
            text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=name == "files.json")
            (out / name).write_text(text + "\n", encoding="utf-8")
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        raise


def _observations(rows: Intake, spool: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the good rows of each batch of the spool file."""
    good, nowhere = rows.verdicts.good, ~rows.located
    role = pa.array([*OFFICIAL, None], pa.string())
    start = 0
    with pa.OSFile(str(spool), "rb") as opened, pa.ipc.open_file(opened) as reader:
        for index in range(reader.num_record_batches):
            heavy = reader.get_batch(index)
            here = slice(start, start + heavy.num_rows)
            place, start = pc.utf8_trim_whitespace(heavy["location_id"]), here.stop
            columns = {
                "obs_id": rows.obs_id[here],
                "lon": pa.array(rows.lon[here], mask=nowhere[here]),
                "lat": pa.array(rows.lat[here], mask=nowhere[here]),
                "label": pa.array(rows.label[here], mask=rows.label[here] < 0),
                "captured_at": rows.when[here],
                "location_id": pc.if_else(pc.equal(place, ""), pa.scalar(None, pa.string()), place),
                "official_split": role.take(pa.array(rows.role[here] % len(role))),
                "image": heavy["image"],
                "image_sha256": rows.sha256[here],
                "uncertainty_m": pa.array(rows.uncertainty[here], mask=np.isnan(rows.uncertainty[here])),
                "crop": heavy["crop"],
                "image_features": heavy["image_features"],
                "overhead": pc.if_else(pa.array(rows.has["overhead"][here]), heavy["overhead"], pa.scalar(None, IMAGE)),
                "overhead_bbox": _boxes(rows.bbox[here]),
            }
            table = pa.table({name: columns[name] for name in schema.names})
            yield (table if good[here].all() else table.filter(pa.array(good[here]))).cast(schema)


def _boxes(sides: np.ndarray) -> pa.StructArray:
    """Return footprints as the catalogue has them, null where they are nan."""
    columns = [pa.array(side) for side in sides.T]
    return pa.StructArray.from_arrays(columns, fields=list(BBOX), mask=pa.array(np.isnan(sides[:, 0])))


def _row_groups(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the same rows in tables of `ROW_GROUP` rows, or of fewer with `ROW_GROUP_BYTES` of images; at least one table."""
    waiting, rows, size, some = [schema.empty_table()], 0, 0, False
    for table in tables:
        pictures = [table[name] for name in ("image", "overhead") if name in schema.names]
        lengths = np.sum([pc.binary_length(pc.struct_field(one, "bytes")).fill_null(0).to_numpy() for one in pictures], 0)
        start = 0
        while start < len(table):
            # the row after which the group has so many bytes is its last
            full = int(np.searchsorted(lengths[start:].cumsum(), ROW_GROUP_BYTES - size)) + 1
            stop = min(len(table), start + min(ROW_GROUP - rows, full))
            waiting.append(table.slice(start, stop - start))
            rows, size = rows + stop - start, size + int(lengths[start:stop].sum())
            if rows == ROW_GROUP or size >= ROW_GROUP_BYTES:
                yield pa.concat_tables(waiting).combine_chunks()
                waiting, rows, size, some = [schema.empty_table()], 0, 0, True
            start = stop
    if rows or not some:
        yield pa.concat_tables(waiting).combine_chunks()
