"""The pool of experts: closed forms by plain loops, its minimum found another way, its ends, and damaged files."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.optimize import minimize

from cspops import kernels
from cspops.errors import DataError
from cspops.evaluation import pool_fit
from cspops.evaluation.pool import (
    YEAR,
    Neighbours,
    Places,
    Pool,
    PoolEntry,
    Slots,
    date_kernel,
    days_between,
    kernel,
    nearness,
    read_pool,
    write_pool,
)
from cspops.evaluation.pool_fit import Choosers, Grid
from cspops.evaluation.predictor import combined_log_p
from cspops.geo import haversine, uniform_on_sphere

Q = 5
GRID = Grid((100.0, 400.0, 2000.0), (0.1, 1.0, 5.0))
NOBODY = torch.empty(0, dtype=torch.long)


def places(m: int = 40, seed: int = 0) -> Places:
    """Positions within 40 degrees; class 4 does not occur."""
    g = torch.Generator().manual_seed(seed)
    lonlat = torch.rand(m, 2, generator=g, dtype=torch.float64) * 40
    return Places(lonlat, torch.randint(Q - 1, (m,), generator=g))


def table(n: int = 80, seed: int = 0, scale: float = 2.0):
    """Random log P(y|I), log P(y|x), labels that agree with both a little, and positions."""
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(Q - 1, (n,), generator=g)
    hint = torch.nn.functional.one_hot(label, Q)
    image, location = ((scale * (hint + torch.randn(n, Q, generator=g))).double().log_softmax(1) for _ in range(2))
    return image, location, label, torch.rand(n, 2, generator=g, dtype=torch.float64) * 40 + 10


def fit(image, location, label, lonlat, *, spatial: int = 30, known: Places | None = None) -> Pool:
    """The last ``spatial`` rows are spatial_val; those without a position are alone."""
    located, every = ~lonlat.isnan().any(1), torch.arange(len(label))
    first = every < len(label) - spatial
    choosers = Choosers(every[located & first], every[located & ~first], every[~located])
    near = (known or places()).near(lonlat)
    return pool_fit.fit(lambda rows: (image[rows], location[rows]), label, near.of, choosers, GRID, classes=Q)


def value(weights, image, place, label, g) -> float:
    """Summed NLL and prior; weights are (a near, b near, a far, b far)."""
    near, far = np.array(weights[:2]), np.array(weights[-2:])
    total = 0.5 * float(((np.array(weights) - 1) ** 2).sum())
    for i, y in enumerate(label.tolist()):
        a, b = g[i] * near + (1 - g[i]) * far
        scores = [a * float(image[i, k]) + b * float(place[i, k]) for k in range(image.shape[1])]
        top = max(scores)
        total += top + math.log(sum(math.exp(s - top) for s in scores)) - scores[y]
    return total


def test_the_place_is_the_plain_loop():
    known, (_, location, _, lonlat) = places(), table(12)
    got = Pool(kernel_km=500.0, count_weight=0.7).place_log_p(location, known.near(lonlat, k=9)).exp()
    for i, x in enumerate(lonlat):
        km = sorted((float(haversine(x, one)), int(y)) for one, y in zip(known.lonlat, known.label, strict=True))[:9]
        weights = [(0.7 * math.exp(-(d**2) / (2 * 500**2)), y) for d, y in km]
        total = sum(w for w, _ in weights) + 1
        want = [(sum(w for w, y in weights if y == k) + float(location[i, k].exp())) / total for k in range(Q)]
        assert got[i].tolist() == pytest.approx(want, rel=1e-9)


def test_it_is_the_product_of_powers_that_go_from_near_to_far():
    known, (image, location, _, lonlat) = places(), table(12)
    pool = Pool((0.5, 0.9), (1.2, 0.3), 0.8, 700.0, 500.0, 0.7)
    near = known.near(lonlat)
    got = pool.log_p(image, location, near, torch.ones(12, dtype=torch.bool)).exp()
    g = (-near.nearest_km / 700).exp()
    a, b = 0.5 * g + 0.9 * (1 - g), 1.2 * g + 0.3 * (1 - g)
    torch.testing.assert_close(pool.weights(near.nearest_km), torch.stack((a, b), 1))
    product = image.exp() ** a[:, None] * pool.place_log_p(location, near).exp() ** b[:, None]
    torch.testing.assert_close(got, product / product.sum(1, keepdim=True))


def test_far_from_every_label_it_is_image_and_learned_location_alone():
    image, location, _, _ = table(3)
    known = Places(torch.tensor([[0.0, 0.0]]).double(), torch.tensor([1]))
    far = known.near(torch.tensor([[170.0, 0.0]] * 3).double())
    got = Pool((0.1, 0.9), (0.2, 0.3), 1.0, 50.0, 100.0, 10.0).log_p(image, location, far, torch.ones(3, dtype=torch.bool))
    torch.testing.assert_close(got, (0.9 * image + 0.3 * location).log_softmax(1))


def test_the_default_is_the_plain_product():
    image, location, _, lonlat = table(6)
    located = torch.tensor([True, False] * 3)
    lonlat[~located] = torch.nan
    got = Pool().log_p(image, location, places().near(lonlat), located)
    torch.testing.assert_close(got, combined_log_p(image, location, located))


def test_rows_without_a_position_and_without_an_image():
    """Without a position softmax(w log P(y|I)), whatever stands in its row; without an image the place alone."""
    image, location, _, lonlat = table(6)
    lonlat[2], location[2] = torch.nan, torch.nan
    located, near, pool = ~lonlat.isnan().any(1), places().near(lonlat), Pool((0.5, 0.5), (2.0, 2.0), 0.3, None, 500.0, 1.0)
    got = pool.log_p(image, location, near, located)
    torch.testing.assert_close(got[2], (0.3 * image[2]).log_softmax(0))
    torch.testing.assert_close(pool.log_p(image, None, near, located), (0.3 * image).log_softmax(1))
    without = pool.log_p(None, location, near, located)
    torch.testing.assert_close(without[2].exp(), torch.full((Q,), 1 / Q).double())
    torch.testing.assert_close(without[located], (2 * pool.place_log_p(location, near)).log_softmax(1)[located])
    assert near.km[2].isinf().all()


@pytest.mark.parametrize("spatial", [0, 30])
@pytest.mark.parametrize(("seed", "scale"), [(0, 0.3), (1, 2.0), (2, 20.0)])
def test_the_fit_is_the_minimum_that_a_general_optimiser_finds(seed, scale, spatial):
    """L-BFGS-B over the weights, given the kernel found; both stop within 1e-5 of the least value, or of 1e-8 of it."""
    image, location, label, lonlat = table(seed=seed, scale=scale)
    got = fit(image, location, label, lonlat, spatial=spatial)
    near = places().near(lonlat)
    g = nearness(near.nearest_km, got.fade_km)[:, 0].numpy()
    place = got.place_log_p(location, near)
    assert (got.fade_km is None) == (spatial == 0)
    if spatial:
        assert got.fade_km == pytest.approx(3 * float(near.nearest_km[:50].median()), rel=1e-6)

    def objective(weights):
        return value(weights, image, place, label, g)

    ends = [got.image[0], got.place[0], got.image[1], got.place[1]][: 4 if spatial else 2]
    bounds = [(0, None)] * len(ends)
    best = min(minimize(objective, [start] * len(ends), bounds=bounds).fun for start in (1.0, 0.1))
    assert objective(ends) <= best + 1e-5 + 1e-8 * best
    assert (got.image[0] == got.image[1]) or spatial


def test_slope_and_curvature_are_those_of_autograd():
    image, location, label, lonlat = table(20)
    design = nearness(places().near(lonlat).nearest_km, 300.0)
    at = torch.tensor([[0.5, 1.5], [0.0, 0.7]]).double()

    def objective(weights):
        w = design @ weights.view(2, 2)
        log_p = (w[:, :1] * image + w[:, 1:] * location).log_softmax(1)
        return 0.5 * (weights - 1).square().sum() - log_p.gather(1, label[:, None]).sum()

    point = pool_fit._evaluate((image, location), label, design, at)
    flat = at.flatten().requires_grad_()
    want = objective(flat)
    assert point.value == pytest.approx(float(want.detach()))
    torch.testing.assert_close(point.gradient, torch.autograd.grad(want, flat)[0])
    torch.testing.assert_close(point.hessian, torch.autograd.functional.hessian(objective, flat.detach()))


@pytest.mark.parametrize("scale", [0.3, 2.0, 20.0])
def test_the_kernel_is_that_of_least_nll_among_all_pairs(scale):
    """The plain way: the whole table for each pair. At a scale of 20 nearly all of P lies on neighbours' classes."""
    image, location, label, lonlat = table(50, scale=scale)
    near, (a, b) = places().near(lonlat), (0.8, 1.1)

    def nll(h, c):
        place = Pool(kernel_km=h, count_weight=c).place_log_p(location, near)
        return -float((a * image + b * place).log_softmax(1).gather(1, label[:, None]).mean())

    want = min(itertools.product(GRID.kernel_km, GRID.count_weight), key=lambda pair: nll(*pair))
    assert pool_fit._best_kernel((image, location), label, near, torch.tensor([a, b]), GRID) == (*want, None)


def dated(known: Places, seed: int = 0) -> Places:
    """The same places with dates; every seventh has none."""
    when = torch.rand(len(known.label), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    when[::7] = torch.nan
    return Places(known.lonlat, known.label, when)


def test_days_between_dates_go_the_shorter_way_round_the_year():
    a, b = torch.tensor([0.0, 0.99, 0.1, 0.25, 0.5]).double(), torch.tensor([0.0, 0.01, 0.9, 0.75, torch.nan]).double()
    wanted = torch.tensor([0.0, 0.02, 0.2, 0.5, torch.nan]).double() * YEAR
    for one, other in ((a, b), (b, a)):
        torch.testing.assert_close(days_between(one, other), wanted, equal_nan=True, rtol=0, atol=1e-4)


@pytest.mark.parametrize("days", [0.1, 10.0, 60.0, 400.0, 1e4])
def test_without_a_date_the_kernel_is_its_mean_over_the_year(days):
    """Which the mean over a fine grid of dates is, to the width of its cells."""
    dates = torch.arange(100_000, dtype=torch.float64) / 100_000
    mean = date_kernel(days_between(dates, torch.tensor(0.3).double())[None], days).mean()
    assert float(date_kernel(torch.tensor([[torch.nan]]).double(), days)) == pytest.approx(float(mean), rel=1e-3)


def test_the_place_in_time_is_the_plain_loop():
    known, (_, location, _, lonlat) = dated(places()), table(12)
    when = torch.linspace(0, 0.99, 12).double()
    when[3] = torch.nan
    pool = Pool(kernel_km=500.0, count_weight=0.7, kernel_days=40.0)
    got = pool.place_log_p(location, known.near(lonlat, when, k=9)).exp()
    mean = 40 * math.sqrt(2 * math.pi) / YEAR * math.erf(YEAR / 2 / 40 / math.sqrt(2))
    for i, x in enumerate(lonlat):
        rows = zip(known.lonlat, known.label, known.when, strict=True)
        near = sorted((float(haversine(x, one)), int(y), float(t)) for one, y, t in rows)[:9]
        weights = []
        for d, y, t in near:
            gap = min(abs(t - float(when[i])), 1 - abs(t - float(when[i]))) * YEAR
            of_date = mean if math.isnan(gap) or i == 3 else math.exp(-(gap**2) / (2 * 40**2))
            weights.append((0.7 * of_date * math.exp(-(d**2) / (2 * 500**2)), y))
        total = sum(w for w, _ in weights) + 1
        want = [(sum(w for w, y in weights if y == k) + float(location[i, k].exp())) / total for k in range(Q)]
        assert got[i].tolist() == pytest.approx(want, rel=1e-9)


def test_dates_count_only_in_a_pool_with_a_kernel_of_theirs():
    known, (_, location, _, lonlat) = dated(places()), table(12)
    when = torch.linspace(0, 0.99, 12).double()
    plain, timed = Pool(kernel_km=500.0, count_weight=0.7), Pool(kernel_km=500.0, count_weight=0.7, kernel_days=40.0)
    assert torch.equal(
        plain.place_log_p(location, known.near(lonlat, when)),
        plain.place_log_p(location, Places(known.lonlat, known.label).near(lonlat)),
    )
    undated = [known.near(lonlat), known.near(lonlat, torch.full((12,), torch.nan)), places().near(lonlat, when)]
    for near in undated:
        torch.testing.assert_close(timed.place_log_p(location, near), timed.place_log_p(location, undated[0]))
    assert not torch.allclose(timed.place_log_p(location, known.near(lonlat, when)), timed.place_log_p(location, undated[0]))
    near = known.near(lonlat, when)
    torch.testing.assert_close(near.of(slice(2, 5)).days, near.days[2:5], equal_nan=True)
    assert near.first(3).days.shape == near.first(3).km.shape == (12, 3)


def test_the_kernel_of_dates_is_that_of_least_nll_and_chosen_where_dates_tell():
    """Rows at one place, whose class is the half of the year; or else dates that tell nothing."""
    n, m = 120, 300
    g = torch.Generator().manual_seed(0)
    when, known_when = torch.rand(n, generator=g).double(), torch.rand(m, generator=g).double()
    known = Places(torch.rand(m, 2, generator=g).double(), (known_when > 0.5).long(), known_when)
    lonlat, uniform = torch.rand(n, 2, generator=g).double(), torch.zeros(n, Q).double().log_softmax(1)
    grid = Grid(GRID.kernel_km, GRID.count_weight, (None, 5.0, 20.0, 80.0))
    choosers = Choosers(torch.arange(n), NOBODY, NOBODY)

    def chosen(label):
        near = known.near(lonlat, when)
        return pool_fit.fit(lambda rows: (uniform[rows], uniform[rows]), label, near.of, choosers, grid, classes=Q), near

    pool, near = chosen((when > 0.5).long())
    assert pool.kernel_days in (5.0, 20.0, 80.0)

    def nll(one):
        h, c, days = one
        place = Pool(kernel_km=h, count_weight=c, kernel_days=days).place_log_p(uniform, near)
        return -float(place.log_softmax(1).gather(1, (when > 0.5).long()[:, None]).mean())

    every = itertools.product(grid.kernel_km, grid.count_weight, grid.kernel_days)
    weights = torch.tensor([0.0, 1.0])
    best = pool_fit._best_kernel((uniform, uniform), (when > 0.5).long(), near, weights, grid)
    assert nll(best) == pytest.approx(min(map(nll, every)))
    assert chosen(torch.randint(2, (n,), generator=g))[0].kernel_days in (None, 80.0)


def test_slots_are_the_classes_of_the_neighbours():
    near = Neighbours(torch.tensor([[10.0, 20.0, 30.0], [0.0, 1.0, 2.0]]).double(), torch.tensor([[3, 0, 3], [2, 2, 2]]))
    slots, weight = Slots.of(near), kernel(near.km, 10.0)
    assert [
        [y for y, u in zip(*row, strict=True) if u] for row in zip(slots.label.tolist(), slots.used.tolist(), strict=True)
    ] == [
        [0, 3],
        [2],
    ]
    counts = slots.log_counts(weight).exp()
    torch.testing.assert_close(counts[0], torch.stack((weight[0, 1], weight[0, 0] + weight[0, 2])))
    torch.testing.assert_close(counts[1, 0], weight[1].sum())


def test_without_validation_it_is_the_plain_product():
    image, location, label, lonlat = table(10)
    assert fit(image, location, label, lonlat, spatial=10) == Pool()


def test_without_labelled_places_there_is_one_pair_of_weights_and_no_count():
    image, location, label, lonlat = table()
    got = fit(image, location, label, lonlat, known=Places(torch.empty(0, 2).double(), NOBODY))
    assert got.count_weight == 0
    assert got.fade_km is None
    assert got.image[0] == got.image[1] != 1


def test_rows_without_a_position_choose_the_power_of_the_image_alone():
    image, location, label, lonlat = table(scale=4.0)
    lonlat[::4] = torch.nan
    location[::4] = torch.nan
    got = fit(image, location, label, lonlat)
    some, y = image[::4], label[::4]

    def objective(w):
        return value([w[0], 0.0], some, torch.zeros_like(some), y, np.ones(len(y)))

    assert objective([got.image_alone]) == pytest.approx(minimize(objective, [1.0], bounds=[(0, None)]).fun, abs=1e-6)


def test_an_expert_that_is_always_wrong_gets_no_weight():
    image, _, label, lonlat = table(400)
    wrong = torch.nn.functional.one_hot(label, Q).double().mul(-8).log_softmax(1)
    got = fit(image, wrong, label, lonlat, known=Places(torch.empty(0, 2).double(), NOBODY))
    assert got.place == (0.0, 0.0)


def test_classes_that_cannot_be_leave_it_finite():
    """log P of -1e4, as of a class without a labelled row in a probe."""
    image, location, label, lonlat = table()
    for log_p in (image, location):
        log_p[:, Q - 1] = -1e4
    got = fit(image, location, label, lonlat)
    out = got.log_p(image, location, places().near(lonlat), torch.ones(80, dtype=torch.bool))
    assert out.isfinite().all()
    torch.testing.assert_close(out.exp().sum(1), torch.ones(80).double())


def test_few_rows_stay_near_the_plain_product():
    image, location, label, lonlat = table(2)
    got = fit(image, location, label, lonlat, spatial=1)
    assert all(0 <= one < 3 for one in (*got.image, *got.place))


def test_more_numbers_than_are_held_leave_evenly_spaced_rows(monkeypatch):
    image, location, label, lonlat = table(90)
    want = fit(image[::3], location[::3], label[::3], lonlat[::3], spatial=10)
    monkeypatch.setattr(pool_fit, "KEPT", 2 * Q * 30)
    monkeypatch.setattr(kernels, "CACHE", 7 * Q)
    got = fit(image, location, label, lonlat, spatial=30)
    assert (got.kernel_km, got.count_weight, got.fade_km) == (want.kernel_km, want.count_weight, want.fade_km)
    assert (*got.image, *got.place) == pytest.approx((*want.image, *want.place), abs=2e-6)


def test_neighbours_are_the_nearest_over_the_date_line():
    known = Places(torch.tensor([[179.0, 0.0], [-170.0, 0.0], [0.0, 0.0]]).double(), torch.arange(3))
    near = known.near(torch.tensor([[-179.0, 0.0], [torch.nan, torch.nan]]).double(), k=2)
    assert near.label[0].tolist() == [0, 1]
    assert near.nearest_km[1].isinf()
    assert known.near(torch.empty(0, 2).double()).km.shape == (0, 3)


class TestFiles:
    def test_what_is_read_is_what_was_written(self, tmp_path):
        pool, known = Pool((0.5, 0.9), (1.2, 0.0), 0.8, 700.25, 500.0, 0.7), places()
        write_pool(tmp_path / "new", pool, known)
        got, read = read_pool(tmp_path / "new", classes=Q, remake="")
        assert got == pool
        assert torch.equal(read.lonlat, known.lonlat)
        assert torch.equal(read.label, known.label)
        lonlat = uniform_on_sphere(5, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(read.near(lonlat).km, known.near(lonlat).km)

    def test_no_pool_is_none(self, tmp_path):
        assert read_pool(tmp_path, classes=Q, remake="") is None

    def test_dates_are_written_where_they_count(self, tmp_path):
        known = dated(places())
        for name, pool in (("plain", Pool()), ("timed", Pool(count_weight=1.0, kernel_days=30.0))):
            write_pool(tmp_path / name, pool, known)
            got, read = read_pool(tmp_path / name, classes=Q, remake="")
            assert got == pool
            columns = pq.read_schema(tmp_path / name / "places.parquet").names
            assert ("kernel_days" in (tmp_path / name / "pool.json").read_text()) == (name == "timed") == ("when" in columns)
        torch.testing.assert_close(read.when, known.when, equal_nan=True)
        write_pool(tmp_path / "none", pool, places())
        assert read_pool(tmp_path / "none", classes=Q, remake="")[1].when.isnan().all()

    @pytest.mark.parametrize(("when", "words"), [([0.1, 1.0], "row 2 has no date of the year"), ([-0.1, None], "row 1 has no")])
    def test_dates_that_cannot_be_are_named(self, tmp_path, when, words):
        write_pool(tmp_path, Pool(kernel_days=30.0), dated(places()))
        columns = {"lon": [0.0, 0.0], "lat": [0.0, 0.0], "label": pa.array([0, 0], pa.int32())}
        pq.write_table(pa.table(columns | {"when": pa.array(when, pa.float64())}), tmp_path / "places.parquet")
        with pytest.raises(DataError, match=words):
            read_pool(tmp_path, classes=Q, remake="")
        pq.write_table(pa.table(columns), tmp_path / "places.parquet")
        with pytest.raises(DataError, match="it has no column when"):
            read_pool(tmp_path, classes=Q, remake="")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"kernel_days": 0.0}, "kernel_days"),
            ({"image": (-0.1, 1.0)}, "image.0"),
            ({"place": (1.0, math.inf)}, "place.1"),
            ({"image_alone": 2e6}, "image_alone"),
            ({"fade_km": 0.0}, "fade_km"),
            ({"kernel_km": math.nan}, "kernel_km"),
            ({"count_weight": "1"}, "count_weight"),
            ({"image": (1.0,)}, "image"),
        ],
    )
    def test_a_number_out_of_bounds_is_named(self, tmp_path, changes, words):
        write_pool(tmp_path, Pool(), places())
        entry = PoolEntry.model_construct(**(Pool().__dict__ | changes))
        (tmp_path / "pool.json").write_text(entry.model_dump_json(warnings=False))
        with pytest.raises(DataError, match=f"pool.json is broken: {words}"):
            read_pool(tmp_path, classes=Q, remake="")

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            ({"lon": [math.nan], "lat": [0.0], "label": [0]}, "row 1 is no position"),
            ({"lon": [0.0, 0.0], "lat": [0.0, 91.0], "label": [0, 0]}, "row 2 is no position"),
            ({"lon": [0.0], "lat": [0.0], "label": [Q]}, "a label is not one of the 5 classes"),
            ({"lon": [0.0], "lat": [0.0], "label": [-1]}, "a label is not one of the 5 classes"),
            ({"lon": [0.0], "lat": [0.0], "label": [None]}, "the column label has empty cells"),
            ({"lon": [0.0], "lat": [0.0]}, "it has no column label"),
            ({"lon": ["x"], "lat": [0.0], "label": [0]}, "the column lon is"),
        ],
    )
    def test_places_that_cannot_be_are_named(self, tmp_path, columns, words):
        write_pool(tmp_path, Pool(), places())
        pq.write_table(pa.table(columns), tmp_path / "places.parquet")
        with pytest.raises(DataError, match=words):
            read_pool(tmp_path, classes=Q, remake="")

    def test_a_cut_or_missing_file_of_places(self, tmp_path):
        write_pool(tmp_path, Pool(), places())
        file = tmp_path / "places.parquet"
        file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(DataError, match="no whole Parquet file"):
            read_pool(tmp_path, classes=Q, remake="")
        file.unlink()
        with pytest.raises(DataError, match="is missing"):
            read_pool(tmp_path, classes=Q, remake="")
