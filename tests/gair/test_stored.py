"""What GAIR leaves on disk is what it trained."""

import shutil
from pathlib import Path

import pytest
import torch
from small_gair import places, settings
from unlabelled import CPU, backbone

from cspops.errors import DataError
from cspops.gair.pretraining import gair
from cspops.gair.stored import is_at_place, load_gair_location, load_overhead, load_photo_network, load_projection, save_gair
from cspops.models.checkpoint import save_model
from cspops.training.loop import Run


@pytest.mark.parametrize("features", ["photo", "overhead_at_place"])
def test_its_parts_come_back_as_they_were(tmp_path: Path, features: str) -> None:
    network, rows = backbone(), places(8)
    alignment, _ = gair(network, rows, settings(epochs=1, batch_size=8, features=features), Run(0, CPU))
    save_gair(tmp_path, alignment, network, features=features)
    assert is_at_place(tmp_path) == (features == "overhead_at_place")
    with torch.no_grad():
        assert torch.equal(load_gair_location(tmp_path)(rows.lonlat), alignment.location(rows.lonlat))
        given = rows.overhead, rows.bbox, rows.lonlat
        assert torch.equal(load_overhead(tmp_path)(*given), alignment.overhead(*given))
        photo = load_photo_network(tmp_path)(rows.photos)
        assert torch.equal(load_projection(tmp_path)(photo), alignment.projection(alignment.photo(rows.photos)))


def test_without_photos_there_is_no_projection(tmp_path: Path) -> None:
    network = backbone()
    alignment, _ = gair(network, places(8, photos=False), settings(epochs=1, batch_size=8), Run(0, CPU))
    save_gair(tmp_path, alignment, network, features="overhead_at_place")
    with pytest.raises(DataError, match="trained without photos"):
        load_projection(tmp_path)
    with pytest.raises(DataError, match="trained without photos"):
        load_photo_network(tmp_path)


def test_a_part_that_was_deleted_is_missing(tmp_path: Path) -> None:
    network = backbone()
    alignment, _ = gair(network, places(8), settings(epochs=1, batch_size=8), Run(0, CPU))
    save_gair(tmp_path, alignment, network, features="photo")
    shutil.rmtree(tmp_path / "gair" / "projection")
    with pytest.raises(DataError, match="projection is missing"):
        load_projection(tmp_path)


def test_another_method_s_folder_is_refused(tmp_path: Path) -> None:
    network = backbone()
    save_model(tmp_path, network, network.config)
    with pytest.raises(DataError, match="made by another"):
        load_gair_location(tmp_path)


@pytest.mark.parametrize("content", ['{"dim": 8}', '{"map": 3, "decoder": "linear", "dim": 8}', "[]"])
def test_a_broken_config_is_said(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "gair" / "overhead"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(content)
    with pytest.raises(DataError, match=r"config\.json"):
        load_overhead(tmp_path)
