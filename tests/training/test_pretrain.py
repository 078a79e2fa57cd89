"""Pre-training: what it learns on data where images are a function of location, and that it can be interrupted."""

import dataclasses
import inspect
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_files import write_features
from told import told

from cspops.data.batches import Unlabelled
from cspops.data.features import read_features
from cspops.data.negatives import dated_sampler
from cspops.data.sharded_rows import ShardedRows
from cspops.geo import uniform_on_sphere, unit_vectors
from cspops.losses import csp
from cspops.losses.objectives import unit
from cspops.models.location_encoder import LocationEncoder
from cspops.params.sections import McLoss, MseLoss, NceLoss, NoLoss, Pretrain
from cspops.training.loop import Run
from cspops.training.pretrain import curve_columns, pretrain
from cspops.training.resume import Resume

CPU = torch.device("cpu")
ENCODER = {
    "encoding": {"name": "grid", "scales": 6, "r_min": 10.0, "r_max": 360.0},
    "network": {"name": "ffn", "hidden_layers": 1, "hidden": 48, "dropout": 0.2},
    "dim": 24,
}
TAUS = {"tau_batch": 0.2, "tau_locations": 0.2, "tau_dropout": 0.2}
WEIGHTS = {"weight_locations": 1.0, "weight_dropout": 1.0}
MC = McLoss(terms="BLD", symmetric=False, learn_temperature=False, **TAUS, **WEIGHTS, learning_rate=0.005)
LOSSES = {
    "mc": MC,
    "nce": NceLoss(terms="BLD", **WEIGHTS, learning_rate=0.005),
    "mse": MseLoss(learning_rate=0.005),
    "none": NoLoss(),
}
SCHEDULE = Pretrain(epochs=3, batch_size=64, negative_locations=2, negatives="sphere")


def world(n: int = 256, seed: int = 0) -> Unlabelled:
    """Places uniform on the sphere; the image features are fixed waves over it, on scales of thousands of km."""
    lonlat = uniform_on_sphere(n, generator=torch.Generator().manual_seed(seed))
    waves = torch.randn(3, 12, generator=torch.Generator().manual_seed(77), dtype=torch.float64)
    return Unlabelled(lonlat, (3 * unit_vectors(lonlat) @ waves).sin().float() * 5 + 2)


def run(loss: str = "mc", terms: str = "BLD", *, data: Unlabelled | None = None, encoder: dict | None = None, **changes):
    """With changed settings of the loss, a changed schedule, a law of negatives and what `Run` takes among ``changes``."""
    of_run = {key: changes.pop(key) for key in ("resume",) if key in changes}
    asked = Run(changes.pop("seed", 0), CPU, **of_run)
    schedule = SCHEDULE.model_copy(update={key: changes.pop(key) for key in ("epochs", "negative_locations") if key in changes})
    negatives, fields = changes.pop("negatives", uniform_on_sphere), type(LOSSES[loss]).model_fields
    settings = LOSSES[loss].model_copy(update=({"terms": terms} if "terms" in fields else {}) | changes)
    return pretrain(data or world(), encoder or ENCODER, settings, schedule=schedule, negatives=negatives, run=asked)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("loss", ["none", "mse"])
def test_an_encoder_to_start_from_is_copied(loss):
    first, _ = run("mc", epochs=1)
    before = {name: one.clone() for name, one in first.state_dict().items()}
    encoder, _ = run(loss, encoder=first, epochs=1, seed=7)
    assert all(torch.equal(one, before[name]) for name, one in first.state_dict().items())
    assert same(encoder, first) == (loss == "none") and not encoder.training
    assert encoder.config == first.config


def test_there_is_no_label_to_leak():
    """Permuting labels cannot change pre-training: neither its data nor its arguments have a place for them."""
    assert {field.name for field in dataclasses.fields(Unlabelled)} == {"lonlat", "image_features", "when"}
    assert not [name for name in inspect.signature(pretrain).parameters if "label" in name.replace("unlabelled", "")]


@pytest.mark.parametrize(("loss", "terms"), [("mc", "B"), ("mc", "BLD"), ("nce", "BLD")])
def test_matched_pairs_come_to_score_above_mismatched_ones(loss, terms):
    """On places never seen: f(I) is not returned, so embeddings are judged by the image features they order.

    Places with near image features must have nearer embeddings than places with far ones, and nearer than they had in
    the untrained encoder.
    """
    held_out = world(200, seed=1)
    features = unit(held_out.image_features - held_out.image_features.mean(0))
    likeness = (features @ features.T)[~torch.eye(200, dtype=torch.bool)]

    def agreement(encoder: LocationEncoder) -> float:
        with torch.no_grad():
            e = encoder(held_out.lonlat)
        e = unit(e - e.mean(0))
        cosines = (e @ e.T)[~torch.eye(200, dtype=torch.bool)]
        return float(torch.corrcoef(torch.stack((likeness, cosines)))[0, 1])

    trained, curve = run(loss, terms, epochs=25, data=world(512))
    fresh, _ = run("none")
    assert agreement(trained) > agreement(fresh) + 0.2
    assert curve[-1]["B"] < curve[0]["B"] - 0.1


def test_matched_pairs_beat_in_batch_chance():
    """The B term of a model that cannot tell pairs apart is log n; after training it is well below, train mode and all."""
    _, curve = run("mc", "B", epochs=25, data=world(512))
    assert curve[-1]["B"] < math.log(64) - 1


def test_shuffled_images_teach_nothing():
    """The control of the tests above: with images of other places, the B term stays about log n for a held batch."""
    data = world(512)
    shuffled = Unlabelled(data.lonlat, data.image_features[torch.randperm(512, generator=torch.Generator().manual_seed(0))])
    _, with_pairs = run("mc", "B", epochs=10, data=data)
    _, without = run("mc", "B", epochs=10, data=shuffled)
    assert with_pairs[-1]["B"] < without[-1]["B"] - 0.5


def test_regression_learns_the_features():
    """The mean squared error of standardised features is 1 for a model that answers the mean."""
    _, curve = run("mse", "", epochs=25, data=world(512))
    assert curve[-1]["total"] < 0.6


@pytest.mark.parametrize(
    ("loss", "terms", "columns"),
    [("mc", "B", "B"), ("mc", "BL", "BL"), ("mc", "BD", "BD"), ("mc", "BLD", "BLD"), ("nce", "BLD", "BLD"), ("mse", "", "")],
)
def test_the_curve_has_a_column_for_each_term_in_force(loss, terms, columns):
    encoder, curve = run(loss, terms, epochs=2)
    assert [set(row) for row in curve] == [{"epoch", "total", *columns}] * 2
    assert all(math.isfinite(value) for row in curve for value in row.values())
    assert not encoder.training


def test_the_total_is_the_weighted_sum_of_the_terms():
    _, curve = run("mc", "BLD", epochs=1, weight_locations=0.5, weight_dropout=3.0)
    row = curve[0]
    assert row["total"] == pytest.approx(row["B"] + 0.5 * row["L"] + 3 * row["D"], rel=1e-5)


def spy(monkeypatch, loss: str = "mc") -> list[dict]:
    """What each step hands to the loss."""
    calls: list[dict] = []
    real = getattr(csp, f"{loss}_loss")

    def recorded(loc_emb, image_emb, **keywords):
        calls.append({"loc_emb": loc_emb.detach(), "image_emb": image_emb.detach()} | keywords)
        return real(loc_emb, image_emb, **keywords)

    monkeypatch.setattr(csp, f"{loss}_loss", recorded)
    return calls


def with_dropout(rate: float) -> dict:
    return ENCODER | {"network": ENCODER["network"] | {"dropout": rate}}


@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize("loss", ["mc", "nce"])
def test_dropout_positives_are_the_same_places_under_other_masks(monkeypatch, loss, rate):
    """Without dropout e' is e; with it, it is not."""
    calls = spy(monkeypatch, loss)
    run(loss, "BD", epochs=1, encoder=with_dropout(rate))
    assert len(calls) == 4
    for call in calls:
        assert torch.allclose(call["loc_emb"], call["loc_emb_2"], rtol=0, atol=1e-5) is (rate == 0)
        assert call["neg_loc_emb"] is None


def test_negative_locations_are_fresh_and_as_many_as_asked_for(monkeypatch):
    """Of a network that hardly moves: the same embedding twice would mean the same place twice."""
    calls = spy(monkeypatch)
    run("mc", "BL", epochs=2, encoder=with_dropout(0.0), negative_locations=3, learning_rate=1e-9)
    assert all(call["neg_loc_emb"].shape == (64, 3, 24) and call["loc_emb_2"] is None for call in calls)
    drawn = torch.cat([call["neg_loc_emb"].detach().flatten(0, 1) for call in calls])
    assert len(drawn.round(decimals=4).unique(dim=0)) > 0.99 * len(drawn)


def test_places_and_images_of_a_step_belong_together(monkeypatch):
    """The features are the position itself here, of which f(I) is an affine map: over the rows that e(x) tells."""
    places = world().lonlat
    data = Unlabelled(places, places.float())
    calls = spy(monkeypatch)
    run("mc", "B", data=data, epochs=1, encoder=with_dropout(0.0), learning_rate=1e-12)
    untrained, _ = run("none", data=data, encoder=with_dropout(0.0))
    with torch.no_grad():
        e = untrained(places)
    rows = torch.cat([torch.cdist(call["loc_emb"], e).argmin(1) for call in calls])
    assert sorted(rows.tolist()) == list(range(256))
    f = torch.cat([call["image_emb"] for call in calls]).double()
    x = torch.cat((places, torch.ones(256, 1)), 1)[rows]
    torch.testing.assert_close(x @ torch.linalg.lstsq(x, f).solution, f, rtol=0, atol=1e-4)


def test_no_loss_is_the_untrained_encoder_of_the_seed():
    one, curve = run("none")
    assert curve == []
    assert not one.training
    assert same(one, run("none")[0])
    assert not same(one, run("none", seed=1)[0])


@pytest.mark.parametrize("loss", ["mc", "nce", "mse"])
def test_the_untrained_encoder_does_not_depend_on_the_loss(loss):
    """Sup. Only and every loss start from the same weights, so that seeds are paired: at a rate of nothing they stay there."""
    trained, _ = run(loss, epochs=1, learning_rate=1e-12)
    for mine, untrained in zip(trained.parameters(), run("none")[0].parameters(), strict=True):
        torch.testing.assert_close(mine, untrained, rtol=0, atol=1e-9)


def test_same_seed_same_numbers_whatever_the_global_stream():
    torch.manual_seed(1)
    one, curve = run(epochs=1)
    torch.manual_seed(2)
    other, its_curve = run(epochs=1)
    assert same(one, other)
    assert curve == its_curve
    assert run(epochs=1, seed=1)[1] != curve


@pytest.mark.parametrize(("loss", "terms"), [("mc", "BLD"), ("mse", "")])
@pytest.mark.parametrize("stop", [1, 2])
def test_an_interrupted_run_ends_bit_identical(tmp_path, loss, terms, stop):
    whole, curve = run(loss, terms)

    def breaks(line: str) -> None:
        if f"epoch {stop + 1} of 3" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), told(breaks):
        run(loss, terms, resume=Resume(tmp_path))
    lines: list[str] = []
    with told(lines.append):
        resumed, its_curve = run(loss, terms, resume=Resume(tmp_path))
    assert f"continuing after epoch {stop} of 3" in lines[0]
    assert its_curve == curve
    assert same(resumed, whole)


def test_seeds_do_not_share_a_snapshot(tmp_path):
    run(resume=Resume(tmp_path), epochs=1)
    second, curve = run(resume=Resume(tmp_path), epochs=1, seed=1)
    alone, its_curve = run(epochs=1, seed=1)
    assert curve == its_curve
    assert same(second, alone)


def test_the_last_batch_may_have_one_row():
    """65 rows by 64: in-batch negatives need two, so the odd one waits for the next epoch."""
    _, curve = run(data=world(65), epochs=2)
    assert all(math.isfinite(row["total"]) for row in curve)


def test_the_callers_data_is_left_alone():
    data = world()
    copies = data.lonlat.clone(), data.image_features.clone()
    run(data=data, epochs=1)
    assert torch.equal(data.lonlat, copies[0])
    assert torch.equal(data.image_features, copies[1])


def test_negative_locations_come_from_the_law_that_is_given(monkeypatch):
    """A law of one place: all negatives of an encoder without dropout are its embedding, whatever it is at that step."""
    calls = spy(monkeypatch)
    run(
        "mc",
        "BL",
        epochs=1,
        encoder=with_dropout(0.0),
        negatives=lambda n, *, generator: torch.tensor([[10.0, 20.0]], dtype=torch.float64).expand(n, 2),
    )
    assert all(torch.allclose(call["neg_loc_emb"], call["neg_loc_emb"][:1, :1], atol=1e-6) for call in calls)


def test_learned_temperatures_start_where_they_are_told_and_move(monkeypatch):
    """Only those of the terms in force; they are in the curve, which `curve_columns` names."""
    calls = spy(monkeypatch)
    _, curve = run("mc", "BD", learn_temperature=True, symmetric=True, epochs=4)
    assert calls[0]["tau_batch"].item() == pytest.approx(0.2, rel=1e-6)
    assert calls[0]["tau_locations"] == 0.2  # not in force: the number as given
    assert all(call["symmetric"] is True for call in calls)
    assert (
        tuple(curve[0])
        == curve_columns(MC.model_copy(update={"terms": "BD", "learn_temperature": True}))
        == ("epoch", "B", "D", "total", "tau_batch", "tau_dropout")
    )
    assert abs(curve[-1]["tau_batch"] - 0.2) > 1e-3
    assert calls[-1]["tau_batch"].item() != calls[0]["tau_batch"].item()


def test_fixed_temperatures_are_not_in_the_curve():
    _, curve = run("mc", "BLD", epochs=1)
    assert tuple(curve[0]) == curve_columns(MC) == ("epoch", "B", "L", "D", "total")


def in_shards(data: Unlabelled, folder: Path, *, of: int) -> Unlabelled:
    """The same rows in shards, rounded to float16."""
    ids = [str(row) for row in range(len(data.lonlat))]
    write_features(folder, ids, data.image_features.numpy(), rows_per_shard=of)
    return Unlabelled(data.lonlat, ShardedRows(read_features(folder, ids), np.arange(len(ids))))


@pytest.mark.parametrize("loss", LOSSES)
def test_features_in_shards_train_as_in_memory_where_the_order_is_the_same(tmp_path, monkeypatch, loss):
    """They differ by the rounding of their statistics alone, which are summed in another order."""
    data = world()
    sharded = in_shards(data, tmp_path, of=50)
    rounded = Unlabelled(data.lonlat, data.image_features.half().float())
    monkeypatch.setattr(ShardedRows, "order", lambda self, generator: torch.randperm(len(self), generator=generator))
    (encoder, curve), (expected, expected_curve) = run(loss, data=sharded), run(loss, data=rounded)
    for row, expected_row in zip(curve, expected_curve, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-5)
    for x, y in zip(encoder.state_dict().values(), expected.state_dict().values(), strict=True):
        assert torch.allclose(x, y, atol=1e-4)


@pytest.mark.parametrize("loss", ["mc", "mse"])
def test_epochs_over_shards_learn_and_continue_where_they_were_killed(tmp_path, loss):
    sharded = in_shards(world(), tmp_path / "features", of=50)
    encoder, curve = run(loss, data=sharded)
    assert curve[-1]["total"] < curve[0]["total"]

    def breaks(message: str) -> None:
        if "epoch 2 of" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), told(breaks):
        run(loss, data=sharded, resume=Resume(tmp_path / "progress"))
    again, whole_curve = run(loss, data=sharded, resume=Resume(tmp_path / "progress"))
    assert same(encoder, again) and curve == whole_curve


# --- dates

DATED = ENCODER | {"time": {"name": "harmonics", "orders": 2, "dropped": 0.25}}


def dated_world(n: int = 256, *, dated: float = 1.0) -> Unlabelled:
    """The image features are waves over the sphere that go round with the year."""
    data = world(n)
    g = torch.Generator().manual_seed(5)
    when = torch.rand(n, generator=g, dtype=torch.float64)
    waves = torch.randn(3, 12, generator=g, dtype=torch.float64)
    features = (3 * unit_vectors(data.lonlat) @ waves + 2 * torch.pi * when[:, None]).sin().float() * 5 + 2
    return Unlabelled(data.lonlat, features, when.where(torch.rand(n, generator=g) < dated, torch.nan))


def law_of(data: Unlabelled, name: str = "sphere"):
    return dated_sampler(name, data=data.lonlat, when=data.when)


@pytest.mark.parametrize("dated", [1.0, 0.5])
@pytest.mark.parametrize("loss", ["mc", "nce", "mse"])
def test_with_dates_more_of_dated_images_is_learned(loss, dated):
    data = dated_world(dated=dated)
    _, with_dates = run(loss, data=data, encoder=DATED, negatives=law_of(data), epochs=12)
    _, without = run(loss, data=data, epochs=12)
    assert with_dates[-1]["total"] < without[-1]["total"]


@pytest.mark.parametrize("loss", LOSSES)
def test_dates_do_not_matter_to_an_encoder_without_time(loss):
    data = dated_world()
    first, second = (run(loss, data=one)[0] for one in (data, Unlabelled(data.lonlat, data.image_features)))
    assert same(first, second)


@pytest.mark.parametrize("loss", ["mc", "mse"])
def test_dated_features_in_shards_train_as_in_memory(tmp_path, monkeypatch, loss):
    data = dated_world(dated=0.8)
    sharded = dataclasses.replace(in_shards(data, tmp_path, of=50), when=data.when)
    rounded = dataclasses.replace(data, image_features=data.image_features.half().float())
    monkeypatch.setattr(ShardedRows, "order", lambda self, generator: torch.randperm(len(self), generator=generator))
    (encoder, curve), (expected, expected_curve) = (
        run(loss, data=one, encoder=DATED, negatives=law_of(data)) for one in (sharded, rounded)
    )
    for row, expected_row in zip(curve, expected_curve, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-5)
    for x, y in zip(encoder.state_dict().values(), expected.state_dict().values(), strict=True):
        assert torch.allclose(x, y, atol=1e-4)


@pytest.mark.parametrize(("law", "own"), [("sphere", False), ("data", True)])
def test_negatives_have_dates_of_their_own(monkeypatch, law, own):
    """Uniform ones over the year; under `data` those of the rows."""
    data, seen = dated_world(64), []
    prepare = LocationEncoder.prepare

    def noted(self, lonlat, when=None):
        seen.append((lonlat, when))
        return prepare(self, lonlat, when)

    monkeypatch.setattr(LocationEncoder, "prepare", noted)
    run("mc", "BL", data=data, encoder=DATED, negatives=law_of(data, law), epochs=1)
    assert torch.equal(seen[0][1], data.when)
    (lonlat, when) = seen[1]
    assert when.shape == (64 * 2,) and float(when.min()) >= 0 and float(when.max()) < 1
    assert bool(torch.isin(when, data.when).all()) == own
    if own:
        rows = [data.when.tolist().index(one) for one in when.tolist()]
        assert torch.equal(lonlat, data.lonlat[rows])
