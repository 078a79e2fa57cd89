"""A source is opened, its images are looked at, and its rows are sorted: what `download` and `cspops data check` share."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cspops.data.images.inspection import inspect_images
from cspops.data.intake.ingest import ingest
from cspops.data.rows import Account, Source, image_root
from cspops.data.workers import Workers
from cspops.stages.open_source import open_source
from cspops.stages.site import Site

if TYPE_CHECKING:
    from cspops.params.views import DownloadView

Watch = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def take_in(
    view: "DownloadView",
    site: Site,
    *,
    max_rejected: float | None,
    fetched: Mapping[str, Mapping[str, Any]] | None = None,
    watch: Watch = lambda batches: batches,
) -> tuple[Account, Source]:
    """Write the catalogue of ``view.source`` into ``site.out``.

    Args:
        view: what stage download reads of params.yaml.
        max_rejected: as in `ingest`.
        fetched: facts about files that were fetched for it, for files.json.
        watch: sees the rows go by.
    """
    if getattr(view.settings, "root", None) == "data_root":
        site.host.required_data_root(f"dataset.{view.source}.root is data_root, so the images lie")
    with Workers(site.host.decoders(by_path=True)) as workers:
        source = open_source(view, raw=site.raw, data_root=site.host.data_root, map=workers.map, report=site.report)
        source.batches = watch(source.batches)
        source.files.update(fetched or {})
        inspect = None
        if source.inspection != "none":
            inspect = partial(
                inspect_images,
                root=image_root(source.reading, raw=site.raw, data_root=site.host.data_root),
                reading=source.reading,
                how=source.inspection,
                map=workers.map,
            )
        account = ingest(
            source,
            site.out,
            inspect=inspect,
            scratch=site.scratch,
            min_class_size=view.min_class_size,
            max_rejected=max_rejected,
            bad_position=view.bad_position,
            duplicate_images=view.duplicate_images,
            merge_labels=view.merge_labels,
            report=site.report,
        )
    return account, source
