"""A source is opened, its images are looked at, and its rows are sorted into the catalogue."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cspops.errors import DataError
from cspops.intake.images.footprints import footprints
from cspops.intake.images.inspection import inspect_images
from cspops.intake.judging.ingest import Rules, ingest
from cspops.intake.overhead_rows import Looking
from cspops.intake.rows import Account, FileFacts, Inspect, Source
from cspops.intake.sources.fmow import open_fmow
from cspops.intake.sources.folder import open_folder
from cspops.intake.sources.inat2018 import open_inat2018
from cspops.intake.sources.table import open_table
from cspops.params.sections import BlueMarble, Fmow, Folder, Inat2018, Table
from cspops.pixels.reading import Reading, image_root
from cspops.pixels.workers import Map, Workers
from cspops.site import Site

if TYPE_CHECKING:
    from cspops.params.graph import DownloadView


GAIR = "gair"
"""The method of pretrain_img that takes overhead images. For it alone the embedded source draws them, and images count as
such where a set has no others: a run of another method has the catalogue that it always had."""
PUBLISHED = ("inat2018", "fmow")
"""Sources whose files `cspops download` fetches."""


def open_source(view: "DownloadView", *, raw: Path, data_root: Path, out: Path | None = None, map: Map = map) -> Source:
    """Open ``view.source``, its rows still to be read.

    Args:
        view: what stage download reads of params.yaml.
        raw: the folder that data.dvc brings.
        data_root: the folder of files that DVC does not track.
        out: the catalogue's folder.
        map: applies a function to items in order; a map over worker processes makes reading many files quicker.
    """
    overhead = view.pretrain_img_method == GAIR
    match view.settings:
        case BlueMarble() as settings:
            from cspops.intake.sources.blue_marble import open_blue_marble  # loads torch

            return open_blue_marble(raw, settings, seed=view.seed, overhead=overhead)
        case Inat2018() as settings:
            return open_inat2018(data_root / view.source, settings)
        case Fmow() as settings:
            return open_fmow(data_root / view.source, settings, map=map)
        case Folder() as settings:
            source = open_folder(
                _root(settings.root, raw, data_root),
                pattern=settings.pattern,
                label=settings.label,
                sidecar=settings.sidecar,
                columns=settings.columns.model_dump(),
                map=map,
                overhead=overhead,
            )
        case Table() as settings:
            file = None if settings.file is None else Path(settings.file)
            root = _root(settings.root, raw, data_root)
            source = open_table(
                file, root=root, columns=settings.columns.model_dump(), overhead=overhead, features=settings.features, out=out
            )
    source.inspection, images = settings.inspection, settings.images
    source.reading = Reading(root=settings.root, bands=images.bands, black=images.black, white=images.white)
    return source


def _root(root: Literal["data", "data_root"], raw: Path, data_root: Path) -> Path:
    folder = raw if root == "data" else data_root
    if not folder.is_dir():
        variable = "CSPOPS_DATA_ROOT" if root == "data_root" else "data.dvc"
        raise DataError(f"{folder} is not a folder ({variable})", hint="cspops data use PATH")
    return folder


def _overhead_reading(view: "DownloadView", reading: Reading) -> Reading:
    """Return how overhead images beside the images are read, which lie below the same root."""
    images = getattr(view.settings, "overhead_images", None)
    return reading if images is None else replace(reading, bands=images.bands, black=images.black, white=images.white)


def take_in(
    view: "DownloadView",
    site: Site,
    *,
    max_rejected: float | None,
    fetched: Mapping[str, FileFacts] | None = None,
) -> tuple[Account, Source]:
    """Write the catalogue of ``view.source`` into ``site.out``.

    Args:
        view: what stage download reads of params.yaml.
        max_rejected: as in `ingest`.
        fetched: facts about files that were fetched for it, for files.json.
    """
    if getattr(view.settings, "root", None) == "data_root":
        site.host.required_data_root(f"dataset.{view.source}.root is data_root, so the images lie")
    with Workers(site.host.decoders(by_path=True)) as workers:
        source = open_source(view, raw=site.raw, data_root=site.host.data_root, out=site.out, map=workers.map)
        source.files.update(fetched or {})
        root = image_root(source.reading, raw=site.raw, data_root=site.host.data_root)

        def inspecting(reading: Reading) -> Inspect | None:
            if source.inspection == "none":
                return None
            return partial(inspect_images, root=root, reading=reading, how=source.inspection, map=workers.map)

        overhead = _overhead_reading(view, source.reading)
        looking = Looking(partial(footprints, root=root, map=workers.map), inspecting(overhead), overhead)
        rules = Rules(
            view.min_class_size,
            max_rejected,
            view.bad_position,
            view.duplicate_images,
            view.merge_labels,
            view.max_uncertainty_m,
        )
        account = ingest(source, site.out, rules, inspect=inspecting(source.reading), looking=looking, scratch=site.scratch)
    return account, source
