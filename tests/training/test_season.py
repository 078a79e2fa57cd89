"""Season: classes whose places move with the date, with P(y|x, t) known in closed form.

Of two classes the first lives north of a line of latitude b(t) that moves with the season, the other south of it:

    P(north|x, t) = sigmoid((lat - b(t)) / WIDTH),    b(t) = SWING cos 2 pi t,    lat uniform within SPAN, t uniform

Without the date the best that can be known is its mean over t. Entropies and accuracies of both are integrals over
(lat, t), made on a fine grid.
"""

import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

from cspops.data.batches import Labelled
from cspops.data.negatives import dated_sampler
from cspops.geo import uniform_on_sphere
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.params.location_classifiers import CrossEntropy, FullLoc, ProbeThenFull
from cspops.training.finetune_loc import finetune_loc
from cspops.training.linear_probe import linear_probe
from cspops.training.location_probe import location_probe, train_on
from cspops.training.loop import Run

CPU = torch.device("cpu")
SPAN, SWING, WIDTH = 60.0, 30.0, 6.0
N = 5000
NETWORK = {"name": "ffn", "hidden_layers": 1, "hidden": 64, "dropout": 0.0}
ENCODER = {"encoding": {"name": "grid", "scales": 6, "r_min": 20.0, "r_max": 360.0}, "network": NETWORK, "dim": 64}
TIME = {"time": {"name": "harmonics", "orders": 2, "dropped": 0.25}}
L2 = (0.001, 0.0001)
THEN_FULL = ProbeThenFull(
    probe_l2=L2,
    steps=400,
    batch_size=256,
    learning_rate=0.003,
    encoder_rate=1.0,
    weight_decay=0.0,
    distance=0.0,
    dropout="off",
    check_every=50,
    patience=0,
)
FULL = FullLoc(
    steps=500,
    negatives="sphere",
    batch_size=256,
    learning_rate=0.005,
    encoder_rate=1.0,
    schedule="cosine",
    last_rate=0.0,
    patience=0,
    check_every=100,
)
Truth = Callable[[Tensor, Tensor], Tensor]
"""From positions and dates to the probability of the first class."""


def migrating(lonlat: Tensor, when: Tensor) -> Tensor:
    return ((lonlat[..., 1] - SWING * (2 * math.pi * when).cos()) / WIDTH).sigmoid()


def of_any_date(lonlat: Tensor, truth: Truth = migrating, dates: int = 360) -> Tensor:
    """The mean over the year."""
    when = torch.arange(dates, dtype=torch.float64) / dates
    return truth(lonlat[..., None, :], when).mean(-1)


def entropy(p: Tensor) -> Tensor:
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))


def drawn(n: int, seed: int, truth: Truth = migrating, *, dated: float = 1.0) -> Labelled:
    """Rows of which a share has dates."""
    g = torch.Generator().manual_seed(seed)
    u, when, coin, has = torch.rand(4, n, generator=g, dtype=torch.float64)
    lon = 360 * torch.rand(n, generator=g, dtype=torch.float64) - 180
    lonlat = torch.stack((lon, SPAN * (2 * u - 1)), 1)
    return Labelled(lonlat, (coin > truth(lonlat, when)).long(), 2, when.where(has < dated, torch.nan))


def encoder(*, dated: bool) -> LocationEncoder:
    torch.manual_seed(0)
    return LocationEncoder(ENCODER | (TIME if dated else {}))


def trained(mode: str, train: Labelled, val: Labelled, *, dated: bool) -> LocationClassifier:
    run = Run(0, CPU)
    if mode == "full":
        law = dated_sampler("sphere", data=train.lonlat, when=train.when) if dated else uniform_on_sphere
        loss = CrossEntropy(label_smoothing=0.0)
        return finetune_loc(train, encoder(dated=dated), FULL, loss, negatives=law, run=run)[0]
    probed = location_probe(train, encoder(dated=dated), L2, max_iterations=100, val=val, device=CPU)
    return probed.model if mode == "linear_probe" else train_on(probed, train, THEN_FULL, val=val, run=run).model


@cache
def of_mode(mode: str, dated: bool = True) -> LocationClassifier:
    return trained(mode, drawn(N, 0), drawn(1500, 1), dated=dated)


@torch.no_grad()
def p_north(model: LocationClassifier, lonlat: Tensor, when: Tensor | None = None) -> Tensor:
    return model(lonlat, when).double().softmax(-1)[..., 0]


def expected(p: Tensor, truth: Tensor) -> tuple[float, float]:
    """The expected NLL and accuracy of a model on rows whose probabilities are known: no label is drawn."""
    p = p.clamp(1e-12, 1 - 1e-12)
    nll = -(truth * p.log() + (1 - truth) * (1 - p).log())
    return float(nll.mean()), float(torch.where(p > 0.5, truth, 1 - truth).mean())


@cache
def exact() -> dict[str, float]:
    """NLL and accuracy of the best model with the date and of the best without, by the midpoint rule."""
    lat = SPAN * ((2 * torch.arange(600, dtype=torch.float64) + 1) / 600 - 1)
    lonlat, when = torch.stack((torch.zeros_like(lat), lat), 1), (torch.arange(600, dtype=torch.float64) + 0.5) / 600
    p = migrating(lonlat[:, None], when)
    mean = p.mean(1)
    return {
        "nll": float(entropy(p).mean()),
        "top1": float(torch.maximum(p, 1 - p).mean()),
        "nll_undated": float(entropy(mean).mean()),
        "top1_undated": float(torch.maximum(mean, 1 - mean).mean()),
    }


def test_the_season_is_worth_something_here() -> None:
    assert exact()["nll"] < exact()["nll_undated"] - 0.15
    assert exact()["top1"] > exact()["top1_undated"] + 0.07


@pytest.mark.parametrize("mode", ["probe_then_full", "full"])
def test_a_model_with_time_is_nearly_the_best_there_is_and_one_without_the_best_marginal(mode: str) -> None:
    """An excess NLL of k / 2 n nats is what k free parameters cost on n rows: for k = 240, 0.02; the mean over M test rows of
    known probabilities has a deviation of below 0.4 / sqrt(M) = 0.003 around the integral. A decision within p of the border
    that is off by it costs less accuracy than NLL.
    """
    rows, tolerance = drawn(20_000, 2), 240 / (2 * N)
    truth = migrating(rows.lonlat, rows.when)
    nll, top1 = expected(p_north(of_mode(mode), rows.lonlat, rows.when), truth)
    assert exact()["nll"] - 0.01 < nll < exact()["nll"] + tolerance + 0.01
    assert exact()["top1"] - tolerance - 0.01 < top1 < exact()["top1"] + 0.01
    nll, top1 = expected(p_north(of_mode(mode, dated=False), rows.lonlat, rows.when), truth)
    assert exact()["nll_undated"] - 0.01 < nll < exact()["nll_undated"] + tolerance + 0.01
    assert exact()["top1_undated"] - tolerance - 0.01 < top1 < exact()["top1_undated"] + 0.01


MEAN_OF_DATES = {"linear_probe": 0.1, "probe_then_full": 0.07, "full": 0.07}


@pytest.mark.parametrize("mode", MEAN_OF_DATES)
def test_without_a_date_it_is_the_mean_over_the_dates(mode: str) -> None:
    """To a mean of 0.07 in probability: that of 24 dates, and the closed form. A quarter of the rows had no date in training
    (of the probe half the weight), so that the deviation in one of a dozen bands of latitude is 0.5 / sqrt(N / 48) = 0.05.
    The probe's embedding is a random one, in which neither is exact.
    """
    lat = torch.linspace(-SPAN + 5, SPAN - 5, 45, dtype=torch.float64)
    lonlat = torch.stack((torch.linspace(-170, 170, 45, dtype=torch.float64), lat), 1)
    model, dates = of_mode(mode), torch.arange(24, dtype=torch.float64) / 24
    mean = torch.stack([p_north(model, lonlat, t.expand(45)) for t in dates]).mean(0)
    undated = p_north(model, lonlat)
    assert float((undated - mean).abs().mean()) < MEAN_OF_DATES[mode]
    assert float((undated - of_any_date(lonlat)).abs().mean()) < MEAN_OF_DATES[mode]


def in_summer(lonlat: Tensor, when: Tensor) -> Tensor:
    """The same season in both hemispheres."""
    return (-3 * (2 * math.pi * when).cos()).expand(torch.broadcast_shapes(lonlat.shape[:-1], when.shape)).sigmoid()


def flipped(lonlat: Tensor, when: Tensor) -> Tensor:
    """The opposite one."""
    return (-3 * (2 * math.pi * when).cos() * torch.tanh(lonlat[..., 1] / 10)).sigmoid()


@pytest.mark.parametrize("truth", [in_summer, flipped])
def test_whether_seasons_flip_with_latitude_is_learned_and_not_assumed(truth: Truth) -> None:
    """Within 0.1 in probability: a month in one of four bands of latitude has N / 48 rows, 0.5 / sqrt(N / 48) = 0.05."""
    model = trained("probe_then_full", drawn(N, 3, truth), drawn(1500, 4, truth), dated=True)
    months = (torch.arange(12, dtype=torch.float64) + 0.5) / 12
    north, south = (torch.tensor([[10.0, lat]] * 12, dtype=torch.float64) for lat in (45.0, -45.0))
    for place in (north, south):
        assert float((p_north(model, place, months) - truth(place, months)).abs().mean()) < 0.1
    apart = float((p_north(model, north, months) - p_north(model, south, months)).abs().mean())
    assert apart < 0.15 if truth is in_summer else apart > 0.5


def test_where_dates_tell_all_nothing_is_sure_without_one() -> None:
    """Classes of two halves of the year: what validation chooses on dates alone, a scale of the scores, would be endless.

    Without a date a fit of as many numbers as e has dimensions to n rows of coin flips costs them k / 2n nats (Wilks).
    """

    def halves(lonlat: Tensor, when: Tensor) -> Tensor:
        return ((when - 0.5).abs() < 0.25).double().expand(torch.broadcast_shapes(lonlat.shape[:-1], when.shape))

    rows, model = drawn(500, 6, halves), trained("probe_then_full", drawn(300, 5, halves), drawn(100, 7, halves), dated=True)
    assert expected(p_north(model, rows.lonlat, rows.when), halves(rows.lonlat, rows.when))[0] < 0.25
    assert expected(p_north(model, rows.lonlat), torch.full((500,), 0.5).double())[0] < math.log(2) + ENCODER["dim"] / 600


def test_rows_without_dates_train_with_those_that_have_them() -> None:
    """Half of the rows: the excess is twice as large."""
    rows = drawn(20_000, 2)
    model = trained("probe_then_full", drawn(N, 0, dated=0.5), drawn(1500, 1, dated=0.5), dated=True)
    nll, _ = expected(p_north(model, rows.lonlat, rows.when), migrating(rows.lonlat, rows.when))
    assert nll < exact()["nll"] + 2 * 240 / (2 * N) + 0.01


def test_a_probe_sees_each_row_with_its_date_and_without() -> None:
    train, val = drawn(200, 0), drawn(100, 1)
    fixed = encoder(dated=True).eval()
    with torch.no_grad():
        both = torch.cat((fixed(train.lonlat, train.when), fixed(train.lonlat)))
        seen = fixed(val.lonlat, val.when)  # one strength: nothing is chosen
        settings = {"classes": 2, "l2": (0.01,), "max_iterations": 200}
        with torch.enable_grad():
            direct, _ = linear_probe(both, train.label.repeat(2), seen, val.label, **settings)
        wanted = direct(seen).double().softmax(1)[:, 0]
    found = location_probe(train, encoder(dated=True), (0.01,), max_iterations=200, val=val, device=CPU).model
    torch.testing.assert_close(p_north(found, val.lonlat, val.when), wanted, rtol=0, atol=1e-3)
    assert float((wanted - p_north(found, val.lonlat)).abs().mean()) > 0.05


@pytest.mark.parametrize("mode", ["linear_probe", "probe_then_full", "full"])
def test_dates_do_not_matter_to_an_encoder_without_time(mode: str) -> None:
    train, val = drawn(60, 0), drawn(40, 1)
    plain = [Labelled(one.lonlat, one.label, 2) for one in (train, val)]
    models = [trained(mode, *rows, dated=False) for rows in ((train, val), plain)]
    for one, other in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)
