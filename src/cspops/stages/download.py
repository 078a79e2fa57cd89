"""download: raw inputs to the catalogue of observations."""

import json
from functools import partial
from typing import TYPE_CHECKING, Literal

from cspops.data.ingest import ingest
from cspops.data.pixels import inspect_images
from cspops.data.published import ensure
from cspops.data.rows import Inspect, Source, image_root
from cspops.data.workers import ordered_map
from cspops.stages.open_source import PUBLISHED, open_source
from cspops.stages.site import Site

if TYPE_CHECKING:
    from cspops.params.views import DownloadView


def run(view: "DownloadView", site: Site) -> None:
    """Fetch what is missing of a published set, sort the source's rows, write the catalogue and reports/data.json."""
    data_root = site.host.data_root
    fetched = {}
    if view.source in PUBLISHED:
        fetched = ensure(view.source, view.settings.model_dump()["form"], data_root / view.source, report=site.report)
    workers = site.host.decoding_workers(by_path=True)
    source = open_source(view, raw=site.raw, data_root=data_root, workers=workers, report=site.report)
    source.files |= fetched
    account = ingest(
        source,
        site.out,
        inspect=inspector(source, site, workers),
        scratch=site.scratch,
        min_class_size=view.min_class_size,
        max_rejected=view.max_rejected,
        bad_position=view.bad_position,
        duplicate_images=view.duplicate_images,
        merge_labels=view.merge_labels,
        report=site.report,
    )
    (site.out / "released.json").write_text(json.dumps(source.predictions, indent=1) + "\n")
    (site.reports / "data.json").write_text(json.dumps(account.as_json(), indent=1, ensure_ascii=False) + "\n")


def inspector(source: Source, site: Site, workers: int) -> Inspect | None:
    """What looks at the images of each batch; None where the source is trusted."""
    if source.inspection == "none":
        return None
    how: Literal["decode", "exists"] = source.inspection
    return partial(
        inspect_images,
        root=image_root(source.reading, raw=site.raw, data_root=site.host.data_root),
        reading=source.reading,
        how=how,
        map=partial(ordered_map, workers=workers if how == "decode" else 0),
    )
