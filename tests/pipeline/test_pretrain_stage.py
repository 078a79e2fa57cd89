"""Stage pretrain on features in one shard and in many."""

from pathlib import Path

import numpy as np
import pytest
import torch
from feature_files import write_features
from judged_set import ENCODER, ROLES, TIME, N, write_site

from cspops.data.features import read_features
from cspops.data.sharded_rows import ShardedRows
from cspops.errors import DataError
from cspops.host import Host
from cspops.models.checkpoint import save_model
from cspops.models.loading import load_location_encoder
from cspops.models.location_encoder import LocationEncoder
from cspops.params import graph, load, with_values
from cspops.params.graph import PretrainView
from cspops.pipeline import pretrain
from cspops.site import Site
from cspops.training.curves import read_curve

PARAMS = Path(__file__).parents[2] / "params.yaml"
ASKED = {"seeds": (0, 1), "pretrain.epochs": 2, "pretrain.batch_size": 8}


def site(tmp_path: Path, name: str, *, rows_per_shard: int, dated: bool = False) -> Site:
    (tmp_path / name).mkdir()
    made = write_site(tmp_path / name, dated=dated)
    matrix = torch.randn(N, 5, generator=torch.Generator().manual_seed(1)).numpy()
    write_features(made.inputs["featurize"] / "cut", [f"o{row}" for row in range(N)], matrix, rows_per_shard=rows_per_shard)
    inputs = {**made.inputs, "featurize": made.inputs["featurize"] / "cut"}
    return Site(made.raw, inputs, made.reports_of_project, made.out, made.scratch, Host(device="cpu", workers="2"))


def run(at: Site, loss: str, **values: str) -> list[dict[str, float]]:
    changed = {"dataset.source": "inat2018", "loss": loss} | {f"location_encoder.{key}": value for key, value in values.items()}
    view = graph.view(with_values(load(PARAMS), (ASKED | changed).items()), PretrainView)
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


@pytest.mark.parametrize("loss", ["mc", "mse", "none"])
@pytest.mark.parametrize("rows_per_shard", [7, N])
def test_an_encoder_with_time_is_trained_with_the_dates_of_the_rows(tmp_path: Path, loss: str, rows_per_shard: int) -> None:
    at = site(tmp_path, "dated", rows_per_shard=rows_per_shard, dated=True)
    curve = run(at, loss, time="harmonics")
    assert all(np.isfinite(row["total"]) for row in curve)
    made = load_location_encoder(at.out / "seed_1")
    assert made.takes_time and made.config["time"] == {"name": "harmonics", "orders": 4, "dropped": 0.25}


@pytest.mark.parametrize("loss", ["mc", "none"])
def test_time_without_any_date_is_refused(tmp_path: Path, loss: str) -> None:
    at = site(tmp_path, "undated", rows_per_shard=N)
    with pytest.raises(DataError, match=r"no training row has a date, and location_encoder\.time is cos_sin") as caught:
        run(at, loss, time="cos_sin")
    assert "location_encoder.time to none" in str(caught.value.hint)


@pytest.mark.parametrize("dated", [True, False])
def test_an_encoder_to_start_from_has_its_own_time(tmp_path: Path, dated: bool) -> None:
    """Whatever location_encoder.time is; it can do without dates."""
    about = ENCODER | TIME
    save_model(tmp_path / "start", LocationEncoder(about), about)
    at = site(tmp_path, "from", rows_per_shard=N, dated=dated)
    assert len(run(at, "mc", weights=f"file:{tmp_path / 'start'}")) == 2
    assert load_location_encoder(at.out / "seed_0").config == about
