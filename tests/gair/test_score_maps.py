"""Scores of all parts of a few overhead images."""

from pathlib import Path

import pytest
import torch
from small_gair import places, settings
from torch.nn.functional import cosine_similarity
from unlabelled import CPU, backbone

from cspops.errors import DataError
from cspops.gair.pretraining import Places, gair
from cspops.gair.score_maps import FILE, MOST, SIDE, load_score_maps, save_score_maps, score_maps
from cspops.training.loop import Run


def test_each_point_has_its_cosine_and_the_place_stands_where_it_is(tmp_path: Path) -> None:
    rows = places(9)
    west, south, _, _ = rows.bbox[0].tolist()
    moved = rows.bbox + torch.tensor([179.0 - west, 0, 179.0 - west, 0])  # over the date line
    lon = rows.lonlat[:, 0] + 179.0 - west
    over = Places(
        rows.photos, rows.overhead, moved, torch.stack((torch.where(lon >= 180, lon - 360, lon), rows.lonlat[:, 1]), 1)
    )
    alignment, _ = gair(backbone(), rows, settings(epochs=1, batch_size=8), Run(0, CPU))
    for given in (rows, over):
        maps = score_maps(alignment, given, CPU)
        assert maps.scores.shape == (MOST, SIDE, SIDE) and len(maps.photo) == MOST
        share = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE
        point = torch.stack((given.bbox[:1, 0] + 4 * share[5], given.bbox[:1, 3] - 4 * share[30]), 1)
        with torch.no_grad():
            o = alignment.projection(alignment.photo(given.photos[:1]))
            r = alignment.overhead(given.overhead[:1], given.bbox[:1], point)
        assert float(maps.scores[0, 30, 5]) == pytest.approx(float(cosine_similarity(o, r)), abs=1e-5)
        expected = torch.stack((rows.lonlat[0, 0] - west, south + 4 - rows.lonlat[0, 1])) / 4
        assert torch.allclose(maps.at[0], expected)
    save_score_maps(tmp_path, maps)
    again = load_score_maps(tmp_path, remake="")
    assert again is not None and torch.equal(again.scores, maps.scores) and torch.equal(again.photo, maps.photo)
    (tmp_path / FILE).write_bytes(b"{}")
    with pytest.raises(DataError, match="is broken"):
        load_score_maps(tmp_path, remake="")
    (tmp_path / FILE).unlink()
    assert load_score_maps(tmp_path, remake="") is None
