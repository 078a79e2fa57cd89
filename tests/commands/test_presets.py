"""Whether published weights can be had, and where they are published."""

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from cspops.commands import presets


@pytest.mark.parametrize(("cached", "answers"), [(True, False), (False, True), (False, False)])
def test_weights_are_within_reach_in_the_cache_or_by_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool, answers: bool
) -> None:
    def metadata(*_: Any, **__: Any) -> None:
        if not answers:
            raise OSError("no route to host")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", metadata)
    if cached:
        snapshot = tmp_path / f"models--{presets.PUBLISHED[0].replace('/', '--')}" / "snapshots" / "0123"
        snapshot.mkdir(parents=True)
        (snapshot / presets.PUBLISHED[1]).touch()
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text("0123")
    assert presets.published_within_reach() == (cached or answers)


def test_timm_publishes_the_model_there() -> None:
    import timm

    about = timm.models.get_pretrained_cfg(presets.MODEL.removeprefix("timm:"))
    assert about is not None
    assert about.hf_hub_id == presets.PUBLISHED[0]


def test_what_is_no_geotiff_has_no_bands(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(b"II*\0 nothing")
    assert presets.bands_of(tmp_path / "x.tif") is None
