"""Fine-tuning of a location encoder: what the presence-absence loss teaches, and that pre-training helps."""

import copy
from pathlib import Path

import pytest
import torch

from cspops.data.batches import Labelled, Unlabelled
from cspops.geo import uniform_on_sphere, unit_vectors
from cspops.models.encodings import ENCODINGS
from cspops.models.encodings.base import Encoding
from cspops.models.location_encoder import LocationEncoder
from cspops.params import load
from cspops.params.location_classifiers import CrossEntropy, Focal, FullLoc, PresenceAbsence, PresenceAbsenceReleased
from cspops.params.sections import McLoss, NoLoss, Pretrain
from cspops.training.finetune_loc import LINKS, finetune_loc
from cspops.training.loop import Run
from cspops.training.pretrain import pretrain

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
SETTINGS = FullLoc(
    negatives="sphere",
    steps=60,
    batch_size=64,
    learning_rate=0.005,
    encoder_rate=1.0,
    schedule="cosine",
    last_rate=0.0,
    patience=0,
    check_every=1,
)
LOSSES = {
    "presence_absence": PresenceAbsence(beta=0.2),
    "presence_absence_released": PresenceAbsenceReleased(weight_background=1.0),
    "cross_entropy": CrossEntropy(label_smoothing=0.1),
    "focal": Focal(gamma=2.0),
}
ENCODER = {
    "encoding": {"name": "grid", "scales": 8, "r_min": 7.0, "r_max": 360.0},
    "network": {"name": "ffn", "hidden_layers": 1, "hidden": 64, "dropout": 0.2},
    "dim": 32,
}


def fresh(seed: int = 0) -> LocationEncoder:
    torch.manual_seed(seed)
    return LocationEncoder(ENCODER)


def tune(labelled: Labelled, encoder: LocationEncoder | None = None, **changes):
    """With a loss among ``changes``, a law of negatives, validation rows, a seed, and changed settings."""
    loss, negatives = changes.pop("loss", PresenceAbsence(beta=0.2)), changes.pop("negatives", uniform_on_sphere)
    val, run = changes.pop("val", None), Run(changes.pop("seed", 0), CPU)
    settings = SETTINGS.model_copy(update=changes)
    return finetune_loc(labelled, encoder or fresh(), settings, loss, negatives=negatives, val=val, run=run)


def mc(learning_rate: float) -> McLoss:
    taus = dict.fromkeys(("tau_batch", "tau_locations", "tau_dropout"), 0.2)
    weights = dict.fromkeys(("weight_locations", "weight_dropout"), 1.0)
    switches = {"symmetric": False, "learn_temperature": False}
    return McLoss(terms="BLD", **switches, **taus, **weights, learning_rate=learning_rate)


def places(n: int, seed: int = 0, **belt: float) -> torch.Tensor:
    return uniform_on_sphere(n, generator=torch.Generator().manual_seed(seed), **belt)


def quadrants(lonlat: torch.Tensor) -> torch.Tensor:
    """Four classes: east or west, north or south."""
    return (lonlat[:, 0] > 0).long() + 2 * (lonlat[:, 1] > 0).long()


def test_learns_where_classes_are():
    train, test = places(200), places(500, seed=1)
    model, _ = tune(Labelled(train, quadrants(train), 4))
    with torch.no_grad():
        hit = (model(test).argmax(1) == quadrants(test)).double().mean()
    assert float(hit) > 0.85  # chance is 0.25


def test_negative_locations_push_scores_down_where_no_label_is():
    """One class, labelled in the north only: Eq. 5 has no other negatives than the random places, N^y being empty."""
    north = places(100, lat_min=30.0)
    model, _ = tune(Labelled(north, torch.zeros(100, dtype=torch.long), 1), steps=150, loss=PresenceAbsence(beta=0.5))
    with torch.no_grad():
        there = model(places(200, seed=1, lat_min=40.0)).sigmoid().mean()
        elsewhere = model(places(200, seed=2, lat_max=-20.0)).sigmoid().mean()
    assert float(elsewhere) < 0.1
    assert float(there) > 0.4


def test_a_pre_trained_encoder_beats_a_fresh_one_at_few_labels_and_steps():
    """Twelve patches of the globe, three classes of four patches each; images of a class look alike, but for noise.

    30 labels do not say what every patch holds, while the 600 unlabelled images say which patches look alike. The two
    share seeds, labels and steps; the gain is their mean over three seeds.
    """
    g = torch.Generator().manual_seed(5)
    centres, looks = unit_vectors(uniform_on_sphere(12, generator=g)), torch.randn(3, 8, generator=g)

    def class_of(lonlat: torch.Tensor) -> torch.Tensor:
        return (unit_vectors(lonlat) @ centres.T).argmax(1) % 3

    def accuracy(seed: int, epochs: int) -> float:
        unlabelled, test = places(600, seed=10 + seed), places(600, seed=20 + seed)
        noise = torch.randn(600, 8, generator=torch.Generator().manual_seed(seed))
        encoder, _ = pretrain(
            Unlabelled(unlabelled, looks[class_of(unlabelled)] + 0.3 * noise),
            ENCODER,
            mc(0.005) if epochs else NoLoss(),
            schedule=Pretrain(epochs=max(1, epochs), batch_size=128, negative_locations=1, negatives="sphere"),
            negatives=uniform_on_sphere,
            run=Run(seed, CPU),
        )
        labelled = Labelled(unlabelled[:30], class_of(unlabelled[:30]), 3)
        model, _ = tune(labelled, encoder, steps=30, learning_rate=0.003, seed=seed)
        with torch.no_grad():
            return float((model(test).argmax(1) == class_of(test)).double().mean())

    gain = sum(accuracy(seed, 40) - accuracy(seed, 0) for seed in range(3)) / 3
    assert gain > 0.05


def test_same_seed_same_numbers_whatever_the_global_stream():
    data = Labelled(places(30), quadrants(places(30)), 4)
    encoder = fresh()
    torch.manual_seed(1)
    one, curve = tune(data, copy.deepcopy(encoder), steps=5)
    torch.manual_seed(2)
    other, its_curve = tune(data, copy.deepcopy(encoder), steps=5)
    assert curve == its_curve
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert tune(data, copy.deepcopy(encoder), steps=5, seed=1)[1] != curve


def test_the_encoder_is_trained_in_place_and_returned_in_eval_mode():
    data, encoder = Labelled(places(30), quadrants(places(30)), 4), fresh()
    before = encoder.network.output.weight.detach().clone()
    model, _ = tune(data, encoder, steps=3)
    assert model.encoder is encoder
    assert not torch.equal(encoder.network.output.weight, before)
    assert not model.training
    assert not encoder.training


def test_the_config_rebuilds_the_encoder_and_counts_the_classes():
    model, _ = tune(Labelled(places(10), torch.zeros(10, dtype=torch.long), 7), steps=1)
    assert model.config == {"encoder": ENCODER, "classes": 7, "link": "sigmoid"}
    assert model(places(5)).shape == (5, 7)


@pytest.mark.parametrize(("steps", "rows"), [(1, 1), (7, 7), (40, 20), (100, 20)])
def test_the_curve_has_a_row_for_each_twentieth(steps, rows):
    _, curve = tune(Labelled(places(10), quadrants(places(10)), 4), steps=steps)
    assert [row["step"] for row in curve] == [(i + 1) * max(1, steps // 20) for i in range(rows)]


def test_the_curve_starts_at_the_loss_of_scores_about_zero_and_falls():
    """Fresh scores are near 0, where Eq. 5 is (1 + beta) log 2 = 0.83."""
    train = places(200)
    _, curve = tune(Labelled(train, quadrants(train), 4), steps=100, learning_rate=0.001)
    assert 0.6 < curve[0]["total"] < 1.1
    assert curve[-1]["total"] < 0.8 * curve[0]["total"]


@pytest.mark.parametrize("n", [1, 2, 63, 65])
def test_any_number_of_labels_trains(n):
    """Fewer labels than a batch are all taken at each step; a batch never runs short at the end of a pass."""
    model, curve = tune(Labelled(places(n), quadrants(places(n)), 4), steps=4)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert len(curve) == 4


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_loss_learns_where_classes_are_and_says_how_scores_become_probabilities(loss):
    train, test = places(200), places(500, seed=1)
    model, _ = tune(Labelled(train, quadrants(train), 4), loss=LOSSES[loss])
    with torch.no_grad():
        hit = (model(test).argmax(1) == quadrants(test)).double().mean()
    assert float(hit) > 0.85  # chance is 0.25
    assert model.config["link"] == model.link == LINKS[type(LOSSES[loss])]


def test_random_locations_come_from_the_law_that_is_given():
    """One class, labelled in the north; random places in the east only: it is pushed down there and not in the west."""

    def east(n, *, generator):
        lonlat = uniform_on_sphere(n, generator=generator)
        return torch.stack((lonlat[:, 0].abs(), lonlat[:, 1]), 1)

    north = places(100, lat_min=60.0)
    data = Labelled(north, torch.zeros(100, dtype=torch.long), 1)
    model, _ = tune(data, steps=200, loss=PresenceAbsence(beta=0.5), negatives=east)
    south = places(300, seed=3, lat_min=-60.0, lat_max=0.0)
    with torch.no_grad():
        there = model(torch.stack((20 + 140 * south[:, 0].abs() / 180, south[:, 1]), 1)).sigmoid().mean()
        elsewhere = model(torch.stack((-160 + 140 * south[:, 0].abs() / 180, south[:, 1]), 1)).sigmoid().mean()
    assert float(elsewhere) > 2 * float(there)


def test_an_exponential_schedule_ends_otherwise_than_a_cosine():
    train = places(50)
    data = Labelled(train, quadrants(train), 4)
    last = {
        schedule: tune(data, fresh(), schedule=schedule, last_rate=0.0176)[0].class_embedding.linear.weight
        for schedule in ("cosine", "exponential")
    }
    assert not torch.allclose(last["cosine"], last["exponential"])


def test_early_stopping_keeps_the_weights_of_the_least_validation_nll():
    """Labels that mean nothing: the longer it trains, the worse on other rows. It must stop, and be as good as the best."""

    def nll(model) -> float:
        with torch.no_grad():
            log_p = torch.nn.functional.logsigmoid(model(val.lonlat).double()).log_softmax(1)
        return float(-log_p.gather(1, val.label[:, None]).mean())

    noise = torch.randint(4, (90,), generator=torch.Generator().manual_seed(3))
    train, val = Labelled(places(40), noise[:40], 4), Labelled(places(50, seed=1), noise[40:], 4)
    stopped, curve = tune(train, steps=200, val=val, patience=2, check_every=5)
    assert curve[-1]["step"] < 100
    lengths = [tune(train, steps=200, val=val, patience=1, check_every=k)[0] for k in (5, 200)]
    to_the_end, _ = tune(train, steps=200)
    assert nll(stopped) < nll(to_the_end)
    assert nll(stopped) <= nll(lengths[0])
    assert nll(lengths[1]) == nll(to_the_end)  # one check, at the end
    assert not stopped.training


def test_early_stopping_that_never_stops_trains_the_same_way():
    train, val = places(100), places(100, seed=1)
    data = Labelled(train, quadrants(train), 4)
    rule = {"val": Labelled(val, quadrants(val), 4), "patience": 1000, "check_every": 20}
    with_rule, curve = tune(data, steps=40, **rule)
    without, its_curve = tune(data, steps=40)
    assert curve == its_curve
    assert torch.equal(with_rule.class_embedding.linear.weight, without.class_embedding.linear.weight)


def test_a_stop_before_the_first_row_of_the_curve_leaves_one():
    """Without a rate nothing gets better, so that the second check ends it, at step 2 of 200."""
    data = Labelled(places(20), quadrants(places(20)), 4)
    _, curve = tune(data, steps=200, learning_rate=1e-12, val=data, patience=1, check_every=1)
    assert len(curve) >= 1 and curve[0]["step"] <= 20


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_every_encoding_pre_trains_and_fine_tunes(name):
    """With the settings of params.yaml, through both loops; learned encodings learn in both, and stay as they are else."""
    config = {"encoding": settings_of(name), "network": {"name": "ffn", "hidden": 32}, "dim": 16}
    lonlat = places(64)
    encoder, curve = pretrain(
        Unlabelled(lonlat, torch.randn(64, 8, generator=torch.Generator().manual_seed(0))),
        config,
        mc(0.01),
        schedule=Pretrain(epochs=2, batch_size=32, negative_locations=1, negatives="sphere"),
        negatives=uniform_on_sphere,
        run=Run(0, CPU),
    )
    before = copy.deepcopy(encoder.encoding.state_dict())
    model, _ = tune(Labelled(lonlat, quadrants(lonlat), 4), encoder, steps=5, batch_size=32)
    assert all(torch.isfinite(torch.tensor(list(row.values()))).all() for row in curve)
    assert bool(model(lonlat).isfinite().all())
    after = model.encoder.encoding.state_dict()
    same = all(torch.equal(before[key], after[key]) for key in before)
    assert same != encoder.encoding.learnable


def settings_of(name: str) -> dict:
    return {"name": name} | load(ROOT / "params.yaml").encodings.model_dump()[name]


def hit_rate(model, lonlat: torch.Tensor, label: torch.Tensor) -> float:
    with torch.no_grad():
        return float((model(lonlat).argmax(1) == label).double().mean())


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_every_encoding_tells_quadrants_apart_and_shuffled_coordinates_score_at_chance(name):
    """Trained on 300 places, judged on 1,000 others, where chance is 1/4 with an sd of 1.4 %.

    An encoding that loses the location (a tile of one cell, say) is at chance on the true coordinates too: 0.4 is 10 sd
    above it. Given the model, each pairing of coordinates and labels is as likely as another when they are shuffled.
    """
    train, test = places(300), places(1000, seed=1)
    wide = {"cell": 30.0} if name == "tile" else {}  # 300 places do not reach most cells of 5 degrees
    config = {"encoding": settings_of(name) | wide, "network": {"name": "ffn", "hidden": 64, "dropout": 0.1}, "dim": 32}
    torch.manual_seed(0)
    encoder = LocationEncoder(config)
    encoder.fit(train, torch.Generator().manual_seed(0))
    model, _ = tune(Labelled(train, quadrants(train), 4), encoder, steps=80)
    assert hit_rate(model, test, quadrants(test)) > 0.40
    shuffled = test[torch.randperm(1000, generator=torch.Generator().manual_seed(9))]
    assert abs(hit_rate(model, shuffled, quadrants(test)) - 0.25) < 0.055


def test_a_constant_encoder_scores_at_chance(monkeypatch):
    """It gives every place the same scores, so its answer is one class: a quarter of the places, sd 1.4 %."""

    class Constant(Encoding):
        dim = 3

        def forward(self, lonlat):
            return torch.ones(*lonlat.shape[:-1], 3)

    monkeypatch.setitem(ENCODINGS, "constant", Constant)
    train, test = places(300), places(1000, seed=1)
    config = {"encoding": {"name": "constant"}, "network": {"name": "ffn", "hidden": 64, "dropout": 0.0}, "dim": 32}
    model, _ = tune(Labelled(train, quadrants(train), 4), LocationEncoder(config))
    with torch.no_grad():
        assert len(model(test).argmax(1).unique()) == 1
    assert abs(hit_rate(model, test, quadrants(test)) - 0.25) < 0.055
