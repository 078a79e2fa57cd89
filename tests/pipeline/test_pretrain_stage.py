"""Stage pretrain on features in one shard and in many."""

from pathlib import Path

import numpy as np
import pytest
import torch
from feature_files import write_features
from judged_set import ROLES, N, write_site

from cspops.data.features import read_features
from cspops.data.sharded_rows import ShardedRows
from cspops.host import Host
from cspops.params import graph, load, with_values
from cspops.params.graph import PretrainView
from cspops.pipeline import pretrain
from cspops.site import Site
from cspops.training.curves import read_curve

PARAMS = Path(__file__).parents[2] / "params.yaml"
ASKED = {"seeds": (0, 1), "pretrain.epochs": 2, "pretrain.batch_size": 8}


def site(tmp_path: Path, name: str, *, rows_per_shard: int) -> Site:
    (tmp_path / name).mkdir()
    made = write_site(tmp_path / name)
    matrix = torch.randn(N, 5, generator=torch.Generator().manual_seed(1)).numpy()
    write_features(made.inputs["featurize"] / "cut", [f"o{row}" for row in range(N)], matrix, rows_per_shard=rows_per_shard)
    inputs = {**made.inputs, "featurize": made.inputs["featurize"] / "cut"}
    return Site(made.raw, inputs, made.reports_of_project, made.out, made.scratch, Host(device="cpu", workers="2"))


def run(at: Site, loss: str) -> list[dict[str, float]]:
    view = graph.view(with_values(load(PARAMS), [*ASKED.items(), ("loss", loss)]), PretrainView)
    pretrain.run(view, at)
    assert {path.name for path in at.out.glob("seed_*")} == {"seed_0", "seed_1"}
    return read_curve(at.out / "reports" / "curves" / "pretrain.tsv")


@pytest.mark.parametrize("loss", ["mc", "none"])
def test_features_in_many_shards_are_never_read_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    """Statistics of the features, which all seeds share, are those of the rows that train, and are not made for nothing."""
    fitted: list[ShardedRows] = []
    fit = ShardedRows.fitted
    monkeypatch.setattr(ShardedRows, "fitted", lambda self: fitted.append(self) or fit(self))
    at = site(tmp_path, "many", rows_per_shard=7)
    curve = run(at, loss)
    assert len(curve) == (2 if loss == "mc" else 0) and all(np.isfinite(row["total"]) for row in curve)
    assert len(fitted) == (loss == "mc")
    train = np.flatnonzero([role == "train" for role in ROLES])
    exact = read_features(at.inputs["featurize"], [f"o{row}" for row in range(N)])[train].astype("float64").mean(0)
    for one in fitted:
        assert np.allclose(one.mean_and_sd[0].numpy(), exact, atol=1e-5) and len(one) == len(train)


def test_features_in_one_shard_are_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShardedRows, "__init__", lambda *_: pytest.fail("one shard"))
    assert len(run(site(tmp_path, "one", rows_per_shard=N), "mc")) == 2
