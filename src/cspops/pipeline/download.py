"""Stage download: from raw inputs to the catalogue of observations."""

import json
import logging
from typing import TYPE_CHECKING

from cspops.errors import NotThere
from cspops.intake.published.ensure import begun, ensure
from cspops.intake.published.manifest import read_manifest
from cspops.intake.rows import FileFacts
from cspops.intake.take_in import PUBLISHED, open_source, take_in
from cspops.params.sections import Fmow, Inat2018
from cspops.progress import silence
from cspops.site import Site

if TYPE_CHECKING:
    from cspops.params.graph import DownloadView

log = logging.getLogger(__name__)


def run(view: "DownloadView", site: Site) -> None:
    """Fetch what is missing of a published set, sort the source's rows, write the catalogue and reports/data.json."""
    fetched = _fetch(view, site) if view.source in PUBLISHED else {}
    account, source = take_in(view, site, max_rejected=view.max_rejected, fetched=fetched)
    (site.out / "released.json").write_text(json.dumps(source.predictions, indent=1) + "\n")
    (site.out / "account.json").write_text(json.dumps(account.as_json(), indent=1, ensure_ascii=False) + "\n")
    (site.reports / "data.json").write_text(json.dumps(account.numbers(), indent=1) + "\n")


def _fetch(view: "DownloadView", site: Site) -> dict[str, FileFacts]:
    root = site.host.required_data_root(f"the files of {view.source} are looked for, and put,") / view.source
    if not begun(root) and _opens(view, site):
        log.info(f"{view.source}: taken as it lies in {root}")
        return {}
    settings = view.settings
    assert isinstance(settings, Inat2018 | Fmow)
    parts = ("test",) if isinstance(settings, Fmow) and settings.test == "test" else ()
    return ensure(read_manifest(view.source), settings.form, root, parts=parts)


def _opens(view: "DownloadView", site: Site) -> bool:
    """Whether the source finds all its files; DataError when one of them is broken."""
    try:
        with silence():
            open_source(view, raw=site.raw, data_root=site.host.data_root)
    except NotThere:
        return False
    return True
