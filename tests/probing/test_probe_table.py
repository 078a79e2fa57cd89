"""The whole table on targets whose answer is known."""

import json

import pytest
import torch

from cspops.geo import uniform_on_sphere, unit_vectors
from cspops.probing.encoders import Encoder, baselines, learned
from cspops.probing.folds import Scheme
from cspops.probing.probes import Features
from cspops.probing.table import Row, document, flat, metrics_of, probe
from cspops.probing.targets import Target

LONLAT = uniform_on_sphere(400, generator=torch.Generator().manual_seed(0))
SCHEMES = [Scheme("random", 3, 2, 20.0, 200.0), Scheme("blocks", 3, 2, 20.0, 200.0)]
HEIGHT = Target("z", "regression", LONLAT, 3 * unit_vectors(LONLAT)[:, 2] + 7)
HALF = Target("half", "classification", LONLAT, (LONLAT[:, 0] > 0).long(), ("east", "west"))


def by_name(rows: list[Row]) -> dict[tuple[str, str], Row]:
    return {(row.encoder, row.probe): row for row in rows}


def test_a_linear_function_of_the_unit_vector_is_found_by_xyz_on_blocks_too() -> None:
    done: list[int] = []
    rows = by_name(probe(HEIGHT, baselines(), SCHEMES, seed=0, done=done.append))
    assert len(done) == 2 * len(rows) == 2 * 8
    for scheme in ("random", "blocks"):
        assert rows["xyz", "linear"].scores[scheme]["r2"].value > 0.9999
        assert rows["constant", "constant"].scores[scheme]["r2"].value == pytest.approx(0, abs=0.05)
        assert rows["neighbours of position", "knn"].scores[scheme]["r2"].value > 0.8
        assert len(rows["xyz", "linear"].chosen[scheme]) == 3
        gain = rows["xyz", "linear"].gains[scheme]
        one, other = (rows[key].scores[scheme]["r2"].value for key in (("xyz", "linear"), ("neighbours of position", "knn")))
        assert gain.value == one - other
        assert 0 < gain.low < gain.value < gain.high
        assert rows["neighbours of position", "knn"].gains[scheme].value == 0
        assert min(rows["xyz", "linear"].chosen[scheme]) == 1e-4


def test_an_encoder_that_remembers_places_alone_is_worth_nothing_on_blocks() -> None:
    """Its features are a random code of each 20-degree block: what it learned of one block says nothing of another."""
    code = torch.randn(18 * 9, 30, generator=torch.Generator().manual_seed(1))
    cells = ((LONLAT[:, 0] + 180) // 20 + 18 * ((LONLAT[:, 1] + 90) // 20)).long()
    encoder = Encoder("memory", lambda lonlat: Features(code[cells]), ("linear",))
    noise = torch.randn(18 * 9, generator=torch.Generator().manual_seed(2)).double()[cells]
    (row,) = probe(Target("noise", "regression", LONLAT, noise), [encoder], SCHEMES, seed=0)
    assert row.scores["random"]["r2"].value > 0.1
    assert row.scores["blocks"]["r2"].value < 0.05


def test_classes_and_the_documents() -> None:
    rows = probe(HALF, [learned("east or west", lambda lonlat: lonlat[:, :1].sign())], SCHEMES[:1], seed=0)
    assert metrics_of(HALF) == ("top1", "macro_f1")
    assert [row.scores["random"]["top1"].value for row in rows] == [100, 100]
    read = json.loads(json.dumps(document(HALF, rows)))
    assert (read["target"], read["kind"], read["rows"], read["classes"]) == ("half", "classification", 400, 2)
    first = read["results"][0]
    assert (first["encoder"], first["probe"], first["features"]) == ("east or west", "linear", 1)
    assert first["random"]["top1"] == {"value": 100, "low": 100, "high": 100}
    assert len(first["random"]["chosen"]) == 3
    records = flat(HALF, rows)
    assert [(one["probe"], one["folds"], one["top1"], one["r2"]) for one in records] == [
        ("linear", "random", 100, None),
        ("knn", "random", 100, None),
    ]
