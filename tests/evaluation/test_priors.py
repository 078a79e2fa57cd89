"""Each prior against a naive double loop over judged and labelled rows, and where there is nothing to count."""

import math

import pytest
import torch

from cspops.evaluation import metrics, prior_counts, priors
from cspops.evaluation.pool import Places
from cspops.evaluation.predictor import combined_log_p
from cspops.evaluation.priors import Choice, LocationPriors
from cspops.geo import EARTH_RADIUS_KM, haversine, uniform_on_sphere

Q = 4


def places(n: int, seed: int) -> torch.Tensor:
    """Half over the whole sphere, half within 20 degrees of the date line and the equator."""
    g = torch.Generator().manual_seed(seed)
    near = torch.rand(n // 2, 2, generator=g, dtype=torch.float64) * 20 + torch.tensor([170.0, -10.0], dtype=torch.float64)
    near[:, 0] = (near[:, 0] + 180) % 360 - 180
    return torch.cat((uniform_on_sphere(n - n // 2, generator=g), near))


def labels(n: int, seed: int) -> torch.Tensor:
    """Classes 0, 1 and 3; 2 does not occur."""
    return torch.tensor([0, 1, 3])[torch.randint(3, (n,), generator=torch.Generator().manual_seed(seed))]


def distance(a, b) -> float:
    return float(haversine(a, b))


def frequency(known_label) -> list[float]:
    return [(int((known_label == y).sum()) + 1) / (len(known_label) + Q) for y in range(Q)]


def expected(weights, known_label, pseudo_count) -> list[float]:
    """(sum of weights of class y + a P(y)) / (sum of weights + a)."""
    pi = frequency(known_label)
    of_class = [sum(w for w, y in zip(weights, known_label.tolist(), strict=True) if y == one) for one in range(Q)]
    return [(one + pseudo_count * p) / (sum(weights) + pseudo_count) for one, p in zip(of_class, pi, strict=True)]


def weights_of(name: str, setting: float, x, known) -> list[float]:
    km = [distance(x, one) for one in known]
    kth = sorted(km)[min(int(setting), len(km)) - 1] if setting >= 1 else math.inf
    if name == "frequency":
        return [0.0] * len(km)
    if name == "histogram":
        cell = [math.floor((float(v[0]) + 180) / setting) + 1000 * math.floor((float(v[1]) + 90) / setting) for v in known]
        own = math.floor((float(x[0]) + 180) / setting) + 1000 * math.floor((float(x[1]) + 90) / setting)
        return [float(one == own) for one in cell]
    if name == "knn":
        return [float(one <= kth) for one in km]
    if name == "distance_knn":
        return [(min(km) + 1) / (one + 1) if one <= kth else 0.0 for one in km]
    return [math.exp(-(1 - math.cos(one / EARTH_RADIUS_KM)) * (EARTH_RADIUS_KM / setting) ** 2) for one in km]


def make(known, known_label, lonlat, located=None, **changes) -> LocationPriors:
    if located is not None:
        lonlat = lonlat.where(located[:, None], torch.nan)
    settings = {"classes": Q, "pseudo_count": 0.7, "most_neighbours": 50} | changes
    return LocationPriors(Places(known, known_label), lonlat, **settings)


def choose(made: LocationPriors, settings, *, image, label, chooser) -> dict[str, float]:
    """Told seven rows at a time, in an order of their own."""
    choice = Choice(made, settings, label=label, chooser=chooser)
    for rows in torch.arange(len(label)).flip(0).split(7):
        choice.add(rows, image[rows])
    return choice.chosen()


def log_p(made: LocationPriors, name: str, setting: float) -> torch.Tensor:
    """Of every judged row."""
    return made.log_p(name, setting, torch.arange(len(made.lonlat)))


CASES = [("frequency", 0.0), ("histogram", 10.0), ("histogram", 45.0), ("knn", 1), ("knn", 7), ("knn", 50)]
CASES += [("distance_knn", 3), ("distance_knn", 50), ("kde", 60.0), ("kde", 500.0), ("kde", 4000.0)]


@pytest.mark.parametrize(("name", "setting"), CASES)
def test_a_prior_is_the_naive_double_loop(name, setting):
    """30 labelled rows, 24 judged ones."""
    known, known_label, lonlat = places(30, 0), labels(30, 1), places(24, 2)
    made = make(known, known_label, lonlat)
    got = log_p(made, name, setting)
    want = torch.tensor([expected(weights_of(name, setting, x, known), known_label, 0.7) for x in lonlat], dtype=torch.float64)
    torch.testing.assert_close(got.exp(), want, rtol=1e-9, atol=1e-12)
    rows = torch.tensor([3, 4, 20])
    torch.testing.assert_close(made.log_p(name, setting, rows), got[rows], rtol=1e-12, atol=0)


@pytest.mark.parametrize("kilometres", [60.0, 500.0, 4000.0])
def test_the_kernel_is_the_same_in_small_blocks(monkeypatch, kilometres):
    """And where the labelled rows out of reach are left out for a few positions at a time."""
    known, known_label, lonlat = places(30, 0), labels(30, 1), places(24, 2)
    made = make(known, known_label, lonlat)
    whole = log_p(made, "kde", kilometres)
    monkeypatch.setattr(prior_counts, "TOGETHER", 5)
    torch.testing.assert_close(log_p(make(known, known_label, lonlat), "kde", kilometres), whole)


@pytest.mark.parametrize(("name", "setting"), CASES)
@pytest.mark.parametrize("q", [Q, 40])
def test_a_judgement_without_a_table_is_that_of_the_table(monkeypatch, name, setting, q):
    """Ranks with their ties: many classes of 40 are without a labelled row, and two rows have no position."""
    monkeypatch.setattr(prior_counts, "TOGETHER", 5)
    lonlat = torch.cat((places(22, 2), torch.full((2, 2), torch.nan).double()))
    known_label, label = labels(30, 1), torch.arange(24) % q
    made, rows = make(places(30, 0), known_label, lonlat, classes=q), torch.arange(24).flip(0)
    got, want = made.judge(name, setting, rows, label[rows]), metrics.judge(made.log_p(name, setting, rows), label[rows])
    torch.testing.assert_close(got.rank, want.rank)
    torch.testing.assert_close(got.own, want.own, rtol=1e-12, atol=1e-12)


def test_a_kernel_far_from_every_label_leaves_the_frequency():
    """At 20,000 km with a bandwidth of 1 km: exp(-80) at most, next to a pseudo-count of 0.7."""
    known, known_label = torch.tensor([[0.0, 0.0]]).double(), torch.tensor([1])
    got = make(known, known_label, torch.tensor([[180.0 - 1e-9, 0.0]]).double())
    torch.testing.assert_close(log_p(got, "kde", 1.0)[0], got.frequency, rtol=1e-12, atol=1e-12)


def test_neighbours_are_those_of_sorted_great_circles_over_the_date_line_and_the_pole():
    known = torch.tensor([[179.0, 0.0], [-170.0, 0.0], [0.0, 89.0], [0.0, 70.0]]).double()
    near = Places(known, torch.arange(4)).near(torch.tensor([[-179.0, 0.0], [180.0 - 360, 89.0]]).double(), k=2)
    assert near.label.tolist() == [[0, 1], [2, 3]]
    degree = math.pi * EARTH_RADIUS_KM / 180
    torch.testing.assert_close(near.km, torch.tensor([[2.0, 9.0], [2.0, 21.0]]).double() * degree, rtol=1e-9, atol=0)


def test_distance_to_the_nearest_label():
    known, lonlat = places(10, 0), places(6, 1)
    located = torch.tensor([True] * 5 + [False])
    got = make(known, labels(10, 0), lonlat, located).nearest_km(torch.arange(len(lonlat)))
    want = [min(distance(x, one) for one in known) for x in lonlat[:5]]
    assert got[:5].tolist() == pytest.approx(want, rel=1e-9)
    assert math.isnan(got[5])


@pytest.mark.parametrize("name", priors.PRIORS)
def test_a_row_without_a_position_has_the_frequency_of_classes(name):
    lonlat = torch.cat((places(4, 2), torch.full((2, 2), torch.nan).double()))
    got = make(places(20, 0), labels(20, 1), lonlat, ~lonlat.isnan().any(1))
    assert bool(log_p(got, name, 5).isfinite().all())
    torch.testing.assert_close(log_p(got, name, 5)[4:].exp()[0].tolist(), frequency(labels(20, 1)))


@pytest.mark.parametrize("name", priors.PRIORS)
@pytest.mark.parametrize(("m", "q"), [(0, 3), (1, 1), (5, 8142)])
def test_few_labels_and_many_classes_stay_finite_and_normalised(name, m, q):
    """No labelled row at all: every class is equally likely."""
    known, lonlat = places(m, 0), places(3, 1)
    got = log_p(make(known, torch.zeros(m, dtype=torch.long), lonlat, classes=q), name, 5)
    assert bool(got.isfinite().all())
    torch.testing.assert_close(got.logsumexp(1), torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    if m == 0:
        torch.testing.assert_close(got, torch.full_like(got, -math.log(q)))


def test_nearer_neighbours_weigh_more():
    """One label of class 0 at 0 km, two of class 1 at 110 km: by number class 1 wins, by distance class 0."""
    known = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]).double()
    got = make(known, torch.tensor([0, 1, 1]), torch.zeros(1, 2).double(), pseudo_count=1e-6)
    assert log_p(got, "knn", 3).argmax().item() == 1
    assert log_p(got, "distance_knn", 3).argmax().item() == 0


def test_the_setting_chosen_is_that_of_least_nll_of_the_product_on_chooser_rows():
    """The naive way: every candidate, the product, its NLL over the located rows of the mask."""
    known, known_label, lonlat, label = places(40, 0), labels(40, 1), places(30, 2), labels(30, 3)
    located, chooser = torch.arange(30) % 7 != 0, torch.arange(30) < 20
    image = torch.randn(30, Q, generator=torch.Generator().manual_seed(4), dtype=torch.float64).log_softmax(1)
    got = make(known, known_label, lonlat, located)
    for name, settings in (("histogram", (5.0, 40.0, 180.0)), ("knn", (1, 5, 30)), ("kde", (50.0, 1000.0, 5000.0))):
        nll = []
        for setting in settings:
            product = combined_log_p(image, log_p(got, name, setting), located)
            rows = [i for i in range(20) if located[i]]
            nll.append(-sum(float(product[i, label[i]]) for i in rows) / len(rows))
        assert min(nll) < sorted(nll)[1]
        chosen = choose(got, {name: settings}, image=image, label=label, chooser=chooser)
        assert chosen == {name: settings[nll.index(min(nll))]}
    nobody = torch.zeros(30, dtype=torch.bool)
    assert choose(got, {"knn": (5, 1)}, image=image, label=label, chooser=nobody) == {"knn": 5}


def test_the_choice_is_made_anew_for_other_answers():
    """What is kept between calls is the priors. A row is its own nearest neighbour: k = 1 knows its label. Of labels
    turned round, 0 to 1 to 3 to 0, it is always wrong, and all 40 rows together are better.
    """
    known, known_label = places(40, 0), labels(40, 1)
    got, everywhere = make(known, known_label, known), torch.ones(40, dtype=torch.bool)
    image = torch.zeros(40, Q, dtype=torch.float64).log_softmax(1)
    turned = torch.tensor([1, 3, 0, 0])[known_label]
    for label, best in ((known_label, 1), (turned, 40), (known_label, 1)):
        chosen = choose(got, {"knn": (1, 40)}, image=image, label=label, chooser=everywhere)
        assert chosen == {"knn": best}


@pytest.mark.parametrize("name", ["histogram", "knn", "distance_knn", "kde"])
@pytest.mark.parametrize("concentration", [0.0, 3.0, 200.0])
def test_the_nll_that_chooses_is_that_of_the_normalised_product(monkeypatch, name, concentration):
    """Sums over counts that are not 0, against the whole table's log_softmax; images so sure too that exp underflows.

    Both are sums of at most 30 + q terms in float64, of numbers up to 200 x 5: 1e-10 is far above their rounding.
    """
    made = make(places(30, 0), labels(30, 1), places(24, 2))
    label, g = labels(24, 3), torch.Generator().manual_seed(4)
    image = (concentration * torch.randn(24, Q, generator=g, dtype=torch.float64)).log_softmax(1)
    means: list[float] = []
    monkeypatch.setattr(priors.np, "argmin", lambda numbers: means.extend(numbers) or 0)
    everywhere = torch.ones(24, dtype=torch.bool)
    choose(made, {name: (7, 300)}, image=image, label=label, chooser=everywhere)
    want = [
        float(-combined_log_p(image, log_p(made, name, setting), everywhere).gather(1, label[:, None]).mean())
        for setting in (7, 300)
    ]
    assert means == pytest.approx(want, rel=1e-10, abs=1e-10)


def test_zeros_for_the_image_choose_by_the_location_alone():
    """exp(0) = 1 of each class is a constant: the product is P(y|x) itself."""
    made, label = make(places(40, 0), labels(40, 1), places(30, 2)), labels(30, 3)
    everywhere = torch.ones(30, dtype=torch.bool)
    settings = (50.0, 1000.0, 5000.0)
    nll = [float(-log_p(made, "kde", one).gather(1, label[:, None]).mean()) for one in settings]
    image = torch.zeros(30, Q, dtype=torch.float64)
    chosen = choose(made, {"kde": settings}, image=image, label=label, chooser=everywhere)
    assert chosen == {"kde": settings[nll.index(min(nll))]}
    assert min(nll) < sorted(nll)[1]


@pytest.mark.parametrize("limit", [0, 10 * Q * 8, 2**27])
def test_kernel_sums_are_kept_up_to_the_limit_and_the_same_again(monkeypatch, limit):
    monkeypatch.setattr(priors, "KEPT", limit)
    made = make(places(30, 0), labels(30, 1), places(24, 2))
    first = [made.log_p("kde", 500.0, rows).clone() for rows in torch.arange(24).split(10)]
    assert sum(one.weight.nbytes for some in made._kernel_sums.values() for one in some) <= limit
    for rows, before in zip(torch.arange(24).split(10), first, strict=True):
        assert torch.equal(made.log_p("kde", 500.0, rows), before)
