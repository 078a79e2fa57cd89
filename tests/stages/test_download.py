"""The download stage on a small draw from the embedded rasters."""

from pathlib import Path

import pytest

from cspops.errors import DataError
from cspops.host import Host
from cspops.params import load
from cspops.params.views import DownloadView
from cspops.progress import silent
from cspops.stages import download
from cspops.stages.site import Site

ROOT = Path(__file__).parents[2]
SMALL = dict.fromkeys(("train", "val", "test", "spatial_val", "spatial_test"), 40) | {"min_zone_points": 1, "tile_px": 8}


def test_a_least_class_size_that_leaves_no_class_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    settings = load(ROOT / "params.yaml").dataset.blue_marble.model_copy(update=SMALL)
    view = DownloadView(seed=0, source="blue_marble", min_class_size=10_000, settings=settings)
    site = Site(ROOT / "src/cspops/sample", {}, tmp_path, tmp_path, tmp_path, Host(), silent)
    with pytest.raises(DataError, match=r"no class is left: 200 of 200 rows were set aside, most because its class has fewer"):
        download.run(view, site)
    assert not list(tmp_path.iterdir())
