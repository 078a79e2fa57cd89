"""From `dataset` in params.yaml to the source that it names."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cspops.data.rows import Reading, Source
from cspops.data.sources.blue_marble import open_blue_marble
from cspops.data.sources.fmow import open_fmow
from cspops.data.sources.folder import open_folder
from cspops.data.sources.inat2018 import open_inat2018
from cspops.data.sources.table import open_table
from cspops.data.workers import Map
from cspops.errors import DataError
from cspops.progress import Report

if TYPE_CHECKING:
    from cspops.params.views import DownloadView

PUBLISHED = ("inat2018", "fmow")
"""Sources whose files `cspops download` fetches."""


def open_source(view: "DownloadView", *, raw: Path, data_root: Path, map: Map = map, report: Report) -> Source:
    """The rows of ``view.source``, about to be read.

    Args:
        view: what stage download reads of params.yaml.
        raw: the folder that data.dvc brings.
        data_root: the folder of files that DVC does not track.
        map: applies a function to items in order; a map over worker processes makes reading many files quicker.
        report: told what a source says before its rows.
    """
    settings: Mapping[str, Any] = view.settings.model_dump()
    if view.source == "blue_marble":
        return open_blue_marble(raw, settings, seed=view.seed, report=report)
    if view.source == "inat2018":
        return open_inat2018(data_root / view.source, form=settings["form"], inspection=settings["inspection"])
    if view.source == "fmow":
        return open_fmow(
            data_root / view.source,
            form=settings["form"],
            inspection=settings["inspection"],
            false_detections=settings["false_detections"],
            test=settings["test"],
            map=map,
        )
    images = settings["images"]
    reading = Reading(root=settings["root"], bands=images["bands"], black=images["black"], white=images["white"])
    root = raw if settings["root"] == "data" else data_root
    if not root.is_dir():
        variable = "CSPOPS_DATA_ROOT" if settings["root"] == "data_root" else "data.dvc"
        raise DataError(f"{root} is not a folder ({variable})", hint="cspops data use PATH")
    if view.source == "folder":
        return open_folder(
            root=root,
            pattern=settings["pattern"],
            label=settings["label"],
            sidecar=settings["sidecar"],
            columns=settings["columns"],
            inspection=settings["inspection"],
            reading=reading,
            map=map,
        )
    file = None if settings["file"] is None else Path(settings["file"])
    return open_table(file, root=root, columns=settings["columns"], inspection=settings["inspection"], reading=reading)
