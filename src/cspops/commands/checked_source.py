"""A source read into a temporary folder, and a description of its contents."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cspops.commands import image_folder, label_column, own_images, presets
from cspops.data.json_files import Document
from cspops.errors import DataError, ParamsError, nearest
from cspops.files import whole
from cspops.host import Host
from cspops.intake.judging.ingest import EXAMPLES
from cspops.intake.rows import Account
from cspops.intake.take_in import take_in
from cspops.params import DownloadView, Params, completed, default_params, value_at, view, with_values
from cspops.params.sections import Sources
from cspops.pipeline import paths
from cspops.progress import silence
from cspops.report.character_map import bounding_box, cells
from cspops.site import Site

log = logging.getLogger(__name__)

ANY_FOLDER = ("folder", "table")
"""The sources that read any folder; the others read files of their own."""


@dataclass
class CheckedSource:
    """What a source holds."""

    document: Document
    """As `run` describes it."""
    lonlat: np.ndarray
    """(n, 2) of the observations that have a position, degrees."""

    def refuse(self) -> None:
        """Raise a DataError when stage download would stop: too many rows are set aside, or none is left."""
        rows, rejected, limit = (self.document[key] for key in ("rows", "rejected", "max_rejected"))
        if self.document["observations"] == 0:
            raise DataError(f"none of {rows} rows can be used", hint="the reasons are above")
        if rejected > limit * rows:
            raise DataError(
                f"{rejected} of {rows} rows ({100 * rejected / rows:.1f} %) would be set aside, more than dataset.max_rejected "
                f"({100 * limit:g} %) allows: stage download would stop",
                hint="fix the input, or raise dataset.max_rejected in params.yaml",
            )


def run(params: Params, host: Host, *, path: Path | None, source: str | None) -> CheckedSource:
    """Read a source as stage download would, without a limit on the rows set aside, and describe it.

    Without ``path`` the folder that data.dvc names is read; with it that folder or table, by the settings of
    `dataset.folder` or `dataset.table`, or by the defaults of cspops where params.yaml has none. Nothing in the project
    changes.

    Returns:
        the checked source. Its document holds source and path; the account of `intake.rows.Account`; share_rejected and
        max_rejected; `examples`, where the first rows with each reason and with each note stand;
        `single_classes`; `dates` (first, last, rows); `box` (west, south, east, north; east above 180 across the
        antimeridian) and `map` (degrees, cells of west, south and rows), of the positions.
    """
    settings, raw, data_root = _what_to_read(completed(params), host, path, source)
    log.info(f"reading {raw if path is None else path} as {settings.source}")
    with tempfile.TemporaryDirectory(prefix="cspops-check-") as temporary:
        out, scratch = Path(temporary, "out"), Path(temporary, "scratch")
        out.mkdir()
        scratch.mkdir()
        own_host = host if path is None else host.model_copy(update={"data_root": data_root})
        site = Site(raw, {}, paths.REPORTS, out, scratch, own_host)
        with silence():  # the account holds it all
            account, _ = take_in(settings, site, max_rejected=None)
        table = pq.read_table(out / "observations.parquet", columns=["lon", "lat", "captured_at"])
        rejected = pq.read_table(out / "rejected.parquet", columns=["where", "reason", "detail"])
    lonlat = np.stack([table[axis].drop_null().to_numpy() for axis in ("lon", "lat")], 1)
    dates = pc.min_max(table["captured_at"]).as_py()
    box, (degrees, counted) = bounding_box(lonlat), cells(lonlat)
    document = {"source": settings.source, "path": raw.as_posix()} | account.as_json()
    document |= {
        "share_rejected": account.rejected / max(account.rows, 1),
        "max_rejected": params.dataset.max_rejected,
        "examples": {"reasons": _examples(rejected, account), "notes": account.noted},
        "single_classes": sum(size == 1 for size in account.classes.values()),
        "dates": {key: None if dates[at] is None else dates[at].isoformat() for key, at in (("first", "min"), ("last", "max"))}
        | {"rows": len(table) - table["captured_at"].null_count},
        "box": None if box is None else box._asdict(),
        "map": {"degrees": degrees, "cells": counted},
    }
    return CheckedSource(document, lonlat)


def draw(checked: CheckedSource, file: Path) -> None:
    """Draw a map of the observations, written whole or not at all."""
    from cspops.report.maps import observation_map
    from cspops.report.world import surroundings, world_of

    with whole(file) as new:
        observation_map({"observations": checked.lonlat}, world_of(surroundings(checked.lonlat, 0.0)), new)


def outside(path: Path, source: str | None, label: str | None) -> tuple[Params, Path, label_column.Question | None]:
    """Return the params by which a project that `cspops init` makes of a folder or table would read it, and the folder.

    Third is what `cspops init` would ask about the labels.
    """
    default = default_params()
    if source not in (None, *ANY_FOLDER):
        return default, path, None
    found = image_folder.look(path, default, source=source, label=label)
    values = found.values
    if presets.preset_of(found.contents) == "satellite":
        values = values | presets.bands(found.folder, found.contents, found.source)
    return with_values(default, values.items()), found.folder, found.asked


def _what_to_read(params: Params, host: Host, path: Path | None, source: str | None) -> tuple[DownloadView, Path, Path]:
    """Return the settings, the folder used as data/ and the one used as CSPOPS_DATA_ROOT."""
    name, table = source or params.dataset.source, None
    sources = list(Sources.fields_by_key())
    if name not in sources:
        near = nearest(name, sources)
        hint = f"cspops data check --source {near[0]}" if near else None
        raise ParamsError(f"--source {name} is not one of {', '.join(sources)}", hint=hint)
    raw = data_root = host.data_root
    if path is not None:
        raw, table = image_folder.folder_and_table(path)
        data_root = raw
        if source is None and (name not in ANY_FOLDER or (table is not None and name == "folder")):
            name = image_folder.detect(raw, table, image_folder.contents_of(raw, params), None)
        if name not in ANY_FOLDER:
            raise ParamsError(f"source {name} reads its own files, not {path}", hint=f"cspops data check --source {name}")
        if name == "folder" and table is not None:
            raise ParamsError(f"{path} is a table, not a folder of images", hint="--source table, or name its folder")
    elif name not in ANY_FOLDER or getattr(params.dataset, name).root == "data":
        raw = Path(own_images.imported_folder())
        if not raw.exists():
            raise DataError(f"{raw}, which data.dvc names, does not exist", hint="cspops data use PATH names another folder")
    changed: dict[str, Any] = {"source": name}
    if table is not None:
        changed["table"] = value_at(params, "dataset.table").model_copy(update={"file": table})
    dataset = params.dataset.model_copy(update=changed)
    return view(params.model_copy(update={"dataset": dataset}), DownloadView), raw, data_root


def _examples(rejected: pa.Table, account: Account) -> dict[str, list[dict[str, str | None]]]:
    return {
        reason: rejected.filter(pc.equal(rejected["reason"], reason)).slice(0, EXAMPLES).select(["where", "detail"]).to_pylist()
        for reason in account.reasons
    }
