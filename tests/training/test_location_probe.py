"""Location classifiers that begin as a probe: against scikit-learn, and what training from there on may change."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy

from cspops.data.batches import Labelled
from cspops.geo import uniform_on_sphere
from cspops.models.encodings import ENCODINGS
from cspops.models.heads import LinearProbe
from cspops.models.location_encoder import LocationEncoder
from cspops.params import load
from cspops.params.location_classifiers import ProbeThenFull
from cspops.training.location_probe import (
    LEAST_SCALE,
    Probed,
    folded,
    least_nll_scale,
    location_probe,
    parameter_groups,
    pull,
    train_on,
)
from cspops.training.loop import Run

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
SETTINGS = ProbeThenFull(
    probe_l2=(0.1, 0.01),
    steps=60,
    batch_size=32,
    learning_rate=0.001,
    encoder_rate=1.0,
    weight_decay=0.0,
    distance=0.0,
    dropout="kept",
    check_every=10,
    patience=0,
)
ENCODER = {
    "encoding": {"name": "grid", "scales": 8, "r_min": 7.0, "r_max": 360.0},
    "network": {"name": "ffn", "hidden_layers": 1, "hidden": 32, "dropout": 0.2},
    "dim": 16,
}


def fresh(config: dict = ENCODER) -> LocationEncoder:
    torch.manual_seed(0)
    return LocationEncoder(config)


def rows(n: int, seed: int = 0, *, classes: int = 4, noise: int = 0) -> Labelled:
    """The quadrant of each place, but for every ``noise``-th, whose class is the next one."""
    lonlat = uniform_on_sphere(n, generator=torch.Generator().manual_seed(seed))
    label = (lonlat[:, 0] > 0).long() + 2 * (lonlat[:, 1] > 0).long()
    if noise:
        label[::noise] = (label[::noise] + 1) % 4
    return Labelled(lonlat, label, classes)


def probe(labelled: Labelled, val: Labelled | None, l2=(0.1, 0.01), encoder: LocationEncoder | None = None) -> Probed:
    return location_probe(labelled, encoder or fresh(), l2, max_iterations=300, val=val, device=CPU)


def nll(model, of: Labelled) -> float:
    with torch.no_grad():
        return float(-model(of.lonlat).double().log_softmax(1).gather(1, of.label[:, None]).mean())


def equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("l2", [0.3, 0.01])
def test_a_probe_is_scikit_learns_regression_on_the_standardised_embedding(l2: float) -> None:
    """Up to 1e-3 in probability. scikit-learn's C is 1 / (l2 n), as it sums where we take the mean."""
    train, test, encoder = rows(120, noise=5), rows(50, 1), fresh().eval()
    with torch.no_grad():
        e, other = encoder(train.lonlat), encoder(test.lonlat)
    mean, sd = e.mean(0), e.std(0, correction=0)
    theirs = LogisticRegression(C=1 / (l2 * 120), tol=1e-8, max_iter=5000)
    theirs.fit(((e - mean) / sd).double().numpy(), train.label.numpy())
    ours = probe(train, None, (l2,)).model
    with torch.no_grad():
        p = ours(test.lonlat).double().softmax(1).numpy()
    np.testing.assert_allclose(p, theirs.predict_proba(((other - mean) / sd).double().numpy()), rtol=0, atol=1e-3)
    assert equal(ours.encoder, encoder)
    assert ours.config == {"encoder": ENCODER, "classes": 4, "link": "softmax", "bias": True}


def test_folding_changes_no_score() -> None:
    """In float64 exactly; so to the rounding of float32, at features of scales of their own and a constant one."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(200, 6, generator=g) * torch.tensor([1.0, 50.0, 0.02, 3.0, 0.0, 1.0]) + 10
    one = LinearProbe(6, 5)
    one.standardise.fit(x)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=g))
        one.linear.weight[3], one.linear.bias[3] = 0, -1e4
        out = folded(one)
        torch.testing.assert_close(out(x), one(x), rtol=0, atol=2e-3)  # of products up to 10 / 0.02 = 500
        assert float(out.linear.bias[3]) == -1e4
        exact = copy.deepcopy(one).double()
        by_hand = (x.double() - one.standardise.mean) / one.standardise.scale @ exact.linear.weight.T + exact.linear.bias
        torch.testing.assert_close(out.double()(x.double()), by_hand, rtol=1e-4, atol=1e-4)


def test_the_start_counts_so_that_no_training_makes_validation_worse() -> None:
    train, val = rows(300), rows(200, 1)
    start = probe(train, val)
    wrong = Labelled(train.lonlat, (train.label + 1) % 4, 4)
    worse = train_on(start, wrong, SETTINGS, val=val, run=Run(0, CPU))
    assert worse.step == 0 and worse.val_nll <= start.val_nll + 1e-6
    assert equal(worse.model.encoder, start.model.encoder)
    ratio = worse.model.class_embedding.linear.weight / start.model.class_embedding.linear.weight
    torch.testing.assert_close(ratio, ratio[:1, :1].expand_as(ratio))  # no more than a temperature
    assert all(row["val_nll"] > worse.val_nll for row in worse.curve)


@pytest.mark.parametrize("dropout", ["kept", "off"])
def test_training_that_gains_is_kept_and_leaves_its_start_alone(dropout: str) -> None:
    train, val = rows(300), rows(200, 1)
    start = probe(train, val, (0.3,))
    before = copy.deepcopy(start.model)
    better = train_on(start, train, SETTINGS.model_copy(update={"dropout": dropout}), val=val, run=Run(0, CPU))
    assert equal(start.model, before)
    assert better.val_nll < start.val_nll
    assert better.val_nll == min(row["val_nll"] for row in better.curve)
    assert [row["step"] for row in better.curve] == [10, 20, 30, 40, 50, 60]
    assert nll(better.model, val) == pytest.approx(better.val_nll, abs=1e-6)
    assert better.step == min(better.curve, key=lambda row: row["val_nll"])["step"]
    assert not better.model.training


def test_patience_counts_checks_of_the_training_and_the_last_step_is_checked() -> None:
    train, val = rows(40, noise=3), rows(200, 1)
    start = probe(train, val)
    settings = SETTINGS.model_copy(update={"steps": 400, "learning_rate": 0.05, "patience": 2})
    losses = [row["val_nll"] for row in train_on(start, train, settings, val=val, run=Run(0, CPU)).curve]
    assert len(losses) < 40 and losses.index(min(losses)) == len(losses) - 3
    short = SETTINGS.model_copy(update={"steps": 7})
    assert [row["step"] for row in train_on(start, train, short, val=val, run=Run(0, CPU)).curve] == [7]


@pytest.mark.parametrize("factor", [0.02, 1.0, 50.0])
def test_the_scale_of_least_nll_is_that_of_a_search(factor: float) -> None:
    g = torch.Generator().manual_seed(0)
    own = torch.randint(5, (300,), generator=g)
    scores = factor * (torch.randn(300, 5, generator=g) + torch.nn.functional.one_hot(own, 5))
    found = minimize_scalar(lambda s: float(cross_entropy(s * scores.double(), own)), bounds=(1e-3, 1e3), method="bounded",
                            options={"xatol": 1e-8})  # fmt: skip
    assert least_nll_scale(scores, own) == pytest.approx(found.x, rel=2e-3)


def test_the_scale_stays_within_bounds_where_nothing_or_all_is_known() -> None:
    own = torch.arange(4)
    assert least_nll_scale(torch.eye(4), own) > 10
    assert least_nll_scale(-torch.eye(4), own) == LEAST_SCALE
    assert least_nll_scale(torch.eye(4)[:0], own[:0]) == 1.0


def test_the_pull_to_the_start_is_the_gradient_of_half_the_squared_distance() -> None:
    g = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=g)) for shape in ((3, 4), (5,))]
    start = [torch.randn(one.shape, generator=g) for one in parameters]
    loss = sum(one.pow(3).sum() for one in parameters)
    whole = loss + 0.7 / 2 * sum((one - at).square().sum() for one, at in zip(parameters, start, strict=True))
    expected = torch.autograd.grad(whole, parameters, retain_graph=True)
    loss.backward()
    pull(parameters, start, 0.7)
    for one, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(one.grad, gradient)


@pytest.mark.parametrize("held", ["distance", "encoder_rate"])
def test_what_holds_a_model_near_its_start(held: str) -> None:
    """A strong pull leaves it nearer to the probe; an encoder_rate of 0 leaves e as it is."""
    train, val = rows(300), rows(200, 1)
    start = probe(train, val, (0.3,))

    def moved(**changes: float) -> float:
        settings = SETTINGS.model_copy(update=changes)
        encoder = train_on(start, train, settings, val=val, run=Run(0, CPU)).model.encoder
        pairs = zip(encoder.parameters(), start.model.encoder.parameters(), strict=True)
        return sum(float((a - b).detach().square().sum()) for a, b in pairs)

    free = moved()
    assert free > 0
    assert moved(distance=10.0) < 0.5 * free if held == "distance" else moved(encoder_rate=0.0) == 0


def test_weight_decay_spares_biases_and_norms() -> None:
    start = probe(rows(100), rows(100, 1))
    settings = SETTINGS.model_copy(update={"weight_decay": 0.1})
    groups = parameter_groups(start.model, settings)
    decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert {id(parameter) for parameter in start.model.parameters()} == decays.keys()
    for parameter in start.model.parameters():
        assert decays[id(parameter)] == (0.1 if parameter.ndim > 1 else 0.0)


def test_classes_without_a_label_keep_their_probability_of_zero_and_say_nothing_about_the_choice() -> None:
    train, val = rows(120, classes=6), rows(100, 1, classes=6)
    train.label[:] = torch.tensor([0, 2, 3, 5])[train.label]
    val.label[:] = torch.tensor([0, 2, 1, 5])[val.label]  # a quarter of them of class 1, which has no label
    start = probe(train, val)
    assert start.val_nll < math.log(6) + 1
    end = train_on(start, train, SETTINGS.model_copy(update={"steps": 10}), val=val, run=Run(0, CPU))
    for model in (start.model, end.model):
        with torch.no_grad():
            p = model(val.lonlat).softmax(1)
        assert float(p[:, [1, 4]].max()) == 0
        assert bool(p.isfinite().all())


def test_one_strength_needs_no_validation() -> None:
    train = rows(60)
    alone = probe(train, None, (0.01,))
    assert math.isnan(alone.val_nll) and alone.best.l2 == 0.01
    assert equal(alone.model, probe(train, rows(50, 1), (0.01,)).model)


def test_same_seed_same_numbers_whatever_the_global_stream() -> None:
    train, val = rows(100), rows(100, 1)
    ends = []
    for seed, stream in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(stream)
        start = probe(train, val, encoder=fresh())
        torch.manual_seed(stream)
        ends.append(train_on(start, train, SETTINGS, val=val, run=Run(seed, CPU)))
    assert ends[0].curve == ends[1].curve != ends[2].curve
    assert equal(ends[0].model, ends[1].model)


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_every_encoding_is_probed_untrained_and_trained_on(name: str) -> None:
    """As Sup. Only does, from one label per class on; learned encodings are trained with the rest."""
    settings = {"name": name} | load(ROOT / "params.yaml").encodings.model_dump()[name]
    config = {"encoding": settings, "network": {"name": "ffn", "hidden": 32}, "dim": 16}
    train, val = rows(64), rows(64, 1)
    encoder = fresh(config)
    encoder.fit(train.lonlat, torch.Generator().manual_seed(0))
    start = probe(train, val, (1.0, 0.1), encoder)
    end = train_on(start, train, SETTINGS.model_copy(update={"steps": 4, "check_every": 2}), val=val, run=Run(0, CPU))
    assert end.val_nll <= start.val_nll + 1e-6
    assert bool(end.model(val.lonlat).isfinite().all())


def test_one_labelled_row_is_enough() -> None:
    one = rows(1)
    end = train_on(probe(one, rows(20, 1)), one, SETTINGS, val=rows(20, 1), run=Run(0, CPU))
    assert bool(end.model(one.lonlat).argmax(1) == one.label)
