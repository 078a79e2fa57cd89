"""GAIR's loss against a loop, at its start, and what is no negative."""

import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch.nn.functional import normalize

from cspops.losses.gair import TERMS, among_places, distillation, gair_loss

N, K, D = 5, 7, 4
T = 0.3


def case(seed: int = 0) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    rows = {"overhead": N, "photo": N, "place": N, "queue": K}
    return {name: 3 * torch.randn(n, D, generator=draws, dtype=torch.float64) for name, n in rows.items()}


def cross_entropy(scores: list[float], right: int) -> float:
    return math.log(sum(math.exp(score / T) for score in scores)) - scores[right] / T


@pytest.mark.parametrize("masks", [False, True])
def test_each_term_is_a_mean_of_cross_entropies_of_cosines(masks: bool) -> None:
    given = case()
    masked = torch.zeros(N, K, dtype=torch.bool)
    masked[1, 2] = masked[1, 3] = masked[4, 0] = masks
    r, o, own, queue = (normalize(given[name], dim=1).tolist() for name in ("overhead", "photo", "place", "queue"))

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    expected = dict.fromkeys(TERMS, 0.0)
    for i in range(N):
        kept = [queue[j] for j in range(K) if not masked[i, j]]
        expected["overhead_to_photo"] += cross_entropy([dot(r[i], one) for one in o], i) / N
        expected["photo_to_overhead"] += cross_entropy([dot(o[i], one) for one in r], i) / N
        expected["photo_to_place"] += cross_entropy([dot(o[i], one) for one in (own[i], *kept)], 0) / N
        expected["overhead_to_place"] += cross_entropy([dot(r[i], one) for one in (own[i], *kept)], 0) / N
    parts = gair_loss(**given, temperature=T, masked=masked)
    assert {name: float(parts[name]) for name in TERMS} == pytest.approx(expected)
    assert float(parts["total"]) == pytest.approx(sum(expected.values()) / 2)
    some = gair_loss(**given, temperature=T, masked=masked, terms=("photo_to_place",))
    assert float(some["total"]) == pytest.approx(expected["photo_to_place"] / 2)


def test_where_all_cosines_are_alike_it_is_what_the_batch_and_the_queue_make() -> None:
    alike = {name: torch.ones_like(value) for name, value in case().items()}
    assert float(gair_loss(**alike)["total"]) == pytest.approx((2 * math.log(N) + 2 * math.log(1 + K)) / 2)


def test_a_masked_place_gets_no_gradient_and_the_others_do() -> None:
    given = case()
    given["queue"].requires_grad_()
    masked = torch.zeros(N, K, dtype=torch.bool)
    masked[:, 3] = True
    gair_loss(**given, masked=masked)["total"].backward()
    moved = given["queue"].grad.abs().sum(1) > 0
    assert moved.tolist() == [column != 3 for column in range(K)]


def test_a_learned_temperature_has_a_finite_gradient_beside_masked_places() -> None:
    temperature = torch.tensor(T, dtype=torch.float64, requires_grad=True)
    masked = torch.eye(N, K, dtype=torch.bool)
    gair_loss(**case(), temperature=temperature, masked=masked)["total"].backward()
    assert temperature.grad is not None and temperature.grad.isfinite()


def test_with_all_places_masked_nothing_is_left_to_learn() -> None:
    image, place, queue = (normalize(case()[name], dim=1) for name in ("photo", "place", "queue"))
    loss = among_places(image, place, queue, temperature=T, masked=torch.ones(N, K, dtype=torch.bool))
    assert float(loss) == pytest.approx(0.0, abs=1e-12)


def test_without_photos_overhead_images_and_places_alone_are_aligned() -> None:
    given = case() | {"photo": None}
    parts = gair_loss(**given, terms=("overhead_to_place",))
    assert float(parts["total"]) == pytest.approx(float(gair_loss(**case())["overhead_to_place"]) / 2)
    with pytest.raises(ValueError, match="photo_to_place needs photos"):
        gair_loss(**given, terms=("photo_to_place",))


def test_distillation_is_least_where_the_features_are_those_of_the_start() -> None:
    x = case()["photo"]
    assert float(distillation(2 * x, x)) == pytest.approx(-1)
    assert float(distillation(-x, x)) == pytest.approx(1)
    cosines = [float((a @ b) / (a.norm() * b.norm())) for a, b in zip(x, case(1)["photo"], strict=True)]
    assert float(distillation(x, case(1)["photo"])) == pytest.approx(-sum(cosines) / N)


@pytest.mark.parametrize(
    "changes",
    [
        {"photo": torch.ones(N + 1, D)},
        {"place": torch.ones(N, D + 1)},
        {"queue": torch.ones(K, D + 1)},
        {"masked": torch.zeros(N, K + 1, dtype=torch.bool)},
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes) -> None:
    with pytest.raises((ValueError, TypeCheckError)):
        gair_loss(**case() | changes)


@pytest.mark.parametrize(
    ("changes", "says"), [({"temperature": 0.0}, "0.0, not above 0"), ({"terms": ("place_to_photo",)}, "not place_to_photo")]
)
def test_settings_that_are_none_are_refused(changes, says) -> None:
    with pytest.raises(ValueError, match=says):
        gair_loss(**case() | changes)
